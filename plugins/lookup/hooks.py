# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: hooks
author: groundcrew contributors (@groundcrew)
version_added: 1.0.0
short_description: The task files that run between the steps of a deploy
description:
  - Looks on the controller for the task files of C(app_deploy_hooks), so that a name that is wrong is told before a
    deploy begins, and a deploy without any pays nothing.
  - A relative path is looked for from the directory of the inventory, from the one above it, and from where the command
    was typed.
options:
  _terms:
    description: The hooks, from the step after which one runs to its file, as one term.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show which of your own tasks run after the migrations
  ansible.builtin.debug:
    msg: "{{ lookup('groundcrew.django.hooks', {'migrated': 'tasks/announce.yml'}).migrated }}"
"""

RETURN = r"""
_raw:
  description: From the step to the absolute path.
  type: list
  elements: dict
  sample: [{"migrated": "/home/me/site/tasks/announce.yml"}]
"""

import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.groundcrew.django.plugins.plugin_utils._controller import find, search_path

# As the module release names its steps, and what comes when one of them fails.
STEPS = ("fetched", "built", "checked", "migrated", "live", "failed")


class LookupModule(LookupBase):
    """Task files by step."""

    def run(
        self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any
    ) -> list[dict[str, str]]:
        """Find every file."""
        self.set_options(var_options=variables, direct=kwargs)
        (hooks,) = terms
        found = {}
        for step, name in hooks.items():
            if step not in STEPS:
                raise AnsibleLookupError(f"app_deploy_hooks: {step!r} is no step; there are: {', '.join(STEPS)}")
            found[step] = find(str(name), variables or {})
            if not found[step]:
                places = ", ".join(search_path(variables or {}))
                raise AnsibleLookupError(f"app_deploy_hooks.{step}: there is no file {name!r}; looked for in {places}")
        return [found]
