# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: forwarding_headers
author: groundcrew contributors (@groundcrew)
version_added: 1.0.0
short_description: Request headers that nginx sets or takes away in front of an app
description:
  - Returns every request header that tells an app about its visitor, with the value that nginx gives it, in nginx's own
    words.
  - An empty value means that the header is taken away, so that no visitor can forge it.
  - The role C(groundcrew.django.nginx) uses the list; it is here for those who write a template of their own.
options: {}
"""

EXAMPLES = r"""
- name: Show how an app learns the scheme
  ansible.builtin.debug:
    msg: "{{ lookup('groundcrew.django.forwarding_headers')['X-Forwarded-Proto'] }}"
"""

RETURN = r"""
_raw:
  description: Header name to value.
  type: list
  elements: dict
  sample: [{"X-Forwarded-Proto": "https", "X-Real-IP": "$remote_addr", "Forwarded": ""}]
"""

from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.groundcrew.django.plugins.module_utils._forwarding import forwarding_headers


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[dict[str, str]]:
        del terms, variables, kwargs  # the list is the same for everybody
        return [forwarding_headers()]
