#!/usr/bin/python
# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Print a text as it is
version_added: 1.0.0
description:
  - Prints a text on the operator's screen as it is, where M(ansible.builtin.debug) prints it as a quoted value. So a
    table stays a table, and a line of JSON is one that a script can take from the output.
  - Runs on the controller alone.
options:
  text:
    description: The text.
    type: str
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
seealso:
  - module: ansible.builtin.debug
author:
  - groundcrew contributors (@groundcrew)
"""

EXAMPLES = r"""
- name: Show where each app lives
  groundcrew.django.show:
    text: |
      {% for app in django_apps | groundcrew.django.app_records %}
      {{ '%-20s %s' | format(app.name, app.paths.root) }}
      {% endfor %}
"""

RETURN = r""" # """
