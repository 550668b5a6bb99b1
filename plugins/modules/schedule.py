#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: schedule
short_description: Run a schedule of a Django app now
version_added: 1.0.0
description:
  - Starts the very unit that the schedule's timer starts, waits for its end, and returns what it printed.
  - If it runs already, its end is waited for, and it is not started a second time.
  - A connection that is lost does no harm, because the unit goes on by itself.
options:
  app:
    description: The complete record of the app, as the filter P(groundcrew.django.app_records#filter) makes it.
    type: dict
    required: true
  name:
    description: Name of the schedule.
    type: str
    required: true
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
- name: Run the nightly command of shop now
  groundcrew.django.schedule:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    name: nightly
"""

RETURN = r"""
output:
  description: What the command printed, errors included.
  type: str
  returned: always
  sample: "3 entries"
result:
  description: How it ended, in the words of RV(groundcrew.django.release_info#module:apps[].schedules).
  type: str
  returned: always
  sample: ok
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils import _background
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release


def main() -> None:
    module = AnsibleModule(
        argument_spec={"app": {"type": "dict", "required": True}, "name": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    app, name = App(module.params["app"]), module.params["name"]
    module.no_log_values.update(app.secret_values())
    if not app.live:
        module.fail_json(msg=f"{app.name} has no live release. To cure it: run the playbook groundcrew.django.deploy.")
    names = [schedule["name"] for schedule in Release(app, app.live).facts.get("schedules", [])]
    if name not in names:
        known = f"name one of {', '.join(names)}" if names else "describe one under `schedules`, and deploy"
        module.fail_json(msg=f"{app.name} has no schedule {name!r}. To cure it: {known}.")
    if module.check_mode:
        module.exit_json(changed=True, output="", result="")
    result, output = _background.run_now(app, name)
    if result != "ok":
        module.fail_json(msg=f"The schedule {name} of {app.name} has {result}.\n{output}", output=output, result=result)
    module.exit_json(changed=True, output=output, result=result)


if __name__ == "__main__":
    main()
