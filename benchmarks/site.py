"""How long the site playbook takes for one app on a bare server, and again when nothing is to change.

After `make build`: .cache/venv-2.19/bin/python benchmarks/site.py [bookworm|trixie]
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from testbed import pebble, server
from testbed.system import CACHE, TestbedError, columns, write

NAME = "benchmark"
FOLDER = CACHE / "benchmark"
# What Ansible says at verbosity 3, once before each execution of a module.
EXECUTION = re.compile(r"Using module file \S+/(\w+)\.py")


@dataclass(frozen=True)
class Run:
    """One run of the playbook: wall time in seconds, tasks that changed something, executions on the server."""

    seconds: float
    changed: int
    modules: Counter[str]
    connections: int


def describe(distro: str) -> dict[str, str]:
    """Boot a bare server and describe its site; returns the environment of Ansible."""
    server.down(NAME)
    hosts = server.up(NAME, distro, aliases=[f"guestbook.{NAME}.test"])
    pebble.up()
    write(FOLDER / "hosts.yml", hosts.read_text())
    write(
        FOLDER / "group_vars" / "all.yml",
        "django_apps:\n"
        "  - name: guestbook\n"
        f"    domains: [guestbook.{NAME}.test]\n"
        f"    source: {{path: {ROOT}/examples/guestbook}}\n"
        "    redis: true\n"
        "certbot_email: ops@example.org\n"
        f"certbot_directory_url: {pebble.DIRECTORY}\n"
        f"certbot_ca_bundle: {pebble.DIRECTORY_CA}\n",
    )
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CACHE / "collections"),
        "ANSIBLE_INVENTORY": str(FOLDER / "hosts.yml"),
        "ANSIBLE_LOG_PATH": str(FOLDER / "ansible.log"),
        "ANSIBLE_LOG_VERBOSITY": "3",
        "ANSIBLE_PIPELINING": "true",
    }


def run(environment: dict[str, str]) -> Run:
    log = FOLDER / "ansible.log"
    log.unlink(missing_ok=True)
    started = time.monotonic()
    playbook = [str(Path(sys.executable).parent / "ansible-playbook"), "groundcrew.django.site"]
    result = subprocess.run(playbook, env=environment, stdout=subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - started
    if result.returncode:
        raise TestbedError(f"the playbook failed; see {log}")
    said = log.read_text()
    changed = sum(int(number) for number in re.findall(r"\bchanged=(\d+)", said))
    return Run(seconds, changed, Counter(EXECUTION.findall(said)), said.count("SSH: EXEC"))


def main(distro: str = "bookworm") -> None:
    print(f"{distro}, {os.cpu_count()} CPUs, load before the first run {os.getloadavg()[0]:.1f}")
    environment = describe(distro)
    try:
        runs = {"first": run(environment), "second": run(environment)}
    finally:
        server.down(NAME)
    rows = [
        (name, f"{each.seconds:.1f} s", str(each.changed), str(each.modules.total()), str(each.connections))
        for name, each in runs.items()
    ]
    print(columns([("RUN", "WALL TIME", "CHANGED", "MODULE EXECUTIONS", "SSH COMMANDS"), *rows]))
    print("second run:", ", ".join(f"{name} {count}" for name, count in runs["second"].modules.most_common()))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TestbedError as error:
        sys.exit(f"benchmark: {error}")
