"""Workers go from release to release, and neither lose a task nor run one twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jobs import Jobs
from testbed.system import TestbedError

TASKS = 200


@pytest.fixture(scope="module")
def jobs(host: Any) -> Jobs:
    jobs = Jobs(host.backend.get_hostname())
    jobs.forget()
    return jobs


def begun(jobs: Jobs, kind: str, number: int) -> Callable[[], bool]:
    return lambda: any(run["number"] == number for run in jobs.runs(kind))


def test_every_unit_is_in_a_sandbox(jobs: Jobs) -> None:
    exposures = jobs.security()
    assert len(exposures) > 5
    assert {unit: exposure for unit, exposure in exposures.items() if exposure > 2.0} == {}


def test_no_task_is_lost_or_run_twice_by_a_deploy(jobs: Jobs) -> None:
    before = jobs.current()
    # Begun on the old release, and at work for longer than its deploy.
    jobs.add("celery", 1, 60, 60, first=1000)
    jobs.add("rq", 3, 10, 10)
    jobs.add("tasks", 3, 10, 10)
    for kind, number in (("celery", 1000), ("rq", 0), ("tasks", 0)):
        jobs.wait_for(begun(jobs, kind, number))
    jobs.add("celery", TASKS, 0.2, 5)
    jobs.deploy("good-2")
    after = jobs.current()
    assert after != before
    long = next(run for run in jobs.runs("celery") if run["number"] == 1000)
    if not long["ended"]:
        finishing = [worker for worker in jobs.status()["workers"] if worker["release"] == before]
        assert {worker["state"] for worker in finishing} <= {"deactivating"}
    assert jobs.beats() == 1
    jobs.wait_for(lambda: len(jobs.runs("celery")) > TASKS)
    assert jobs.done("celery") == dict.fromkeys([*range(TASKS), 1000], 1)
    assert jobs.done("rq") == dict.fromkeys(range(3), 1)
    assert jobs.done("tasks") == dict.fromkeys(range(3), 1)
    runs = jobs.runs("celery")
    assert {run["release"] for run in runs} == {before, after}
    assert [run["release"] for run in runs if run["number"] == 1000] == [before]
    jobs.wait_for(jobs.tidy)
    assert len(jobs.workers()) == 5


@pytest.mark.parametrize(
    ("version", "says"), [("broken-worker", "no hands on deck"), ("broken-for-visitors", "not for visitors")]
)
def test_a_broken_deploy_leaves_the_old_workers_at_work(jobs: Jobs, version: str, says: str) -> None:
    before, current = jobs.workers(), jobs.current()
    files = jobs.root("ls /etc/systemd/system /srv/jobs/releases /etc/groundcrew/jobs")
    said = jobs.play("deploy", fails=True, jobs_version=version)
    assert says in said
    assert jobs.current() == current
    jobs.wait_for(jobs.tidy)
    after = jobs.workers()
    beat = f"jobs-worker@{current}:celery-beat.service"
    # Once visitors had the new release it had the beat, too.
    assert before | {beat: ""} == after | {beat: ""}
    assert jobs.beats() == 1
    assert files == jobs.root("ls /etc/systemd/system /srv/jobs/releases /etc/groundcrew/jobs")


def test_a_rollback_takes_the_workers_along(jobs: Jobs) -> None:
    left = jobs.current()
    jobs.play("rollback", app="jobs")
    assert jobs.current() != left
    jobs.wait_for(jobs.tidy)
    assert len(jobs.workers()) == 5
    assert jobs.beats() == 1


def test_what_somebody_has_started_and_stopped_by_hand_is_mended_by_the_next_look(jobs: Jobs) -> None:
    jobs.deploy("good-3")
    jobs.wait_for(jobs.tidy)
    current = jobs.current()
    old = jobs.root(f"ls -d /etc/systemd/system/jobs-worker@*:rq.service.d | grep -v {current} | head -1")
    jobs.root(f"systemctl stop jobs-worker@{current}:celery:1; systemctl start $(basename {old} .d)")
    assert not jobs.tidy()
    assert "changed=1" in jobs.deploy("good-3", dry=True)
    assert not jobs.tidy()
    assert "changed=1" in jobs.deploy("good-3")
    jobs.wait_for(jobs.tidy)
    jobs.wait_for(lambda: len(jobs.workers()) == 5)
    assert "changed=0" in jobs.deploy("good-3", dry=True)
    assert "changed=0" in jobs.deploy("good-3")


def test_a_worker_that_is_killed_comes_back(jobs: Jobs) -> None:
    unit = f"jobs-worker@{jobs.current()}:celery:1.service"
    killed = jobs.workers()[unit]
    jobs.root(f"kill -KILL {killed}")
    jobs.wait_for(lambda: jobs.workers().get(unit, "0") not in ("0", killed))
    jobs.add("celery", 1, 0, 0, first=2000)
    jobs.wait_for(begun(jobs, "celery", 2000))


def test_a_worker_that_leaks_is_killed_at_its_limit(jobs: Jobs) -> None:
    unit = f"jobs-worker@{jobs.current()}:celery:1.service"
    group = jobs.root(f"systemctl show --value --property=ControlGroup {unit}")
    if not jobs.root(f"cat '/sys/fs/cgroup{group}/memory.max'", check=False):
        pytest.skip("the machine gives its containers no memory controller")
    web = jobs.root("systemctl show --value --property=MainPID jobs-web@*.service")
    jobs.add("leak", 1, 0, 0)
    jobs.wait_for(
        lambda: jobs.root("journalctl --boot --unit='jobs-worker@*' --grep='OOM killer' --quiet", check=False)
    )
    jobs.wait_for(lambda: len(jobs.workers()) == 5)
    assert jobs.root("systemctl show --value --property=MainPID jobs-web@*.service") == web


def test_a_procfile_gives_its_workers_and_nothing_else(jobs: Jobs) -> None:
    jobs.change = {"procfile": True, "workers": [], "sandbox": {"writable_paths": ["/srv/exports"]}}
    try:
        cure = "install -d -o jobs -g jobs /srv/exports"
        assert cure in " ".join(jobs.deploy("procfile", fails=True).split())
        jobs.root(cure)
        said = " ".join(jobs.deploy("procfile").split())
    finally:
        jobs.change = {}
    for line in (
        "web is not taken",
        "release is not taken",
        "piped is not taken",
        "clock is a worker of kind celery-beat",
    ):
        assert f"Procfile: {line}" in said
    jobs.wait_for(jobs.tidy)
    assert {name.partition(":")[2] for name in jobs.workers()} == {
        "clock.service",
        "rq-worker.service",
        "worker.service",
    }
    assert not jobs.root("pgrep -u jobs -f runserver", check=False)
    seen_by = f"nsenter --mount --target={next(iter(jobs.workers().values()))} -- runuser -u jobs --"
    jobs.root(f"install -d -o jobs -g jobs /srv/private; {seen_by} touch /srv/exports/today")
    assert "Read-only file system" in jobs.root(f"{seen_by} touch /srv/private/today 2>&1", check=False)
    assert jobs.beats() == 1
    for kind, number in (("celery", 3000), ("rq", 3000)):
        jobs.add(kind, 1, 0, 0, first=number)
        jobs.wait_for(begun(jobs, kind, number))


def test_beat_runs_once_after_further_deploys_and_a_restart_of_the_server(jobs: Jobs) -> None:
    for version in ("good-4", "good-5"):
        jobs.deploy(version)
        assert jobs.beats() == 1
    jobs.wait_for(jobs.tidy)
    began = jobs.root("systemctl show --property=UserspaceTimestampMonotonic")
    jobs.root("systemctl reboot")

    def restarted() -> bool:
        try:
            return jobs.root("systemctl show --property=UserspaceTimestampMonotonic") not in ("", began)
        except TestbedError:
            return False

    jobs.wait_for(restarted)
    jobs.wait_for(lambda: len(jobs.workers()) == 5 and "0" not in jobs.workers().values())
    assert jobs.tidy()
    assert jobs.beats() == 1
    ticks = len(jobs.runs("beat"))
    jobs.wait_for(lambda: len(jobs.runs("beat")) > ticks)
