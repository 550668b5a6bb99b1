# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What config_set wants, what it finds, and the plan that leads from one to the other. No I/O here."""

from __future__ import annotations

import base64
import json
import os.path
import re
import typing as t
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

SOURCES = ("src", "content", "copy", "link")
UNIT_SUFFIXES = (".service", ".socket", ".timer", ".path", ".target", ".mount", ".slice", ".swap", ".automount")
NEW_WORKERS = "new_workers"

# systemd reads unit files below these; a change there is not live before a daemon-reload.
UNIT_DIRECTORIES = (
    "/etc/systemd/system/",
    "/run/systemd/system/",
    "/usr/local/lib/systemd/system/",
    "/usr/lib/systemd/system/",
    "/lib/systemd/system/",
)

# A diff beyond this many bytes helps nobody and travels back over the network.
MAX_DIFF_BYTES = 100_000

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "dest": {"type": "str", "required": True},
            "src": {"type": "str"},
            "content": {"type": "str"},
            "copy": {"type": "str"},
            "link": {"type": "str"},
            "vars": {"type": "dict", "default": {}},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str"},
            "secret": {"type": "bool", "default": False, "no_log": False},
        },
    },
    "directories": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "mode": {"type": "str"},
        },
    },
    "exclusive": {"type": "list", "elements": "raw", "default": []},
    "absent": {"type": "list", "elements": "str", "default": []},
    "validate": {"type": "list", "elements": "raw", "default": []},
    "commands": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "argv": {"type": "list", "elements": "str", "required": True},
            "when_changed": {"type": "list", "elements": "str", "default": ["*"]},
        },
    },
    "units": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["started", "stopped", "none"], "default": "none"},
            "enabled": {"type": "bool"},
            "on_change": {
                "type": "str",
                "choices": ["reload", "restart", "reload-or-restart", "none"],
                "default": "reload-or-restart",
            },
            "restart_on": {"type": "list", "elements": "str", "default": []},
            "watch": {"type": "list", "elements": "str", "default": ["*"]},
            "working": {"type": "list", "elements": "str", "default": []},
            "confirm": {"type": "raw"},
            "confirm_timeout": {"type": "int", "default": 15},
            "logs": {"type": "list", "elements": "str", "default": []},
        },
    },
    "reconnect": {
        "type": "dict",
        "options": {
            "user": {"type": "str"},
            "port": {"type": "int"},
            "within": {"type": "int", "default": 60},
            "before": {"type": "bool", "default": True},
            "when_changed": {"type": "list", "elements": "str", "default": ["*"]},
        },
    },
}

# The steps of a change that has to be confirmed over a fresh connection.
ASK, HOLD, CONFIRM = "ask", "hold", "confirm"

# What only travels from the action plugin to the module: the step, and the rendered contents. These are one opaque
# string because the values of a no_log option are blotted out of everything a module returns.
MODULE_ARGUMENT_SPEC: dict[str, t.Any] = {
    **ARGUMENT_SPEC,
    "_contents": {"type": "str", "no_log": True},
    "_phase": {"type": "str", "choices": [ASK, HOLD, CONFIRM]},
}

# Seconds in which a change has to be confirmed: a fresh connection takes some, and an owner who is locked out waits.
SHORTEST_HOLD, LONGEST_HOLD = 20, 110


class ConfigSetError(Exception):
    """A failure in words for the operator; `details` are further keys of the module's result."""

    def __init__(self, message: str, **details: t.Any) -> None:
        super().__init__(message)
        self.details = details


class ActionFailed(ConfigSetError):
    """A command, or systemd, did not do what the set asks of it."""


# ------------------------------------------------------------------------------------------------------------- wanted


@dataclass(frozen=True)
class Entry:
    """What stands, or shall stand, at a path. `mode` is None where the kind has none (a link, nothing).

    Of a directory that is wanted, no mode means: as it is, but not for group and others to write; 0755 for a new one.
    """

    kind: str  # absent, file, link, directory, other
    content: bytes = b""
    target: str = ""
    owner: str = ""
    group: str = ""
    mode: int | None = None


ABSENT = Entry("absent")
NEW_DIRECTORY_MODE = 0o755


@dataclass(frozen=True)
class WantedFile:
    path: str
    entry: Entry
    secret: bool = False


@dataclass(frozen=True)
class Exclusive:
    path: str
    foreign: bool = False


@dataclass(frozen=True)
class Command:
    argv: tuple[str, ...]
    when_changed: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class WantedUnit:
    name: str
    state: str = "none"
    enabled: bool | None = None
    on_change: str = "reload-or-restart"
    restart_on: tuple[str, ...] = ()
    watch: tuple[str, ...] = ("*",)
    working: tuple[str, ...] = ()
    confirm: tuple[str, ...] | str = ()  # an argv, or NEW_WORKERS
    confirm_timeout: int = 15
    logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    name: str
    files: tuple[WantedFile, ...] = ()
    directories: tuple[WantedFile, ...] = ()
    exclusive: tuple[Exclusive, ...] = ()
    absent: tuple[str, ...] = ()
    validate: tuple[tuple[str, ...], ...] = ()
    commands: tuple[Command, ...] = ()
    units: tuple[WantedUnit, ...] = ()
    hold: int = 0  # seconds in which a change of these has to be confirmed; 0: it needs nobody's word
    held: tuple[str, ...] = ("*",)


def pack_contents(contents: Mapping[str, bytes]) -> str:
    """Rendered contents by destination, as the one string that travels to the module."""
    plain = {path: base64.b64encode(content).decode() for path, content in contents.items()}
    return base64.b64encode(zlib.compress(json.dumps(plain).encode())).decode()


def unpack_contents(packed: str) -> dict[str, bytes]:
    plain = json.loads(zlib.decompress(base64.b64decode(packed)))
    return {path: base64.b64decode(content) for path, content in plain.items()}


def literal_errors(raw: Mapping[str, t.Any]) -> list[str]:
    """Mistakes that Ansible's conversion to text would hide: a mode that YAML made a number, a content that is data."""
    errors = []
    for option in ("files", "directories"):
        entries = raw.get(option)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            if not isinstance(entry, Mapping):
                continue
            where = _where(option, index, entry)
            mode = entry.get("mode")
            if mode is not None and not isinstance(mode, str):
                errors.append(f'{where}: mode must be a quoted string such as "0644"; YAML made a number of it')
            content = entry.get("content")
            if content is not None and not isinstance(content, str):
                kinds = {dict: "a dictionary", list: "a list"}
                kind = next((name for known, name in kinds.items() if isinstance(content, known)), "a number")
                errors.append(f"{where}: content must be text, not {kind}; a filter such as to_nice_json makes text")
    return errors


def argument_errors(args: Mapping[str, t.Any]) -> list[str]:
    """Mistakes in arguments of the right types, each naming the entry and the cure."""
    errors = []
    if not re.fullmatch(r"[a-z][a-z0-9_-]*", args["name"]):
        errors.append(f"name: {args['name']!r} must match [a-z][a-z0-9_-]*; it names files on the server")
    seen: dict[str, str] = {}
    for option, key in (("directories", "path"), ("files", "dest")):
        for index, entry in enumerate(args[option]):
            where = _where(option, index, entry)
            path = entry[key]
            errors += _path_errors(where, path)
            if path in seen:
                errors.append(f"{where}: {seen[path]} describes the same path")
            seen[path] = where
            if entry["mode"] is not None and not re.fullmatch(r"0?[0-7]{3,4}", entry["mode"]):
                errors.append(f'{where}: mode {entry["mode"]!r} must be octal, such as "0644"')
    for index, entry in enumerate(args["files"]):
        where = _where("files", index, entry)
        given = [source for source in SOURCES if entry[source] is not None]
        if len(given) != 1:
            found = "none of them is given" if not given else f"found {' and '.join(given)}"
            errors.append(f"{where}: give exactly one of {', '.join(SOURCES)}; {found}")
        if entry["vars"] and given != ["src"]:
            errors.append(f"{where}: vars belong to a template (src)")
        if given == ["link"] and (entry["mode"] is not None or entry["secret"]):
            errors.append(f"{where}: a link has neither mode nor secret")
    for index, path in enumerate(args["absent"]):
        errors += _path_errors(f"absent[{index}]", path)
        if path in seen:
            errors.append(f"absent[{index}]: {seen[path]} wants {path} to exist")
    for index, item in enumerate(args["exclusive"]):
        try:
            errors += _path_errors(f"exclusive[{index}]", _exclusive(item).path)
        except ValueError as error:
            errors.append(f"exclusive[{index}]: {error}")
    try:
        _argv_list(args["validate"])
    except ValueError as error:
        errors.append(f"validate: {error}")
    for index, command in enumerate(args["commands"]):
        if not command["argv"]:
            errors.append(f"commands[{index}]: argv is empty")
    names = set()
    for index, unit in enumerate(args["units"]):
        where = f"units[{index}]"
        if not unit["name"].endswith(UNIT_SUFFIXES) or "/" in unit["name"]:
            errors.append(f"{where}: {unit['name']!r} must be a full unit name, such as nginx.service")
        if unit["name"] in names:
            errors.append(f"{where}: {unit['name']} is listed twice")
        names.add(unit["name"])
        try:
            _confirm(unit["confirm"])
        except ValueError as error:
            errors.append(f"{where} ({unit['name']}): confirm: {error}")
    reconnect = args["reconnect"]
    if reconnect and not SHORTEST_HOLD <= reconnect["within"] <= LONGEST_HOLD:
        errors.append(f"reconnect: within is {reconnect['within']}, not {SHORTEST_HOLD} to {LONGEST_HOLD} seconds")
    return errors


def wanted_from(args: Mapping[str, t.Any], contents: Mapping[str, bytes]) -> Wanted:
    """The set out of checked arguments and the rendered contents by destination."""
    files = []
    for entry in args["files"]:
        if entry["link"] is not None:
            files.append(WantedFile(entry["dest"], Entry("link", target=entry["link"])))
            continue
        mode = int(entry["mode"] or ("0600" if entry["secret"] else "0644"), 8)
        content = contents[entry["dest"]]
        wanted = Entry("file", content=content, owner=entry["owner"], group=entry["group"], mode=mode)
        files.append(WantedFile(entry["dest"], wanted, entry["secret"]))
    directories = tuple(
        WantedFile(
            d["path"],
            Entry("directory", owner=d["owner"], group=d["group"], mode=int(d["mode"], 8) if d["mode"] else None),
        )
        for d in sorted(args["directories"], key=lambda d: d["path"].count("/"))
    )
    units = tuple(
        WantedUnit(
            name=unit["name"],
            state=unit["state"],
            enabled=unit["enabled"],
            on_change=unit["on_change"],
            restart_on=tuple(unit["restart_on"]),
            watch=tuple(unit["watch"]),
            working=tuple(unit["working"]),
            confirm=_confirm(unit["confirm"]),
            confirm_timeout=unit["confirm_timeout"],
            logs=tuple(unit["logs"]),
        )
        for unit in args["units"]
    )
    return Wanted(
        name=args["name"],
        files=tuple(files),
        directories=directories,
        exclusive=tuple(_exclusive(item) for item in args["exclusive"]),
        absent=tuple(args["absent"]),
        validate=_argv_list(args["validate"]),
        commands=tuple(Command(tuple(c["argv"]), tuple(c["when_changed"])) for c in args["commands"]),
        units=units,
        hold=args["reconnect"]["within"] if args["reconnect"] else 0,
        held=tuple(args["reconnect"]["when_changed"]) if args["reconnect"] else ("*",),
    )


def _where(option: str, index: int, entry: Mapping[str, t.Any]) -> str:
    path = entry.get("dest") or entry.get("path")
    return f"{option}[{index}] ({path})" if path else f"{option}[{index}]"


def _path_errors(where: str, path: str) -> list[str]:
    if not path.startswith("/"):
        return [f"{where}: {path!r} must be an absolute path"]
    if os.path.normpath(path) != path or path.startswith("//") or re.search(r"[\0\n]", path):
        return [f"{where}: {path!r} must be a plain path, without '..', '//', a trailing slash or a line break"]
    return []


def _exclusive(item: t.Any) -> Exclusive:
    if isinstance(item, str):
        return Exclusive(item)
    if isinstance(item, Mapping) and isinstance(item.get("path"), str) and set(item) <= {"path", "foreign"}:
        foreign = item.get("foreign", False)
        if isinstance(foreign, bool):
            return Exclusive(item["path"], foreign)
    raise ValueError("must be a path, or {path: ..., foreign: true}")


def _argv_list(value: Sequence[t.Any]) -> tuple[tuple[str, ...], ...]:
    """One argv, or a list of them."""
    if value and all(isinstance(item, str) for item in value):
        return (tuple(value),)
    if all(isinstance(item, (list, tuple)) and item and all(isinstance(word, str) for word in item) for item in value):
        return tuple(tuple(item) for item in value)
    raise ValueError("must be a list of words, such as [nginx, -t], or a list of such lists")


def _confirm(value: t.Any) -> tuple[str, ...] | str:
    if value is None:
        return ()
    if value == NEW_WORKERS:
        return NEW_WORKERS
    if isinstance(value, (list, tuple)) and value and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise ValueError(f"must be {NEW_WORKERS}, or a list of words such as [curl, -fsS, 'http://localhost/']")


# ----------------------------------------------------------------------------------------------------------- observed


@dataclass(frozen=True)
class Unit:
    """What systemd says of a unit.

    :param works: what the unit's own command says, where it has one.
    """

    load: str = "not-found"
    active: str = "inactive"
    file_state: str = ""
    main_pid: int = 0
    works: bool = True

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading", "refreshing")

    @property
    def stopped(self) -> bool:
        return self.active in ("inactive", "failed")

    @property
    def enabled(self) -> bool:
        # static, generated and alias units have nothing to enable: they start when something asks for them.
        return self.file_state in ("enabled", "enabled-runtime", "static", "generated", "alias", "indirect")


@dataclass(frozen=True)
class Observed:
    entries: Mapping[str, Entry]  # links not followed; every path of the set, of its exclusive directories
    parents: Mapping[str, Entry]  # links followed; every directory above those paths
    owners: Mapping[str, str | None] = field(default_factory=dict)  # as written -> as the server says it; None: unknown
    groups: Mapping[str, str | None] = field(default_factory=dict)
    manifest: Mapping[str, bool] = field(default_factory=dict)  # paths that this set once wrote -> secret
    units: Mapping[str, Unit] = field(default_factory=dict)
    systemd: bool = True


# --------------------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True)
class Step:
    """One path from what stands there to what shall. Undoing it is the same step backwards."""

    path: str
    before: Entry
    after: Entry
    secret: bool = False
    internal: bool = False  # the set's own book-keeping: written with the files, but no change of the server

    @property
    def state(self) -> str:
        if self.before.kind == "absent":
            return "created"
        return "removed" if self.after.kind == "absent" else "changed"


@dataclass(frozen=True)
class UnitPlan:
    unit: WantedUnit
    was: Unit
    first: tuple[str, ...] = ()  # while the old files still stand: stop, disable
    then: tuple[str, ...] = ()  # once the new files stand: enable, and start or the action of a change


@dataclass(frozen=True)
class Plan:
    steps: tuple[Step, ...] = ()
    daemon_reload: bool = False
    commands: tuple[tuple[str, ...], ...] = ()
    units: tuple[UnitPlan, ...] = ()
    conflicts: tuple[str, ...] = ()  # wrong in any mode
    unmet: tuple[str, ...] = ()  # wrong now; on a bare host in check mode another task will have seen to it

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if not step.internal)

    @property
    def changed(self) -> bool:
        return bool(self.changes or self.units)


def make_plan(wanted: Wanted, observed: Observed, manifest_path: str) -> Plan:
    conflicts: list[str] = []
    unmet: list[str] = []
    steps = _directory_steps(wanted, observed, conflicts)
    existing = {path for path, entry in observed.parents.items() if entry.kind == "directory"}
    existing.update(step.path for step in steps)

    for file in wanted.files:
        entry = replace(file.entry, owner=_known(observed.owners, file), group=_known(observed.groups, file, "group"))
        before = observed.entries[file.path]
        if before.kind in ("directory", "other"):
            conflicts.append(f"{file.path} is a {'directory' if before.kind == 'directory' else 'special file'}")
        if os.path.dirname(file.path) not in existing:
            unmet.append(f"the directory of {file.path} does not exist; list it under directories")
        if before != entry:
            secret = file.secret or observed.manifest.get(file.path, False)
            steps.append(Step(file.path, before, entry, secret))

    for path in _leaving(wanted, observed):
        before = observed.entries[path]
        if before.kind in ("directory", "other"):
            conflicts.append(f"{path} shall be absent, but only files and links are removed, and it is neither")
        # A file that somebody else wrote may hold anything: what not everybody may read is not shown.
        closed = before.mode is not None and not before.mode & 0o004
        steps.append(Step(path, before, ABSENT, observed.manifest.get(path, closed)))

    for described in (*wanted.directories, *wanted.files):
        for what, name, known in (
            ("owner", described.entry.owner, observed.owners),
            ("group", described.entry.group, observed.groups),
        ):
            if name and known.get(name) is None:
                unmet.append(f"the {what} {name} of {described.path} does not exist on the server")

    changed = [step.path for step in steps if "directory" not in (step.before.kind, step.after.kind)]
    units = _unit_plans(wanted.units, observed, changed, conflicts)
    daemon_reload = observed.systemd and any(path.startswith(UNIT_DIRECTORIES) for path in changed)
    if units and not observed.systemd:
        unmet.append("systemd does not run on this server, so its units cannot be brought into their state")

    steps += _manifest_step(wanted, observed, manifest_path)
    return Plan(
        steps=tuple(steps),
        daemon_reload=daemon_reload,
        commands=tuple(c.argv for c in wanted.commands if any(matches(path, c.when_changed) for path in changed)),
        units=units,
        conflicts=tuple(conflicts),
        unmet=tuple(unmet),
    )


def matches(path: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(path, glob) for glob in globs)


def manifest_entry(paths: Mapping[str, bool]) -> Entry:
    """The file on the server in which a set remembers what it wrote."""
    text = json.dumps({"version": 1, "files": {path: {"secret": paths[path]} for path in sorted(paths)}}, indent=1)
    return Entry("file", content=text.encode() + b"\n", owner="root", group="root", mode=0o600)


def manifest_paths(content: bytes) -> dict[str, bool]:
    return {path: bool(about["secret"]) for path, about in json.loads(content)["files"].items()}


def _known(known: Mapping[str, str | None], file: WantedFile, what: str = "owner") -> str:
    name: str = getattr(file.entry, what)
    return known.get(name) or name


def _ancestors(path: str) -> list[str]:
    """The directories above a path, the outermost first, without the root."""
    found = []
    while (path := os.path.dirname(path)) != "/":
        found.append(path)
    return found[::-1]


def _directory_steps(wanted: Wanted, observed: Observed, conflicts: list[str]) -> list[Step]:
    steps: dict[str, Step] = {}
    for directory in wanted.directories:
        for parent in _ancestors(directory.path):
            if observed.parents[parent].kind == "absent" and parent not in steps:
                made = Entry("directory", owner="root", group="root", mode=NEW_DIRECTORY_MODE)
                steps[parent] = Step(parent, ABSENT, made)
        before = observed.parents[directory.path]
        mode = directory.entry.mode
        if mode is None:
            mode = NEW_DIRECTORY_MODE if before.mode is None else before.mode & ~0o022
        after = replace(
            directory.entry,
            owner=_known(observed.owners, directory),
            group=_known(observed.groups, directory, "group"),
            mode=mode,
        )
        if before.kind not in ("absent", "directory"):
            conflicts.append(f"{directory.path} shall be a directory, and is something else")
        if before != after:
            steps[directory.path] = Step(directory.path, before, after)
    return list(steps.values())


def _leaving(wanted: Wanted, observed: Observed) -> list[str]:
    """Paths that exist and shall not: named, or in a directory that belongs to this set."""
    kept = {file.path for file in wanted.files}
    leaving = [path for path in wanted.absent if observed.entries[path].kind != "absent"]
    for exclusive in wanted.exclusive:
        for path, entry in sorted(observed.entries.items()):
            if os.path.dirname(path) != exclusive.path or path in kept or path in leaving:
                continue
            if entry.kind in ("file", "link") and (exclusive.foreign or path in observed.manifest):
                leaving.append(path)
    return leaving


def _unit_plans(
    units: Iterable[WantedUnit], observed: Observed, changed: Sequence[str], conflicts: list[str]
) -> tuple[UnitPlan, ...]:
    plans = []
    for unit in units:
        now = observed.units.get(unit.name, Unit())
        if now.load == "masked" and (unit.state == "started" or unit.enabled):
            conflicts.append(f"{unit.name} is masked; unmask it first (systemctl unmask {unit.name})")
        first, then = [], []
        if unit.state == "stopped" and not now.stopped:
            first.append("stop")
        if unit.enabled is False and now.file_state in ("enabled", "enabled-runtime"):
            first.append("disable")
        if unit.enabled and not now.enabled:
            then.append("enable")
        if unit.state == "started" and not now.running:
            then.append("start")
        elif now.running and unit.state != "stopped":
            if any(matches(path, unit.restart_on) for path in changed):
                then.append("restart")
            elif not now.works:
                then.append("restart" if unit.on_change == "none" else unit.on_change)
            elif unit.on_change != "none" and any(matches(path, unit.watch) for path in changed):
                then.append(unit.on_change)
        if first or then:
            plans.append(UnitPlan(unit, now, tuple(first), tuple(then)))
    return tuple(plans)


def _manifest_step(wanted: Wanted, observed: Observed, manifest_path: str) -> list[Step]:
    """Paths stay in the manifest as long as they stand, so that a later `exclusive` still knows them."""
    gone = set(_leaving(wanted, observed))
    paths = {
        path: secret
        for path, secret in observed.manifest.items()
        if path not in gone and observed.entries.get(path, ABSENT).kind != "absent"
    }
    paths.update((file.path, file.secret) for file in wanted.files)
    after = manifest_entry(paths)
    before = observed.entries[manifest_path]
    if before.content == after.content or not (paths or observed.manifest):
        return []
    return [Step(manifest_path, before, after, secret=True, internal=True)]


# ------------------------------------------------------------------------------------------------------------- report


def file_results(plan: Plan) -> list[dict[str, str]]:
    return [{"path": step.path, "state": step.state} for step in plan.changes]


def unit_results(plan: Plan) -> list[dict[str, str]]:
    return [{"name": unit.unit.name, "action": verb} for unit in plan.units for verb in (*unit.first, *unit.then)]


def file_diff(step: Step) -> dict[str, str]:
    before, after = _diff_text(step, step.before), _diff_text(step, step.after)
    if step.secret and step.before.content != step.after.content:
        after += "(secret content changed)\n"
    return {"before_header": step.path, "after_header": step.path, "before": before, "after": after}


def _diff_text(step: Step, entry: Entry) -> str:
    """Content, headed by the attributes when these change too."""
    if entry.kind == "absent":
        return ""
    if entry.kind == "link":
        return f"link to {entry.target}\n"
    attributes = ""
    if _attributes(step.before) != _attributes(step.after):
        attributes = f"{entry.kind}, owner {entry.owner}, group {entry.group}, mode {entry.mode or 0:04o}\n"
    if entry.kind != "file" or step.secret:
        return attributes
    if len(entry.content) > MAX_DIFF_BYTES:
        return f"{attributes}({len(entry.content)} bytes, too many for a diff)\n"
    try:
        return attributes + entry.content.decode()
    except UnicodeDecodeError:
        return f"{attributes}({len(entry.content)} bytes that are not text)\n"


def _attributes(entry: Entry) -> tuple[str, str, str, int | None]:
    return entry.kind, entry.owner, entry.group, entry.mode


class Mask:
    """Takes out of a product's words what stands in secret files.

    A validator quotes the line that it dislikes, and that line may be a password. Whole lines, and all their words of
    four or more characters, are replaced; that this also hits harmless words is the price.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        words: set[str] = set()
        for secret in secrets:
            for line in secret.decode(errors="replace").splitlines():
                words.add(line.strip())
                words.update(re.split(r"\s+", line))
                words.update(re.split(r"""[\s=:,;"'()<>@/]+""", line))
        self._words = sorted((word for word in words if len(word) >= 4), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for word in self._words:
            text = text.replace(word, "********")
        return text
