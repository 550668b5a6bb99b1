# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operator typed behind ``-e``, all words of it. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible.parsing.splitter import parse_kv

_WORD = re.compile(r"""(?:[^\s"']|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')+""")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def typed(name: str, value: str, options: Sequence[str]) -> str:
    """The value of a variable with the words that Ansible has dropped.

    A shell takes the quotes of ``-e command="migrate --plan"`` away, and Ansible then takes ``--plan`` for something
    else and forgets it. Words up to the next variable belong to the value: ``-e "command=migrate --plan app=shop"``.

    :param value: what Ansible has understood.
    :param options: what stood behind each ``-e``, in that order.
    :raises ValueError: when words follow that could be the value's or another variable's; its text tells the cure.
    """
    for option in reversed(options):
        # Files and YAML need no help; what is a template has been filled in since.
        if option[:1] in ("", "@", "[", "{", "/", ".") or "{{" in option or name not in (found := parse_kv(option)):
            continue
        if found[name] != value:
            break
        words = list(_WORD.finditer(option))
        first = max(number for number, word in enumerate(words) if word[0].startswith(f"{name}="))
        following = words[first + 1 :]
        count = next((number for number, word in enumerate(following) if _VARIABLE.match(word[0])), len(following))
        if any(not _VARIABLE.match(word[0]) for word in following[count:]):
            # Without the words themselves: one may be a secret.
            another = following[count][0].partition("=")[0]
            raise ValueError(
                f"-e {name}=...: Ansible takes {another}= for a variable, and whose the words behind it are cannot be "
                f'told. To cure it: quote the value twice, -e {name}="\'...\'", or write -e \'{{"{name}": "..."}}\''
            )
        if count == 0:
            break
        return option[words[first].start() + len(name) + 1 : following[count - 1].end()]
    return value
