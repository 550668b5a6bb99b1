# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries out a plan of config_set so that a death at any moment leaves something that the next call can finish.

The journal on the server's disk says how far a call came:

=========  =====================================  ============================================================
state      what may have been done                what the next call does about it
=========  =====================================  ============================================================
writing    units stopped, files partly written    rolls back: old files, old state of the units
written    all files; commands and units partly   completes: commands and units again, then confirms them
undoing    anything                               rolls back
held       everything                             rolls back: nobody has come back to confirm it
=========  =====================================  ============================================================

The journal is on disk before the first live write, and goes when the units are confirmed or everything is back.

A change that may lock its owner out is held: before the first write, a timer is set on the server that rolls back, and
only a fresh connection stops it.
"""

from __future__ import annotations

import contextlib
import json
import os.path
import typing as t
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    ABSENT,
    NEW_WORKERS,
    ActionFailed,
    ConfigSetError,
    Entry,
    Mask,
    Observed,
    Plan,
    Step,
    Unit,
    UnitPlan,
    Wanted,
    WantedUnit,
    make_plan,
    manifest_paths,
    matches,
)
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_system import System

WRITING, WRITTEN, UNDOING, HELD = "writing", "written", "undoing", "held"

# Seconds between two looks at whether a change is live.
CONFIRM_INTERVAL = 0.1
# Seconds in which the old workers are expected to stop taking requests, once as many new ones are there.
HANDOVER = 2

CHANGE_VERBS = ("reload", "restart", "reload-or-restart")


@dataclass(frozen=True)
class Outcome:
    plan: Plan
    validated: bool = False
    recovered: dict[str, t.Any] | None = None
    pending: bool = False  # the change waits for another call: to carry it out, or to confirm it


# ------------------------------------------------------------------------------------------------------------ journal


@dataclass
class Journal:
    """What a call is about to do, and all that is needed to undo it."""

    system: System
    name: str
    state: str
    steps: tuple[Step, ...]  # `after` without content: it is not needed to complete, nor to undo
    daemon_reload: bool
    commands: tuple[tuple[str, ...], ...]
    units: tuple[UnitPlan, ...]

    @property
    def directory(self) -> str:
        return f"{self.system.pending}/{self.name}"

    @classmethod
    def begin(cls, system: System, name: str, plan: Plan) -> Journal:
        steps = tuple(replace(step, after=replace(step.after, content=b"")) for step in plan.steps)
        journal = cls(system, name, WRITING, steps, plan.daemon_reload, plan.commands, plan.units)
        try:
            journal._put(journal.directory, Entry("directory", owner="root", group="root", mode=0o700))
            for number, step in enumerate(steps):
                if step.before.kind == "file":
                    journal._put(f"{journal.directory}/{number}", _private(step.before.content))
            journal.mark(WRITING)
        except OSError:
            journal.remove()
            raise
        return journal

    @classmethod
    def find(cls, system: System, name: str) -> Journal | None:
        """The journal that an earlier call left."""
        found = system.entry(f"{system.pending}/{name}/journal.json")
        if found.kind == "absent":
            return None
        data = json.loads(found.content)
        steps = []
        for number, step in enumerate(data["steps"]):
            before, after = _entry(step["before"]), _entry(step["after"])
            if before.kind == "file":
                before = replace(before, content=system.entry(f"{system.pending}/{name}/{number}").content)
            steps.append(Step(step["path"], before, after, step["secret"], step["internal"]))
        units = tuple(
            UnitPlan(_unit(unit["unit"]), Unit(**unit["was"]), tuple(unit["first"]), tuple(unit["then"]))
            for unit in data["units"]
        )
        commands = tuple(tuple(argv) for argv in data["commands"])
        return cls(system, name, data["state"], tuple(steps), data["daemon_reload"], commands, units)

    def mark(self, state: str) -> None:
        self.state = state
        steps = [
            {
                "path": step.path,
                "before": _plain(step.before),
                "after": _plain(step.after),
                "secret": step.secret,
                "internal": step.internal,
            }
            for step in self.steps
        ]
        data = {
            "version": 1,
            "state": state,
            "steps": steps,
            "daemon_reload": self.daemon_reload,
            "commands": self.commands,
            "units": [asdict(unit) for unit in self.units],
        }
        self._put(f"{self.directory}/journal.json", _private(json.dumps(data, indent=1).encode()))

    def remove(self) -> None:
        # The journal itself first: what is left without it is only litter.
        self.system.commit(f"{self.directory}/journal.json", ABSENT)
        self.system.disarm(self.name)
        self.clear(self.system, self.name)

    @staticmethod
    def clear(system: System, name: str) -> None:
        directory = f"{system.pending}/{name}"
        for copy in system.names(directory):
            system.commit(f"{directory}/{copy}", ABSENT)
        if system.entry(directory).kind != "absent":
            system.commit(directory, ABSENT)

    def _put(self, path: str, entry: Entry) -> None:
        self.system.prepare(path, entry)
        self.system.commit(path, entry)


def _private(content: bytes) -> Entry:
    return Entry("file", content=content, owner="root", group="root", mode=0o600)


def _plain(entry: Entry) -> dict[str, t.Any]:
    about = asdict(entry)
    del about["content"]
    return about


def _entry(about: dict[str, t.Any]) -> Entry:
    return Entry(**about)


def _unit(about: dict[str, t.Any]) -> WantedUnit:
    values: dict[str, t.Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in about.items()}
    return WantedUnit(**values)


# ----------------------------------------------------------------------------------------------------------- converge


def converge(system: System, wanted: Wanted, check_mode: bool, ask: bool = False) -> Outcome:
    """Brings the server to the wanted set, or says in check mode what that would change.

    :param ask: Leave a change that is held to another call; finish what an earlier one has left, and validate.
    """
    if not check_mode:
        system.make_state()
    with system.lock(wanted.name, check_mode):
        if wanted.hold and not check_mode:
            _keep_away(system, wanted.name)
        recovered = recover(system, wanted.name, check_mode)
        observed = observe(system, wanted)
        plan = make_plan(wanted, observed, manifest_path(system, wanted.name))
        problems = plan.conflicts if check_mode else (*plan.conflicts, *plan.unmet)
        if problems:
            raise ConfigSetError("nothing was touched: " + "; ".join(problems))
        if check_mode or not (plan.steps or plan.units):
            return Outcome(plan, recovered=recovered)
        validated = validate(system, wanted, plan)
        hold = wanted.hold if holds(wanted, plan) else 0
        if not (hold and ask):
            apply(system, wanted.name, plan, hold)
        return Outcome(plan, validated=validated, recovered=recovered, pending=bool(hold))


def _keep_away(system: System, name: str) -> None:
    """Leave a change alone that is held: who made it may be about to confirm it, or we may have come in by it."""
    journal = Journal.find(system, name)
    if journal and journal.state == HELD and system.is_armed(name):
        raise ConfigSetError(
            "nothing was touched: another run, or one that was cut off, has made a change that waits to be confirmed. "
            "Unless that happens, the server takes it back within two minutes. Run this again then"
        )


def holds(wanted: Wanted, plan: Plan) -> bool:
    """Whether a change may lock out whoever makes it. Units alone count where everything does."""
    return any(matches(step.path, wanted.held) for step in plan.changes) or (bool(plan.units) and "*" in wanted.held)


def manifest_path(system: System, name: str) -> str:
    return f"{system.sets}/{name}.json"


def observe(system: System, wanted: Wanted) -> Observed:
    manifest_file = system.entry(manifest_path(system, wanted.name))
    manifest = manifest_paths(manifest_file.content) if manifest_file.kind == "file" else {}
    paths = {file.path for file in wanted.files} | set(wanted.absent) | set(manifest)
    for exclusive in wanted.exclusive:
        paths.update(f"{exclusive.path}/{name}" for name in system.names(exclusive.path))
    entries = {path: system.entry(path) for path in paths}
    entries[manifest_path(system, wanted.name)] = manifest_file

    parents = set()
    for path in (*paths, *(f"{directory.path}/x" for directory in wanted.directories)):
        while (path := os.path.dirname(path)) not in parents:
            parents.add(path)
    units = system.units([unit.name for unit in wanted.units])
    for unit in wanted.units:
        if unit.working and unit.state == "started" and unit.name in units and units[unit.name].running:
            works = system.run(unit.working, timeout=unit.confirm_timeout).rc == 0
            units[unit.name] = replace(units[unit.name], works=works)
    described = [described.entry for described in (*wanted.files, *wanted.directories)]
    return Observed(
        entries=entries,
        parents={path: system.entry(path, follow=True) for path in parents},
        owners={name: system.owner(name) for name in {entry.owner for entry in described if entry.owner}},
        groups={name: system.group(name) for name in {entry.group for entry in described if entry.group}},
        manifest=manifest,
        units=units,
        systemd=system.systemd(),
    )


def validate(system: System, wanted: Wanted, plan: Plan) -> bool:
    """Runs the validators against the staged set. Only a set that changes files can have become invalid."""
    if not plan.changes or not wanted.validate:
        return False
    for argv in wanted.validate:
        result = system.run_staged(argv, plan.changes)
        if result.rc != 0:
            words = _mask(system, plan.steps)(result.words)
            raise ConfigSetError(
                f"the new configuration is invalid; nothing was touched. {' '.join(argv)} (exit status {result.rc}):\n"
                f"{words}",
                rolled_back=False,
            )
    return True


def apply(system: System, name: str, plan: Plan, hold: int = 0) -> None:
    try:
        journal = Journal.begin(system, name, plan)
    except OSError as error:
        raise ConfigSetError(f"nothing was touched: the journal cannot be written: {_reason(error)}") from error
    try:
        if hold:
            system.arm(name, hold)
        for unit in plan.units:
            for verb in unit.first:
                systemctl(system, verb, unit.unit.name)
        # All that needs space comes first, so that a full disk is noticed while every live file still stands.
        for step in plan.steps:
            system.prepare(step.path, step.after)
        for step in plan.steps:
            system.commit(step.path, step.after)
        journal.mark(WRITTEN)
    except (OSError, ActionFailed) as error:
        _give_up(journal, plan.steps, str(error) if isinstance(error, ActionFailed) else _reason(error), exposed=False)
    try:
        finish(journal)
        if hold:
            journal.mark(HELD)
            system.arm(name, hold)  # anew: what came before took its time
            return
    except (OSError, ActionFailed) as error:
        _give_up(journal, plan.steps, str(error) if isinstance(error, ActionFailed) else _reason(error), exposed=True)
    journal.remove()


def confirm(system: System, name: str) -> None:
    """Somebody has come back over a fresh connection: what is held stays."""
    with system.lock(name):
        journal = Journal.find(system, name)
        if journal is None or journal.state != HELD:
            raise ConfigSetError(
                "nothing is held any more: the confirmation came too late, and the old state is back. Where the server "
                "is slow, give it more time: host_access_hold for the role host, reconnect.within for other sets"
            )
        journal.remove()


def revert(system: System, name: str) -> list[str]:
    """Nobody has come back in time; returns what could not be put back."""
    with system.lock(name):
        journal = Journal.find(system, name)
        if journal is None:
            system.disarm(name)
            return []
        return undo(journal, exposed=True)


def main(name: str) -> None:
    """What the timer starts; systemd keeps what could not be put back."""
    raise SystemExit("\n".join(revert(System(), name)) or 0)


def finish(journal: Journal) -> None:
    """From the written files to the confirmed units; as good a second time as the first."""
    system = journal.system
    since = system.now()
    if journal.daemon_reload:
        _daemon_reload(system)
    for argv in journal.commands:
        result = system.run(argv)
        if result.rc != 0:
            raise ActionFailed(f"{' '.join(argv)} failed (exit status {result.rc}):\n{result.words}")
    for plan in journal.units:
        sizes = {path: system.size(path) for path in plan.unit.logs}
        try:
            _bring(system, plan)
        except ActionFailed as error:
            said = [str(error)]
            for source, words in (
                (f"journal of {plan.unit.name}", system.journal(plan.unit.name, since)),
                *((path, system.tail(path, offset)) for path, offset in sizes.items()),
            ):
                if words:
                    said.append(f"{source}:\n{words}")
            raise ActionFailed("\n".join(said)) from None


def _bring(system: System, plan: UnitPlan) -> None:
    name = plan.unit.name
    for verb in plan.then:
        if verb == "enable":
            systemctl(system, verb, name)
            continue
        before = system.units([name]).get(name, Unit())
        # After a start every worker is new, also when something else had started the unit a moment ago.
        workers = system.children(before.main_pid) if before.main_pid and verb != "start" else {}
        if before.active == "failed":
            system.run(["systemctl", "reset-failed", "--", name])  # a start limit reached earlier is no reason today
        systemctl(system, verb, name)
        _confirm(system, plan.unit, verb, workers)


def _confirm(system: System, unit: WantedUnit, verb: str, workers: dict[tuple[int, str], str]) -> None:
    """Waits until the change can be seen. systemctl's word is not enough: nginx answers a reload with success and keeps
    its old configuration when it cannot take the new one."""
    started = system.clock()
    while True:
        waited = system.clock() - started
        reason = _not_live(system, unit, workers, waited)
        if not reason:
            return
        if waited >= unit.confirm_timeout:
            raise ActionFailed(f"{verb} of {unit.name} is not live after {unit.confirm_timeout} s: {reason}")
        system.sleep(CONFIRM_INTERVAL)


def _not_live(system: System, unit: WantedUnit, workers: dict[tuple[int, str], str], waited: float) -> str:
    now = system.units([unit.name]).get(unit.name, Unit())
    if not now.running:
        return f"the unit is {now.active}"
    if unit.confirm == NEW_WORKERS:
        present = system.children(now.main_pid)
        new = [worker for worker in present if worker not in workers]
        if not new:
            return f"process {now.main_pid} has no new worker, so it still works with the old configuration"
        # A worker that merely crashed is replaced too, with the old configuration. After a real reload the old ones end
        # or, as nginx's do, rename themselves while they finish; or, with some services, they stay beside as many new.
        kinds = {present[worker] for worker in new}
        former = [worker for worker, kind in workers.items() if kind in kinds]
        kept = [worker for worker in former if present.get(worker) == workers[worker]]
        if kept and (len(new) < len(former) or waited < HANDOVER):
            return f"{len(kept)} of {len(former)} workers are still those from before"
    elif unit.confirm:
        result = system.run(unit.confirm, timeout=max(1.0, unit.confirm_timeout - waited))
        if result.rc != 0:
            return f"{' '.join(unit.confirm)} (exit status {result.rc}):\n{result.words}"
    return ""


def systemctl(system: System, verb: str, name: str) -> None:
    result = system.run(["systemctl", verb, "--", name])
    if result.rc != 0:
        raise ActionFailed(f"systemctl {verb} {name} failed (exit status {result.rc}):\n{result.words}")


def _daemon_reload(system: System) -> None:
    result = system.run(["systemctl", "daemon-reload"])
    if result.rc != 0:
        raise ActionFailed(f"systemctl daemon-reload failed (exit status {result.rc}):\n{result.words}")


# --------------------------------------------------------------------------------------------------- undo and recover


def _give_up(journal: Journal, steps: Iterable[Step], why: str, exposed: bool) -> t.NoReturn:
    why = _mask(journal.system, steps)(why)
    notes = undo(journal, exposed)
    if notes:
        raise ConfigSetError(f"{why}\nPutting the old state back did not wholly succeed:\n" + "\n".join(notes))
    raise ConfigSetError(f"{why}\nThe old files are back, and the units as they were.", rolled_back=True)


def undo(journal: Journal, exposed: bool) -> list[str]:
    """Puts files and units back; returns what could not be. `exposed`: a unit may have read the new files.

    The journal stays when a file could not be put back, so that the next call tries again.
    """
    system = journal.system
    notes: list[str] = []
    if exposed:
        with contextlib.suppress(OSError):  # a full disk must not keep the old files away
            journal.mark(UNDOING)

    def attempt(action: t.Callable[..., t.Any], *args: t.Any) -> bool:
        try:
            action(*args)
        except (OSError, ActionFailed) as error:
            notes.append(_reason(error) if isinstance(error, OSError) else str(error))
            return False
        return True

    now: dict[str, Unit] = {}
    attempt(lambda: now.update(system.units([plan.unit.name for plan in journal.units])))
    # Units that did not run are stopped while their files still stand: without these, systemctl cannot disable them.
    for plan in reversed(journal.units):
        unit = now.get(plan.unit.name, Unit())
        if "start" in plan.then and plan.was.stopped and not unit.stopped:
            attempt(systemctl, system, "stop", plan.unit.name)
        if "enable" in plan.then and unit.file_state == "enabled":
            attempt(systemctl, system, "disable", plan.unit.name)

    restored = True
    for step in reversed(journal.steps):
        restored &= attempt(_restore, system, step)

    if exposed:
        if journal.daemon_reload:
            attempt(_daemon_reload, system)
        for argv in journal.commands:
            system.run(argv)  # what they derive from files, derived from the old ones; best effort
    for plan in journal.units:
        if "disable" in plan.first and not now.get(plan.unit.name, Unit()).enabled:
            attempt(systemctl, system, "enable", plan.unit.name)
        if plan.was.running:
            attempt(_revive, system, plan, exposed)
    if restored:
        attempt(journal.remove)
    return notes


def _restore(system: System, step: Step) -> None:
    system.discard(step.path)
    follow = step.before.kind == "directory"
    if system.entry(step.path, follow=follow) != step.before:
        system.prepare(step.path, step.before)
        system.commit(step.path, step.before)


def _revive(system: System, plan: UnitPlan, exposed: bool) -> None:
    name = plan.unit.name
    now = system.units([name]).get(name, Unit())
    if not now.running:
        system.run(["systemctl", "reset-failed", "--", name])
        # restart, because start is content with a unit that has just begun to wait for its next automatic attempt
        systemctl(system, "restart", name)
    elif exposed:
        for verb in plan.then:
            if verb in CHANGE_VERBS:
                systemctl(system, verb, name)
    now = system.units([name]).get(name, Unit())
    if not now.running:
        raise ActionFailed(f"{name} ran before and is now {now.active}")


def recover(system: System, name: str, check_mode: bool) -> dict[str, t.Any] | None:
    """Completes or rolls back what an earlier call left. In check mode only says which."""
    journal = Journal.find(system, name)
    if journal is None:
        if not check_mode:
            # Old copies without a journal stem from a call that had touched nothing yet, or was done.
            Journal.clear(system, name)
        return None
    report: dict[str, t.Any] = {
        "found": journal.state,
        "outcome": "completed" if journal.state == WRITTEN else "rolled_back",
        "files": [step.path for step in journal.steps if not step.internal],
        "reason": "",
    }
    if check_mode:
        return {**report, "outcome": f"would_be_{report['outcome']}"}
    if journal.state == WRITTEN:
        try:
            finish(journal)
        except ActionFailed as error:
            report.update(outcome="rolled_back", reason=_mask(system, journal.steps)(str(error)))
        else:
            journal.remove()
            return report
    # A unit may have been started, by a reboot for one, while the files were partly new.
    notes = undo(journal, exposed=True)
    if Journal.find(system, name) is not None:
        raise ConfigSetError(
            "an earlier call was interrupted, and what it had changed cannot be put back:\n" + "\n".join(notes)
        )
    report["reason"] = "\n".join(filter(None, [report["reason"], *notes]))
    return report


# ------------------------------------------------------------------------------------------------------------ helpers


def _mask(system: System, steps: Iterable[Step]) -> Mask:
    """Knows old, new and present contents: a journal that was found holds the old ones only."""
    secret = [step for step in steps if step.secret and not step.internal]
    return Mask(entry.content for step in secret for entry in (step.before, step.after, system.entry(step.path)))


def _reason(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
