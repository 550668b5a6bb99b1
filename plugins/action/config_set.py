# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a config set on the controller and hands it to the module in one call. Documented in the module."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    ARGUMENT_SPEC,
    argument_errors,
    literal_errors,
    pack_contents,
)


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        del tmp  # not used by any action any more, yet part of the signature
        variables = task_vars or {}

        self._refuse(literal_errors(self._task.args))
        args = self.validate_argument_spec(ARGUMENT_SPEC)[1]
        self._refuse(argument_errors(args))

        contents = {
            entry["dest"]: self._content(index, entry, variables)
            for index, entry in enumerate(args["files"])
            if entry["link"] is None
        }
        # The contents travel apart from the other arguments, which Ansible repeats in the result and the server's log.
        files = [{**entry, "content": None, "vars": {}} for entry in args["files"]]
        return self._execute_module(
            module_name="groundcrew.django.config_set",
            module_args={**args, "files": files, "_contents": pack_contents(contents)},
            task_vars=task_vars,
        )

    @staticmethod
    def _refuse(errors: list[str]) -> None:
        if errors:
            raise AnsibleActionFail("config_set: " + "\n".join(errors))

    def _content(self, index: int, entry: dict[str, t.Any], variables: dict[str, t.Any]) -> bytes:
        if entry["content"] is not None:
            return to_bytes(entry["content"], errors="surrogate_or_strict")
        source = entry["src"] or entry["copy"]
        where = f"files[{index}] ({source} for {entry['dest']})"
        try:
            if entry["copy"] is not None:
                return self._copy(entry["copy"])
            return self._render(entry, variables)
        except Exception as error:  # a template may raise anything
            message = f"{where}: {error}"
            if entry["secret"] and not isinstance(error, AnsibleUndefinedVariable):
                # The words of a filter, or of Python, may quote the value that they dislike.
                message = f"{where}: {type(error).__name__}; its words are withheld because the file is secret"
        raise AnsibleActionFail(message)  # outside of the handler, so that no context carries the withheld words

    def _copy(self, source: str) -> bytes:
        path = self._loader.get_real_file(self._find_needle("files", source))
        try:
            with open(path, "rb") as file:
                return file.read()
        finally:
            self._loader.cleanup_tmp_file(path)

    def _render(self, entry: dict[str, t.Any], variables: dict[str, t.Any]) -> bytes:
        """What ansible.builtin.template would write. Its lookup is the one public way to that; it keeps the bytes."""
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        if lookup is None:
            raise AnsibleError("the lookup ansible.builtin.template is missing")
        extra = {"template_destpath": entry["dest"], **entry["vars"]}
        (rendered,) = lookup.run([entry["src"]], variables=variables, template_vars=extra)
        return to_bytes("" if rendered is None else rendered, errors="surrogate_or_strict", nonstring="simplerepr")
