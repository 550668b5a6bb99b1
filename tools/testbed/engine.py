"""The container engine: Debian's docker.io, installed and started only where no engine answers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from testbed.system import CACHE, PREFIX, ROOT, TestbedError, as_root, install, locked, note, run, succeeds

# Servers, and Pebble with them, meet on NETWORK. NAMES carries nothing but their domains: it can be left and joined
# with other names while the server runs, without cutting a connection.
NETWORK = f"{PREFIX}-net"
NAMES = f"{PREFIX}-names"
LABEL = f"groundcrew.project={ROOT}"


def docker(*argv: str, stdin: str | None = None, check: bool = True) -> str:
    return run("docker", *argv, stdin=stdin, check=check)


def ensure() -> None:
    """Leave with an engine that answers and the two networks."""
    with locked("engine"):
        if not _answers():
            _start()
        create = ("docker", "network", "create", "--label", LABEL)
        if not succeeds("docker", "network", "inspect", NAMES):
            run(*create, "--internal", NAMES)
        if not succeeds("docker", "network", "inspect", NETWORK) and not succeeds(*create, *_addresses(), NETWORK):
            note("the container engine has no IPv6; the servers do without, and so do the tests")
            run(*create, NETWORK)


def _addresses() -> tuple[str, ...]:
    """Options that give servers IPv6 addresses: local ones as of RFC 4193, which differ from checkout to checkout."""
    digest = hashlib.sha256(NETWORK.encode()).hexdigest()
    return "--ipv6", f"--subnet=fd{digest[:2]}:{digest[2:6]}:{digest[6:10]}:1::/64"


def _answers() -> bool:
    if not shutil.which("docker"):
        return False
    result = subprocess.run(["docker", "version"], capture_output=True, text=True, check=False)
    if "permission denied" in result.stderr:
        raise TestbedError(
            "an engine is there, but you may not use it; type: sudo usermod -aG docker $USER, and log in again"
        )
    return result.returncode == 0


def _start() -> None:
    if not shutil.which("dockerd"):
        install("docker.io")
    if not _answers():
        note("starting the container engine")
        if Path("/run/systemd/system").exists():
            run(*as_root("systemctl", "start", "docker"))
        else:
            with (CACHE / "dockerd.log").open("a") as log:
                subprocess.Popen(
                    as_root("dockerd"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
    deadline = time.monotonic() + 60
    while not _answers():
        if time.monotonic() > deadline:
            raise TestbedError(f"the container engine does not answer; see {CACHE / 'dockerd.log'}")
        time.sleep(0.5)


def inspect(container: str) -> dict[str, Any] | None:
    """What the engine knows of a container; None where there is none."""
    found: list[dict[str, Any]] = json.loads(docker("container", "inspect", container, check=False) or "[]")
    return found[0] if found else None


def containers() -> list[dict[str, Any]]:
    """This project's containers."""
    ids = docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}").split()
    found: list[dict[str, Any]] = json.loads(docker("container", "inspect", *ids)) if ids else []
    return sorted(found, key=lambda container: str(container["Name"]))


def remove(container: str) -> None:
    docker("rm", "--force", "--volumes", container, check=False)
    # Where the engine uses cgroup v1, a server's tree of (now empty) groups stays behind; only root may tidy it.
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        for folder, _, _ in os.walk(f"{mount}/groundcrew/{container}", topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return


def rename(container: str, names: list[str]) -> None:
    """Let the containers of the network find this one by exactly these names."""
    current = (inspect(container) or {})["NetworkSettings"]["Networks"]
    known = (current.get(NAMES) or {}).get("Aliases") or []
    if NAMES in current and set(names) <= set(known) and len(set(known) - set(names)) <= 1:  # Docker adds the id
        return
    if NAMES in current:
        docker("network", "disconnect", NAMES, container)
    docker("network", "connect", *(f"--alias={name}" for name in names), NAMES, container)
