# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds manage.py and the files that name the dependencies, in a listing. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Dependencies:
    """What names the project's dependencies; every path is relative to the code's root.

    :param kind: ``uv`` (a lock file), ``pylock``, ``pyproject``, ``requirements`` or ``packages`` (no file at all).
    :param directory: where uv runs; empty for the root.
    :param files: empty for ``uv``, whose files are uv.lock and pyproject.toml.
    :param packages: requirements that no file names: the Django of a project that startproject made.
    :param requires_python: what the files say about Python's version, as specifiers; empty when they say nothing.
    :param notices: one sentence each, for the operator.
    """

    kind: str
    directory: str = ""
    files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    requires_python: str = ""
    reason: str = ""
    notices: tuple[str, ...] = ()


def list_files(root: str) -> list[str]:
    """Every regular file below ``root``, relative to it and sorted; links are not followed, node_modules and the like left out."""
    raise NotImplementedError


def reader(root: str) -> Callable[[str], str]:
    """A function that reads a file of the tree by its relative path; refuses links that lead out of ``root``."""
    raise NotImplementedError


def locate(files: Sequence[str], directory: str = "") -> str:
    """The directory of manage.py, relative to the root (empty: the root itself).

    :param directory: the key ``directory``.
    """
    raise NotImplementedError


def dependencies(files: Sequence[str], directory: str, wanted: Sequence[str], read: Callable[[str], str]) -> Dependencies:
    """Decide what names the dependencies of the app in ``directory``.

    :param wanted: the key ``dependencies.files``; wins over everything.
    """
    raise NotImplementedError


def python_version_file(files: Sequence[str], directory: str, read: Callable[[str], str]) -> str:
    """The text of the nearest ``.python-version``, at the app's directory or above; empty for none."""
    raise NotImplementedError
