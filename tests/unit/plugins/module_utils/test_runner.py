# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that has secrets of its own, and one whose operator goes; stand-ins take the place of systemd's tools."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _runner

SECRET = "correct-horse"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemd-run that reads its environment files as systemd does, and a systemctl that notes what it is told."""
    scripts = {
        "systemd-run": 'for word; do case "$word" in *EnvironmentFile=*) cat "${word##*EnvironmentFile=}";; '
        '--) break;; esac; done; while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        "systemctl": f'echo "$@" >>{tmp_path}/told',
    }
    for name, script in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


@pytest.fixture
def runner() -> _runner.SandboxRunner:
    return _runner.SandboxRunner("shop", "shop", "/home", "manage")


def test_secrets_come_last_and_from_memory_alone(tools: Path, runner: _runner.SandboxRunner) -> None:
    (tools / "release.env").write_text("A=1\n")
    done = runner.run(
        ["echo", "done"], title="Try", environment_file=str(tools / "release.env"), secrets=f"A={SECRET}\n"
    )
    assert done == _runner.Result(0, f"A=1\nA={SECRET}\ndone\n", "")
    # Nothing is left open behind it.
    assert not [each for each in Path("/proc/self/fd").iterdir() if "memfd:environment" in os.path.realpath(each)]


def test_no_word_of_the_command_is_a_secret(runner: _runner.SandboxRunner) -> None:
    with _runner._in_memory(f"A={SECRET}\n") as path:
        command = runner.command(["true"], title="Try", secrets_file=path)
        assert not [word for word in command if SECRET in word]
        assert Path(path).read_text() == f"A={SECRET}\n"
    assert not Path(path).exists()


def test_output_is_whole_though_somebody_is_asked_meanwhile(
    tools: Path, runner: _runner.SandboxRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_runner, "BEAT", 0.05)
    asked: list[float] = []
    script = "echo one; cat; sleep 0.4; echo two; echo three >&2; exit 3"
    done = runner.run(
        ["sh", "-c", script], title="Try", check=False, stdin="in\n", alive=lambda: asked.append(time.monotonic())
    )
    assert done == _runner.Result(3, "one\nin\ntwo\n", "three\n")
    assert len(asked) > 2
    assert not (tools / "told").exists()


def test_it_ends_with_its_operator(tools: Path, runner: _runner.SandboxRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_runner, "BEAT", 0.05)

    def gone() -> None:
        raise BrokenPipeError

    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        runner.run(["sleep", "60"], title="Try", alive=gone)
    assert time.monotonic() - began < 10
    # Its own unit, not one of another operator's.
    assert (tools / "told").read_text() == f"stop shop-manage@{os.getpid()}-*\n"


def test_a_step_gets_the_files_that_go_along_with_its_environment(
    tmp_path: Path, runner: _runner.SandboxRunner
) -> None:
    (tmp_path / "r1.env").touch()
    assert not [
        word for word in runner.command(["true"], title="Try", environment_file=f"{tmp_path}/r1.env") if "edent" in word
    ]
    (tmp_path / "r1.credentials").mkdir()
    (tmp_path / "r1.credentials" / "PEPPER_FILE").write_text(SECRET)
    command = runner.command(["true"], title="Try", environment_file=f"{tmp_path}/r1.env")
    (unit,) = (word.removeprefix("--unit=") for word in command if word.startswith("--unit="))
    assert f"--property=LoadCredential=PEPPER_FILE:{tmp_path}/r1.credentials/PEPPER_FILE" in command
    assert f"--setenv=PEPPER_FILE=/run/credentials/{unit}.service/PEPPER_FILE" in command
    assert not [word for word in command if SECRET in word]
