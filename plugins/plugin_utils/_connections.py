# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Further connections to the server of a task: as somebody else, by another port. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import copy
import re
import typing as t
from collections.abc import Iterator

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.plugins.connection import ConnectionBase

# A server's banner is no reason.
_QUIET = "-o LogLevel=ERROR"
# None goes through a connection that is open already, and none is left open.
_FRESH = "-o ControlMaster=no -o ControlPath=none -o ControlPersist=no"

# What ssh says around the reason.
_NOISE = re.compile(
    r"^(Warning: Permanently added|debug\d:|OpenSSH_|\*\*|Pseudo-terminal|Failed to connect to the host via ssh:)"
)


def over_ssh(action: ActionBase) -> bool:
    """Whether the server is reached in a way that sshd and a firewall can close."""
    return bool(action._connection.transport == "ssh")


def other_ssh(action: ActionBase) -> bool:
    """Whether it is reached in such a way by a plugin that makes no fresh connections for us, such as paramiko's."""
    transport = str(action._connection.transport)
    return transport != "ssh" and bool(re.search("ssh|paramiko", transport))


@contextlib.contextmanager
def connected(action: ActionBase, user: str | None, port: int | None, *, fresh: bool = True) -> Iterator[None]:
    """Within this, the action works over a connection of its own.

    :param user: who logs in; None for the user of the present connection.
    :param port: None for the port of the present connection.
    :param fresh: do not share a connection that ssh holds open, nor leave one open.
    """
    present = action._connection
    own = _copy(present)
    if user is not None:
        own.set_option("remote_user", user)
    if port is not None:
        own.set_option("port", port)
    if over_ssh(action):
        options = (_QUIET, _FRESH) if fresh else (_QUIET,)
        own.set_option("ssh_args", " ".join([*options, own.get_option("ssh_args") or ""]))
    action._connection = own
    try:
        yield
    finally:
        with contextlib.suppress(AnsibleConnectionFailure):
            action._remove_tmp_path(own._shell.tmpdir)
        action._connection = present


def _copy(connection: ConnectionBase) -> ConnectionBase:
    """The same connection, with options, temporary directory and escalation of its own."""
    own = copy.copy(connection)
    own._options = dict(connection._options)
    own._shell = copy.copy(connection._shell)
    own._shell.tmpdir = None
    if connection.become:
        # It remembers what to wait for, which is nothing where the user is root already.
        own.become = copy.copy(connection.become)
        own.become.success = own.become.prompt = ""
    return own


def user_and_port(action: ActionBase) -> tuple[str | None, int | None]:
    """As whom and by which port the action is connected; None where the SSH configuration decides."""
    port = action._connection.get_option("port")
    return action._connection.get_option("remote_user"), int(port) if port is not None else None


def password_for_root(action: ActionBase) -> bool:
    """Whether there is a password to become root with, as of --ask-become-pass."""
    become = action._connection.become
    return bool(become and become.get_option("become_pass", playcontext=action._play_context))


def obstacle(action: ActionBase, user: str | None, port: int | None) -> str:
    """Why nobody gets in as a user who can become root, by a fresh connection; empty when he does."""
    with connected(action, user, port):
        try:
            done: dict[str, t.Any] = action._low_level_execute_command("true", sudoable=True)
        except AnsibleConnectionFailure as error:
            return reason(str(error))
        except Exception as error:  # a become plugin has its own
            return f"logged in, but cannot become root: {error}"
    return f"logged in, but cannot become root: {reason(done['stderr'] or done['stdout'])}" if done["rc"] else ""


def reason(words: str) -> str:
    """What ssh said, without what it says every time."""
    lines = [re.sub(_NOISE, "", line).strip() for line in words.replace("\r", "").splitlines()]
    return " ".join(line for line in lines if line).rstrip(".") or "no answer"
