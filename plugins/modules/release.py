#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Take a release of a Django app from its source to the live site, and back
version_added: 1.0.0
description:
  - O(state=fetched) begins a deploy, which goes through all of its steps on the server by itself, in a systemd unit
    that is named after the app, C(<app>-deploy.service). The later states wait for one step each, and return what it
    found.
  - A connection that is lost does no harm, because the deploy goes on; the next one waits for its end.
  - The unit is the lock as well. Another deploy of the app is refused as long as it runs, or waits for O(lock_wait).
  - Programs of the project run as the app's user, each in a transient unit with the app's sandbox and the environment
    of the release.
  - When a step fails, the release is removed, the ledger says so, and what was live stays live, or is live again.
  - RV(summary) and RV(notes) also appear on the operator's screen, as lines, while the deploy is at work.
options:
  app:
    description: The complete record of the app, as the filter P(groundcrew.django.app_records#filter) makes it.
    type: dict
    required: true
  state:
    description:
      - V(fetched) finds out which code is wanted and whether it differs, with all its inputs, from what is live.
        If it does, the code is put into a new release directory, and the deploy goes on by itself.
      - V(built) has made the virtual environment, installed the dependencies and run the app's build commands.
      - V(checked) has run Django's deployment checks with the real environment, and collected and compressed the static
        files.
      - V(migrated) has migrated the database.
      - V(live) has started the release, found it healthy, switched over, seen that visitors get it through nginx and
        TLS, and left the one before it to its last visitors.
      - V(finished) lets a deploy end that was told to wait after V(live).
      - V(abandoned) ends a deploy that waits for tasks of your own, which have failed; what is live stays live.
      - V(rolled_back) goes back to an earlier release through the same gate, without building anything.
    type: str
    choices: [fetched, built, checked, migrated, live, finished, abandoned, rolled_back]
    required: true
  operation:
    description: Id of the deploy, as O(state=fetched) returned it. Required for every state that only waits.
    type: str
  pauses:
    description:
      - Steps after which the deploy waits until the next state is asked for, for tasks of your own in between.
    type: list
    elements: str
    choices: [fetched, built, checked, migrated, live]
    default: []
  packages:
    description:
      - Debian packages that have to be on the server before a deploy begins. The action plugin installs those that are
        not, by M(ansible.builtin.apt); where all of them are, that costs nothing.
    type: list
    elements: str
    default: []
  lock_wait:
    description: Seconds to wait for the end of another deploy of the app; with 0 it is an error at once.
    type: float
    default: 0
  release:
    description: For O(state=rolled_back) the release to go back to, by default the good one before the live one.
    type: str
    default: ""
  rollback_migrations:
    description:
      - For O(state=rolled_back), unapply the migrations that the release does not know. What they added is lost.
    type: bool
    default: false
  rotate:
    description:
      - For O(state=fetched), the name of a secret that gets a new value first; what is deployed then is the live
        revision with it. V(secret_key), V(redis_password), one that the app's C(secrets) have generated, or one of
        O(secrets) whose value is another one than on the server.
      - V(secret_key_fallbacks) has the former SECRET_KEY forgotten.
      - When the deploy fails, the value before is in use again. When a run dies, the next deploy ends the rotation.
      - Releases with the former value are removed in the end, since they are no way back any more.
    type: str
    default: ""
  fallbacks:
    description:
      - For O(rotate=secret_key), whether the former key stays valid for what was signed with it, by
        SECRET_KEY_FALLBACKS. Where the project cannot do that, it is an error, before anything changes.
    type: bool
    default: true
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
    description: Who deploys, for the ledger, the lock and the journal. The action plugin fills it in.
    type: str
    default: ""
  why:
    description: Why, for the same places.
    type: str
    default: ""
  keep:
    description: Good releases that stay on the server, the live one among them. The one before it always stays.
    type: int
    default: 5
  health_timeout:
    description: Seconds that the release has to answer its health path.
    type: float
    default: 60
  drain_timeout:
    description:
      - Seconds after which the old release is stopped although somebody is still connected to it, as by a WebSocket.
    type: float
    default: 60
  smoke_test:
    description: Whether the health page and a static file are asked for through nginx and TLS after the switch.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    details:
      - O(state=fetched) finds out what would be deployed, with the commits since the live release and the migrations
        that it does not have.
      - On a server that was never set up it says only that there would be a first release.
      - O(state=rolled_back) says where it would lead.
      - The other states report a change and do nothing.
  diff_mode:
    support: partial
    details:
      - In check mode, for O(state=fetched).
  idempotent:
    support: partial
    details:
      - With O(state=fetched) a second run with the same inputs finds them live.
      - The states that wait are only called when it does not.
      - Every O(state=rolled_back) without O(release) goes back one more.
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
    packages: [git, libpq5]
    secrets: "{{ django_app_secrets.shop }}"
    environment:
      UV_INDEX_URL: https://pypi.example.com/simple
    lock_wait: 600
  register: shop

- name: Build shop and install its dependencies
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: built
    operation: "{{ shop.operation }}"
  when: shop.needed

- name: Check the settings of shop and collect its static files
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: checked
    operation: "{{ shop.operation }}"
  when: shop.needed

- name: Migrate the database of shop
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: migrated
    operation: "{{ shop.operation }}"
  when: shop.needed

- name: Start shop, ask whether it is healthy, and switch over
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: live
    operation: "{{ shop.operation }}"
  when: shop.needed

- name: Let a deploy end that was told to wait after it went live
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: finished
    operation: "{{ shop.operation }}"
  when: shop.needed

- name: Give up a deploy after a failure of your own tasks between two steps
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: abandoned
    operation: "{{ shop.operation }}"

- name: Give shop a new password for Redis
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: fetched
    rotate: redis_password
    why: somebody has left
  register: shop

- name: Go back to the release before
  groundcrew.django.release:
    app: "{{ django_apps | groundcrew.django.app_records | first }}"
    state: rolled_back
    why: the checkout is broken
"""

RETURN = r"""
missing_packages:
  description: Which of O(packages) are not installed; nothing else is done then. The action plugin installs them.
  type: list
  elements: str
  returned: when there are any
  sample: [libpq5]
operation:
  description: Id of the deploy, for the states that wait.
  type: str
  returned: when state is fetched
  sample: 145017-9f86d081884c
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
commits:
  description: The commits since the live release, the newest first; those that a step back takes away begin with C(<).
  type: list
  elements: str
  returned: when state is fetched, in check mode
  sample: [1a2b3c4 Sell gift cards]
migrations:
  description: Migrations of the new code that the live code does not have.
  type: list
  elements: str
  returned: when state is fetched, in check mode
  sample: [shop.0042_giftcard]
needed:
  description: Whether the other states are to follow.
  type: bool
  returned: when state is fetched
  sample: true
summary:
  description: One sentence for the operator.
  type: str
  returned: when state is fetched or rolled_back
  sample: "shop: main at 1a2b3c4d becomes release 20261122-145017-1a2b3c4d."
notes:
  description: What was decided for the app and why, a sentence each.
  type: list
  elements: str
  returned: always
  sample: ["ALLOWED_HOSTS is laid over: ['shop.example.com']"]
"""

import subprocess
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils import _carrier, _rollback
from ansible_collections.groundcrew.django.plugins.module_utils._deploy import look
from ansible_collections.groundcrew.django.plugins.module_utils._engine import STEPS
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._operator import show_life
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Options

# States that begin an operation, and its kind; the others wait for a step of a deploy.
BEGIN = {"fetched": "deploy", "rolled_back": "rollback"}

# States that end a deploy which waits for tasks of the operator's.
AFTER = ("finished", "abandoned")


def missing_packages(wanted: list[str]) -> list[str]:
    """Which of the Debian packages are not installed."""
    if not wanted:
        return []
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n", *wanted]
    shown = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    installed = {line.partition(" ")[2] for line in shown.splitlines() if line.startswith("installed ")}
    return sorted({package for package in wanted if package.partition(":")[0] not in installed})


def foresee(app: App, params: dict[str, t.Any], options: Options) -> dict[str, t.Any]:
    """What a dry run has to say."""
    if params["state"] == "fetched":
        return look(app, options)
    if params["state"] == "rolled_back":
        return _rollback.look(app, options)
    return {"changed": True}


def run(app: App, params: dict[str, t.Any], options: Options) -> dict[str, t.Any]:
    """Begin an operation or wait for a step of one."""
    carrier, state, operation = _carrier.Carrier(app.name), params["state"], params["operation"]
    notes: list[str] = []
    if state == "abandoned":
        return {"changed": carrier.abandon(operation)}
    if state in BEGIN:
        order = {
            "kind": BEGIN[state],
            "app": params["app"],
            "options": {name: params[name] for name in Options.__dataclass_fields__},
            "pauses": params["pauses"],
            "who": options.who,
            "why": options.why,
        }
        operation, notes = _carrier.begin(carrier, order, params["lock_wait"], show_life)
    result = _carrier.follow(carrier, operation, state, show_life)
    return {**result, "operation": operation, "notes": notes + result.get("notes", [])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "dict", "required": True},
            "state": {"type": "str", "required": True, "choices": ["fetched", *STEPS, *AFTER, "rolled_back"]},
            "operation": {"type": "str"},
            "pauses": {"type": "list", "elements": "str", "choices": ["fetched", *STEPS], "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "lock_wait": {"type": "float", "default": 0.0},
            "release": {"type": "str", "default": ""},
            "rollback_migrations": {"type": "bool", "default": False},
            "rotate": {"type": "str", "default": ""},
            "fallbacks": {"type": "bool", "default": True},
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
            "why": {"type": "str", "default": ""},
            "keep": {"type": "int", "default": 5},
            "health_timeout": {"type": "float", "default": 60.0},
            "drain_timeout": {"type": "float", "default": 60.0},
            "smoke_test": {"type": "bool", "default": True},
        },
        required_if=[("state", state, ["operation"]) for state in (*STEPS, *AFTER)],
        supports_check_mode=True,
    )
    params: dict[str, t.Any] = module.params
    app = App(params["app"])
    options = Options(**{name: params[name] for name in Options.__dataclass_fields__})
    # Generated secrets never passed Ansible's eyes, so it has to be told what to keep out of a result.
    module.no_log_values.update(app.secret_values())
    failure = ""
    lacking = missing_packages(params["packages"])
    if lacking and not module.check_mode:
        module.exit_json(changed=False, missing_packages=lacking)
    try:
        result = (foresee if module.check_mode else run)(app, params, options)
    except ReleaseError as error:
        failure = str(error)
    module.no_log_values.update(app.secret_values())
    if failure:
        module.fail_json(msg=failure)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
