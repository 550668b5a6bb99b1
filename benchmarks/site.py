"""How long the site playbook takes for one app on a bare server, and again when nothing is to change.

After `make build`: .cache/venv-2.19/bin/python benchmarks/site.py [bookworm|trixie]
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
from runs import FOLDER, environment, play
from testbed import pebble, server
from testbed.system import TestbedError, columns, write

NAME = "benchmark"


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
    return environment(FOLDER / "hosts.yml")


def main(distro: str = "bookworm") -> None:
    print(f"{distro}, {os.cpu_count()} CPUs, load before the first run {os.getloadavg()[0]:.1f}")
    variables = describe(distro)
    try:
        runs = {"first": play("groundcrew.django.site", variables), "second": play("groundcrew.django.site", variables)}
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
