# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A version of the project's code on the server: out of a git repository, or out of an archive from the controller.

PRIVATE to the collection: may change at any time.
"""

from __future__ import annotations

import dataclasses

from ansible_collections.groundcrew.django.plugins.module_utils._runner import Runner


@dataclasses.dataclass(frozen=True)
class Revision:
    """One exact state of the code.

    :param id: 40 hexadecimal digits: the commit, or the start of an archive's checksum.
    :param description: for the operator, such as ``main at 1a2b3c4``.
    :param when: time of the commit as ISO 8601 with its zone; empty where there is none.
    :param subject: first line of the commit's message; empty where there is none.
    """

    id: str
    description: str
    when: str = ""
    subject: str = ""


@dataclasses.dataclass(frozen=True)
class Repository:
    """Where the code comes from, and where git may keep things on the server.

    :param url: ``source.repo``.
    :param version: ``source.version``: branch, tag or (abbreviated) commit; empty for the repository's own default branch.
    :param mirror: directory of the bare mirror, ``<cache>/source.git``; its parent exists and belongs to the app's user.
    :param known_hosts: file that keeps the host keys of SSH servers, pinned at first use; made when it is missing.
    :param key_file: what ``source.key`` names, in a file that the app's user may read for the time of the call: a private SSH
        key (with its last newline) or, for an https repository, a token or ``user:token``. Empty for none.
    :param submodules: check submodules out as well.
    """

    url: str
    version: str
    mirror: str
    known_hosts: str
    key_file: str = ""
    submodules: bool = False


def resolve(runner: Runner, repository: Repository) -> Revision:
    """Find the commit that ``version`` stands for now, and have it in the mirror.

    One question to the server when nothing changed; none for a full commit that the mirror has.
    """
    raise NotImplementedError


def checkout(runner: Runner, repository: Repository, revision: Revision, target: str) -> None:
    """Write the complete tree of ``revision`` (in the mirror, by :func:`resolve`) into ``target``, without ``.git``.

    :param target: an empty directory that the app's user owns.
    """
    raise NotImplementedError


def unpack(archive: str, target: str, uid: int, gid: int) -> None:
    """Unpack what ``_archive.archive`` packed into ``target`` (an empty directory), everything owned by ``uid:gid``."""
    raise NotImplementedError


def finalize_tree(target: str, uid: int, gid: int) -> None:
    """Give a finished tree to ``uid:gid`` (root and the app's group): u=rwX,g=rX,o=, no setuid, links not followed."""
    raise NotImplementedError


def inside(root: str, relative: str) -> str:
    """The path of ``relative`` in ``root``, for root to write to: raises where a link of the project would lead out of ``root``."""
    raise NotImplementedError
