"""Runs playbooks against the server under test once more, or restarts it, for tests about what that does to one that runs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed import server
from testbed.system import TestbedError


def command(host: Any, playbook: str | Path, *options: str, **changed: Any) -> dict[str, Any]:
    """What subprocess needs to run a playbook, by its path or full name, with some variables changed."""
    argv = [
        "ansible-playbook",
        f"--inventory={Path(os.environ['MOLECULE_EPHEMERAL_DIRECTORY']) / 'inventory'}",
        f"--limit={host.backend.get_hostname()}",
        *options,
        # The last word counts.
        f"--extra-vars={json.dumps(changed)}",
        str(playbook),
    ]
    return {"args": argv, "env": {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}, "text": True}


def play(host: Any, playbook: str | Path, *options: str, check: bool = True, **changed: Any) -> str:
    """Run a playbook, by its path or full name, with some variables changed. Returns all that Ansible said."""
    result = subprocess.run(**command(host, playbook, *options, **changed), capture_output=True, check=False)
    said = str(result.stdout + result.stderr)
    assert (result.returncode == 0) or not check, said
    return said


def converge(host: Any, *options: str, check: bool = True, **changed: Any) -> str:
    """Converge the server once more with the scenario's own playbook."""
    playbook = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml"
    return play(host, playbook, *options, check=check, **changed)


def wait(condition: Callable[[], bool], seconds: float = 300) -> bool:
    """Whether something comes true in time; an emulated machine takes minutes."""
    end = time.monotonic() + seconds
    while not (seen := condition()) and time.monotonic() < end:
        time.sleep(1)
    return seen


def restart(name: str, script: str = "systemctl reboot") -> None:
    """Run what restarts a server, and return once that lets somebody in again."""

    def boot() -> str:
        try:
            # Of a machine the boot, of a container its first process.
            return server.root(name, "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat")
        except TestbedError:
            return ""

    before = boot()
    assert before
    server.root(name, script, check=False)
    assert wait(lambda: boot() not in ("", before), 900)
    assert wait(lambda: server.root(name, "systemctl is-active ssh.service", check=False) == "active")
