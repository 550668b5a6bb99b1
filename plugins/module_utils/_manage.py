# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A management command as an operator orders it. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import re
import shlex
import typing as t
from collections.abc import Mapping

from ansible_collections.groundcrew.django.plugins.module_utils import _environment
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

# Options of the module ``manage``, for both of its sides.
SPEC: dict[str, dict[str, t.Any]] = {
    "app": {"type": "dict", "required": True},
    "command": {"type": "str", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "timeout": {"type": "int", "default": 3600},
    "show": {"type": "bool", "default": False},
    "run": {"type": "bool", "default": True},
}

_MANAGE_PY = re.compile(r"\s*(?:\S*python\S*\s+)?\S*manage\.py\b")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def order(params: Mapping[str, t.Any]) -> tuple[list[str], str]:
    """The words behind manage.py, and the text of an environment file with the secrets.

    :param params: as :data:`SPEC` describes them.
    :raises ReleaseError: when something about them is wrong; it tells no value of a secret.
    """
    command = params["command"]
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ReleaseError(
            f"The command cannot be split into words: {error}.", f"mend its quotes: {command}"
        ) from error
    if not words:
        raise ReleaseError("The command is empty.", "name one, such as -e command=clearsessions")
    if _MANAGE_PY.match(command):
        raise ReleaseError(f"The command names manage.py: {command}", "give only what comes behind it")
    if params["timeout"] < 1:
        raise ReleaseError(f"The command's timeout is {params['timeout']} s.", "give it one second at least")
    for name, value in params["secrets"].items():
        if not _NAME.fullmatch(str(name)):
            raise ReleaseError(
                f"secrets: {name!r} is no name of an environment variable.", "use letters, digits and underscores"
            )
        if not isinstance(value, str):
            raise ReleaseError(
                f"secrets.{name}: expected a string, found {type(value).__name__}; its value is not shown.",
                "put it in quotes",
            )
    try:
        return words, _environment.render(params["secrets"])
    except ReleaseError as error:
        raise ReleaseError(error.message.replace("env.", "secrets.", 1), "remove it") from error
