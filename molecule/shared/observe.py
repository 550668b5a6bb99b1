"""Runs on a server, as root: what there is of an app, as JSON. python3 - NAME < observe.py"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

name = sys.argv[1]
root, config, state = Path("/srv", name), Path("/etc/groundcrew", name), Path("/var/lib/groundcrew", name)


def listed(directory: Path, pattern: str) -> list[str]:
    return sorted(path.name for path in directory.glob(pattern))


def units() -> list[str]:
    """All that systemd knows of the app beside what `site` has installed."""
    argv = ["systemctl", "list-units", "--all", "--plain", "--no-legend", f"{name}-*"]
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(line.split()[0] for line in lines if not line.startswith(f"{name}-web.service"))


def sockets() -> list[str]:
    """Paths below the app's directory that somebody listens on."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    # The flag in the fourth column: it accepts connections.
    return sorted({line.split()[-1] for line in lines if line.split()[3] == "00010000" and f"{root}/" in line})


def homes() -> list[str]:
    """The units in which processes of the app's user run."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == pwd.getpwnam(name).pw_uid:
                found.add((process / "cgroup").read_text().strip().rpartition("/")[2])
        except FileNotFoundError:
            continue
    return sorted(found)


def remains() -> list[str]:
    """What steps write beside what they make; nothing of it may outlive them."""
    found = [path for place in (root, config, state, Path("/srv")) for path in place.glob("*.new")]
    found += (state / "home").glob("probe-*")
    found += Path("/run").glob(f"groundcrew-{name}*")
    found += (path for path in Path("/run/groundcrew", name).glob("*") if path.suffix in (".order", ".paused"))
    found += Path("/root/.ansible/tmp").glob("*")
    return sorted(map(str, found))


ledger = state / "releases.json"
current = root / "current"
seen = {
    "current": os.path.basename(os.readlink(current)) if current.is_symlink() else "",
    "releases": listed(root / "releases", "*"),
    "environments": listed(config, "*.env"),
    "dropins": listed(Path("/etc/systemd/system"), f"{name}-web@2*"),
    "units": units(),
    "sockets": sockets(),
    "homes": homes(),
    "remains": remains(),
    "ledger": json.loads(ledger.read_text())["releases"] if ledger.exists() else [],
}
json.dump(seen, sys.stdout)
