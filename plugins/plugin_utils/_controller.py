# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The user's side: where his own files are, and whether he is still there. PRIVATE to the collection."""

from __future__ import annotations

import os
import threading
import time
import typing as t
from collections.abc import Mapping


def search_path(variables: Mapping[str, t.Any]) -> list[str]:
    """Directories in which a relative path of an app's description is looked for, in that order.

    The playbooks are the collection's own, so it is the inventory that is the user's: its directory, the one above it
    (a project keeps its inventories together), and the directory that the command was typed in.
    """
    inventory = str(variables.get("inventory_dir") or "")
    places = [inventory, os.path.dirname(inventory), os.getcwd()] if inventory else [os.getcwd()]
    return list(dict.fromkeys(places))


def find(path: str, variables: Mapping[str, t.Any], below: str = "") -> str:
    """The absolute path of a file or directory that an app's description names.

    :param below: a directory that may be left out of ``path``, such as "templates".
    :returns: empty, when it is nowhere.
    """
    path = os.path.expanduser(path)
    if os.path.isabs(path):
        return path if os.path.exists(path) else ""
    for place in search_path(variables):
        for candidate in (os.path.join(place, below, path), os.path.join(place, path)):
            if os.path.exists(candidate):
                return candidate
    return ""


def end_with_operator() -> None:
    """Let this process, a worker of Ansible's, end within two seconds of the run that it is part of.

    A run that is killed by force leaves its workers behind, and what they wait for on the server goes on for nobody.
    Without the worker nobody reads what the server says, which the modules there notice.
    """
    operator = os.getppid()

    def watch() -> None:
        while os.getppid() == operator:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
