# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes the live release's Python environment over where nothing that made it has changed. PRIVATE to the collection.

Most deploys change code or settings only. Their environment is the live one's files, by hard links: root's, so that no
process of the app can write what another release runs. The environment has to be a movable one for that, and may hold
nothing that lies in the live release's code.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import pathlib
import subprocess
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._locate import Dependencies, requirement_lines
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release


def recipe(
    found: Dependencies,
    python: str,
    record: Mapping[str, t.Any],
    network: Mapping[str, str],
    files: Sequence[str],
    read: Callable[[str], str],
) -> str:
    """Hash of everything that an environment is made of."""
    beside = [os.path.join(found.directory, name) for name in ("pyproject.toml", "uv.lock", "uv.toml")]
    texts = {file: read(file) for file in sorted({*found.files, *beside}) if file in files}
    if found.kind == "requirements":
        # With the files that they include.
        texts |= {f"lines of {file}": "\n".join(requirement_lines(file, read)) for file in found.files}
    inputs = {
        "kind": found.kind,
        "texts": texts,
        "python": python,
        "wanted": record["dependencies"],
        "packages": record["packages"],
        "network": dict(network),
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def takes_over(app: App, release: Release, wanted: str) -> bool:
    """Give the release the live one's environment, if it is what :func:`recipe` wants; returns whether it was."""
    if not app.live:
        return False
    live = Release(app, app.live)
    try:
        known = live.facts.get("recipe")
    except (OSError, ValueError):
        return False
    if known != wanted or not _movable(live.venv) or _refers_to(live.venv, live.code):
        return False
    done = subprocess.run(
        ["cp", "--archive", "--link", f"{live.venv}/.", release.venv], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ReleaseError("The live release's Python environment cannot be taken over.", output=done.stderr)
    user = app.user
    for directory, _directories, _names in os.walk(release.venv):
        # What is missing yet, such as another app server, is installed by the app's user.
        os.chown(directory, user.pw_uid, user.pw_gid)
        os.chmod(directory, 0o700)
    return True


def _movable(venv: str) -> bool:
    try:
        return "relocatable = true" in pathlib.Path(venv, "pyvenv.cfg").read_text("utf-8")
    except OSError:
        return False


def _refers_to(venv: str, code: str) -> bool:
    """Whether something in it was installed from the code, which another release has otherwise."""
    origins = glob.glob(f"{venv}/lib/python*/site-packages/*.dist-info/direct_url.json")
    return any(f"file://{code}" in pathlib.Path(origin).read_text("utf-8") for origin in origins)
