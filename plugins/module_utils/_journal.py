# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an app's processes have said, from systemd's journal. PRIVATE to the collection: may change at any time.

A unit's name tells whose it is and what it does: ``<app>-<process>[@<release>].service``,
``<app>-worker@<release>:<process>[:<number>].service`` or ``<app>-schedule@<process>.service``.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import subprocess
import typing as t
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

# Shown only by their names: what they print is a deploy's or an operator's, and all else is systemd's coming and going.
HELPERS = frozenset({"look", "manage", "step", "web-drain"})

# Every app has these, whether they have said anything yet or not.
ALWAYS = frozenset({"deploy", "web"})

# The units of a process.
PATTERNS = ("{}.service", "{}@*", "worker@*:{}.service", "worker@*:{}:*", "schedule@{}.*", "schedule@{}:*")

# An entry of systemd's own names the unit that it is about in another field than the unit itself does.
UNIT_FIELDS = ("_SYSTEMD_UNIT", "UNIT", "OBJECT_SYSTEMD_UNIT", "COREDUMP_UNIT")

_UNIT = re.compile(r"(?P<name>[^@]+)(?:@(?P<instance>.*))?\.(?:service|socket|timer)")

# Columns of a release's id, as the deploys of this collection make them.
_ID_COLUMNS = 24


@dataclasses.dataclass(frozen=True)
class Wish:
    """Which entries somebody wants to see.

    :param process: one process; empty means all but the helpers.
    :param since: in journalctl's words, such as "1 hour ago"; empty means from the beginning.
    :param lines: at most so many entries, the last ones.
    :param grep: a regular expression (PCRE2); without capital letters it matches both cases.
    :param cursor: only what came after this entry; ``since`` and ``lines`` mean nothing then.
    """

    process: str = ""
    since: str = ""
    lines: int = 100
    grep: str = ""
    cursor: str = ""


def process_of(unit: str, app: str, apps: Iterable[str]) -> tuple[str, str]:
    """Process and instance (a release's id, mostly) that a unit is of this app; empty when it is not the app's.

    :param apps: names of all apps of the server: ``shop-two-web.service`` belongs to shop-two where that is an app.
    """
    found = _UNIT.fullmatch(unit)
    owners = [name for name in {app, *apps} if unit.startswith(f"{name}-")]
    if not found or max(owners, key=len, default="") != app:
        return "", ""
    process, instance = found["name"].removeprefix(f"{app}-"), found["instance"] or ""
    if process == "worker":
        instance, _colon, process = instance.partition(":")
    elif process == "schedule":
        process, instance = instance, ""
    return (process.partition(":")[0], instance) if process else ("", "")


def processes(units: Iterable[str], app: str, apps: Collection[str]) -> set[str]:
    """The processes of an app among all units of a server."""
    return {process_of(unit, app, apps)[0] for unit in units} - {""} | ALWAYS


def chosen(wanted: str, known: Collection[str], app: str) -> list[str]:
    """The processes to show.

    :raises ReleaseError: when there is none of that name.
    """
    if not wanted:
        return sorted(set(known) - HELPERS)
    if wanted not in known:
        names = ", ".join(sorted(set(known) - HELPERS) + sorted(set(known) & HELPERS))
        raise ReleaseError(
            f"process: {app} has no process {wanted!r}, or it has never said anything.", f"name one of: {names}"
        )
    return [wanted]


def command(app: str, shown: Iterable[str], wish: Wish) -> list[str]:
    """The argv that prints the wanted entries as JSON, one a line.

    The newest come first unless there is a cursor: only then does journalctl count what ``grep`` has let through.
    """
    argv = ["journalctl", "--no-pager", "--quiet", "--output=json", "--all"]
    argv.append(f"--output-fields={','.join(('MESSAGE', *UNIT_FIELDS))}")
    # No app's or process's name holds the signs @ and :, so the patterns match nobody else's.
    argv += [f"--unit={app}-{pattern.format(process)}" for process in shown for pattern in PATTERNS]
    if wish.grep:
        argv.append(f"--grep={wish.grep}")
    if wish.cursor:
        # --after-cursor passes over one entry too many where the cursor's own is none of those that are wanted.
        return [*argv, f"--cursor={wish.cursor}"]
    if wish.since:
        argv.append(f"--since={wish.since}")
    return [*argv, "--reverse", f"--lines={wish.lines}"]


def entry(found: Mapping[str, t.Any], app: str, apps: Collection[str]) -> dict[str, str]:
    """An entry of the journal as the operator's side gets it: time, process, instance and text.

    :param found: a line of ``journalctl --output=json``. A text that is no UTF-8 stands there as a list of bytes, a
        field that is given several times as a list of texts.
    """
    moment = datetime.datetime.fromtimestamp(int(found["__REALTIME_TIMESTAMP"]) / 1e6, datetime.UTC)
    of = next(filter(any, (process_of(_text(found.get(name)), app, apps) for name in UNIT_FIELDS)), ("", ""))
    return {
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z",
        "process": of[0],
        "instance": of[1],
        "text": _text(found.get("MESSAGE")),
    }


def _text(value: t.Any) -> str:
    if isinstance(value, list) and all(isinstance(each, int) for each in value):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    return value or ""


def display(found: Mapping[str, str], process_columns: int, server: str = "") -> str:
    """An entry as a line for people; further lines of its text are indented.

    Control characters are written out, because a visitor may have sent them and a terminal would obey.

    :param process_columns: width of the longest process's name.
    :param server: begins the line where several servers are shown.
    """
    start = "  ".join(
        [
            *([server] if server else []),
            found["time"],
            found["process"].ljust(process_columns),
            (found["instance"] or "-").ljust(_ID_COLUMNS),
            "",
        ]
    )
    first, *more = found["text"].rstrip("\n").split("\n")
    return "\n".join([start + _visible(first), *("    " + _visible(line) for line in more)])


def _visible(text: str) -> str:
    return "".join(
        character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
        for character in text
    )


def run(argv: Sequence[str]) -> str:
    """What a journalctl prints.

    :raises ReleaseError: when it refuses its arguments.
    """
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False, env=environment)
    said = done.stderr.strip()
    # Nothing found is an error to journalctl where there is a pattern, a silent one.
    if done.returncode and said:
        raise ReleaseError(f"journalctl refuses: {said}.", _cure(said))
    return done.stdout


def _cure(said: str) -> str:
    if "timestamp" in said:
        return "write since as '1 hour ago', '-15min', 'today', '14:30' or '2026-11-26 14:30'"
    return "mend the regular expression in grep" if "pattern" in said.lower() else ""


class Journal:
    """The journal as far as it is one app's.

    :param app: the app's name.
    :param apps: the names of all apps of the server.
    :param journalctl: runs a journalctl and returns what it prints.
    """

    def __init__(self, app: str, apps: Collection[str], journalctl: Callable[[Sequence[str]], str] = run) -> None:
        self._app = app
        self._apps = apps
        self._journalctl = journalctl

    def processes(self) -> set[str]:
        """Every process that has said something, or of which systemd has."""
        units = [
            unit
            for field in ("_SYSTEMD_UNIT", "UNIT")
            for unit in self._journalctl(["journalctl", "--quiet", f"--field={field}"]).splitlines()
        ]
        return processes(units, self._app, self._apps)

    def end(self) -> str:
        """Cursor of the newest entry of the whole journal; empty where there is none."""
        argv = ["journalctl", "--no-pager", "--quiet", "--output=json", "--output-fields=MESSAGE", "--lines=1"]
        newest = self._journalctl(argv).strip()
        return str(json.loads(newest)["__CURSOR"]) if newest else ""

    def read(self, wish: Wish) -> tuple[list[dict[str, str]], str]:
        """The wanted entries, oldest first, and the cursor from which to go on."""
        shown = chosen(wish.process, self.processes(), self._app)
        # Asked first: what comes in between would be missing otherwise.
        cursor = wish.cursor or self.end()
        found = [json.loads(line) for line in self._journalctl(command(self._app, shown, wish)).splitlines()]
        if wish.cursor:
            found = [each for each in found if each["__CURSOR"] != wish.cursor]
        else:
            found.reverse()
        cursor = found[-1]["__CURSOR"] if found else cursor
        return [entry(each, self._app, self._apps) for each in found], cursor
