# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The test ``network``. Its documentation is in a file beside this one."""

from __future__ import annotations

import ipaddress
import typing as t
from collections.abc import Callable


def network(value: t.Any) -> bool:
    """Whether ``value`` is the text of an address, or of a network in CIDR notation without an address's bits."""
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    # A zone belongs to an interface of one machine, and is nothing that a server could compare.
    return isinstance(value, str) and "%" not in value


class TestModule:
    """The tests, as Ansible looks them up."""

    def tests(self) -> dict[str, Callable[[t.Any], bool]]:
        """Each by its name."""
        return {"network": network}
