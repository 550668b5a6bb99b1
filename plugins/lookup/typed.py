# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: typed
author: groundcrew contributors (@groundcrew)
version_added: 1.0.0
short_description: A variable of the command line with all of its words
description:
  - In C(-e command="migrate --plan") the shell takes the quotes away, Ansible sets C(command) to V(migrate), and drops
    the other word without saying so. This lookup gives it back.
  - All words belong to the variable up to one that is a variable itself, as in C(-e "command=migrate --plan app=shop").
  - A variable that comes from elsewhere, or was quoted twice, stays as it is.
options:
  _terms:
    description: The name of the variable, and what it is worth to Ansible.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show what was typed behind -e command=
  ansible.builtin.debug:
    msg: "{{ lookup('groundcrew.django.typed', 'command', command) }}"
"""

RETURN = r"""
_raw:
  description: The value.
  type: list
  elements: str
  sample: ["migrate --plan"]
"""

import typing as t

from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.groundcrew.django.plugins.plugin_utils._typed import typed


class LookupModule(LookupBase):
    """The words of one variable."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[t.Any]:
        """Look at the command line."""
        self.set_options(var_options=variables, direct=kwargs)
        name, value = terms
        if not isinstance(value, str):
            return [value]
        try:
            return [typed(name, value, context.CLIARGS.get("extra_vars") or ())]
        except ValueError as error:
            raise AnsibleLookupError(str(error)) from error
