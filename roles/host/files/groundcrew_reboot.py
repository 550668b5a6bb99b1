# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings updates into effect that only a quiet hour can take, and judges the server after every boot.

`window` is run by a timer. It reboots the server when an update asks for it, else it restarts the services that
needrestart leaves alone, and does neither while one of the units of --not-during is at work. `health` is run by each
boot: no unit may have failed, and every site's live release has to run. What both found is in STATE and in the journal.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

STATE = Path("/var/lib/groundcrew/reboot.json")
REQUIRED = Path("/run/reboot-required")
SITES = Path("/srv")
# Seconds between two looks at what is waited for.
PAUSE = 10
# From this state of the kernel on, needrestart knows a newer one than the running one.
NEWER_KERNEL = 2


class Kernel(NamedTuple):
    """What needrestart says of the kernel.

    :param state: 0 unknown, 1 current, 2 and 3 outdated.
    """

    state: int = 0
    running: str = ""
    wanted: str = ""


def reasons(required: str | None, kernel: Kernel, tried: Sequence[str] = ()) -> list[str]:
    """Why the server has to be rebooted.

    :param required: packages that ask for it, a line each; None when no one does.
    :param tried: the kernel that ran before the last reboot for a newer one, and that one. Where they are the same
        again the provider boots a kernel of its own, or the boot loader another one, and a further reboot is in vain.
    """
    found = []
    if required is not None:
        packages = sorted(set(required.split()))
        found.append(f"asked for by {', '.join(packages)}" if packages else f"{REQUIRED} exists")
    if kernel.state >= NEWER_KERNEL and kernel[1:] != tuple(tried):
        found.append("a newer kernel is installed")
    return found


def decide(why: Sequence[str], stale: Sequence[str], busy: Sequence[str]) -> tuple[str, str]:
    """What the window is used for, and the reason: reboot, restart, wait or nothing."""
    if not why and not stale:
        return "nothing", "no update asks for it"
    if busy:
        return "wait", f"{', '.join(busy)} at work"
    if why:
        return "reboot", "; ".join(why)
    return "restart", ", ".join(stale)


def read_needrestart(text: str, left: Iterable[str]) -> tuple[Kernel, list[str]]:
    """The kernel, and the services with outdated libraries that match one of the patterns `left`."""
    about = dict(re.findall(r"^NEEDRESTART-(K[A-Z]+): (.*)$", text, re.MULTILINE))
    services = re.findall(r"^NEEDRESTART-SVC: (\S+)$", text, re.MULTILINE)
    return Kernel(int(about.get("KSTA", 0)), about.get("KCUR", ""), about.get("KEXP", "")), sorted(
        {each for each in services if any(fnmatch.fnmatchcase(each, pattern) for pattern in left)}
    )


def problems(failed: Iterable[str], live: Mapping[str, str], states: Mapping[str, str]) -> list[str]:
    """What is wrong after a boot.

    :param live: name of each app -> id of its live release.
    :param states: unit -> what systemd says of it.
    """
    found = [f"{unit} has failed" for unit in sorted(failed)]
    for app, release in sorted(live.items()):
        unit = f"{app}-web@{release}.service"
        if states.get(unit) != "active" and f"{unit} has failed" not in found:
            found.append(f"{unit}, the live release of {app}, is {states.get(unit, 'not there')}")
    return found


# ------------------------------------------------------------------------------------------------------ the server


def run(*argv: str) -> str:
    """What a program says; one that is missing or fails says nothing of use."""
    try:
        result = subprocess.run(
            argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}
        )
    except FileNotFoundError:
        return ""
    return result.stdout


def units(*argv: str) -> list[str]:
    return [line.split()[0] for line in run("systemctl", "list-units", "--plain", "--no-legend", *argv).splitlines()]


def at_work(patterns: Sequence[str]) -> list[str]:
    return units("--state=active,activating,deactivating,reloading", "--type=service", *patterns) if patterns else []


def asked_for() -> str | None:
    if not REQUIRED.exists():
        return None
    packages = REQUIRED.with_suffix(".pkgs")
    return packages.read_text() if packages.exists() else ""


def live_releases() -> dict[str, str]:
    return {link.parent.name: link.resolve().name for link in SITES.glob("*/current") if link.is_symlink()}


def recall() -> dict[str, Any]:
    try:
        return dict(json.loads(STATE.read_text()))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}


def remember(**about: Any) -> None:
    """Write into STATE, which is a whole file at any moment."""
    state = recall()
    STATE.parent.mkdir(parents=True, exist_ok=True)
    fresh = STATE.with_suffix(".new")
    fresh.write_text(json.dumps(state | about, indent=1) + "\n")
    fresh.replace(STATE)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def window(options: argparse.Namespace) -> int:
    until = time.monotonic() + options.wait
    tried = recall().get("kernels", [])
    while True:
        kernel, stale = read_needrestart(run("needrestart", "-b", "-r", "l"), options.restart)
        what, why = decide(reasons(asked_for(), kernel, tried), stale, at_work(options.not_during))
        if what != "wait" or time.monotonic() >= until:
            break
        time.sleep(PAUSE)
    say(f"{what}: {why}")
    if kernel.state >= NEWER_KERNEL and kernel[1:] == tuple(tried):
        say(f"the last reboot for the kernel {kernel.wanted} led to {kernel.running} again: see what the server boots")
    if options.dry_run:
        return 0
    remember(window={"at": now(), "did": what, "why": why})
    if what == "reboot":
        if kernel.state >= NEWER_KERNEL:
            remember(kernels=kernel[1:])
        subprocess.run(["systemctl", "--no-block", "reboot"], check=True)
    elif what == "restart":
        # A worker may take an hour to finish its task, and nobody waits for it.
        subprocess.run(["systemctl", "--no-block", "restart", *stale], check=True)
    return 0


def health(options: argparse.Namespace) -> int:
    until = time.monotonic() + options.wait
    while True:
        live = live_releases()
        web = [f"{app}-web@{release}.service" for app, release in live.items()]
        states = {unit: run("systemctl", "is-active", unit).strip() for unit in web}
        failed = [unit for unit in units("--state=failed") if unit != options.itself]
        found = problems(failed, live, states)
        starting = run("systemctl", "is-system-running").strip() in ("initializing", "starting")
        if (not found and not starting) or time.monotonic() >= until:
            break
        time.sleep(PAUSE)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    remember(health={"at": now(), "boot": boot, "healthy": not found, "problems": found, "sites": sorted(live)})
    say("\n".join(found) or f"healthy: no unit has failed, {len(live)} sites live")
    return 1 if found else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("window", help="reboot, or restart what is left, if that is due")
    command.add_argument("--wait", type=int, default=0, help="seconds to wait for the units of --not-during")
    command.add_argument("--not-during", action="append", default=[], metavar="UNIT", help="pattern; may be repeated")
    command.add_argument("--restart", action="append", default=[], metavar="UNIT", help="pattern; may be repeated")
    command.add_argument("--dry-run", action="store_true", help="say what would be done")
    command.set_defaults(run=window)
    command = commands.add_parser("health", help="judge the server after a boot")
    command.add_argument("--wait", type=int, default=0, help="seconds until what does not run yet has failed")
    command.add_argument("--itself", default="", metavar="UNIT", help="the unit that runs this")
    command.set_defaults(run=health)
    options = parser.parse_args(argv)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
