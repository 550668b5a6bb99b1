# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger of releases."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._ledger import (
    BUILDING,
    FAILED,
    GOOD,
    ROLLED_BACK,
    Entry,
    Ledger,
    previous,
    surplus,
    ways_back,
)


def entry(name: str, state: str = GOOD) -> Entry:
    return Entry(name, "rev", "main", "print", "me@here", state=state)


def test_the_ledger_reads_back_what_it_wrote(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "releases.json")
    ledger = Ledger(path)
    assert ledger.entries == []
    ledger.entries.append(entry("a"))
    ledger.first_done = True
    ledger.mark(ledger.entries[0], FAILED, "failed")
    again = Ledger(path)
    assert again.first_done
    found = again.find("a")
    assert found is not None
    assert found.state == FAILED
    assert "failed" in found.times
    assert again.find("b") is None


@pytest.mark.parametrize(
    ("states", "current", "keep", "result"),
    [
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "c", 2, ["a"]),
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "a", 2, ["b"]),  # after a rollback the newest other good one stays
        ({"a": GOOD, "b": FAILED, "c": GOOD}, "c", 2, ["b"]),
        ({"a": GOOD, "b": FAILED, "c": FAILED}, "a", 5, ["b", "c"]),
        ({"a": GOOD, "b": GOOD}, "b", 1, []),  # the way back always stays
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "c", 1, ["a"]),
        ({"a": GOOD, "b": ROLLED_BACK, "c": GOOD}, "c", 5, ["b"]),
        ({"a": GOOD, "b": GOOD, "c": ROLLED_BACK}, "b", 1, ["c"]),
        ({"a": GOOD, "b": GOOD}, "b", 5, []),
        ({"a": GOOD, "b": GOOD, "c": GOOD, "d": GOOD}, "d", 5, []),
        ({"a": GOOD, "b": GOOD, "c": GOOD, "d": GOOD}, "d", 6, []),
        ({}, "", 5, []),
    ],
)
def test_surplus(states: dict[str, str], current: str, keep: int, result: list[str]) -> None:
    assert surplus([entry(name, state) for name, state in states.items()], list(states), current, keep) == result


def test_a_release_that_still_serves_somebody_is_no_surplus() -> None:
    entries = [entry("a"), entry("b"), entry("c")]
    assert surplus(entries, ["a", "b", "c", "stray"], "c", 1, ["b", "c"]) == ["a", "stray"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"releases": [{"id": "a"}]}', '{"releases": 1}', "\x00\x00"])
def test_a_damaged_ledger_is_told_and_not_overwritten(text: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "releases.json"
    path.write_text(text)
    with pytest.raises(ReleaseError, match="is damaged"):
        Ledger(str(path))
    assert path.read_text() == text


@pytest.mark.parametrize("released", [True, False])
def test_a_lost_ledger_does_not_run_the_first_commands_again(released: bool, tmp_path: pathlib.Path) -> None:
    assert Ledger(str(tmp_path / "releases.json"), released).first_done is released


def test_a_directory_that_the_ledger_does_not_know_is_surplus() -> None:
    assert surplus([entry("b")], ["stray", "b"], "b", 5) == ["stray"]


@pytest.mark.parametrize(
    ("states", "current", "ways"),
    [
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "c", ["b", "a"]),
        ({"a": GOOD, "b": GOOD, "c": GOOD}, "b", ["a", "c"]),
        ({"a": GOOD, "b": ROLLED_BACK, "c": FAILED, "d": GOOD}, "d", ["a"]),
        ({"a": GOOD, "b": BUILDING}, "a", []),
        ({"a": GOOD, "b": GOOD}, "unknown to the ledger", ["b", "a"]),
    ],
)
def test_only_good_releases_are_ways_back(states: dict[str, str], current: str, ways: list[str]) -> None:
    entries = [entry(name, state) for name, state in states.items()]
    assert ways_back(entries, list(states), current) == ways
    assert ways_back(entries, [current], current) == []


def test_the_first_release_has_none_before_it() -> None:
    entries = [entry("a"), entry("b")]
    assert previous(entries, ["a", "b"], "a") == ""
    assert previous(entries, ["a", "b"], "b") == "a"
