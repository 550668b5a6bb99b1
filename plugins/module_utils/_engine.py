# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs in the unit of a deploy: all of its steps, one after the other. PRIVATE to the collection.

Started by :mod:`_carrier`, which also reads what is written here.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import typing as t
from collections.abc import Callable, Collection, Mapping

from ansible_collections.groundcrew.django.plugins.module_utils import _ledger, _rotation
from ansible_collections.groundcrew.django.plugins.module_utils._carrier import INTERVAL, Carrier
from ansible_collections.groundcrew.django.plugins.module_utils._deploy import build, check, fetch, migrate
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._go_live import go_live
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Options, Release, failing, told
from ansible_collections.groundcrew.django.plugins.module_utils._rollback import roll_back

Result = dict[str, t.Any]

# After the code has been fetched, in this order.
STEPS: dict[str, Callable[[App, Release, Options], Result]] = {
    "built": build,
    "checked": check,
    "migrated": migrate,
    "live": go_live,
}

# Seconds that the operator's own tasks may take between two steps; who is gone by then leaves no lock behind.
PATIENCE = 1800


class Progress:
    """Tells the operator's side how far the operation is.

    :param pauses: the steps after which it waits until the operator's side asks for the next one.
    """

    def __init__(self, carrier: Carrier, operation: str, pauses: Collection[str]) -> None:
        self._file = carrier.progress_file(operation).open("a", encoding="utf-8")
        self._pauses = {step: carrier.paused_file(operation, step) for step in pauses}

    def tell(self, **event: t.Any) -> None:
        """Add a line."""
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()

    def done(self, step: str, result: Result) -> None:
        """Tell a step's result; wait if the operator has something to do before the next."""
        paused = self._pauses.get(step)
        if not paused:
            self.tell(step=step, result=result)
            return
        # There before the result is, which the operator's side answers by removing it.
        paused.touch(0o600)
        self.tell(step=step, result=result)
        deadline = time.monotonic() + PATIENCE
        try:
            while paused.exists():
                if time.monotonic() > deadline:
                    raise ReleaseError(f"The operator's own tasks after the step {step!r} did not end in {PATIENCE} s.")
                time.sleep(INTERVAL)
        finally:
            paused.unlink(missing_ok=True)


def deploy(app: App, options: Options, progress: Progress) -> str:
    """Take what is wanted live; returns what became of it. When it fails, a rotation that was begun is taken back."""
    before = app.live
    try:
        return take_live(app, options, progress)
    except ReleaseError as error:
        hide(error, app.secret_values())
        if app.live == before and (names := _rotation.take_back(app)):
            error.message += f"\n{', '.join(names)}: the value before is in use again."
        raise


def hide(error: ReleaseError, secrets: Collection[str]) -> None:
    """Mask secrets that, when the operator's side looks for them, are none any more."""
    for secret in sorted(secrets, key=len, reverse=True):
        error.message = error.message.replace(secret, "********")
        error.output = error.output.replace(secret, "********")


def take_live(app: App, options: Options, progress: Progress) -> str:
    """All steps of a deploy."""
    began = time.monotonic()
    fetched = fetch(app, options)
    if not fetched["needed"]:
        progress.tell(step="fetched", result=fetched)
        return ""
    release, entry = Release(app, fetched["release"]), app.ledger.entries[-1]
    with failing(app, release):
        progress.done("fetched", fetched)
        entry.durations["fetched"] = round(time.monotonic() - began, 2)
        for name, step in STEPS.items():
            began = time.monotonic()
            result = step(app, release, options)
            entry.durations[name] = round(time.monotonic() - began, 2)
            app.ledger.save()
            if name != "live":
                progress.done(name, result)
    # It is live whatever becomes of the operator's own tasks after it, during which the lock still holds.
    progress.done("live", result)
    progress.tell(step="finished", result={"changed": False, "release": release.id})
    return release.id


def report(app: App, kind: str, options: Options, release: str, outcome: str) -> None:
    """One entry in the journal for whoever asks later what was done here, by whom, with what outcome."""
    entry = app.ledger.find(release)
    by = f" by {options.who}" if options.who else ""
    fields = {
        "MESSAGE": f"{app.name}: {kind} of {release or 'nothing'}{by}: {outcome}",
        "PRIORITY": "6" if outcome == _ledger.GOOD else "4",
        "SYSLOG_IDENTIFIER": "groundcrew",
        "GROUNDCREW_APP": app.name,
        "GROUNDCREW_ACTION": kind,
        "GROUNDCREW_RELEASE": release,
        "GROUNDCREW_REVISION": entry.revision if entry else "",
        "GROUNDCREW_WHO": options.who,
        "GROUNDCREW_WHY": options.why,
        "GROUNDCREW_OUTCOME": outcome,
    }
    text = "".join(f"{name}={' '.join(value.split())}\n" for name, value in fields.items())
    subprocess.run(["logger", "--journald"], input=text, text=True, check=False, capture_output=True)


KINDS: dict[str, Callable[[App, Options, Progress], str]] = {"deploy": deploy, "rollback": roll_back}


def carry_out(carrier: Carrier, order: Mapping[str, t.Any], progress: Progress) -> None:
    """Do what the order says, and tell how it ends."""
    app, options, kind = App(order["app"], carrier.unit), Options(**order["options"]), order["kind"]
    before = app.live
    try:
        with told():
            release = KINDS[kind](app, options, progress)
    except ReleaseError as error:
        progress.tell(error={"message": error.message, "cure": error.cure, "output": error.output})
        with contextlib.suppress(ReleaseError):  # of a ledger that is damaged
            entries = app.ledger.entries
            report(app, kind, options, entries[-1].id if entries and kind == "deploy" else before, _ledger.FAILED)
    else:
        if release:
            report(app, kind, options, release, _ledger.GOOD)


def stop(*_signal: object) -> None:
    """The unit is being stopped: by an operator, or because the server goes down."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    asked = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True, check=False)
    if asked.stdout.strip() == "stopping":
        # Units can be neither started nor stopped any more; the next deploy clears up.
        os._exit(1)
    raise ReleaseError("The deploy was stopped on the server.", "deploy again")


def main(app: str, operation: str) -> None:
    """Carry out the order of an operation."""
    signal.signal(signal.SIGTERM, stop)
    carrier = Carrier(app)
    path = carrier.order_file(operation)
    order = json.loads(path.read_text("utf-8"))
    path.unlink()
    for left in carrier.directory.iterdir():
        # Of operations that have ended; somebody may still read one's last lines, which he goes on to do.
        if not left.name.startswith(operation) and _is_old(left):
            left.unlink(missing_ok=True)
    carry_out(carrier, order, Progress(carrier, operation, order["pauses"]))


def _is_old(path: pathlib.Path) -> bool:
    return time.time() - path.stat().st_mtime > PATIENCE or path.suffix == ".paused"
