# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds a way into a server, and has it ready for modules. Documented in the module."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.groundcrew.django.plugins.module_utils import _first_contact
from ansible_collections.groundcrew.django.plugins.plugin_utils._connections import (
    connected,
    over_ssh,
    password_for_root,
    reason,
    user_and_port,
)

SPEC: dict[str, t.Any] = {
    "user": {"type": "str", "default": ""},
    "port": {"type": "int"},
}


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        del tmp  # not used by any action any more, yet part of the signature
        args = self.validate_argument_spec(SPEC)[1]
        script = _first_contact.script(args["user"])
        if not over_ssh(self):
            found = _first_contact.read(self._low_level_execute_command(script, sudoable=False)["stdout"])
            return self._result(None, None, found, [])
        found, user, port = self._find(args["user"], args["port"], script)
        installed: list[str] = []
        with connected(self, user, port, fresh=False):
            if found.initialising:
                self._display.display(
                    f"{self._play_context.remote_addr}: waiting until cloud-init has set the server up"
                )
                self._low_level_execute_command("cloud-init status --wait", sudoable=False)
                # It brings users, keys and python.
                found = _first_contact.read(self._low_level_execute_command(script, sudoable=False)["stdout"])
            if not found.python:
                installed = self._install_python()
        return self._result(user, port, found, installed)

    @staticmethod
    def _result(
        user: str | None, port: int | None, found: _first_contact.Server, installed: list[str]
    ) -> dict[str, t.Any]:
        keys = [key for key in found.keys if _first_contact.is_key(key)]
        return {
            "changed": bool(installed),
            "user": user,
            "port": port,
            "keys": keys,
            "allowed": list(found.allowed),
            "installed": installed,
        }

    def _find(self, user: str, port: int | None, script: str) -> tuple[_first_contact.Server, str | None, int | None]:
        """The first way that leads in and on to root, or else in: what is there, the user and the port."""
        present = user_and_port(self)
        tried = []
        shut: set[int | None] = set()
        second: tuple[_first_contact.Server, str | None, int | None] | None = None
        for who, where in _first_contact.ways(present, user, port):
            if where in shut:
                continue
            try:
                with connected(self, who, where, fresh=False):
                    done = self._low_level_execute_command(script, sudoable=False)
            except AnsibleConnectionFailure as error:
                said = reason(str(error))
                stop = _first_contact.host_key_problem(str(error), self._address(), where)
                if stop:
                    raise AnsibleActionFail(stop) from None
                tried.append((who, where, said))
                if not _first_contact.is_refusal_of_user(said):
                    shut.add(where)
                continue
            found = _first_contact.read(done["stdout"])
            if found.root or password_for_root(self):
                return found, who, where
            second = second or (found, who, where)
        if second:
            return second
        raise AnsibleActionFail(_first_contact.no_way_in(self._address(), tried, os.environ.get("USER", "")))

    def _address(self) -> str:
        return str(self._connection.get_option("host") or self._play_context.remote_addr)

    def _install_python(self) -> list[str]:
        """Modules need it, and some images lack it."""
        if self._task.check_mode:
            raise AnsibleActionFail(
                "the server has no python3, so a dry run can tell nothing of it; a real run installs it first"
            )
        self._display.display(f"{self._play_context.remote_addr}: installing python3, which modules need")
        done = self._low_level_execute_command(_first_contact.INSTALL_PYTHON, sudoable=True)
        if done["rc"]:
            raise AnsibleActionFail(f"python3 cannot be installed: {reason(done['stderr'] or done['stdout'])}")
        return ["python3"]
