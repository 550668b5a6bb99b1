"""How long a deploy takes, beside a plain script over one SSH connection that does the same work.

After `make build`: .cache/venv-2.19/bin/python benchmarks/deploy.py [bookworm|trixie]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SCENARIO = ROOT / "molecule" / "deploys"
sys.path.insert(0, str(ROOT / "tools"))
from runs import FOLDER, Run, environment, play
from testbed import pebble, server
from testbed.system import TestbedError, columns, write

NAME = "benchmark-deploy"
# What is deployed in turn: each differs from the one before it in what the name says. See tests/projects/versions.py.
ROUNDS = {
    "code only": ["good-2", "good-3", "good-4"],
    "changed dependency": ["with-tabulate", "with-termcolor", "with-toml"],
    "no change": ["with-toml"] * 3,
}


def describe(distro: str) -> dict[str, str]:
    """Boot a bare server with the repository of the scenario `deploys`, and make it a site."""
    server.down(NAME)
    hosts = server.up(NAME, distro, aliases=[f"shop.{NAME}.test"])
    pebble.up()
    write(FOLDER / "deploy" / "hosts.yml", hosts.read_text())
    variables = environment(FOLDER / "deploy" / "hosts.yml") | {"MOLECULE_PROJECT_DIRECTORY": str(ROOT)}
    play(str(SCENARIO / "prepare.yml"), variables)
    play("groundcrew.django.site", variables, *options("good-1"))
    return variables


def options(version: str) -> list[str]:
    return [f"--extra-vars=@{SCENARIO}/inventory/group_vars/all.yml", f"--extra-vars=version={version}"]


def script(version: str) -> float:
    """Seconds that the plain script takes."""
    argv = ["ssh", "-F", str(server.folder(NAME) / "ssh_config"), NAME, "bash", "-s", version]
    started = time.monotonic()
    with (ROOT / "benchmarks" / "plain.sh").open() as text:
        done = subprocess.run(argv, stdin=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"the script failed:\n{done.stdout}{done.stderr}")
    return time.monotonic() - started


def main(distro: str = "trixie") -> None:
    variables = describe(distro)
    rows = [("DEPLOY", "PLAYBOOK", "MODULE EXECUTIONS", "SCRIPT", "RATIO")]
    try:
        script("good-1")
        print(f"{distro}, {os.cpu_count()} CPUs, load before the first run {os.getloadavg()[0]:.1f}")
        for kind, versions in ROUNDS.items():
            ours: list[Run] = []
            plain: list[float] = []
            for version in versions:
                ours.append(play("groundcrew.django.deploy", variables, *options(version)))
                plain.append(script(version))
            seconds, other = statistics.median(run.seconds for run in ours), statistics.median(plain)
            executions = str(ours[-1].modules.total())
            rows.append((kind, f"{seconds:.1f} s", executions, f"{other:.1f} s", f"{seconds / other:.1f}"))
            print(
                kind, [f"{run.seconds:.1f}" for run in ours], [f"{each:.1f}" for each in plain], dict(ours[-1].modules)
            )
    finally:
        server.down(NAME)
    print(columns(rows))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TestbedError as error:
        sys.exit(f"benchmark: {error}")
