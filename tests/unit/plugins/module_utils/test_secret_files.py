# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets are generated once, kept, replaced only by a given value, and never shown."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _secret_files as sf

ME, MINE = os.getuid(), os.getgid()


def entry(path: str, length: int = 50, value: str | None = None) -> dict[str, object]:
    """Options of one secret as AnsibleModule hands them over."""
    return {"path": path, "length": length, "value": value}


@pytest.mark.parametrize(
    ("want", "seen", "action", "content"),
    [
        (sf.Wanted("/s", 50), sf.Observed(), "generate", ""),
        (sf.Wanted("/s", 50), sf.Observed(""), "generate", ""),
        (sf.Wanted("/s", 50), sf.Observed("\n"), "generate", ""),
        (sf.Wanted("/s", 64), sf.Observed("short but there"), "keep", "short but there"),
        (sf.Wanted("/s", 50), sf.Observed("there", private=False), "protect", "there"),
        (sf.Wanted("/s", 50, "given"), sf.Observed(), "replace", "given"),
        (sf.Wanted("/s", 50, "given"), sf.Observed("generated earlier"), "replace", "given"),
        (sf.Wanted("/s", 50, "given"), sf.Observed("given"), "keep", "given"),
        (sf.Wanted("/s", 50, "given"), sf.Observed("given", private=False), "protect", "given"),
        (sf.Wanted("/s", 50, "pem\n"), sf.Observed("pem\n"), "keep", "pem\n"),
    ],
)
def test_plan(want: sf.Wanted, seen: sf.Observed, action: str, content: str) -> None:
    """One step per secret, with the content that will be there."""
    (step,) = sf.plan([want], {"/s": seen})
    assert (step.action, step.content) == (action, content)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("etc/secret")], "in full"),
        ([entry("/etc/../secret")], "in full"),
        ([entry("/s", value="")], "empty"),
        ([entry("/s", value="\n")], "empty"),
        ([entry("/s", length=8)], "guessed"),
        ([entry("/s", length=20), entry("/s", length=30)], "twice"),
        ([entry("/s", value="alpha"), entry("/s", value="omega")], "twice"),
    ],
)
def test_refusals(entries: list[dict[str, object]], message: str) -> None:
    """Wrong options are refused with words that name the path and no secret."""
    with pytest.raises(sf.SecretFileError, match=message) as caught:
        sf.wanted(entries)
    assert "alpha" not in str(caught.value) and "omega" not in str(caught.value)


def test_the_same_secret_may_be_listed_twice() -> None:
    """The cache and the queue name the same file for an app that uses both."""
    assert sf.wanted([entry("/s"), entry("/s")]) == [sf.Wanted("/s")]


def run(path: Path, length: int = 50, value: str | None = None) -> tuple[list[sf.Step], list[sf.Step]]:
    """Plan and apply as the module does, with the files of whoever runs the tests."""
    wanted = sf.wanted([entry(str(path), length, value)])
    steps = sf.plan(wanted, {str(path): sf.observe(str(path), ME, MINE)})
    return steps, sf.apply(steps, ME, MINE)


def test_life_of_a_secret(tmp_path: Path) -> None:
    """Generated, kept, replaced, kept; private at every moment; the hash is the file's."""
    path = tmp_path / "shop" / "secrets" / "key"
    planned, done = run(path, 64)
    assert planned[0].sha256 == sf.PLACEHOLDER
    first = path.read_text()
    assert len(first) == 64 and set(first) <= set(sf.ALPHABET)
    assert done[0].sha256 == hashlib.sha256(first.encode()).hexdigest()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    assert run(path, 20)[0][0].action == "keep"
    assert path.read_text() == first

    assert run(path, value="from the vault")[0][0].action == "replace"
    assert path.read_text() == "from the vault"
    assert run(path)[0][0].action == "keep"

    path.chmod(0o644)
    assert run(path)[0][0].action == "protect"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["key"]


def test_two_secrets_differ(tmp_path: Path) -> None:
    """What is generated is random."""
    run(tmp_path / "a")
    run(tmp_path / "b")
    assert (tmp_path / "a").read_text() != (tmp_path / "b").read_text()


def test_a_newline_of_an_editor_is_no_part_of_the_secret() -> None:
    """Whoever reads the file strips it as well."""
    assert sf.digest("secret\n") == sf.digest("secret") == hashlib.sha256(b"secret").hexdigest()


def test_refuses_a_link_and_a_directory_of_others(tmp_path: Path) -> None:
    """Nobody else may decide where a secret is written."""
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(sf.SecretFileError, match="no ordinary file"):
        sf.observe(str(tmp_path / "link"), ME, MINE)
    tmp_path.chmod(0o777)
    with pytest.raises(sf.SecretFileError, match="written by others"):
        sf.observe(str(tmp_path / "new"), ME, MINE)


def test_an_interrupted_write_leaves_the_old_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name changes hands only when the new content is on disk."""
    path = tmp_path / "key"
    run(path, value="old")

    def fail(source: str, target: str) -> None:
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError):
        run(path, value="new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]


def test_the_diff_names_files_only() -> None:
    """Neither secrets nor hashes."""
    steps = [sf.Step("/a", "generate", length=50), sf.Step("/b", "replace", "hidden"), sf.Step("/c", "keep", "hidden")]
    diff = sf.describe(steps)
    assert diff["after"] == "/a: generated\n/b: the value given\n"
    assert "hidden" not in str(diff)


def test_what_is_replaced_stays_beside_the_secret_where_somebody_still_uses_it(tmp_path: Path) -> None:
    path, before = tmp_path / "secrets" / "password", tmp_path / "secrets" / "password.former"
    run(path, value="first")
    assert sf.former(str(path)) == ""
    for value in ("second", "third", "third"):
        want = sf.Wanted(str(path), 50, value, keep_former=True)
        sf.apply(sf.plan([want], {str(path): sf.observe(str(path), ME, MINE)}), ME, MINE)
    # What is live may use either of the two, so there is no third one until a deploy has seen to it.
    assert (path.read_text(), before.read_text()) == ("second", "first")
    assert stat.S_IMODE(before.stat().st_mode) == 0o600
    before.unlink()
    run(path, value="fourth")
    assert not before.exists()
