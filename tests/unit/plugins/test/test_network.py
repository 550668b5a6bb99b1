# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as an address or a network."""

from __future__ import annotations

import pytest

from ansible_collections.groundcrew.django.plugins.test.network import network


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("203.0.113.7", True),
        ("203.0.113.0/24", True),
        ("0.0.0.0/0", True),
        ("2001:db8::1", True),
        ("2001:db8::/64", True),
        ("::1", True),
        ("203.0.113.7/24", False),  # the address, or its network?
        ("203.0.113.0/33", False),
        ("203.0.113.300", False),
        ("203.0.113", False),
        ("2001:db8::1/64", False),
        ("fe80::1%eth0", False),
        ("example.com", False),
        ("203.0.113.7; return 200", False),
        ("", False),
        (7, False),
        (None, False),
    ],
)
def test_network(value: object, result: bool) -> None:
    assert network(value) is result
