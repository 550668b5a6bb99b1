# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The unit that carries a deploy or a rollback. PRIVATE to the collection: may change at any time.

``<app>-deploy.service`` is all of it: systemd lets only one unit have the name, so the name is the app's lock; it runs
on when the connection to the operator is lost; when it has ended, so has everything that it began. An operator's side
:func:`begin` s it and then :func:`follow` s it, step by step, through a file to which the engine adds a line per step.

All of this lies below ``/run``: after a restart of the server nothing is left to clear away.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import secrets
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable, Iterator, Mapping

from ansible_collections.groundcrew.django.plugins.module_utils import _live
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._operator import BEAT
from ansible_collections.groundcrew.django.plugins.module_utils._own_code import lay_down

RUN = "/run/groundcrew"

# Seconds between two looks at what the engine has written.
INTERVAL = 0.05


class Carrier:
    """The unit of one app and the files through which it is spoken to.

    :param app: name of the app.
    """

    def __init__(self, app: str, run: str = RUN) -> None:
        self.app = app
        self.unit = f"{app}-deploy.service"
        self.directory = pathlib.Path(run, app)

    def order_file(self, operation: str) -> pathlib.Path:
        """What is wanted, until the engine has read it; it holds secrets."""
        return self.directory / f"{operation}.order"

    def progress_file(self, operation: str) -> pathlib.Path:
        """What the steps have come to, a line of JSON each; an error may quote secrets."""
        return self.directory / f"{operation}.progress"

    def paused_file(self, operation: str, step: str) -> pathlib.Path:
        """There while the engine waits for the operator's own tasks after a step."""
        return self.directory / f"{operation}.{step}.paused"

    def prepare(self) -> None:
        """Make the directory that only root reads."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def at_work(self) -> str:
        """Which operation is at work, as its unit describes itself; empty when none is."""
        shown = _live.systemctl("show", "--property=ActiveState,Description", self.unit, check=False)
        found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return "" if found.get("ActiveState", "inactive") in ("inactive", "failed") else found.get("Description", "")

    def watched(self) -> bool:
        """Whether somebody follows the operation at this moment."""
        for path in self.directory.glob("*.progress"):
            with contextlib.suppress(FileNotFoundError), path.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return True
        return False

    def paused(self) -> bool:
        """Whether the operation waits for its operator."""
        return any(self.directory.glob("*.paused"))

    def abandon(self, operation: str) -> bool:
        """End an operation that waits for its operator; false when it does not."""
        if not any(self.directory.glob(f"{operation}.*.paused")):
            return False
        _live.systemctl("stop", self.unit, check=False)
        return True

    def start(self, operation: str, title: str) -> bool:
        """Start the unit; false when another one has the name."""
        argv = [
            "systemd-run",
            "--quiet",
            "--collect",
            f"--unit={self.unit}",
            f"--description={title}",
            "--property=Type=exec",
            # The engine itself ends what it has begun; what it does not, systemd ends with it.
            "--property=KillMode=mixed",
            "--property=TimeoutStopSec=90",
            "--property=SyslogIdentifier=groundcrew",
            "--setenv=LC_ALL=C.UTF-8",
            "--setenv=PYTHONUNBUFFERED=1",
            sys.executable,
            str(lay_down(self.directory.parent, "_engine")),
            self.app,
            operation,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return True
        if self.at_work() or "already" in done.stderr:
            return False
        raise ReleaseError("systemd does not start the unit of the deploy.", output=done.stderr)


def title(app: str, kind: str, who: str, why: str) -> str:
    """What the unit says of itself to whoever finds it: kind, who, since when, why."""
    reason = f": {why}" if why else ""
    text = f"{app}: {kind} by {who or 'somebody'} since {time.strftime('%Y-%m-%d %H:%M:%S %Z')}{reason}"
    # systemd refuses control characters, and shows the rest as it is.
    return "".join(character if character.isprintable() else " " for character in text)


def begin(
    carrier: Carrier, order: Mapping[str, t.Any], lock_wait: float, alive: Callable[[], None]
) -> tuple[str, list[str]]:
    """Start the engine on an order: the id of the operation, and what there is to say of the wait for it.

    An operation whose operator has gone is waited for, because its outcome is what the next one has to start from.

    :param lock_wait: seconds to wait for another one that somebody follows.
    :param alive: called while it waits; raises when nobody is there any more for whom to begin.
    :raises ReleaseError: when another one is still at work then, with what it says of itself.
    """
    carrier.prepare()
    operation = f"{time.strftime('%H%M%S')}-{secrets.token_hex(6)}"
    path = carrier.order_file(operation)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(order, file)
    carrier.progress_file(operation).touch(0o600)
    notes: list[str] = []
    try:
        said = title(carrier.app, order["kind"], order["who"], order["why"])
        while not carrier.start(operation, said):
            notes += wait_for_other(carrier, lock_wait, alive)
            # Its name is free a moment later than its end is to be seen.
            time.sleep(INTERVAL)
    except BaseException:
        path.unlink(missing_ok=True)
        carrier.progress_file(operation).unlink(missing_ok=True)
        raise
    return operation, notes


def wait_for_other(carrier: Carrier, lock_wait: float, alive: Callable[[], None]) -> list[str]:
    """Wait until the operation that is at work has ended; returns what there is to say of that.

    :raises ReleaseError: when it is somebody's, and is still at work after ``lock_wait`` seconds.
    """
    began = time.monotonic()
    other = ""
    while said := carrier.at_work():
        other = said
        # Between two of its steps nobody follows it for a moment, and it is asked again a moment later.
        if time.monotonic() - began >= lock_wait and (carrier.watched() or carrier.paused()):
            raise ReleaseError(
                f"Another deploy is at work on this server. {other}.",
                "wait until it has ended and run this again; -e app_deploy_lock_wait=600 waits up to 600 s by "
                f"itself; systemctl stop {carrier.unit} on the server abandons it",
            )
        alive()
        time.sleep(INTERVAL * 5)
    waited = time.monotonic() - began
    if not other or waited < 1:
        return []
    return [f"Waited {waited:.0f} s for the end of another one ({other})."]


def _whole_lines(file: t.IO[str]) -> Iterator[str]:
    """The lines that have been written to their end; another one is left for the next time."""
    while True:
        start = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(start)
            return
        yield line


def follow(carrier: Carrier, operation: str, step: str, alive: Callable[[], None]) -> dict[str, t.Any]:
    """Wait until the engine has done a step, and return its result.

    :param alive: called every other second; raises when nobody is there any more to hear the result.
    :raises ReleaseError: as the step did, or when the engine has ended without doing it.
    """
    path = carrier.progress_file(operation)
    if not path.exists():
        raise ReleaseError(
            f"{carrier.app} has no unfinished deploy {operation}: another one has taken its place, "
            "or the server was restarted.",
            "deploy again",
        )
    for paused in carrier.directory.glob(f"{operation}.*.paused"):
        # The engine may be ahead, and wait for what the operator does after the very step that is asked for.
        if paused != carrier.paused_file(operation, step):
            paused.unlink(missing_ok=True)
    with path.open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        beat = time.monotonic()
        while True:
            ended = False
            if time.monotonic() - beat >= BEAT:
                alive()
                ended = not carrier.at_work()
                beat = time.monotonic()
            for line in _whole_lines(file):
                event = json.loads(line)
                if "error" in event:
                    raise ReleaseError(**event["error"])
                if event["step"] == step:
                    result: dict[str, t.Any] = event["result"]
                    return result
            if ended:
                raise ReleaseError(
                    f"The deploy of {carrier.app} was ended on the server before it had come to an end; "
                    "what was live is still serving.",
                    f"look into journalctl -u {carrier.unit} there, and deploy again: it begins with clearing up",
                )
            time.sleep(INTERVAL)
