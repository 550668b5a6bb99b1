# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is shown reaches the screen as it is, whatever Ansible prints around it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import yaml
from worktree import collections

TEXT = 'APP    WHAT\n"é"    \'it\' \\n {"a": [1]}  ' + "wide " * 60 + "end\n"


def test_text_and_json_come_through(tmp_path: pathlib.Path) -> None:
    tasks = [
        {"groundcrew.django.show": {"text": TEXT}},
        {"groundcrew.django.show": {"text": "{{ {'server': inventory_hostname, 'apps': [none, 'é']} | to_json }}"}},
    ]
    playbook = tmp_path / "show.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    run = subprocess.run(
        [
            str(pathlib.Path(sys.executable).parent / "ansible-playbook"),
            "--inventory=a.example.com,b.example.com,",
            "--check",
            playbook,
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections()), "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    # Nobody connects to the servers, which are not there.
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(TEXT) == 2
    lines = [json.loads(line) for line in run.stdout.splitlines() if line.startswith('{"server"')]
    assert sorted(line["server"] for line in lines) == ["a.example.com", "b.example.com"]
    assert lines[0]["apps"] == [None, "é"]
