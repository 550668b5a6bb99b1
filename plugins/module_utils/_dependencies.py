# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release installs, and how: plans, then runs them through a runner. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._locate import Dependencies
from ansible_collections.groundcrew.django.plugins.module_utils._python import Interpreter
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Runner


@dataclasses.dataclass(frozen=True)
class Command:
    """One program of the plan; ``title`` is an imperative sentence for the operator, ``cwd`` absolute."""

    title: str
    argv: tuple[str, ...]
    cwd: str


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a build happens: absolute paths of the uv program, code, venv and cache directory (writable by the app's user).

    :param network: variables for downloads, never secret; the same as in ``_python.ensure_uv``.
    """

    uv: str
    code: str
    venv: str
    cache: str
    network: Mapping[str, str] = dataclasses.field(default_factory=dict)


def plan(
    place: Place,
    dependencies: Dependencies,
    interpreter: Interpreter,
    wanted: Mapping[str, Any],
    files: Sequence[str],
    read: Callable[[str], str],
) -> list[Command]:
    """Everything that makes the venv, in order.

    :param wanted: the record's ``dependencies``: groups, extras and packages.
    :param files: ``_locate.list_files``; ``read``: ``_locate.reader``.
    """
    raise NotImplementedError


def install(runner: Runner, place: Place, commands: Sequence[Command], environment_file: str = "") -> dict[str, str]:
    """Run the plan as the app's user and return what is installed then: normalized name to version.

    :param environment_file: of secrets that a build may need (credentials of a private index); see :class:`Runner`.
    """
    raise NotImplementedError


def missing(installed: Mapping[str, str], server: str, postgresql: bool) -> list[str]:
    """Requirements to add: the app server (``gunicorn`` or ``uvicorn``) and a driver for PostgreSQL, when nothing has brought them."""
    raise NotImplementedError


def add(place: Place, requirements: Sequence[str]) -> list[Command]:
    """The plan that adds ``requirements`` (from :func:`missing`) to the venv; empty for none."""
    raise NotImplementedError


def compile_code(runner: Runner, place: Place) -> None:
    """Compile the project's own code, which the app cannot do later; files that do not compile are left alone."""
    raise NotImplementedError


def diagnose(output: str) -> ReleaseError | None:
    """Recognise a known failure in the output of uv or a build, and name its cure; None for an unknown one."""
    raise NotImplementedError
