# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several parts of a release are tested with: a runner without systemd, and uv."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from testbed import controller
from testbed.system import locked

from ansible_collections.groundcrew.django.plugins.module_utils import _python
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Result

ROOT = Path(__file__).resolve().parents[4]


@dataclasses.dataclass
class LocalRunner:
    """Runs programs as whoever runs the tests, and remembers them."""

    calls: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def run(
        self,
        argv: Sequence[str],
        *,
        title: str,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        check: bool = True,
        stdin: str = "",
        timeout: int = 900,
        **options: t.Any,
    ) -> Result:
        self.calls.append({"argv": list(argv), "title": title, "cwd": cwd, "env": dict(env or {}), **options})
        kept = {key: value for key, value in os.environ.items() if key == "PATH" or key.endswith("_CERT_FILE")}
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env={**kept, "HOME": "/nonexistent", **self.environment, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        if check and result.rc:
            raise ReleaseError(f"{title}: the command ended with status {result.rc}.", output=result.last_lines())
        return result

    @property
    def titles(self):
        return [call["title"] for call in self.calls]


@pytest.fixture
def local_runner():
    return LocalRunner()


@pytest.fixture(scope="session")
def network() -> dict[str, str]:
    """The way to packages and certificates, as this machine goes it."""
    prefixes = ("PIP_", "UV_", "SSL_CERT_", "HTTP")
    return {key: value for key, value in os.environ.items() if key.upper().startswith(prefixes)}


@pytest.fixture(scope="session")
def uv(tmp_path_factory: pytest.TempPathFactory, network: dict[str, str]) -> str:
    """uv, installed as the server installs it, after a run that was killed."""
    root = tmp_path_factory.mktemp("opt")
    (root / f".uv-{_python.UV_VERSION}.new").mkdir()
    (root / f".uv-{_python.UV_VERSION}.new" / "left-by-a-killed-run").touch()
    return _python.ensure_uv(network, str(root))


@pytest.fixture(scope="session")
def djangos() -> dict[str, Path]:
    """A Python with Django of each supported line; made once and kept."""
    uv = shutil.which("uv") or str(ROOT / ".cache/uv/bin/uv")
    environment = {"UV_SYSTEM_CERTS": "true", **os.environ}
    if index := controller.pip_settings().get("index-url"):
        environment.setdefault("UV_DEFAULT_INDEX", index)  # uv does not read pip's settings
    pythons = {}
    # Tests run side by side, and each process asks.
    with locked("djangos"):
        for version in ("4.2", "5.2"):
            target = ROOT / ".cache" / f"django-{version}-{sys.version_info.major}.{sys.version_info.minor}"
            python = pythons[version] = target / "bin/python"
            if not (target / ".ready").exists():
                for command in (
                    [uv, "venv", "--quiet", "--clear", "--python", sys.executable, target],
                    [uv, "pip", "install", "--quiet", "--python", python, f"django=={version}.*", "psycopg[binary]"],
                    ["mkdir", target / "project"],
                    [python, "-m", "django", "startproject", "mysite", target / "project"],
                ):
                    subprocess.run([str(word) for word in command], env=environment, check=True)
                (target / ".ready").touch()
    return pythons
