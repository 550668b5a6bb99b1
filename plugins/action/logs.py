# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the entries that the module finds, and asks for more while they are followed. Documented in the module."""

from __future__ import annotations

import typing as t

from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.groundcrew.django.plugins.module_utils._journal import display
from ansible_collections.groundcrew.django.plugins.plugin_utils._controller import end_with_operator

# Seconds that one call waits for something to come.
WAIT = 20


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        del tmp  # not used by any action any more, yet part of the signature
        variables = task_vars or {}
        args = dict(self._task.args)
        follow = boolean(args.get("follow", False))
        server = variables["inventory_hostname"] if len(variables["ansible_play_hosts_all"]) > 1 else ""
        end_with_operator()
        shown = 0
        while True:
            found = self._execute_module("groundcrew.django.logs", args, task_vars=variables)
            if "entries" not in found:
                return found
            for entry in found["entries"]:
                self._display.display(display(entry, found["process_columns"], server))
            shown += len(found["entries"])
            if not follow:
                if not shown:
                    self._display.display(f"{args['app']['name']}: nothing to show")
                return {"changed": False, "shown": shown}
            args |= {"cursor": found["cursor"], "wait": WAIT}
