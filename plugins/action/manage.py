# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Refuses a wrong order before the server is asked, and prints what a command said. Documented in the module."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.groundcrew.django.plugins.module_utils import _manage
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.plugin_utils._controller import end_with_operator


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        del tmp  # not used by any action any more, yet part of the signature
        args = self.validate_argument_spec(_manage.SPEC)[1]
        try:
            _manage.order(args)
        except ReleaseError as error:
            raise AnsibleActionFail(str(error)) from error
        if not args["run"]:
            return {"changed": False}
        end_with_operator()
        result: dict[str, t.Any] = self._execute_module("groundcrew.django.manage", args, task_vars=task_vars)
        if args["show"]:
            for stream in ("stdout", "stderr"):
                said = result.pop(stream, "").rstrip("\n")
                # Ansible adds them to whatever a module returns.
                result.pop(f"{stream}_lines", None)
                if said:
                    self._display.display(said)
        return result
