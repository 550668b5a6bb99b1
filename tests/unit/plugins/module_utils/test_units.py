# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd is told about a release."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._runner import SandboxRunner
from ansible_collections.groundcrew.django.plugins.module_utils._units import (
    quote,
    release_dropin,
)

TUNING = {"workers": 3, "threads": 2, "timeout": 60, "start_timeout": 30, "tasks_max": 512}
UNLIMITED = dict.fromkeys(("memory_high", "memory_max", "cpu_weight", "tasks_max"))


@pytest.mark.parametrize(
    ("text", "variables", "result"),
    [
        ("a b", False, '"a b"'),
        ('say "x"', False, r'"say \"x\""'),
        ("50%", False, '"50%%"'),
        ("$HOME", False, '"$HOME"'),
        ("$HOME", True, '"$$HOME"'),
        ("back\\slash", True, r'"back\\slash"'),
    ],
)
def test_quote(text: str, variables: bool, result: str) -> None:
    assert quote(text, variables=variables) == result


def dropin(**changes: t.Any) -> list[str]:
    arguments: dict[str, t.Any] = {
        "app": "shop",
        "unit": "shop-web",
        "user": "shop",
        "kind": "gunicorn",
        "command": ["/venv/bin/python", "-m", "gunicorn"],
        "socket": "/srv/shop/releases/r1/run/web.sock",
        "directory": "/srv/shop/releases/r1/code",
        "environment_file": "/etc/groundcrew/shop/r1.env",
        "environment": {"PATH": "/venv/bin"},
        "writable": ["/srv/shop/shared/media"],
        "described": UNLIMITED,
        "tuning": TUNING,
    }
    return release_dropin(**{**arguments, **changes}).splitlines()


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({}, "Type=notify", "Type=exec"),
        ({"kind": "uvicorn"}, "Type=exec", "Type=notify"),
        ({"kind": "uwsgi"}, "Type=notify", "Type=exec"),
        # Only who takes over systemd's socket needs the unit; the others make place for theirs.
        ({}, "Requires=shop-web@%i.socket", "ExecStartPre="),
        ({}, "After=shop-web@%i.socket", ""),
        ({}, 'ReadWritePaths="/srv/shop/shared/media"', ""),
        ({"kind": "granian"}, "Type=exec", "Requires=shop-web@%i.socket"),
        ({"kind": "granian"}, 'ExecStartPre=/bin/rm -f "/srv/shop/releases/r1/run/web.sock"', "[Unit]"),
        ({"kind": "daphne"}, 'ReadWritePaths="/srv/shop/shared/media" "/srv/shop/releases/r1/run"', "After="),
        ({}, 'ExecStart="/venv/bin/python" "-m" "gunicorn"', "MemoryMax="),
        ({}, "MemoryDenyWriteExecute=yes", ""),
        ({"tuning": {**TUNING, "memory_deny_write_execute": False}}, "PrivateUsers=yes", "MemoryDenyWriteExecute=yes"),
        ({"described": {**UNLIMITED, "memory_max": "512M"}}, "MemoryMax=512M", "MemoryHigh="),
        ({"described": {**UNLIMITED, "cpu_weight": 50}}, "CPUWeight=50", ""),
        ({"described": {**UNLIMITED, "tasks_max": 64}}, "TasksMax=64", "TasksMax=512"),
        ({}, "TasksMax=512", "MemoryMax="),
        ({}, "TimeoutStopSec=70", ""),
        ({"directory": "/srv/my app %n"}, "WorkingDirectory=/srv/my app %%n", ""),
        ({"writable": ["/srv/a b", "/mnt/50%"]}, 'ReadWritePaths="/srv/a b" "/mnt/50%%"', ""),
        ({}, "CapabilityBoundingSet=", ""),
        ({}, "SystemCallFilter=~@privileged @resources", ""),
    ],
)
def test_dropin(changes: dict[str, t.Any], there: str, absent: str) -> None:
    lines = dropin(**changes)
    assert there in lines
    assert absent not in lines


def test_a_step_runs_as_the_app_and_hides_its_arguments_from_the_journal() -> None:
    runner = SandboxRunner("shop", "shop", "/home", "step", bound_to="shop-deploy.service")
    command = runner.command(
        ["echo", "${HOME} $x"], title="List it", env={"A": "1"}, writable=["/x", "/y"], environment_file="/e", timeout=5
    )
    for part in (
        "--property=User=shop",
        '--property=ReadWritePaths="/x" "/y"',
        "--property=EnvironmentFile=/e",
        "--property=RuntimeMaxSec=5",
        "--property=NoNewPrivileges=yes",
        "--description=shop: List it",
        "--setenv=A=1",
        "--property=BindsTo=shop-deploy.service",
    ):
        assert part in command
    assert command[-3:] == ["--", "echo", "$${HOME} $$x"]
    assert any(part.startswith("--unit=shop-step@") for part in command), "no app's name is the beginning of it"


def test_a_secret_that_is_a_file_is_named_by_its_variable() -> None:
    lines = dropin(credentials={"PEPPER_FILE": "/etc/groundcrew/shop/r1.credentials/PEPPER_FILE"})
    assert "LoadCredential=PEPPER_FILE:/etc/groundcrew/shop/r1.credentials/PEPPER_FILE" in lines
    # %n is the unit's own name.
    assert 'Environment="PEPPER_FILE=/run/credentials/%n/PEPPER_FILE"' in lines
    assert not [line for line in dropin() if "redential" in line]
