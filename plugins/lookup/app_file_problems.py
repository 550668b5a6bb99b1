# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: app_file_problems
author: groundcrew contributors (@groundcrew)
version_added: 1.0.0
short_description: What the apps' descriptions name on the controller and is not there
description:
  - Looks for the directory of C(source.path), for a manage.py in it, for what C(source.include) names, and for the
    templates under C(files). Reads nothing else, and contacts no server.
  - A relative path is looked for from the directory of the inventory, from the one above it, and from where the command
    was typed; a template there and in C(templates/).
  - What is wrong with a description in itself is told by P(groundcrew.django.app_problems#filter), and left out here.
options:
  _terms:
    description: The list of descriptions, C(django_apps), as one term.
    type: list
    elements: raw
    required: true
seealso:
  - plugin: groundcrew.django.app_problems
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Stop when something is missing on the controller
  ansible.builtin.assert:
    that: missing | length == 0
    fail_msg: "{{ missing }}"
  vars:
    missing: "{{ query('groundcrew.django.app_file_problems', django_apps) }}"
"""

RETURN = r"""
_raw:
  description: One line for each thing that is missing, with its place and the cure.
  type: list
  elements: str
  sample:
    - "django_apps[0].source.path: there is no directory '../shop'; a relative path is looked for in /home/me"
"""

import os
import typing as t
from collections.abc import Iterator, Mapping

from ansible.plugins.lookup import LookupBase

from ansible_collections.groundcrew.django.plugins.plugin_utils._controller import find, search_path

# Where a manage.py is somebody else's.
_FOREIGN = ("node_modules", "site-packages", "venv")

Variables = Mapping[str, t.Any]


class LookupModule(LookupBase):
    """Problems of the apps, in their order."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """Look for everything that the descriptions name."""
        self.set_options(var_options=variables, direct=kwargs)
        (apps,) = terms
        return [
            problem
            for number, app in enumerate(apps if isinstance(apps, list) else [])
            if isinstance(app, Mapping)
            for problem in _problems(f"django_apps[{number}]", app, variables or {})
        ]


def _problems(where: str, app: Mapping[str, t.Any], variables: Variables) -> Iterator[str]:
    source = app.get("source")
    if isinstance(source, Mapping) and isinstance(source.get("path"), str):
        yield from _source(f"{where}.source", source, app.get("directory"), variables)
    files = app.get("files")
    for number, file in enumerate(files if isinstance(files, list) else []):
        template = file.get("template") if isinstance(file, Mapping) else None
        if isinstance(template, str) and not os.path.isfile(find(template, variables, "templates")):
            yield f"{where}.files[{number}].template: {_missing('file', template, variables)}, and in templates/ there"


def _source(where: str, source: Mapping[str, t.Any], directory: t.Any, variables: Variables) -> Iterator[str]:
    path = find(source["path"], variables)
    if not os.path.isdir(path):
        yield f"{where}.path: {_missing('directory', source['path'], variables)}"
        return
    if isinstance(directory, str) and directory:
        if not os.path.isfile(os.path.join(path, directory, "manage.py")):
            yield f"{where}.path: there is no manage.py in {os.path.join(path, directory)}, which `directory` names"
    elif not _has_manage_py(path):
        yield f"{where}.path: there is no manage.py anywhere in {path}: name the directory of a Django project"
    included = source.get("include")
    for number, name in enumerate(included if isinstance(included, list) else []):
        if isinstance(name, str) and not os.path.exists(os.path.join(path, name)):
            yield f"{where}.include[{number}]: there is no {name!r} in {path}: build it first, or remove the entry"


def _missing(what: str, path: str, variables: Variables) -> str:
    if os.path.isabs(os.path.expanduser(path)):
        return f"there is no {what} {path!r} on this machine"
    return f"there is no {what} {path!r}; a relative path is looked for in {', '.join(search_path(variables))}"


def _has_manage_py(path: str) -> bool:
    for _directory, directories, files in os.walk(path):
        if "manage.py" in files:
            return True
        directories[:] = [name for name in directories if name not in _FOREIGN and not name.startswith(".")]
    return False
