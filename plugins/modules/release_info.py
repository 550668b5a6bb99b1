#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell what is live on a server, and how it fares
version_added: 1.0.0
description:
  - Tells of any number of apps which release is live, asks it for its health page, and for the migrations that its
    database has not seen.
  - Tells also what a rollback could go to, what is being deployed at this moment, whether the app is closed for
    maintenance, and how long its certificate lasts.
  - What cannot be found out is told under C(problems), and keeps nothing else back.
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
  description: One entry an app, in the order given.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: The app.
      type: str
      sample: shop
    release:
      description: Id of the live release; empty where nothing is live.
      type: str
      sample: 20261122-145017-1a2b3c4d
    described:
      description: Which version that is, in words.
      type: str
      sample: main at 1a2b3c4d
    revision:
      description: The revision of its source.
      type: str
      sample: 1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d
    since:
      description: When it went live, UTC in ISO 8601.
      type: str
      sample: "2026-11-22T14:51:02Z"
    who:
      description: Who deployed it, and from where.
      type: str
      sample: alice@laptop
    service:
      description: What systemd says of its service.
      type: str
      sample: active
    health:
      description: Status of its health page, or V(no answer).
      type: str
      sample: "200"
    healthy:
      description: Whether that is a status that the app's description calls healthy; null where nothing is live.
      type: bool
      sample: true
    previous:
      description: The releases that a rollback can go to, the best first.
      type: list
      elements: str
      sample: [20261121-090000-0a1b2c3d]
    at_work:
      description: The deploy or rollback that is at work right now, in its own words; empty where there is none.
      type: str
      sample: "shop: deploy by bob@desk since 2026-11-22 18:20:11 UTC"
    draining:
      description: Releases that serve their last visitors before they are stopped.
      type: list
      elements: str
      sample: [20261121-090000-0a1b2c3d]
    workers:
      description:
        - The processes of the app's workers, with C(name), C(release), C(state) in systemd's words and the number of
          C(restarts) that nobody asked for. One of another release that is C(deactivating) finishes its tasks.
      type: list
      elements: dict
      sample: [{"name": "celery", "release": "20261122-145017-1a2b3c4d", "state": "active", "restarts": 0}]
    schedules:
      description:
        - The app's schedules, with C(name), the C(result) of the C(last) run and the time of the C(next) one.
      type: list
      elements: dict
      sample: [{"name": "nightly", "result": "ok", "last": "Sun 2026-11-22 03:00:01 UTC", "next": ""}]
    maintenance:
      description: Whether the app is closed for maintenance.
      type: bool
      sample: false
    pending_migrations:
      description:
        - Migrations of the live release that its database has not seen. Null where there is no database, or where it
          cannot be found out.
      type: list
      elements: str
      sample: [shop.0007_price]
    certificate:
      description:
        - C(days) that the certificate has left, and whether it is C(self_signed), which is what nginx starts with. Null
          where there is none.
      type: dict
      sample: {"days": 61, "self_signed": false}
    problems:
      description: What could not be found out, and why.
      type: list
      elements: str
      sample: []
"""

from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils._release import App
from ansible_collections.groundcrew.django.plugins.module_utils._status import describe


def main() -> None:
    module = AnsibleModule(
        argument_spec={"apps": {"type": "list", "elements": "dict", "required": True}}, supports_check_mode=True
    )
    apps = [App(record) for record in module.params["apps"]]
    for app in apps:
        module.no_log_values.update(app.secret_values())
    # Most of the time goes into waiting for what the apps answer.
    with ThreadPoolExecutor() as pool:
        module.exit_json(changed=False, apps=list(pool.map(describe, apps)))


if __name__ == "__main__":
    main()
