#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: logs
short_description: Show what the processes of a Django app have said
version_added: 1.0.0
description:
  - Prints an app's entries of systemd's journal on the operator's screen, a line each with its time (UTC), process,
    release and text, oldest first.
  - A secret of the app that stands in an entry is masked. Control characters are written out.
options:
  app:
    description: The complete record of the app, as the filter P(groundcrew.django.app_records#filter) makes it.
    type: dict
    required: true
  apps:
    description:
      - Names of the other apps of the server, so that none of their processes is taken for one of this app's.
      - Apps that the server itself knows need not be named.
    type: list
    elements: str
    default: []
  process:
    description:
      - Show this process only, such as V(web) or V(deploy).
      - Without it all are shown but V(step), V(look), V(manage) and V(web-drain), which are shown only by their names.
    type: str
    default: ""
  since:
    description: Show nothing older, in journalctl's words, such as V(1 hour ago), V(today) or V(2026-11-26 14:30).
    type: str
    default: ""
  lines:
    description: At most so many entries, the last ones.
    type: int
    default: 100
  grep:
    description:
      - Show only entries whose text matches this regular expression, as C(journalctl --grep) understands it. Without
        capital letters it matches both cases.
    type: str
    default: ""
  follow:
    description: Go on showing what comes until the operator interrupts the run.
    type: bool
    default: false
  cursor:
    description: Return what came after this entry. O(follow) uses it between its calls.
    type: str
    default: ""
  wait:
    description: With O(cursor), wait so many seconds for something to come.
    type: float
    default: 0.0
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
extends_documentation_fragment:
  - groundcrew.django._attributes
author:
  - groundcrew contributors (@groundcrew)
"""

EXAMPLES = r"""
- name: Show the errors of the last hour
  groundcrew.django.logs:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    process: web
    since: 1 hour ago
    grep: error
"""

RETURN = r"""
shown:
  description: Number of entries that were printed.
  type: int
  returned: success
  sample: 3
"""

import os
import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils import _journal
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._operator import BEAT, show_life
from ansible_collections.groundcrew.django.plugins.module_utils._release import App

# Seconds between two looks into the journal.
INTERVAL = 1.0


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "dict", "required": True},
            "apps": {"type": "list", "elements": "str", "default": []},
            "process": {"type": "str", "default": ""},
            "since": {"type": "str", "default": ""},
            "lines": {"type": "int", "default": 100},
            "grep": {"type": "str", "default": ""},
            "follow": {"type": "bool", "default": False},
            "cursor": {"type": "str", "default": ""},
            "wait": {"type": "float", "default": 0.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    app = App(module.params["app"])
    module.no_log_values.update(app.secret_values())
    own = os.path.dirname(app.paths["config"])
    apps = {*params["apps"], *(os.listdir(own) if os.path.isdir(own) else [])}
    journal = _journal.Journal(app.name, apps)
    wish = _journal.Wish(**{name: params[name] for name in ("process", "since", "lines", "grep", "cursor")})
    beat = time.monotonic()
    end = beat + params["wait"]
    try:
        entries, cursor = journal.read(wish)
        while not entries and time.monotonic() < end:
            time.sleep(INTERVAL)
            if time.monotonic() - beat >= BEAT:
                show_life()
                beat = time.monotonic()
            entries, cursor = journal.read(wish)
        columns = max(map(len, _journal.chosen(wish.process, journal.processes(), app.name)))
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, entries=entries, cursor=cursor, process_columns=columns)


if __name__ == "__main__":
    main()
