# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a deploy that fails: what people read, and what nobody may read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from worktree import ROOT, collections

SECRET = "correct-horse"
ROLE = ROOT / "roles" / "app_deploy"


def end_of(task: dict[str, Any], folder: Path) -> str:
    """Everything that is said when a task fails, of the role's or of the operator's between two steps."""
    block = {
        "block": [{"name": "Ask the boss", **task}],
        "rescue": [{"ansible.builtin.include_tasks": str(ROLE / "tasks" / "failed.yml")}],
    }
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLE / "vars" / "main.yml")],
        "tasks": [block],
    }
    playbook = folder / "play.yml"
    playbook.write_text(yaml.safe_dump([play]))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "--inventory=localhost,", playbook],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections()), "ANSIBLE_NOCOLOR": "1", "SECRET": SECRET},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout
    return done.stdout + done.stderr


def test_the_screen_ends_with_the_task_and_its_reason_as_lines(tmp_path: Path) -> None:
    said = end_of({"ansible.builtin.fail": {"msg": "No.\nTo cure it: ask again"}}, tmp_path)
    assert "Ask the boss: No.\nTo cure it: ask again" in said


@pytest.mark.parametrize(
    "task",
    [
        # Not written down, because newer versions show the lines around a task that fails.
        {"ansible.builtin.fail": {"msg": "{{ lookup('ansible.builtin.env', 'SECRET') }}"}, "no_log": True},
        {"ansible.builtin.command": "/bin/sh -c 'echo $SECRET; exit 3'", "no_log": True},
    ],
)
def test_what_no_log_hides_stays_hidden(task: dict[str, Any], tmp_path: Path) -> None:
    said = end_of(task, tmp_path)
    # ansible-core 2.19 tells by itself, above, what the action `fail` was given.
    assert SECRET not in said.partition("TASK [Show what went wrong")[2]
    assert "Ask the boss: it failed, and no_log hides why." in said
