# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lays this code down on the server where it outlives the module call that brought it. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import pathlib
import secrets
import shutil
import sys
import typing as t

_OURS = "ansible_collections.groundcrew.django.plugins.module_utils."


def lay_down(directory: pathlib.Path, entry: str) -> pathlib.Path:
    """Write every module of ours that is loaded below a directory; returns the script to start.

    :param entry: the module whose ``main`` the script calls, with the words that follow it.
    """
    start = f"import sys\n\nfrom {_OURS}{entry} import main\n\nmain(*sys.argv[1:])\n"
    sources = {
        name: _source_of(module)
        for name, module in sorted(sys.modules.items())
        if name.startswith(_OURS) and "." not in name.removeprefix(_OURS)
    }
    digest = hashlib.sha256(json.dumps([start, sources]).encode()).hexdigest()[:16]
    place = directory / f"engine-{digest}"
    if not place.is_dir():
        new = directory / f"engine-{secrets.token_hex(8)}.new"
        package = new.joinpath(*_OURS.rstrip(".").split("."))
        package.mkdir(mode=0o700, parents=True)
        for name, source in sources.items():
            (package / f"{name.removeprefix(_OURS)}.py").write_text(source, "utf-8")
        (new / "start.py").write_text(start, "utf-8")
        try:
            new.rename(place)
        except OSError:  # another call was as quick
            shutil.rmtree(new)
    return place / "start.py"


def _source_of(module: t.Any) -> str:
    """The text of a module, wherever it was loaded from: Ansible brings modules as an archive."""
    text: str | bytes = module.__loader__.get_source(module.__name__)
    return text.decode() if isinstance(text, bytes) else text
