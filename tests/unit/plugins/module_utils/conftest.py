# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runner without systemd, for the parts of a release that run programs."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import typing as t
from collections.abc import Mapping, Sequence

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Result


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
