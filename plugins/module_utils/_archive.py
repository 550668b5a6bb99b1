# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs a directory of the controller for the server (``source.path``). PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._source import Revision


@dataclasses.dataclass(frozen=True)
class Archive:
    """What :func:`archive` packed.

    :param sha256: checksum of the contents (the tar before compression): equal for equal files, modes and links.
    :param revision: its first 40 digits as id; described by the git revision where the directory is in a work tree.
    :param notices: one sentence each about what was left out or looks wrong.
    """

    sha256: str
    revision: Revision
    files: int
    size: int
    notices: tuple[str, ...]


def archive(path: str, include: Sequence[str], destination: str) -> Archive:
    """Pack ``path`` (absolute) into the file ``destination`` (tar.gz).

    :param include: globs below ``path`` for files that git ignores or that are left out otherwise, such as built assets.
    """
    raise NotImplementedError
