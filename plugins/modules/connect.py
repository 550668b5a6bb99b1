#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: connect
short_description: Find a way into a server, whether it is fresh or has been set up
version_added: 1.0.0
author:
  - Groundcrew contributors (@groundcrew)
description:
  - Tries to log in as O(user), then as the user that the inventory says, by the port that the inventory says and by
    O(port). So one playbook works for a server that knows root alone, and later, when root is let in no more.
  - Waits until cloud-init has set up a fresh server, and installs python3 where the image lacks it. Needs neither of
    them itself.
  - A host key that has changed, and one that is not known, is explained with the command to type.
  - The task that follows hands the way to Ansible, see the example. It takes no module execution on the server.
options:
  user:
    description: Who administers the server once it has been set up; tried first. Empty for nobody.
    type: str
    default: ""
  port:
    description: Where sshd listens once the server has been set up.
    type: int
extends_documentation_fragment:
  - groundcrew.django._attributes
attributes:
  check_mode:
    support: full
    details:
      - Only python3 is not installed, and then the task fails, because nothing can be told of the server.
  diff_mode:
    support: none
  idempotent:
    support: full
notes:
  - The play needs C(gather_facts=false), because facts are gathered before the first task.
  - A user given on the command line with C(-e ansible_user=...) overrules what is found.
seealso:
  - module: ansible.builtin.wait_for_connection
"""

EXAMPLES = r"""
- name: Find a way into the server
  groundcrew.django.connect:
    user: admin
    port: 2222
  register: way

- name: Go that way from now on
  ansible.builtin.set_fact:
    ansible_user: "{{ way.user }}"
    ansible_port: "{{ way.port }}"
"""

RETURN = r"""
user:
  description: Who gets in; null for whom the SSH configuration names.
  returned: success
  type: str
  sample: admin
port:
  description: By which port; null for the one that the SSH configuration names.
  returned: success
  type: int
  sample: 22
keys:
  description: Public keys that let this user in, without conditions.
  returned: success
  type: list
  elements: str
  sample: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 ops@example.com"]
allowed:
  description: The users whom sshd lets in since the role C(host) was here; empty before, and where they are patterns.
  returned: success
  type: list
  elements: str
  sample: [admin]
installed:
  description: Packages that modules need, and that were missing.
  returned: success
  type: list
  elements: str
  sample: [python3]
"""
