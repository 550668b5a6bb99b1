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
  - It ends with the run that has begun it. What the operator must not wait for belongs into a worker or a schedule.
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
  secrets:
    description:
      - Environment variables of this one command, such as C(DJANGO_SUPERUSER_PASSWORD). They belong into a vault.
      - They reach the command by its memory alone, are written nowhere, and are masked in what it prints.
    type: dict
    default: {}
  timeout:
    description: Seconds after which the command is ended.
    type: int
    default: 3600
  show:
    description:
      - Print what the command says on the operator's screen as it is, once it has ended, instead of returning it as
        RV(stdout) and RV(stderr).
    type: bool
    default: false
  run:
    description: Whether to run the command. With V(false) its arguments are checked, and the server is not asked.
    type: bool
    default: true
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

- name: Make a first user
  groundcrew.django.manage:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    command: createsuperuser --noinput --username=alice --email=alice@example.com
    secrets:
      DJANGO_SUPERUSER_PASSWORD: "{{ vaulted_password }}"
    show: true
"""

RETURN = r"""
stdout:
  description: What the command printed.
  type: str
  returned: unless O(show)
  sample: "3 entries"
stderr:
  description: What the command printed to its standard error.
  type: str
  returned: unless O(show)
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

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils import _manage
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._operator import show_life
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release, spellings
from ansible_collections.groundcrew.django.plugins.module_utils._runner import SandboxRunner


def main() -> None:
    module = AnsibleModule(argument_spec=_manage.SPEC, supports_check_mode=True)
    params = module.params
    app = App(params["app"])
    module.no_log_values.update(app.secret_values() | spellings(map(str, params["secrets"].values())))
    try:
        words, secrets = _manage.order(params)
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    if not app.live:
        module.fail_json(msg=f"{app.name} has no live release. To cure it: run the playbook groundcrew.django.deploy.")
    release = Release(app, app.live)
    if module.check_mode:
        module.exit_json(changed=True, stdout="", stderr="", rc=0, release=release.id)
    runner = SandboxRunner(app.name, app.record["user"], app.home, purpose="manage")
    began = time.monotonic()
    done = runner.run(
        [release.python, "manage.py", *words],
        title=f"manage.py {words[0]}",
        cwd=release.directory,
        env=release.path_variables,
        environment_file=release.environment_file,
        writable=app.writable,
        timeout=params["timeout"],
        check=False,
        secrets=secrets,
        alive=show_life,
    )
    result = {"stdout": done.stdout, "stderr": done.stderr, "rc": done.rc, "release": release.id, "changed": True}
    if done.rc == 0:
        module.exit_json(**result)
    late = time.monotonic() - began >= params["timeout"]
    message = f"manage.py {params['command']} of {app.name} " + (
        f"was ended after {params['timeout']} s." if late else f"ended with status {done.rc}."
    )
    module.fail_json(msg=message if params["show"] else f"{message}\n{done.last_lines()}", **result)


if __name__ == "__main__":
    main()
