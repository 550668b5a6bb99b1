# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders a config set on the controller and hands it to the module in one call. Documented in the module."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable

from ansible.errors import AnsibleActionFail, AnsibleError, AnsibleUndefinedVariable
from ansible.module_utils.common.text.converters import to_bytes
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    ARGUMENT_SPEC,
    ASK,
    CONFIRM,
    HOLD,
    argument_errors,
    literal_errors,
    pack_contents,
)
from ansible_collections.groundcrew.django.plugins.module_utils._first_contact import is_refusal_of_user
from ansible_collections.groundcrew.django.plugins.plugin_utils._connections import (
    connected,
    obstacle,
    other_ssh,
    over_ssh,
    user_and_port,
)

_OTHER_SSH = (
    "config_set {name}: nothing was touched. The connection plugin {transport} cannot tell whether a fresh connection "
    "would still succeed, which would keep a lock-out from happening. Use ansible_connection: ssh."
)
_NOT_BEFORE = (
    "config_set {name}: nothing was touched. This change may close every other way in, and a fresh connection as "
    "{user} does not succeed even before it: {wrong}. See that the server has a public key of {user} whose private "
    "key you connect with, and that {user} may become root."
)
_TAKEN_BACK = (
    "config_set {name}: with the new configuration no fresh connection as {user} succeeded: {wrong}. The server has "
    "taken it back, and can be reached as before. Correct what was changed, and run this again."
)
_SHUT_OUT = (
    "config_set {name}: with the new configuration no fresh connection as {user} succeeded: {wrong}. The server takes "
    "it back by itself within two minutes, but does not answer as before yet: {still}. Run this again in a moment."
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
        sent = {**args, "files": files, "_contents": pack_contents(contents)}

        def call(phase: str = "") -> dict[str, t.Any]:
            step = {"_phase": phase} if phase else {}
            result: dict[str, t.Any] = self._execute_module(
                module_name="groundcrew.django.config_set", module_args={**sent, **step}, task_vars=task_vars
            )
            return result

        if not args["reconnect"] or self._task.check_mode:
            return call()
        if other_ssh(self):
            raise AnsibleActionFail(_OTHER_SSH.format(name=args["name"], transport=self._connection.transport))
        return self._held(args, call)

    def _held(self, args: dict[str, t.Any], call: Callable[[str], dict[str, t.Any]]) -> dict[str, t.Any]:
        """Make a change that stays only when a fresh connection succeeds before and after it."""
        user, port, within = (args["reconnect"][key] for key in ("user", "port", "within"))
        asked = call(ASK)
        if asked.get("failed") or not asked.pop("pending", False):
            return asked
        # Who does not get in now will not afterwards.
        wrong = obstacle(self, user, None) if args["reconnect"]["before"] and over_ssh(self) else ""
        if wrong:
            raise AnsibleActionFail(_NOT_BEFORE.format(name=args["name"], user=user or "you", wrong=wrong))
        held = call(HOLD)
        # Somebody else may have made the same change meanwhile.
        if held.get("failed") or not held.pop("pending", False):
            return held
        held["reconnected"] = self._confirm(args["name"], user, port, within, call)
        return held

    def _confirm(
        self, name: str, user: str | None, port: int | None, within: int, call: Callable[[str], dict[str, t.Any]]
    ) -> dict[str, t.Any]:
        """Come back over a fresh connection, and have the change stay."""
        deadline = time.monotonic() + within
        ways: list[tuple[str | None, int | None]] = [(user, None), (user, port)] if port else [(user, None)]
        wrong: dict[str, None] = {}
        refusals = 0
        # What is left then is the server's, which begins a moment earlier. Who is refused twice will not be let in
        # later, and sshd keeps out for a while who tries too often.
        while refusals < 2 and time.monotonic() < deadline - within * 0.4:
            for way in ways if over_ssh(self) else [(None, None)]:
                said = obstacle(self, *way)
                if said:
                    wrong[said] = None
                    refusals += is_refusal_of_user(said)
                    continue
                with connected(self, *way):
                    confirmed = call(CONFIRM)
                    if confirmed.get("failed"):
                        raise AnsibleActionFail(confirmed["msg"])
                    return dict(zip(("user", "port"), user_and_port(self), strict=True))
            time.sleep(2)
        self._display.display(f"config_set {name}: waiting until the server takes the change back")
        time.sleep(max(0.0, deadline - time.monotonic()) + 5)
        still = obstacle(self, None, None)
        raise AnsibleActionFail(
            (_TAKEN_BACK if not still else _SHUT_OUT).format(
                name=name, user=user or "you", wrong="; ".join(wrong), still=still
            )
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
