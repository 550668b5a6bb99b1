#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell which releases of the Django apps are on a server
version_added: 1.0.0
description:
  - Reads the link, the ledger and systemd's state of any number of apps, and asks each live release for its health
    page.
options:
  apps:
    description: Complete records of the apps, as the filter P(groundcrew.django.app_records#filter) makes them.
    type: list
    elements: dict
    required: true
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
- name: Read what is live
  groundcrew.django.release_info:
    apps: "{{ django_apps | groundcrew.django.app_records }}"
"""

RETURN = r"""
apps:
  description:
    - One entry an app, in the order given. Its C(release) is empty where nothing is live.
    - C(previous) are the good releases that are still on the server, the newest first.
  type: list
  elements: dict
  returned: always
  sample:
    - name: shop
      release: 20261122-145017-1a2b3c4d
      described: main at 1a2b3c4d
      revision: 1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d
      since: "2026-11-22T14:51:02Z"
      who: alice@laptop
      service: active
      health: "200"
      previous: [20261121-090000-0a1b2c3d]
"""

import http.client
import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils import _ledger, _live
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, health_question


def describe(app: App) -> dict[str, t.Any]:
    """What there is to know of one app."""
    live = app.live
    present = os.listdir(app.paths["releases"]) if live else []
    entry = app.ledger.find(live)
    health = ""
    if live:
        try:
            health = str(health_question(app, live)()[0])
        except (OSError, http.client.HTTPException):
            health = "no answer"
    return {
        "name": app.name,
        "release": live,
        "described": entry.described if entry else "",
        "revision": entry.revision if entry else "",
        "since": entry.times.get("live", "") if entry else "",
        "who": entry.who if entry else "",
        "service": _live.systemctl("is-active", app.instance(live).service, check=False) if live else "",
        "health": health,
        "previous": [
            old.id
            for old in reversed(app.ledger.entries)
            if old.state == _ledger.GOOD and old.id in present and old.id != live
        ],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={"apps": {"type": "list", "elements": "dict", "required": True}}, supports_check_mode=True
    )
    try:
        apps = [describe(App(record)) for record in module.params["apps"]]
    except ReleaseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, apps=apps)


if __name__ == "__main__":
    main()
