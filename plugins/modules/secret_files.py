#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate secrets on the server once and keep them, each in a file of its own."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secret_files
short_description: Keep secrets on the server, each in a file of its own
version_added: 1.0.0
description:
  - Makes sure that each secret exists as a file with mode C(0600), owned by root. One call handles any number of them.
  - A secret that is neither given nor there is generated once, on the server, from letters and digits only, so it needs
    no quoting in a URL, an environment file or SQL. After that it is kept. It never travels to the controller.
  - A secret that is given as O(secrets[].value) replaces what is there.
  - The directory of a file is made with mode C(0700) when it is missing. A directory that is there keeps its mode, and
    is refused when others than root can write to it.
  - Files are written without a newline at the end; a newline that an editor left there is no part of the secret.
options:
  secrets:
    description: The secrets that should exist. The same entry may appear more than once.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Full path of the file.
        type: path
        required: true
      length:
        description: Number of characters to generate, at least 16. One that is given or there may have fewer.
        type: int
        default: 50
      value:
        description:
          - The secret itself, from a vault.
          - Leave it out to have one generated.
        type: str
      keep_former:
        description:
          - Whether another secret that O(secrets[].value) replaces is kept beside it, in a file whose name ends in
            C(.former), for whoever still uses it. Somebody else has to remove that file, as a deploy of the app does.
            While it is there, no further value is taken, because either of the two may be in use.
        type: bool
        default: false
extends_documentation_fragment:
  - groundcrew.django._attributes
attributes:
  check_mode:
    support: full
    details: A fixed placeholder is returned as the hash of a secret that would be generated.
  diff_mode:
    support: partial
    details: The diff names the files and what happens to them, never a secret or a hash.
  idempotent:
    support: full
notes:
  - RV(sha256) holds plain hashes. Those of generated secrets tell nothing, as 50 random letters and digits cannot be
    guessed. A short secret that a person chose can be guessed from its hash, so set C(no_log=true) on a task that
    passes O(secrets[].value). Registered results can still be used then.
author:
  - Groundcrew contributors (@groundcrew)
"""

EXAMPLES = r"""
- name: Generate the secrets of the shop once
  groundcrew.django.secret_files:
    secrets:
      - path: /etc/groundcrew/shop/secrets/secret_key
        length: 64
      - path: /etc/groundcrew/shop/secrets/redis_password

- name: Store a secret from the vault
  groundcrew.django.secret_files:
    secrets:
      - path: /etc/groundcrew/shop/secrets/payment_token
        value: "{{ vault_shop_payment_token }}"
  no_log: true

- name: Write the users of a Redis server without knowing a password
  groundcrew.django.secret_files:
    secrets:
      - path: /etc/groundcrew/shop/secrets/redis_password
  register: shop_secrets
# A line of the users' file:
#   user shop on #{{ shop_secrets.sha256['/etc/groundcrew/shop/secrets/redis_password'] }} ~* +@all
"""

RETURN = r"""
sha256:
  description:
    - The SHA-256 of each secret in hexadecimal digits, by path.
    - In check mode, 64 zeros stand for a secret that would be generated.
  returned: success
  type: dict
  sample:
    /etc/groundcrew/shop/secrets/redis_password: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
former:
  description:
    - The SHA-256 of the value before, by path, of each secret whose rotation has not come to its end. The value lies
      beside the secret, in a file whose name ends in C(.former), and whoever checks the secret takes both.
  returned: success
  type: dict
  sample:
    /etc/groundcrew/shop/secrets/redis_password: 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.groundcrew.django.plugins.module_utils._secret_files import (
    SecretFileError,
    apply,
    describe,
    former,
    observe,
    plan,
    wanted,
)


def main() -> None:
    """Plan from the arguments and the files found, then apply, then report."""
    module = AnsibleModule(
        argument_spec={
            "secrets": {
                "type": "list",
                "elements": "dict",
                "required": True,
                # The name makes Ansible suspect a secret; only `value` holds one.
                "no_log": False,
                "options": {
                    "path": {"type": "path", "required": True},
                    "length": {"type": "int", "default": 50},
                    "value": {"type": "str", "no_log": True},
                    "keep_former": {"type": "bool", "default": False},
                },
            }
        },
        supports_check_mode=True,
    )
    try:
        secrets = wanted(module.params["secrets"])
        steps = plan(secrets, {secret.path: observe(secret.path) for secret in secrets})
        changed, diff = any(step.action != "keep" for step in steps), describe(steps)
        if not module.check_mode:
            steps = apply(steps)
        before = {secret.path: hash_ for secret in secrets if (hash_ := former(secret.path))}
    except SecretFileError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(msg=f"{error.filename}: {error.strerror}")
    module.exit_json(changed=changed, diff=diff, sha256={step.path: step.sha256 for step in steps}, former=before)


if __name__ == "__main__":
    main()
