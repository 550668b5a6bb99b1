"""Renders the templates of a role as Ansible does, with the role's own defaults and variables."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from worktree import ROOT, collections

DEBIAN_12 = {"distribution_major_version": "12", "packages": {}}


def play(role_name: str, cases: dict[str, dict[str, Any]], text: str, place: Path) -> dict[str, Any]:
    """What ``text`` becomes, with the role's variables and those of each case; one run of Ansible.

    :param text: a template that yields JSON; ``templates`` in it is the directory of the role's.
    """
    role = ROOT / "roles" / role_name
    plays = []
    for name, case in cases.items():
        (place / f"{name}.json").write_text(json.dumps({"ansible_facts": DEBIAN_12, "role_path": str(role), **case}))
        plays.append(
            {
                "hosts": "localhost",
                "gather_facts": False,
                "vars_files": [f"{role}/defaults/main.yml", f"{role}/vars/main.yml", f"{place}/{name}.json"],
                "tasks": [{"ansible.builtin.copy": {"content": text, "dest": f"{place}/{name}.out", "mode": "0600"}}],
                "vars": {"templates": f"{role}/templates/"},
            }
        )
    playbook = place / "render.yml"
    playbook.write_text(yaml.safe_dump(plays))
    run = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--inventory=localhost,",
            "--connection=local",
            playbook,
        ],
        env={
            **os.environ,
            # The operator has nothing there, such as keys.
            "HOME": str(place),
            "ANSIBLE_COLLECTIONS_PATH": str(collections()),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return {name: json.loads((place / f"{name}.out").read_text()) for name in cases}
