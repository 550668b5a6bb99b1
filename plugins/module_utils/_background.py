# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Moves workers and schedules from release to release. PRIVATE to the collection: may change at any time.

Which workers a release has is told by their drop-ins, which its deploy writes: `<app>-worker@<release>:<name>.service`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shutil
import subprocess
import time
import typing as t
from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils import _live, _processes
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

if t.TYPE_CHECKING:
    from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release

UNITS = pathlib.Path("/etc/systemd/system")
STAMPS = pathlib.Path("/var/lib/systemd/timers")

# Seconds that a worker which cannot say that it is ready has to stay up.
STEADY = 4.0

# Seconds between two looks at workers that start or stop.
INTERVAL = 0.25

# Seconds that a deploy waits for systemd to begin with a worker, and for the end of those whose release has failed; who
# is at a task has a limit of his own.
IDLE = 10.0

Properties = Mapping[str, str]


# --- units -----------------------------------------------------------------------------------------------------------


def services(unit: str, release: str) -> list[str]:
    """The workers' services that a release has."""
    return sorted(path.name.removesuffix(".d") for path in UNITS.glob(f"{unit}@{release}:*.service.d"))


def release_of(service: str) -> str:
    """The release that a worker's service belongs to."""
    return service.partition("@")[2].partition(":")[0]


def process_of(service: str) -> str:
    """A worker's name, and its number where it has several."""
    return service.partition(":")[2].removesuffix(".service")


def running(unit: str) -> dict[str, str]:
    """The services of all workers that run, with their states: active, activating, deactivating."""
    return _listed(unit, "active,activating,deactivating,reloading")


def _listed(unit: str, states: str) -> dict[str, str]:
    listed = _live.systemctl("list-units", "--plain", "--no-legend", f"--state={states}", f"{unit}@*.service")
    return {line.split()[0]: line.split()[2] for line in listed.splitlines()}


def show(names: Sequence[str], *properties: str) -> dict[str, Properties]:
    """What systemd says of some units, by name."""
    if not names:
        return {}
    said = _live.systemctl("show", f"--property={','.join(('Id', *properties))}", *names, check=False)
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in said.split("\n\n")]
    return {block["Id"]: block for block in blocks if "Id" in block}


def install(unit: str, release: str, dropins: Mapping[str, str]) -> None:
    """Write down how the workers of a release run, by name; none is started yet."""
    for name, text in dropins.items():
        directory = UNITS / f"{unit}@{release}:{name}.service.d"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "release.conf").write_text(text, "utf-8")


def start(names: Iterable[str]) -> None:
    """Start workers, and wait until all of them are ready.

    One that still finishes tasks, because its release was left a moment ago, is only told to start again after them.

    :raises ReleaseError: with the words of one that does not start.
    """
    names = sorted(names)
    if not names:
        return
    finishing = {name for name, seen in show(names, "ActiveState").items() if seen["ActiveState"] == "deactivating"}
    # What became of it in an earlier life says nothing of this one.
    _live.systemctl("reset-failed", *names, check=False)
    _live.systemctl("start", "--no-block", *names)
    waiting = set(names) - finishing
    begun = time.monotonic()
    while waiting:
        time.sleep(INTERVAL)
        seen = show(sorted(waiting), "ActiveState", "SubState", "Type", "NRestarts")
        for name, unit in seen.items():
            # Between two attempts, or at a second one; or somebody has stopped it meanwhile.
            idle = unit["ActiveState"] == "failed" or unit["SubState"] == "auto-restart" or int(unit["NRestarts"] or 0)
            if idle or (unit["ActiveState"] == "inactive" and time.monotonic() - begun > IDLE):
                raise ReleaseError(
                    f"The worker {process_of(name)} of the new release does not stay up.",
                    "the lines below are its own; mend the cause and deploy again",
                    journal(name),
                )
            if unit["ActiveState"] == "active" and (unit["Type"] == "notify" or time.monotonic() - begun > STEADY):
                waiting.discard(name)


def stop(names: Iterable[str]) -> None:
    """Tell workers to finish their tasks and end; nobody waits for that."""
    if names := sorted(names):
        _live.systemctl("stop", "--no-block", *names, check=False)


def end(names: Sequence[str]) -> None:
    """Stop workers and wait for it; how they ended means nothing, and would be listed for ever.

    Celery's beat fails now and then when it is told to stop while it looks at its schedule.
    """
    if names:
        _live.systemctl("stop", *names, check=False)
        _live.systemctl("reset-failed", *names, check=False)


def gone(names: Iterable[str], seconds: float) -> bool:
    """Whether workers have ended, at the latest after some seconds."""
    names, end = sorted(names), time.monotonic() + seconds
    while any(unit["ActiveState"] not in ("inactive", "failed") for unit in show(names, "ActiveState").values()):
        if time.monotonic() > end:
            return False
        time.sleep(INTERVAL)
    return True


def journal(service: str) -> str:
    """What a worker said that tells most."""
    argv = ["journalctl", "--no-pager", "--output=cat", "--lines=1000", f"--unit={service}"]
    return _live.telling(subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False).stdout)


def remove(unit: str, release: str) -> bool:
    """Stop the workers of a release and forget how they ran.

    :returns: whether they are gone; one that is still at a task needs the release's files.
    """
    names = services(unit, release)
    stop(names)
    if not gone(names, IDLE):
        return False
    for name in names:
        _live.systemctl("reset-failed", name, check=False)
        shutil.rmtree(UNITS / f"{name}.d")
    return True


# --- workers ---------------------------------------------------------------------------------------------------------


def describe(release: Release) -> None:
    """Write down how the release's workers run."""
    facts = release.facts
    if not facts.get("workers"):
        return
    place = place_of(release)
    pathlib.Path(f"{release.beside}/{_processes.WORKER_MODULE}.py").write_text(_processes.WORKER_TEXT, "utf-8")
    processes = _processes.processes(facts["workers"])
    dropins = {process.name: _processes.worker_dropin(process, place) for process in processes}
    install(release.app.record["units"]["worker"], release.id, dropins)


def place_of(release: Release) -> _processes.Place:
    """Where the release's processes run."""
    app = release.app
    return _processes.Place(
        app=app.name,
        user=app.record["user"],
        release=release.id,
        python=release.python,
        directory=release.directory,
        home=app.home,
        environment_file=release.environment_file,
        environment={**release.path_variables, "HOME": app.home},
        credentials=release.credentials,
        writable=app.writable,
        tuning=app.tuning(),
        django_rq=bool(list(pathlib.Path(release.venv).glob("lib/python*/site-packages/django_rq"))),
    )


def workers_of(app: App, release: Release, *, beat: bool) -> list[str]:
    """The services of a release: those of which only one may run at a time, or all others."""
    if not release.id:
        return []
    names = services(app.record["units"]["worker"], release.id)
    return [name for name in names if runs_alone(name) is beat]


def runs_alone(service: str) -> bool:
    """By its drop-in, which is there even where somebody has removed the release's directory."""
    with contextlib.suppress(FileNotFoundError):
        return f'"{_processes.LOCK}"' in (UNITS / f"{service}.d" / "release.conf").read_text("utf-8")
    return False


def begin(app: App, release: Release) -> None:
    """Start the workers of a release beside those that are live.

    :raises ReleaseError: when one does not stay up.
    """
    start(workers_of(app, release, beat=False))


def hand_over_beat(app: App, before: Release, to: Release) -> None:
    """Let the beat of one release end, and that of another begin.

    :raises ReleaseError: when it does not stay up.
    """
    end(workers_of(app, before, beat=True))
    start(workers_of(app, to, beat=True))


def give_back(app: App, before: Release, failed: Release) -> None:
    """A release has failed after its workers had been started: let the one before it work alone again."""
    end(workers_of(app, failed, beat=True))
    stop(services(app.record["units"]["worker"], failed.id))
    with contextlib.suppress(ReleaseError):
        # Why it did not start is of no use here; the next look tries again.
        start(workers_of(app, before, beat=True))


@dataclasses.dataclass(frozen=True)
class Astray:
    """Workers that are not as the live release wants them.

    :param leaving: of other releases; some may be finishing their tasks already.
    :param others: those of them that nobody has told to end.
    :param missing: of the live release, and not running.
    """

    leaving: Sequence[str]
    others: Sequence[str]
    missing: Sequence[str]


def astray(app: App, release: Release) -> Astray:
    """Compare the workers that run with those of the live release."""
    unit = app.record["units"]["worker"]
    states = running(unit)
    leaving = [name for name in states if release_of(name) != release.id]
    return Astray(
        leaving=leaving,
        others=[name for name in leaving if states[name] != "deactivating"],
        missing=[name for name in services(unit, release.id) if name not in states] if release.id else [],
    )


def settled(app: App, release: Release) -> bool:
    """Whether :func:`converge` would have nothing to do."""
    workers = astray(app, release)
    return not workers.others and not workers.missing and not plan_schedules(app, release).due


def converge(app: App, release: Release) -> bool:
    """Make the workers and schedules of the live release the only ones.

    :returns: whether anything was left to do.
    """
    workers = astray(app, release)
    # Also those that end already: one that a rollback had told to start again afterwards must not.
    stop(workers.leaving)
    # Who was killed because his time was over has failed, and is of no interest any more.
    if failed := [name for name in _listed(app.record["units"]["worker"], "failed") if release_of(name) != release.id]:
        _live.systemctl("reset-failed", *failed, check=False)
    # A beat that starts here waits by its lock for the end of the one before.
    if workers.missing:
        _live.systemctl("start", "--no-block", *workers.missing)
    return bool(workers.others or workers.missing) | place_schedules(app, release)


def releases(app: App) -> set[str]:
    """The releases whose files are needed by what runs or finishes its tasks."""
    found = {release_of(name) for name in running(app.record["units"]["worker"])}
    at_work = sorted(running(app.record["units"]["schedule"]))
    for unit in show(at_work, "MainPID").values():
        # Its unit speaks of the live release by now, the process of the one that it began on.
        with contextlib.suppress(OSError, ValueError):
            python = pathlib.Path(f"/proc/{unit['MainPID']}/cmdline").read_bytes().split(b"\0")[0].decode()
            found.add(pathlib.Path(python).relative_to(app.paths["releases"]).parts[0])
    return found


# --- schedules -------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Schedules:
    """Unit files of schedules by name: those wanted, those of them that are to be written, and those to be removed.

    :param links: what makes the wanted timers start at boot.
    :param stale: systemd knows them as they were before a run died.
    :param begin: timers that are to be started, or started again.
    """

    wanted: Mapping[str, str]
    changed: Collection[str]
    surplus: Collection[str]
    links: Mapping[str, pathlib.Path]
    stale: bool
    begin: Sequence[str]

    @property
    def placing(self) -> bool:
        """Whether there are files to write or remove, or to read again."""
        linked = all(os.path.lexists(link) for link in self.links.values())
        return bool(self.changed or self.surplus) or self.stale or not linked

    @property
    def due(self) -> bool:
        """Whether there is anything to do."""
        return self.placing or bool(self.begin)


def plan_schedules(app: App, release: Release) -> Schedules:
    """What it takes for systemd to know the schedules of a release, and no others."""
    unit = app.record["units"]["schedule"]
    wanted: dict[str, str] = {}
    for schedule in (release.facts.get("schedules") or []) if release.id else []:
        wanted |= _processes.schedule_units(schedule, place_of(release), app.record["units"])
    present = {path.name: path.read_text("utf-8") for path in UNITS.glob(f"{unit}@*") if path.is_file()}
    changed = {name for name, text in wanted.items() if present.get(name) != text}
    # What still runs keeps its unit until a later look; it only does not begin again.
    at_work = running(unit)
    seen = show(sorted(wanted), "NeedDaemonReload", "ActiveState")
    timers = {name for name in wanted if name.endswith(".timer")}
    idle = {name for name in timers if seen.get(name, {}).get("ActiveState") != "active"}
    return Schedules(
        wanted=wanted,
        changed=changed,
        surplus={name for name in set(present) - set(wanted) if name not in at_work},
        links={name: UNITS / "timers.target.wants" / name for name in sorted(timers)},
        stale=any(one.get("NeedDaemonReload") == "yes" for one in seen.values()),
        begin=sorted((changed & timers) | idle),
    )


def place_schedules(app: App, release: Release) -> bool:
    """Have systemd know the schedules of a release, and no others.

    :returns: whether that is new.
    """
    plan = plan_schedules(app, release)
    # It changes with what it plans.
    due = plan.due
    if plan.placing:
        _place(plan)
    if plan.begin:
        _live.systemctl("restart", *plan.begin)
    return due


def _place(plan: Schedules) -> None:
    """Bring unit files and the links that make timers start at boot up to date."""
    ending = [name for name in plan.surplus if name.endswith(".timer")]
    if ending:
        _live.systemctl("stop", *ending, check=False)
    for name in plan.surplus:
        for path in (UNITS / name, UNITS / "timers.target.wants" / name, STAMPS / f"stamp-{name}"):
            path.unlink(missing_ok=True)
    for name in plan.changed:
        (UNITS / name).write_text(plan.wanted[name], "utf-8")
    for name, link in plan.links.items():
        link.parent.mkdir(exist_ok=True)
        if not os.path.lexists(link):
            link.symlink_to(UNITS / name)
    _live.systemctl("daemon-reload")
    # A run that failed and is wanted no more would be listed for ever.
    for name in plan.surplus:
        _live.systemctl("reset-failed", name, check=False)


# --- told ------------------------------------------------------------------------------------------------------------


def told(app: App, release: Release) -> dict[str, list[dict[str, t.Any]]]:
    """What `status` says of the workers and schedules of a release."""
    unit, schedules = app.record["units"]["worker"], release.facts.get("schedules") or []
    finishing = [name for name in running(unit) if release_of(name) != release.id]
    names = [*services(unit, release.id), *finishing]
    seen = show(names, "ActiveState", "SubState", "NRestarts")
    workers = [
        {
            "name": process_of(name),
            "release": release_of(name),
            "state": seen.get(name, {}).get("ActiveState", "unknown"),
            "restarts": int(seen.get(name, {}).get("NRestarts") or 0),
        }
        for name in names
    ]
    prefix = app.record["units"]["schedule"]
    units = [f"{prefix}@{schedule['name']}.{kind}" for schedule in schedules for kind in ("service", "timer")]
    known = show(
        units,
        *("ActiveState", "SubState", "Result", "ExecMainStatus", "ExecMainStartTimestamp", "ExecMainExitTimestamp"),
        *("NextElapseUSecRealtime", "LastTriggerUSec"),
    )
    return {
        "workers": workers,
        "schedules": [
            {
                "name": schedule["name"],
                **read_schedule(
                    *(known.get(f"{prefix}@{schedule['name']}.{kind}", {}) for kind in ("service", "timer"))
                ),
            }
            for schedule in schedules
        ],
    }


def read_schedule(service: Properties, timer: Properties) -> dict[str, str]:
    """From systemd's words about a schedule to its last result and its next time. Pure."""
    if service.get("ActiveState") == "activating":
        result = "running"
    elif service.get("Result", "success") == "timeout":
        result = "failed (took too long)"
    elif service.get("Result", "success") != "success":
        result = f"failed ({service['Result']}, status {service.get('ExecMainStatus', '?')})"
    elif service.get("ExecMainExitTimestamp"):
        result = "ok"
    else:
        result = "not run yet" if not timer.get("LastTriggerUSec") else "not run since the server started"
    return {
        "result": result,
        "last": service.get("ExecMainStartTimestamp") or timer.get("LastTriggerUSec", ""),
        "next": "after this run"
        if timer.get("SubState") == "running"
        else timer.get("NextElapseUSecRealtime") or "never",
    }


def run_now(app: App, name: str) -> tuple[str, str]:
    """Run a schedule, and wait for its end; one that is at work already is waited for.

    :returns: its result in the words of :func:`read_schedule`, and what it printed.
    """
    unit = f"{app.record['units']['schedule']}@{name}.service"
    # Its status says less than the unit's own result.
    _live.systemctl("start", unit, check=False)
    properties = ("ActiveState", "Result", "ExecMainStatus", "ExecMainExitTimestamp", "InvocationID")
    seen = show([unit], *properties)[unit]
    argv = ["journalctl", "--no-pager", "--output=cat", f"--identifier={app.name}-schedule-{name}"]
    argv.append(f"_SYSTEMD_INVOCATION_ID={seen['InvocationID']}")
    printed = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False).stdout
    return read_schedule(seen, {})["result"], printed.rstrip()
