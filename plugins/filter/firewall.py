# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters for the role host. Each has its documentation in a file beside this one."""

from __future__ import annotations

import typing as t
from collections.abc import Callable

from ansible.errors import AnsibleFilterError

from ansible_collections.groundcrew.django.plugins.module_utils import _firewall


def _rules(described: t.Any, variable: str = "the rules") -> list[str]:
    try:
        return _firewall.rules(described, variable)
    except _firewall.FirewallError as error:
        raise AnsibleFilterError(f"the firewall cannot be configured:\n{error}") from error


def _sources(given: t.Any, variable: str = "the sources") -> list[str]:
    try:
        return _firewall.sources(given)
    except ValueError as error:
        raise AnsibleFilterError(f"the firewall cannot be configured:\n{variable}: {error}") from error


class FilterModule:
    """The filters, as Ansible looks them up."""

    def filters(self) -> dict[str, Callable[..., t.Any]]:
        """Each by its name."""
        return {"firewall_rules": _rules, "firewall_sources": _sources}
