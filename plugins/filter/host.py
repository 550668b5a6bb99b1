# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter ``host_measures``. Its documentation is in a file beside this one."""

from __future__ import annotations

import posixpath
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible.errors import AnsibleFilterError

KEYS = ("packages", "directories", "files", "validate", "commands", "units", "services")


def host_measures(measures: Sequence[Mapping[str, t.Any]]) -> dict[str, list[t.Any]]:
    """One set of all that is wanted; of the rest, the units stopped and the directories in which files may be left."""
    found: dict[str, list[t.Any]] = {key: [] for key in KEYS if key != "services"}
    for index, measure in enumerate(measures):
        if unknown := set(measure) - {"wanted", *KEYS}:
            raise AnsibleFilterError(f"measure {index} has unknown keys: {', '.join(sorted(unknown))}")
        if not isinstance(measure["wanted"], bool):
            raise AnsibleFilterError(f"measure {index} is neither on nor off: {measure['wanted']!r}")
        # A command that a file brings into effect does the same for its removal.
        found["commands"] += measure.get("commands", [])
        if measure["wanted"]:
            for key in ("packages", "directories", "files", "validate", "units"):
                found[key] += measure.get(key, [])
            found["units"] += measure.get("services", [])
        else:
            found["units"] += [
                {"name": unit["name"], "state": "stopped", "enabled": False} for unit in measure.get("units", [])
            ]
    # Measures may share one; what they say of it counts more than that files are in it.
    directories = {path: {"path": path} for path in _directories(found["files"]) if path != "/etc"}
    directories |= {directory["path"]: directory for directory in found["directories"]}
    return found | {
        "directories": list(directories.values()),
        "exclusive": _directories([file for measure in measures for file in measure.get("files", [])]),
    }


def _directories(files: Sequence[Mapping[str, t.Any]]) -> list[str]:
    return sorted({posixpath.dirname(file["dest"]) for file in files})


class FilterModule:
    """The filters, as Ansible looks them up."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Each by its name."""
        return {"host_measures": host_measures}
