"""What CI may leave out where it is slow, and what it tells of a failure."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import scenarios
from scenarios import BROKEN_OFF, FAILED, LAST, LEFT_OUT, LONGEST_LINE, PASSED, SECONDS, TOO_LATE, Outcome

LOG = """
TASK [Boot the servers]
ok: [localhost]
fatal: [shop]: FAILED! => {"msg": "there is no way in"}
PLAY RECAP
TASK [Remove the servers]
changed: [localhost]
"""


# Seconds since 1970, in the year 2096.
LATER = 4e9


def over(name: str, seconds: float, verdict: str = PASSED) -> Outcome:
    return Outcome(name, verdict, seconds, Path())


def test_the_longest_come_first_but_for_those_that_come_last() -> None:
    order = scenarios.in_order(scenarios.by_default())
    assert order[0] == "deploys"
    assert set(order[-len(LAST) :]) == set(LAST)
    assert "machine" not in order


@pytest.mark.parametrize(
    ("outcomes", "pace"),
    [
        ([], 1.0),
        ([over("deploys", 900)], 1.0),
        ([over("deploys", 2 * SECONDS["deploys"])], 2.0),
        ([over("deploys", 3600), over("nginx", 250)], 3850 / (SECONDS["deploys"] + SECONDS["nginx"])),
        ([over("deploys", 1800), over("nginx", 5000, FAILED)], 1.0),
    ],
)
def test_the_pace_is_that_of_what_has_passed(outcomes: list[Outcome], pace: float) -> None:
    assert scenarios.pace(outcomes) == pytest.approx(pace)


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where logs go; molecule is a program that does nothing for two seconds."""
    program = tmp_path / "molecule"
    program.write_text('#!/bin/sh\n[ "$1" != test ] || sleep 2\n')
    program.chmod(0o755)
    monkeypatch.setattr(scenarios, "LOGS", tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "seconds", "before", "verdict"),
    [
        ("nginx", 60, [], PASSED),
        ("nginx", 0.5, [], TOO_LATE),
        ("hardening", 60, [], LEFT_OUT),
        ("hardening", 2400, [], PASSED),
        ("hardening", 2400, [over("deploys", 3600)], LEFT_OUT),
    ],
)
def test_only_what_comes_last_is_left_out(
    logs: Path, name: str, seconds: float, before: list[Outcome], verdict: str
) -> None:
    outcome = scenarios.run(name, "all", time.time() + seconds, before)
    assert outcome.verdict == verdict
    assert (outcome in before) == (verdict != LEFT_OUT)


def test_what_comes_last_and_takes_longer_than_it_should_is_broken_off(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SECONDS, "projects", 0)
    assert scenarios.run("projects", "all", time.time() + 0.5, []).verdict == BROKEN_OFF


@pytest.mark.parametrize(
    "line",
    [
        "tests/test_x.py::test_it[ansible://server] FAILED [ 8%]",
        "tests/test_x.py::test_it[ansible://server] ERROR [100%]",
        "server : ok=13   changed=0    unreachable=0    failed=1    skipped=5",
        "server : ok=13   changed=0    unreachable=1    failed=0    skipped=5",
    ],
)
def test_what_is_broken_off_after_a_failure_has_failed(logs: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setitem(SECONDS, "projects", 0)
    passed = "tests/test_x.py::test_that_FAILED [ansible://server] PASSED [ 8%]\nserver : ok=1 unreachable=0 failed=0"
    (logs / "molecule").write_text(f'#!/bin/sh\n[ "$1" != test ] || {{ echo "{passed}\n{line}"; sleep 2; }}\n')
    assert scenarios.run("projects", "all", time.time() + 0.5, []).verdict == TOO_LATE


@pytest.mark.parametrize(
    ("deadline", "options"), [(LATER, ["--durations=9", "--exitfirst"]), (None, ["--durations=9"])]
)
def test_where_time_is_short_the_first_failure_is_the_last(
    logs: Path, monkeypatch: pytest.MonkeyPatch, deadline: float | None, options: list[str]
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--durations=9")
    (logs / "molecule").write_text('#!/bin/sh\n[ "$1" != test ] || echo "$PYTEST_ADDOPTS"\n')
    scenarios.run("projects", "all", deadline, [])
    assert (logs / "projects.log").read_text().split() == options


def test_without_a_deadline_nothing_is_left_out(logs: Path) -> None:
    assert scenarios.run("hardening", "some", None, [over("deploys", 10**6)]).verdict == PASSED


def test_of_a_failure_those_lines_are_told_that_speak_of_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LOG + "E   " + "x" * 1000)
    first, second = scenarios.why(log)
    assert first.startswith("fatal: [shop]")
    assert len(second) == LONGEST_LINE


def test_where_none_speaks_of_it_the_last_lines_are_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("\n".join(map(str, range(100))))
    assert scenarios.why(log)[-1] == "99"
    assert len(scenarios.why(log)) == scenarios.LINES_OF_A_FAILURE
