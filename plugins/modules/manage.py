#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: manage
short_description: Run a management command of a Django app
version_added: 1.0.0
description:
  - Runs C(manage.py) of the live release, as the app's user, in the app's sandbox and with its environment.
  - The command gets no standard input, so commands that ask questions need their C(--noinput) form.
options:
  app:
    description: The complete record of the app, as the filter P(groundcrew.django.app_records#filter) makes it.
    type: dict
    required: true
  command:
    description:
      - The management command with its arguments, split as a shell would split them.
      - It stands in the process list, so no secret belongs in it.
    type: str
    required: true
  timeout:
    description: Seconds that the command has.
    type: int
    default: 3600
attributes:
  check_mode:
    support: partial
    details:
      - Nothing is run, because nobody but the command knows what it would do.
  diff_mode:
    support: none
  idempotent:
    support: N/A
    details:
      - That is up to the command. It is always reported as a change.
extends_documentation_fragment:
  - groundcrew.django._attributes
author:
  - groundcrew contributors (@groundcrew)
"""

EXAMPLES = r"""
- name: Clear expired sessions of shop
  groundcrew.django.manage:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    command: clearsessions
"""

RETURN = r"""
stdout:
  description: What the command printed.
  type: str
  returned: always
  sample: "3 entries"
stderr:
  description: What the command printed to its standard error.
  type: str
  returned: always
  sample: ""
rc:
  description: Exit status of the command.
  type: int
  returned: always
  sample: 0
release:
  description: Id of the release that the command belongs to.
  type: str
  returned: always
  sample: 20261122-145017-1a2b3c4d
"""

import shlex

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release
from ansible_collections.groundcrew.django.plugins.module_utils._runner import SandboxRunner


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "dict", "required": True},
            "command": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 3600},
        },
        supports_check_mode=True,
    )
    app = App(module.params["app"])
    module.no_log_values.update(app.secret_values())
    if not app.live:
        module.fail_json(msg=f"{app.name} has no live release. To cure it: run the playbook groundcrew.django.deploy.")
    release = Release(app, app.live)
    if module.check_mode:
        module.exit_json(changed=True, stdout="", stderr="", rc=0, release=release.id)
    command = module.params["command"]
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        module.fail_json(msg=f"The command cannot be split into words: {error}. To cure it: mend its quotes: {command}")
    if not arguments:
        module.fail_json(msg="The command is empty. To cure it: name one, such as -e command=clearsessions")
    runner = SandboxRunner(app.name, app.record["user"], app.home, purpose="manage")
    done = runner.run(
        [release.python, "manage.py", *arguments],
        title=f"manage.py {arguments[0]}",
        cwd=release.directory,
        env=release.path_variables,
        environment_file=release.environment_file,
        writable=app.writable,
        timeout=module.params["timeout"],
        check=False,
    )
    result = {"stdout": done.stdout, "stderr": done.stderr, "rc": done.rc, "release": release.id, "changed": True}
    if done.rc != 0:
        module.fail_json(
            msg=f"manage.py {command} of {app.name} ended with status {done.rc}.\n{done.last_lines()}", **result
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
