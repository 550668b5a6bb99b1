"""What every module needs from this machine: paths, commands, root's powers."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
# Two clones on one machine share the engine, but not each other's servers.
PREFIX = f"groundcrew-{hashlib.sha256(bytes(ROOT)).hexdigest()[:4]}"


class TestbedError(Exception):
    """Something the person at the keyboard has to know; shown without a traceback."""


def note(text: str) -> None:
    print(f"testbed: {text}", file=sys.stderr, flush=True)


def run(*argv: str, stdin: str | None = None, check: bool = True) -> str:
    """Run a command and return what it printed; a failure carries the command's own words."""
    result = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if check and result.returncode:
        words = (result.stderr.strip() or result.stdout.strip())[-4000:]
        raise TestbedError(f"{shlex.join(argv)}\nended with status {result.returncode}: {words}")
    return result.stdout


def succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def as_root(*argv: str) -> tuple[str, ...]:
    """The command as root runs it, or an explanation of what to type where we cannot become root."""
    if os.geteuid() == 0:
        return argv
    if shutil.which("sudo") and succeeds("sudo", "-n", "true"):
        return ("sudo", "-n", *argv)
    raise TestbedError(f"this needs root once; type: sudo {shlex.join(argv)}")


def need(package: str, *programs: str) -> None:
    """Install a Debian package where one of its programs is missing."""
    if not all(shutil.which(program) for program in programs):
        install(package)


def install(*packages: str) -> None:
    note(f"installing {' '.join(packages)}")
    with locked("apt"):
        run(*as_root("apt-get", "update", "-qq"))
        run(*as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "--yes", *packages))


def write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Scenarios run side by side; what they share is made by one of them, while the others wait."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
