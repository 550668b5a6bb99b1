# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses a Python for an app and has uv, both on the server. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

ROOT = "/opt/groundcrew"


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """The Python of a release.

    :param request: what uv is given: a path, or a version such as ``3.13``.
    :param managed: uv has to bring it, unless the server has one beside its own.
    :param reason: for the operator.
    """

    request: str
    managed: bool
    reason: str


def server_python() -> tuple[str, str]:
    """Path and version (``3.11.2``) of the server's own Python."""
    raise NotImplementedError


def choose(wanted: str, version_file: str, requires: str, server: tuple[str, str]) -> Interpreter:
    """Decide which Python an app gets.

    :param wanted: the key ``python``: a version, a path, or empty.
    :param version_file: text of ``.python-version``, or empty.
    :param requires: specifiers of the project (``Dependencies.requires_python``), or empty.
    :param server: :func:`server_python`.
    """
    raise NotImplementedError


def ensure_uv(network: Mapping[str, str], root: str = ROOT) -> str:
    """Have the pinned uv in ``<root>/uv-<version>`` (as root) and return the path of its program.

    :param network: variables for downloads: proxies, certificates, indexes (``HTTPS_PROXY``, ``PIP_INDEX_URL``, ``UV_DEFAULT_INDEX`` ...).
    """
    raise NotImplementedError


def ensure_python(uv: str, interpreter: Interpreter, network: Mapping[str, str], root: str = ROOT) -> None:
    """Have a managed interpreter in ``<root>/python`` (as root, so that no app can write to it); nothing to do for another."""
    raise NotImplementedError
