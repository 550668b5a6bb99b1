# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Migrations of a release: planned, judged, applied once, and reversed. PRIVATE to the collection.

Everything is found out from Django itself, in the release's own Python, sandbox and environment; see
`_migrations_script`. Only the default database is looked at, as by Django's own command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import glob
import json
import os
import pathlib
import re
import socket
import typing as t
from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._migrations_judge import Migration, Operation, judge
from ansible_collections.groundcrew.django.plugins.module_utils._migrations_script import MIGRATIONS_SCRIPT
from ansible_collections.groundcrew.django.plugins.module_utils._project_script import read_report, report_file

if t.TYPE_CHECKING:
    from ansible_collections.groundcrew.django.plugins.module_utils._release import Release

# Where dumps lie; root's alone.
BACKUPS = "/var/backups/groundcrew"

# Seconds to wait for somebody else who migrates the same database.
LOCK_WAIT = 300

# How often migrations begin when others hold what they need; between two attempts 1, 2, 4, 8 ... s pass.
ATTEMPTS = 7

# Seconds until systemd ends a migration or a dump: more than anybody who waits for a deploy will endure.
LIMIT = 6 * 3600

# Names of migrations that a note lists one by one.
NAMED = 12


@dataclasses.dataclass
class Plan:
    """What is to be migrated.

    :param pending: in the order in which it is run.
    :param fresh: there is no table at all yet.
    :param strangers: what earlier releases have applied and this one's code does not have.
    :param database: vendor, name, host, port and user, as Django's settings say.
    :param settled: nothing was pending, and the project's handlers of post_migrate have been called already.
    :param applied: filled by :func:`apply`: what has really been applied, also when that failed in the middle.
    """

    pending: list[Migration]
    fresh: bool = False
    strangers: list[str] = dataclasses.field(default_factory=list)
    database: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settled: bool = False
    applied: list[str] = dataclasses.field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The pending migrations, as "shop.0002_price"."""
        return [migration.label for migration in self.pending]

    def operations(self) -> list[tuple[str, Operation]]:
        """Every operation with the name of its migration."""
        return [(migration.label, operation) for migration in self.pending for operation in migration.operations]

    @property
    def destructive(self) -> list[str]:
        """A line for each operation that loses data."""
        return [_line(name, operation) for name, operation in self.operations() if operation.destructive]

    def notes(self) -> list[str]:
        """What the operator ought to know, a sentence each."""
        found = []
        if self.pending:
            what = "Migrations that make the database" if self.fresh else "Migrations to run"
            found.append(f"{what}: {_listed(self.names)}")
        for name, operation in self.operations():
            if operation.destructive:
                found.append(f"It loses data: {_line(name, operation)}")
            elif operation.breaks_running:
                found.append(f"The running release cannot live with it: {_line(name, operation)}")
            elif operation.unknown:
                found.append(f"Not judged: {_line(name, operation)}")
        if self.strangers:
            found.append(
                f"The database has migrations that this code does not: {_listed(self.strangers)}; it was made for a "
                "newer version"
            )
        return found


@dataclasses.dataclass(frozen=True)
class Reverse:
    """A call of ``migrate app to`` that unapplies migrations.

    :param to: the name of the migration that stays, or "zero"; empty where no command does it.
    :param unapplied: what it unapplies, in that order, as "shop.0003_note"; of other apps as well, where they depend.
    :param why: why it cannot be done, a reason each; empty when it is reversible.
    :param breaks: an older release cannot live with what these migrations have done, a reason each.
    """

    app: str
    to: str
    unapplied: list[str]
    reversible: bool = True
    why: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A line for the operator: the exact command, or why there is none."""
        if self.why:
            return f"{', '.join(self.unapplied)} cannot be unapplied: {'; '.join(self.why)}"
        return f"migrate {self.app} {self.to} (unapplies {', '.join(self.unapplied)})"


def _line(name: str, operation: Operation) -> str:
    why = f": {operation.why}" if operation.why else ""
    return f"{name}, {operation.described}{why}"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


# --- asking the project ----------------------------------------------------------------------------------------------


def _request(release: Release, mode: str, title: str, **more: t.Any) -> dict[str, t.Any]:
    wishes = release.app.record["migrations"]
    return {
        "mode": mode,
        "command": "migrate",
        "module": "",  # the release's environment names it
        "code": release.code,
        "beside": release.beside,
        "report": report_file(release.app.home),
        "title": title,
        "lock_timeout": wishes["lock_timeout"],
        "statement_timeout": wishes["statement_timeout"],
        "lock_wait": LOCK_WAIT,
        "attempts": ATTEMPTS,
        "targets": [],
        "expected": None,
        **more,
    }


def _ask(release: Release, mode: str, title: str, output: t.IO[bytes] | None = None, **more: t.Any) -> dict[str, t.Any]:
    """Run our script in the release's sandbox and environment, and return its report.

    :param output: a file that gets what the script writes, instead of an operator who has to know why it failed.
    :raises ReleaseError: when it failed.
    """
    name = f"{release.app.name} {release.id} on {socket.gethostname()}"
    request = _request(release, mode, name, **more)
    argv = [release.python, "-B", "-", json.dumps(request)]
    result = release.run(argv, title, timeout=LIMIT, check=False, stdin=MIGRATIONS_SCRIPT, output=output)
    report = read_report(request["report"])
    if report is None and mode == "dump" and result.rc == 0:
        return {}
    if report is None:
        said = result.last_lines()
        raise ReleaseError(f"{title}: the process ended with status {result.rc}.", _make_room(said), said)
    if report["error"]:
        raise Failure(explain(report, request, result.last_lines()), report)
    return report


class Failure(ReleaseError):
    """An error of the script's, with what it reported until then."""

    def __init__(self, error: ReleaseError, report: Mapping[str, t.Any]) -> None:
        super().__init__(error.message, error.cure, error.output)
        self.report = report


def explain(report: Mapping[str, t.Any], wishes: Mapping[str, t.Any], output: str) -> ReleaseError:
    """What went wrong, and what to do about it. Pure.

    :param wishes: the request: its timeouts and limits.
    """
    if report.get("conflicts"):
        apps = "; ".join(f"{app}: {', '.join(names)}" for app, names in report["conflicts"].items())
        return ReleaseError(
            f"Migrations have grown apart, so nobody can say which comes last ({apps}).",
            "run `python manage.py makemigrations --merge` in the project, and commit what it writes",
        )
    if "holders" in report:
        who = ", ".join(report["holders"]) or "somebody who has just gone"
        return ReleaseError(
            f"Somebody else has been migrating this database for {wishes['lock_wait']} s: {who}.",
            "wait until that has ended, and deploy again",
        )
    if report.get("unplanned"):
        return ReleaseError(
            f"The plan has changed while it was waiting: {_listed(report['unplanned'])} would have to run as well.",
            "deploy again",
        )
    error, state = report["error"], report.get("sqlstate", "")
    said = error["message"].strip().splitlines()[0] if error["message"].strip() else ""
    if error["type"] == "InconsistentMigrationHistory":
        return ReleaseError(
            f"The migrations of this code do not follow those that the database has had. {said}",
            "deploy code that has all of them in their order: a migration was renamed, removed or put between others "
            "after it had been applied",
        )
    if error["type"] == "NodeNotFoundError":
        return ReleaseError(
            f"A migration that others build on is not in this code. {said}",
            "commit the missing file (is it in .gitignore?), or mend `dependencies` of the migration that names it",
        )
    return _explain_failure(report, error, state, said, wishes, output)


def _make_room(said: str) -> str:
    return "free some space, and deploy again" if "No space left on device" in said else ""


def _explain_failure(
    report: Mapping[str, t.Any],
    error: Mapping[str, t.Any],
    state: str,
    said: str,
    wishes: Mapping[str, t.Any],
    output: str,
) -> ReleaseError:
    failed = report.get("failed", "")
    what = f"The migration {failed}" if failed else "Migrating" if report["stage"] == "migrate" else "The migrations"
    rest = ""
    if failed:
        rest = (
            " Nothing of it is left in the database."
            if report["atomic"]
            else " It is not atomic, so what it did before that stays: look at it before the next deploy."
        )
        done = list(report["done"])
        if done:
            rest += f" Done before it, and staying so: {_listed(done)}."
    if state in ("55P03", "40P01"):
        tried = _times(report.get("retries", 0) + 1)
        holders = "".join(f"\n- {one}" for one in report.get("in_the_way", []))
        return ReleaseError(
            f"{what} did not get a lock within {wishes['lock_timeout']} s, tried {tried}.{rest}"
            + (f"\nTables are now held by:{holders}" if holders else ""),
            "end what holds the table (a report, a backup, a forgotten session), deploy at a quieter time, or raise "
            "`migrations: {lock_timeout: ...}`",
            output,
        )
    if state == "57014" and wishes["statement_timeout"]:
        return ReleaseError(
            f"{what} had a statement that took longer than {wishes['statement_timeout']} s.{rest}",
            "raise `migrations: {statement_timeout: ...}`, or do the work in smaller steps",
            output,
        )
    reason = f"{error['type']}: {said.removesuffix('.')}" if said else str(error["type"])
    if report["stage"] == "migrate":
        return ReleaseError(f"{what} failed: {reason}.{rest}", _make_room(said), output)
    return ReleaseError(f"{what} cannot be read: {reason}.", "", output)


# --- planning --------------------------------------------------------------------------------------------------------


def plan(release: Release, idle: bool = False) -> Plan:
    """What is pending in the default database for the release's code.

    :param idle: if nothing is, run `migrate` all the same, because handlers of post_migrate expect it in every deploy.
    :raises ReleaseError: when the migrations contradict each other or the database.
    """
    report = _ask(release, "plan", "Plan the migrations", idle=idle, expected=[] if idle else None)
    recorded, known = set(report["recorded"]), set(report["known"])
    return Plan(
        judge(report["pending"], report["fresh"]),
        fresh=report["fresh"],
        strangers=[name for name in released(release) if name in recorded - known],
        database=report["database"],
        settled=report.get("settled", False),
    )


def released(release: Release, after: str = "") -> list[str]:
    """What releases have applied, as the ledger knows: all of them, or those after one."""
    entries = release.app.ledger.entries
    begin = next((number + 1 for number, entry in enumerate(entries) if entry.id == after), 0)
    return list(dict.fromkeys(name for entry in entries[begin:] for name in entry.migrations))


def planned(code: str, files: Iterable[str]) -> list[str]:
    """Migrations among the files of a new code that a directory of code does not have, told by their names alone.

    :param code: directory of the live release's code.
    :param files: paths of the new code, relative to its root.
    """
    pattern = re.compile(r"(?:^|/)([^/]+)/migrations/(\d{4}_\w+)\.py$")
    found = (pattern.search(path) for path in sorted(files) if not os.path.exists(os.path.join(code, path)))
    return [f"{match[1]}.{match[2]}" for match in found if match]


# --- applying --------------------------------------------------------------------------------------------------------


def refuse(found: Plan, wishes: Mapping[str, t.Any]) -> None:
    """Stop before a plan that loses data, unless the app's description wants it so. Pure.

    :raises ReleaseError: naming each operation and both cures.
    """
    lines = "".join(f"\n- {line}" for line in found.destructive)
    if lines and not wishes["allow_destructive"] and not wishes["dump"]:
        raise ReleaseError(
            f"Migrations would lose data, and nothing has been migrated:{lines}",
            "say `migrations: {dump: true}` to have a dump of the database written before they run, or "
            "`migrations: {allow_destructive: true}` to let them run without one",
        )
    if lines and wishes["dump"] and found.database["vendor"] != "postgresql":
        raise ReleaseError(
            f"A dump can only be made of PostgreSQL, and this database is {found.database['vendor']}. "
            f"Nothing has been migrated. Data would be lost by:{lines}",
            "copy the data yourself, and then say `migrations: {allow_destructive: true}` without `dump`",
        )


def apply(release: Release, found: Plan, wishes: Mapping[str, t.Any]) -> list[str]:
    """Run the plan, once and alone; before it a dump, if it loses data and one is wanted.

    :param wishes: ``migrations`` of the record.
    :returns: notes for the operator; what was applied is in ``found.applied``, also after an error.
    :raises ReleaseError: when the plan is refused, or fails.
    """
    refuse(found, wishes)
    notes = found.notes()
    if found.destructive and wishes["dump"]:
        notes.append(dump(release, found.database, release.id))
    if found.settled:
        return notes
    # Until somebody knows better: a process that is killed leaves no report.
    found.applied = found.names
    try:
        report = _ask(release, "migrate", "Migrate the database", expected=found.names)
    except Failure as error:
        found.applied = list(error.report.get("done", {}))
        raise
    found.applied = list(report["done"])
    return [*notes, *_told(report)]


def bring_up(release: Release) -> list[str]:
    """Plan and apply, with the ledger knowing what a release has applied, whatever becomes of the release."""
    found = plan(release, idle=True)
    ledger = release.app.ledger
    entry = ledger.find(release.id)
    if entry and found.pending:
        entry.migrations = found.names
        ledger.save()
    try:
        return apply(release, found, release.app.record["migrations"])
    finally:
        if entry:
            entry.migrations = found.applied


def _told(report: Mapping[str, t.Any]) -> list[str]:
    """What happened on the way that the operator did not ask for."""
    notes = []
    if report.get("waited"):
        notes.append(f"Waited {report['waited']} s for somebody else who migrated the same database")
    if report.get("retries"):
        notes.append(f"Locks were held by others; the migrations began anew {_times(report['retries'])}")
    slow = [f"{name} took {seconds} s" for name, seconds in report["done"].items() if seconds >= 5]
    return [*notes, *slow]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def dump(release: Release, database: Mapping[str, str], name: str) -> str:
    """Write a dump of the whole database where only root reads it; returns a note with the way to restore it.

    :raises ReleaseError: when it is not complete; then nothing of it is left.
    """
    directory = pathlib.Path(BACKUPS, release.app.name)
    for place in (directory.parent, directory):
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.chmod(0o700)
    for left in glob.glob(f"{glob.escape(str(directory))}/*.partial"):
        os.unlink(left)
    path = directory / f"{name}.dump"
    partial = directory / f"{name}.partial"
    try:
        with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            _fill(release, file)
            os.fsync(file.fileno())
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            if file.read(5) != b"PGDMP":
                raise ReleaseError("pg_dump has written no dump of the database. Nothing has been migrated.")
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
    return (
        f"The database as it was lies in {path} ({size / 1e6:.1f} MB). To bring it back, with all that has been "
        f"written since lost, stop the app and run: {restore_command(database, str(path))}"
    )


def _fill(release: Release, file: t.IO[bytes]) -> None:
    try:
        _ask(release, "dump", "Dump the database", output=file)
    except ReleaseError as error:
        said = error.output.strip() or error.message
        cure = _make_room(said)
        if "pg_dump" in error.message:
            cure = (
                "have pg_dump installed by `packages: {runtime: [postgresql-client]}`, and run groundcrew.django.site"
            )
        raise ReleaseError(
            f"The database could not be dumped to {BACKUPS}. Nothing has been migrated.", cure, said
        ) from error


def restore_command(database: Mapping[str, str], path: str) -> str:
    """The exact command that brings a dump back. Pure."""
    port = f" --port={database['port']}" if database["port"] else ""
    if not database["host"] or database["host"].startswith("/"):
        # Made anew, because a table that is younger than the dump would be in the way of its migration.
        return (
            f"runuser -u postgres -- pg_restore --clean --if-exists --create --exit-on-error{port}"
            f" --dbname=postgres < {path}"
        )
    return (
        f"pg_restore --clean --if-exists --no-owner --single-transaction --host={database['host']}{port}"
        f" --username={database['user']} --dbname={database['name']} < {path}"
    )


# --- going back ------------------------------------------------------------------------------------------------------


def moved_past(target: Release, live: Release) -> list[Reverse]:
    """What is applied and unknown to the code of ``target``, in an order in which it can be unapplied."""
    known = _ask(target, "known", "Ask the older release for its migrations")["known"]
    report = _ask(live, "past", "Compare the migrations of both releases", known=known)
    return reverses(report, known, released(live, after=target.id))


def reverses(report: Mapping[str, t.Any], known: Collection[str], later: Sequence[str]) -> list[Reverse]:
    """See :func:`moved_past`. Pure.

    :param report: of the live code's script.
    :param known: migrations of the older code.
    :param later: what releases after it have applied, by the ledger.
    """
    breaks = {
        migration.label: [_line(migration.label, one) for one in migration.operations if one.breaks_running]
        for migration in judge(report["unknown"], fresh=False)
    }
    found = []
    for one in report["reverses"]:
        why = [f"{name} is not reversible" for name in one["irreversible"]]
        why += [f"{name}, which the older release needs, would go with it" for name in one["more"]]
        found.append(
            Reverse(
                one["app"],
                one["to"],
                one["unapplied"],
                not why,
                tuple(why),
                tuple(line for name in one["unapplied"] for line in breaks.get(name, [])),
            )
        )
    lost = [name for name in later if name in report["recorded"] and name not in known and name not in report["known"]]
    for name in [*report["unreached"], *lost]:
        app = name.partition(".")[0]
        reason = (
            f"{name} was applied by a release whose code is not live"
            if name in lost
            else f"{name} stands beside migrations that stay"
        )
        found.append(Reverse(app, "", [name], False, (reason,)))
    return found


def reverse(live: Release, steps: Sequence[Reverse]) -> list[str]:
    """Unapply migrations with the live release's code; refuses, before anything is touched, what cannot be.

    :returns: notes for the operator.
    """
    reasons = "".join(f"\n- {why}" for step in steps for why in step.why)
    if reasons:
        raise ReleaseError(
            f"The database cannot go back, and nothing has been changed:{reasons}",
            "write a new version of the code that fits this database, and deploy that",
        )
    notes = []
    if live.app.record["migrations"]["dump"]:
        found = _ask(live, "known", "Ask where the database is")["database"]
        stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        if found["vendor"] == "postgresql":
            notes.append(dump(live, found, f"{live.id}-before-{stamp}"))
    report = _ask(live, "migrate", "Migrate the database backwards", targets=[[step.app, step.to] for step in steps])
    return [*notes, f"Unapplied: {_listed(list(report['done']))}", *_told(report)]
