"""Playbooks that are timed, and what they sent to the server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from testbed.system import CACHE, TestbedError

FOLDER = CACHE / "benchmark"
# What Ansible says at verbosity 3, once before each execution of a module.
EXECUTION = re.compile(r"Using module file \S+/(\w+)\.py")


@dataclass(frozen=True)
class Run:
    """One run of a playbook: wall time in seconds, tasks that changed something, executions on the server."""

    seconds: float
    changed: int
    modules: Counter[str]
    connections: int


def environment(inventory: Path) -> dict[str, str]:
    """How Ansible is to run: with the built collection and pipelining."""
    return {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CACHE / "collections"),
        "ANSIBLE_INVENTORY": str(inventory),
        "ANSIBLE_LOG_PATH": str(FOLDER / "ansible.log"),
        "ANSIBLE_LOG_VERBOSITY": "3",
        "ANSIBLE_PIPELINING": "true",
    }


def play(playbook: str, variables: dict[str, str], *options: str) -> Run:
    """Run a playbook and see what it did.

    :param variables: of the environment.
    """
    log = FOLDER / "ansible.log"
    log.unlink(missing_ok=True)
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), playbook, *options]
    started = time.monotonic()
    result = subprocess.run(argv, env=variables, stdout=subprocess.DEVNULL, check=False)
    seconds = time.monotonic() - started
    if result.returncode:
        raise TestbedError(f"the playbook failed; see {log}")
    said = log.read_text()
    changed = sum(int(number) for number in re.findall(r"\bchanged=(\d+)", said))
    return Run(seconds, changed, Counter(EXECUTION.findall(said)), said.count("SSH: EXEC"))
