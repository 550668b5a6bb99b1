# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: public_keys
author: groundcrew contributors (@groundcrew)
version_added: 1.0.0
short_description: Public keys of SSH, given as text or as files on the controller
description:
  - Returns each key once, as a line of authorized_keys, options in front of it included.
  - Of a file, every key in it is taken. A relative path is looked for from the directory of the inventory, from the one
    above it, and from where the command was typed.
options:
  _terms:
    description: Keys and paths. Where there are none, O(otherwise) is returned.
    type: list
    elements: str
    required: true
  otherwise:
    description: Keys to return where none are given. Without any, those of the operator, C(~/.ssh/id_*.pub).
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Show who may log in
  ansible.builtin.debug:
    msg: "{{ query('groundcrew.django.public_keys', 'keys/anna.pub', 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 ben') }}"
"""

RETURN = r"""
_raw:
  description: The keys.
  type: list
  elements: str
  sample: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 ops@example.com"]
"""

import glob
import os
import pathlib
import typing as t

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.groundcrew.django.plugins.module_utils._first_contact import is_key
from ansible_collections.groundcrew.django.plugins.plugin_utils._controller import find, search_path


class LookupModule(LookupBase):
    """The keys, in the order in which they are given."""

    def run(self, terms: list[t.Any], variables: dict[str, t.Any] | None = None, **kwargs: t.Any) -> list[str]:
        """Read what is given."""
        self.set_options(var_options=variables, direct=kwargs)
        found = [key for term in terms for key in self._keys(str(term).strip(), variables or {})]
        if not terms:
            found = list(self.get_option("otherwise")) or _operators()
        return list(dict.fromkeys(found))

    def _keys(self, term: str, variables: dict[str, t.Any]) -> list[str]:
        if " " in term and not os.path.exists(os.path.expanduser(term)):
            return [_checked(term, "host_admin_keys")]
        path = find(term, variables)
        if not path:
            raise AnsibleLookupError(
                f"{term!r} is neither a public key nor a file; a relative path is looked for in "
                f"{', '.join(search_path(variables))}"
            )
        text = pathlib.Path(path).read_text("utf-8", errors="replace")
        if "PRIVATE KEY" in text:
            raise AnsibleLookupError(
                f"{path} is a private key, which stays where it is: give its public key, {path}.pub"
            )
        lines = [line.strip() for line in text.splitlines()]
        return [_checked(line, path) for line in lines if line and not line.startswith("#")]


def _checked(line: str, where: str) -> str:
    """A line of authorized_keys: a key, perhaps with options in front of it."""
    words = line.split(" ")
    if "\n" in line or not any(is_key(" ".join(words[index:])) for index in range(len(words))):
        raise AnsibleLookupError(
            f"{where}: {line[:40]!r} is no public key, such as ssh-ed25519 AAAA... you@example.com"
        )
    return line


def _operators() -> list[str]:
    """The public keys with which somebody on this machine logs in by default."""
    files = sorted(glob.glob(os.path.expanduser("~/.ssh/id_*.pub")))
    lines = [pathlib.Path(file).read_text("utf-8", errors="replace").strip() for file in files]
    return [line for line in lines if is_key(line)]
