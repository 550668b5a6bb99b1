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
    start_command,
    workers,
)

TUNING = {"workers": 3, "threads": 2, "timeout": 60, "start_timeout": 30}


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
        "user": "shop",
        "kind": "gunicorn",
        "command": ["/venv/bin/python", "-m", "gunicorn"],
        "directory": "/srv/shop/releases/r1/code",
        "environment_file": "/etc/groundcrew/shop/r1.env",
        "environment": {"PATH": "/venv/bin"},
        "writable": ["/srv/shop/shared/media"],
        "tuning": TUNING,
    }
    return release_dropin(**{**arguments, **changes}).splitlines()


@pytest.mark.parametrize(
    ("changes", "there", "absent"),
    [
        ({}, "Type=notify", "Type=exec"),
        ({"kind": "uvicorn"}, "Type=exec", "Type=notify"),
        ({}, 'ExecStart="/venv/bin/python" "-m" "gunicorn"', "MemoryMax="),
        ({}, "MemoryDenyWriteExecute=yes", ""),
        ({"tuning": {**TUNING, "memory_deny_write_execute": False}}, "PrivateUsers=yes", "MemoryDenyWriteExecute=yes"),
        ({"tuning": {**TUNING, "memory_max": "512M"}}, "MemoryMax=512M", ""),
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


@pytest.mark.parametrize(
    ("kind", "tuning", "there"),
    [
        ("gunicorn", TUNING, "--workers=3"),
        ("gunicorn", {**TUNING, "control_socket": True}, "--no-control-socket"),
        ("uvicorn", TUNING, "--fd=3"),
    ],
)
def test_start_command(kind: str, tuning: dict[str, t.Any], there: str) -> None:
    command = start_command(kind, "/venv/bin/python", "entry:application", tuning)
    assert command[:3] == ["/venv/bin/python", "-m", kind]
    assert there in command
    assert command[-1] == "entry:application"


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


@pytest.mark.parametrize(
    ("wanted", "cpus", "memory", "gunicorn", "uvicorn"),
    [
        (None, 2, 8192, 5, 2),
        (None, 1, 1024, 3, 1),
        (None, 8, 1024, 3, 3),  # no more than there is memory for
        (None, 1, 200, 1, 1),
        (7, 1, 200, 7, 7),  # who says a number is believed
    ],
)
def test_workers(wanted: int | None, cpus: int, memory: float, gunicorn: int, uvicorn: int) -> None:
    tuning = {"workers": wanted, "memory_share": 0.5, "worker_memory": 150}
    assert workers(tuning, cpus, memory) == {"gunicorn": gunicorn, "uvicorn": uvicorn}
