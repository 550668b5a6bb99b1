# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers that a project's Procfile describes. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import copy
import re
import shlex
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._app_rules import process
from ansible_collections.groundcrew.django.plugins.module_utils._app_spec import SPEC

Worker = dict[str, t.Any]

_LINE = re.compile(r"([A-Za-z0-9_-]+):\s*(.+)")

# What is ours to do: often a development server on a public port, and migrations.
_OURS = {"web": "the app has its web server already", "release": "a deploy migrates by itself"}

# More than one program, or its output elsewhere: a signal to stop would reach the shell and not the program.
_SEVERAL = re.compile(r"[|&;<>`*?()]|\$\(")
_VARIABLE = re.compile(r"\$\w|\$\{")
# A worker's own beat, also behind the flag -E.
_BEAT = re.compile(r"-E*B.*|--beat")
_BROKER = re.compile(r"(-b|--broker|--url|-u)(=|$)")


class _Left(Exception):
    """A line is not taken; the text says why."""


def read(text: str) -> dict[str, str]:
    """The lines of a Procfile, by name."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match and not line.lstrip().startswith("#"):
            found[match.group(1)] = match.group(2).strip()
    return found


def workers(text: str, described: Sequence[Mapping[str, t.Any]]) -> tuple[list[Worker], list[str]]:
    """What is taken from a Procfile, and a sentence about each line.

    :param described: workers of the app's description, which win over lines of their name.
    """
    found: list[Worker] = []
    notes = []
    for given, line in read(text).items():
        try:
            worker = _worker(given, line, [*described, *found])
        except _Left as why:
            notes.append(f"Procfile: {given} is not taken: {why}.")
        else:
            found.append(worker)
            notes.append(f"Procfile: {given} is a worker of kind {worker['kind']}.")
    return found, notes


def _worker(given: str, line: str, others: Sequence[Mapping[str, t.Any]]) -> Worker:
    name = given.lower().replace("_", "-").strip("-")
    if name in _OURS:
        raise _Left(_OURS[name])
    if wrong := process(name):
        raise _Left(wrong)
    if any(other["name"] == name for other in others):
        raise _Left("there is a worker of this name")
    if _SEVERAL.search(re.sub(r"""'[^']*'|"[^"$`]*\"""", "", line)):
        raise _Left("only a shell can run it, and would keep from it the signal to finish; describe it under `workers`")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _Left(f"its quotes do not match ({error})") from error
    after = next((words[at:] for at, word in enumerate(words) if word.rpartition("/")[2] in ("celery", "rq")), [])
    if any(map(_BROKER.match, after)):
        raise _Left("its broker's address would stand in the process list; the settings, or RQ_REDIS_URL, name it")
    known = _recognised(words)
    # In single quotes a dollar sign is one.
    if _VARIABLE.search(re.sub(r"""'[^']*'|"[^"]*\"""", lambda quoted: quoted[0] * (quoted[0][0] == '"'), line)):
        if known["kind"] == "celery-beat":
            raise _Left("it is a Celery beat with variables; describe it under `workers`")
        # The shell makes itself the program, which then gets the signals; `exec` alone takes NAME=value for its name.
        known = {"kind": "command", "command": shlex.join(["/bin/sh", "-c", f"exec env {line}"])}
    worker: Worker = {
        **{key: copy.copy(option.get("default")) for key, option in SPEC["workers"]["options"].items()},
        "name": name,
        **known,
        # What keeps the time would do so twice while two releases overlap.
        "single": known["kind"] == "command" and name in ("clock", "scheduler"),
    }
    if worker["kind"] == "celery-beat" and any(other["kind"] == "celery-beat" for other in others):
        raise _Left("it is a second Celery beat, and every task would be sent twice")
    return worker


def _recognised(words: Sequence[str]) -> Worker:
    """A Celery process, which can say when it is ready; or a command like any other."""
    command: Worker = {"kind": "command", "command": shlex.join(words)}
    program = [word.rpartition("/")[2] for word in words]
    start = 3 if program[:1] and re.fullmatch(r"python[\d.]*", program[0]) and program[1:3] == ["-m", "celery"] else 1
    if start == 1 and program[:1] != ["celery"]:
        return _without_beat(program, command)
    app, rest = _app(list(words[start:]))
    if not app or not rest or rest[0] not in ("worker", "beat"):
        return _without_beat(program, command)
    if rest[0] == "worker":
        if any(map(_BEAT.fullmatch, rest)):
            raise _Left("it runs a beat within a worker; describe a celery and a celery-beat under `workers`")
        return {"kind": "celery", "app": app, "arguments": rest[1:]}
    return {"kind": "celery-beat", "app": app, "arguments": _scheduler(rest[1:])}


def _without_beat(words: Sequence[str], command: Worker) -> Worker:
    if "celery" in words and ("beat" in words or any(map(_BEAT.fullmatch, words))):
        raise _Left("it seems to run a Celery beat, in a way that is not known here; describe it under `workers`")
    return command


def _app(words: list[str]) -> tuple[str, list[str]]:
    """The Celery app that options before the verb name, and the verb with what follows."""
    app = ""
    while words and words[0].startswith("-"):
        word = words.pop(0)
        if word in ("-A", "--app") and words:
            app = words.pop(0)
        elif word.startswith("--app="):
            app = word.partition("=")[2]
        else:
            return "", []
    return app, words


def _scheduler(words: Sequence[str]) -> list[str]:
    """Of a beat's options, which scheduler it uses; where it keeps its files is ours to say."""
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word in ("-S", "--scheduler"):
            return [f"--scheduler={following}"]
        if word.startswith("-S"):
            return [f"--scheduler={word[2:]}"]
        if word.startswith("--scheduler="):
            return [word]
    return []
