# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Adds what only the controller has to the module release: archives and rendered files. Documented in the module."""

from __future__ import annotations

import dataclasses
import getpass
import os
import socket
import tarfile
import tempfile
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader

from ansible_collections.groundcrew.django.plugins.module_utils._archive import archive
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.plugin_utils._controller import find


def _user() -> str:
    """Who deploys; a job of a CI may run under a number that has no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = False
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        del tmp  # not used by any action any more, yet part of the signature
        variables = task_vars or {}
        args = dict(self._task.args)
        args["who"] = f"{_user()}@{socket.gethostname()}"
        if args.get("state") != "fetched":
            return self._release(args, variables)

        app = args["app"]
        args["files"] = [self._render(app, file, variables) for file in app["files"]]
        if app["source"]["kind"] != "path":
            return self._release(args, variables)
        with tempfile.TemporaryDirectory(prefix="groundcrew-") as directory:
            packed = os.path.join(directory, "source.tar.gz")
            args["archive"] = {"revision": self._pack(app, packed, variables)}
            if self._task.check_mode:
                # Only to tell what a deploy would migrate.
                with tarfile.open(packed) as tar:
                    args["archive"]["files"] = [name for name in tar.getnames() if "/migrations/" in f"/{name}"]
            result = self._release(args, variables)
            if result.get("archive_wanted"):
                # Asked first, so that a run that deploys nothing sends nothing.
                # A second directory would make Ansible forget the first, with a module in it that holds the secrets.
                remote_tmp = self._connection._shell.tmpdir or self._make_tmp_path()
                remote = self._connection._shell.join_path(remote_tmp, "source.tar.gz")
                self._transfer_file(packed, remote)
                args["archive"] = {**args["archive"], "path": remote}
                result = self._release(args, variables)
        return result

    def _release(self, args: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        result = self._run("groundcrew.django.release", args, variables)
        packages = result.get("missing_packages")
        if result.get("archive_wanted"):
            return result
        if not packages:
            for line in filter(None, [result.get("summary"), *result.get("notes", [])]):
                self._display.display(line)
            return result
        self._display.display(f"Installing {', '.join(packages)}")
        # Fresh servers look as if their package lists were new, and have none.
        wish = {"name": packages, "update_cache": True, "install_recommends": False, "lock_timeout": 300}
        installed = self._run("ansible.builtin.apt", wish, variables)
        return installed if installed.get("failed") else self._run("groundcrew.django.release", args, variables)

    def _run(self, module: str, args: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=args, task_vars=variables)
        return result

    def _pack(self, app: dict[str, t.Any], packed: str, variables: dict[str, t.Any]) -> dict[str, str]:
        source = app["source"]
        path = find(source["path"], variables)
        if not path:
            raise AnsibleActionFail(f"source.path of {app['name']} is not there: {source['path']}")
        try:
            made = archive(path, source["include"], packed)
        except ReleaseError as error:
            raise AnsibleActionFail(str(error)) from error
        for notice in made.notices:
            self._display.warning(f"{app['name']}: {notice}")
        return dataclasses.asdict(made.revision)

    def _render(self, app: dict[str, t.Any], file: dict[str, t.Any], variables: dict[str, t.Any]) -> dict[str, t.Any]:
        path = find(file["template"], variables, "templates")
        if not path:
            raise AnsibleActionFail(
                f"The template for {file['dest']} of {app['name']} is not there: {file['template']}"
            )
        lookup = lookup_loader.get("ansible.builtin.template", loader=self._loader, templar=self._templar)
        (text,) = lookup.run([path], variables=variables, template_vars={"app": app})
        return {"dest": file["dest"], "mode": file["mode"], "content": str(text)}
