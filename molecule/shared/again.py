"""Runs the scenario's converge playbook once more, for tests about what a change does to a server that runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any


def converge(host: Any, *options: str, check: bool = True, **changed: Any) -> str:
    """Converge the server under test with some variables changed. Returns all that Ansible said."""
    argv = [
        "ansible-playbook",
        f"--inventory={Path(os.environ['MOLECULE_EPHEMERAL_DIRECTORY']) / 'inventory'}",
        f"--limit={host.backend.get_hostname()}",
        f"--extra-vars={json.dumps(changed)}",
        *options,
        str(Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "converge.yml"),
    ]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    said = result.stdout + result.stderr
    assert (result.returncode == 0) or not check, said
    return said
