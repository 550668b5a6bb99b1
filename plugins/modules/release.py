#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Take a release of a Django app from its source to the live site
version_added: 1.0.0
description:
  - Each state is one whole step of a deploy, done on the server in a single call. A release goes through them in the
    order in which O(state) lists them.
  - Programs of the project run as the app's user, each in a transient systemd unit with the app's sandbox and the
    environment of the release.
  - When a step fails, the release is removed, the ledger says so, and what was live stays live.
options:
  app:
    description: The complete record of the app, as the filter P(groundcrew.django.app_records#filter) makes it.
    type: dict
    required: true
  state:
    description:
      - V(fetched) finds out which code is wanted and whether it differs, with all its inputs, from what is live.
        If it does, the code is put into a new release directory.
      - V(built) makes the virtual environment, installs the dependencies and runs the app's build commands.
      - V(checked) runs Django's deployment checks with the real environment, and collects and compresses the static
        files.
      - V(migrated) migrates the database.
      - V(live) starts the release, asks whether it is healthy, switches over and stops the old one.
    type: str
    choices: [fetched, built, checked, migrated, live]
    required: true
  release:
    description: Id of the release, as O(state=fetched) returned it. Required for every other state.
    type: str
  secrets:
    description:
      - Secrets of the app by name. Those that it needs and that are missing are generated once and kept on the server.
    type: dict
    default: {}
  files:
    description: Files to place. The action plugin renders them from the record; nothing is to be given.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Where it goes, in the code or, with an absolute path, on the server.
        type: str
        required: true
      content:
        description: Its text.
        type: str
        required: true
      mode:
        description: Its mode, in octal.
        type: str
        required: true
  archive:
    description: The packed source of O(app). The action plugin fills it in; nothing is to be given.
    type: dict
  environment:
    description: Variables for the steps that fetch and build, such as proxies and package indexes. Never a secret.
    type: dict
    default: {}
  who:
    description: Who deploys, for the ledger. The action plugin fills it in.
    type: str
    default: ""
  keep:
    description: Good releases that stay on the server, the live one among them, for O(state=live).
    type: int
    default: 5
  health_timeout:
    description: Seconds that the release has to answer its health path, for O(state=live).
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    details:
      - O(state=fetched) finds out what would be deployed.
      - On a server that was never set up it says only that there would be a first release.
      - The other states report a change and do nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - With O(state=fetched) a second run with the same inputs finds them live.
      - The other states are only called when it does not.
extends_documentation_fragment:
  - groundcrew.django._attributes
author:
  - groundcrew contributors (@groundcrew)
"""

EXAMPLES = r"""
- name: Fetch the wanted version of shop
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: fetched
    secrets: "{{ django_app_secrets.shop }}"
  register: shop

- name: Build shop and install its dependencies
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: built
    release: "{{ shop.release }}"
    environment:
      UV_INDEX_URL: https://pypi.example.com/simple
  when: shop.needed

- name: Check the settings of shop and collect its static files
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: checked
    release: "{{ shop.release }}"
  when: shop.needed

- name: Migrate the database of shop
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: migrated
    release: "{{ shop.release }}"
  when: shop.needed

- name: Start shop, ask whether it is healthy, and switch over
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: live
    release: "{{ shop.release }}"
    keep: 3
    health_timeout: 30
  when: shop.needed
"""

RETURN = r"""
release:
  description: Id of the release.
  type: str
  returned: when there is or will be one
  sample: 20261122-145017-1a2b3c4d
revision:
  description: The exact code, that is the commit or the start of the archive's checksum.
  type: str
  returned: when state is fetched and the server is prepared
  sample: 1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d
needed:
  description: Whether the other states are to follow.
  type: bool
  returned: when state is fetched
  sample: true
summary:
  description: One sentence for the operator.
  type: str
  returned: when state is fetched
  sample: "shop: main at 1a2b3c4d becomes release 20261122-145017-1a2b3c4d."
notes:
  description: What was decided for the app and why, a sentence each.
  type: list
  elements: str
  returned: when state is built, checked, migrated or live
  sample: ["ALLOWED_HOSTS is laid over: ['shop.example.com']"]
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils._deploy import STEPS, Options, fetch
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "dict", "required": True},
            "state": {"type": "str", "required": True, "choices": ["fetched", *STEPS]},
            "release": {"type": "str"},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "files": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "dest": {"type": "str", "required": True},
                    "content": {"type": "str", "required": True, "no_log": True},
                    "mode": {"type": "str", "required": True},
                },
            },
            "archive": {"type": "dict"},
            "environment": {"type": "dict", "default": {}},
            "who": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 5},
            "health_timeout": {"type": "float", "default": 60.0},
        },
        required_if=[("state", state, ["release"]) for state in STEPS],
        supports_check_mode=True,
    )
    params: dict[str, t.Any] = module.params
    app = App(params["app"])
    # Generated secrets never passed Ansible's eyes, so it has to be told what to keep out of a result.
    module.no_log_values.update(app.secret_values())
    options = Options(**{name: params[name] for name in Options.__dataclass_fields__})
    try:
        if params["state"] == "fetched":
            result = fetch(app, options, module.check_mode)
        elif module.check_mode:
            result = {"changed": True, "release": params["release"], "notes": []}
        else:
            with app.alone():
                result = STEPS[params["state"]](app, app.unfinished(params["release"]), options)
    except ReleaseError as error:
        module.no_log_values.update(app.secret_values())
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
