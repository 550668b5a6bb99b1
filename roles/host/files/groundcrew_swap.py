# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""groundcrew-swap on SIZE | off: a swap file, unless the server has swap already, is a container or has no room."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FILE = Path("/var/lib/groundcrew/swapfile")
MEBI = 1024 * 1024
# Enough for what is not used for hours; a server that needs more has too little memory.
MOST = 2048 * MEBI
# Less than this helps nobody.
LEAST = 128 * MEBI
BLOCK = bytes(4 * MEBI)


def wanted_size(wish: str, memory: int, free: int) -> int:
    """Bytes of the swap file; 0 when there shall be none.

    :param wish: `auto`, or a size such as 512M or 2G.
    :param memory: bytes of the server's memory.
    :param free: bytes that the disk has left.
    """
    if wish == "auto":
        size = min(memory, MOST, free // 4)
    else:
        size = int(wish[:-1]) * {"M": MEBI, "G": 1024 * MEBI}[wish[-1]]
        if size > free - LEAST:
            raise SystemExit(f"a swap file of {wish} does not fit: {free // MEBI} MiB are free")
    size -= size % len(BLOCK)
    return size if size >= LEAST else 0


def other_swap(swaps: str) -> list[str]:
    """Swap that is none of ours, out of /proc/swaps."""
    return [line.split()[0] for line in swaps.splitlines()[1:] if line.split()[0] != str(FILE)]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def active() -> bool:
    return any(line.split()[0] == str(FILE) for line in Path("/proc/swaps").read_text().splitlines()[1:])


def fill(size: int) -> None:
    """Write the file out: a file with holes cannot be swapped to, and not every file system can preallocate."""
    descriptor = os.open(FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        for _block in range(size // len(BLOCK)):
            file.write(BLOCK)
        os.fsync(file.fileno())


def on(wish: str) -> None:
    if subprocess.run(["systemd-detect-virt", "--container", "--quiet"], check=False).returncode == 0:
        say("a container has the swap of its host")
        return
    if others := other_swap(Path("/proc/swaps").read_text()):
        say(f"there is swap already: {', '.join(others)}")
        return
    if active():
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = os.statvfs(FILE.parent)
    before = FILE.stat().st_size if FILE.exists() else 0
    size = wanted_size(wish, memory, disk.f_bavail * disk.f_frsize + before)
    if not size:
        say("the disk has no room for swap")
        return
    # Free space changes from boot to boot, and a file that is there already is as good.
    if not before or (wish != "auto" and before != size):
        FILE.unlink(missing_ok=True)
        fill(size)
        subprocess.run(["mkswap", str(FILE)], check=True, stdout=subprocess.DEVNULL)
    taken = subprocess.run(["swapon", str(FILE)], capture_output=True, text=True, check=False)
    if taken.returncode:
        FILE.unlink()
        if wish != "auto":
            raise SystemExit(taken.stderr.strip())
        # Such as btrfs or ZFS: no reason to do without all else that a run brings.
        say(f"this file system takes no swap file: {taken.stderr.strip()}")
        return
    say(f"{FILE}: {FILE.stat().st_size // MEBI} MiB")


def off() -> None:
    running = subprocess.run(["systemctl", "is-system-running"], capture_output=True, text=True, check=False)
    if running.stdout.strip() == "stopping":
        return  # the next boot takes it as it is
    if active():
        subprocess.run(["swapoff", str(FILE)], check=True)
    FILE.unlink(missing_ok=True)


if __name__ == "__main__":
    if sys.argv[1] == "on":
        on(sys.argv[2])
    else:
        off()
