"""Management commands by the clock."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from jobs import Jobs

SCHEDULES = [
    {"name": "often", "command": "nap often 0.1", "calendar": "*:*:0/10"},
    {"name": "long", "command": "nap long 12", "calendar": "*:*:0/5"},
    {"name": "queued", "command": "nap queued 12", "calendar": "*:*:0/5", "overlap": "queue"},
    {"name": "failing", "command": "fail", "calendar": "*:*:0/15"},
    {"name": "cut", "command": "nap cut 600", "calendar": "*:*:0/15", "timeout": 5},
]


@pytest.fixture(scope="module")
def jobs(host: Any) -> Jobs:
    jobs = Jobs(host.backend.get_hostname())
    jobs.forget()
    jobs.change = {"schedules": SCHEDULES}
    jobs.deploy("good-1")
    return jobs


def pauses(jobs: Jobs, name: str) -> list[float]:
    """Seconds from the end of each run of a schedule to the beginning of the next, in order of length."""
    current = jobs.root("stat --format=%Y /srv/jobs/current")
    argv = f"journalctl --quiet --output=short-unix --since=@{current} --unit=jobs-schedule@{name}.service --identifier=systemd"
    lines = [line.split() for line in jobs.root(argv).splitlines()]
    # Between them stands what a run has consumed, where that is a second or more.
    moments = [(line[3], float(line[0])) for line in lines if line[3] in ("Starting", "Finished")]
    return sorted(begin - end for (ended, end), (_began, begin) in pairwise(moments) if ended == "Finished")


def test_commands_run_when_they_are_due(jobs: Jobs) -> None:
    jobs.wait_for(lambda: len([run for run in jobs.runs("often") if run["ended"]]) > 1)
    assert jobs.runs("often")[-1]["release"] == jobs.current()
    assert "had a nap" in jobs.root("journalctl --output=cat --identifier=jobs-schedule-often")


def test_what_comes_due_during_a_run_is_skipped_or_queued(jobs: Jobs) -> None:
    jobs.wait_for(lambda: len(pauses(jobs, "long")) > 2 and len(pauses(jobs, "queued")) > 2)
    # They are due every five seconds and take more than twelve; the one waits for its time, the other begins again at once.
    assert pauses(jobs, "long")[-1] > 0.5
    assert pauses(jobs, "queued")[1] < 0.5


def test_status_tells_how_they_ended(jobs: Jobs) -> None:
    def results() -> dict[str, str]:
        return {schedule["name"]: schedule["result"] for schedule in jobs.status()["schedules"]}

    jobs.wait_for(results, lambda seen: seen["failing"] == "failed (exit-code, status 1)")
    jobs.wait_for(results, lambda seen: seen["cut"] == "failed (took too long)")
    jobs.wait_for(results, lambda seen: seen["often"] == "ok")
    # It may be at work again just then.
    jobs.wait_for(lambda: "schedule failing: failed (exit-code, status 1), last " in jobs.play("status"))


def test_a_schedule_runs_at_the_operators_word(jobs: Jobs) -> None:
    assert "had a nap" in jobs.play("manage", app="jobs", schedule="often")
    assert "the ledger does not add up" in jobs.play("manage", fails=True, app="jobs", schedule="failing")
    assert "name one of often, long" in jobs.play("manage", fails=True, app="jobs", schedule="oftn")


def test_every_unit_is_in_a_sandbox(jobs: Jobs) -> None:
    exposures = jobs.security()
    assert "jobs-due@long.service" in exposures
    assert {unit: exposure for unit, exposure in exposures.items() if exposure > 2.0} == {}


def test_they_go_with_the_live_release_and_away_with_their_description(jobs: Jobs) -> None:
    jobs.change = {"schedules": SCHEDULES[:1]}
    jobs.deploy("good-2")
    current = jobs.current()
    jobs.wait_for(lambda: any(run["release"] == current for run in jobs.runs("often")))
    assert jobs.root("ls /etc/systemd/system/timers.target.wants | grep jobs") == "jobs-schedule@often.timer"
    jobs.play("rollback", app="jobs")
    assert len(jobs.root("systemctl list-timers --no-legend 'jobs-*'").splitlines()) == len(SCHEDULES)
    jobs.change = {"schedules": []}
    jobs.deploy("good-3")
    # What was at work when its schedule went has its unit until the next look.
    jobs.wait_for(lambda: not jobs.root("pgrep -u jobs -f ' nap '", check=False))
    jobs.deploy("good-3")
    assert jobs.root("ls -R /etc/systemd/system | grep jobs-schedule", check=False) == ""
    assert jobs.root("systemctl list-units --all --plain --no-legend 'jobs-schedule*'") == ""
