# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is let in, in the words of nftables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._firewall import FirewallError, rules, sources


@pytest.mark.parametrize(
    ("rule", "statements"),
    [
        ({"ports": 5432}, ["tcp dport { 5432 } accept"]),
        ({"ports": [80, "443"]}, ["tcp dport { 80, 443 } accept"]),
        ({"ports": "8000-8010", "protocol": "udp"}, ["udp dport { 8000-8010 } accept"]),
        ({"ports": [80], "comment": "the web"}, ['tcp dport { 80 } accept comment "the web"']),
        (
            {"ports": [5432], "from": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]},
            [
                "ip saddr { 10.0.0.0/8, 192.0.2.7/32 } tcp dport { 5432 } accept",
                "ip6 saddr { 2001:db8::/32 } tcp dport { 5432 } accept",
            ],
        ),
        # nftables refuses intervals that overlap.
        ({"ports": [22], "from": ["10.0.0.0/8", "10.1.0.0/16"]}, ["ip saddr { 10.0.0.0/8 } tcp dport { 22 } accept"]),
        ({"ports": [22], "from": "2001:db8::1"}, ["ip6 saddr { 2001:db8::1/128 } tcp dport { 22 } accept"]),
    ],
)
def test_a_rule(rule: dict[str, Any], statements: list[str]) -> None:
    assert rules([rule], "rules") == statements


@pytest.mark.parametrize(
    ("described", "says"),
    [
        ("80", "rules: expected a list"),
        ([80], r"rules\[0\]: expected a rule"),
        ([{"ports": 80}, {"port": 443}], r"rules\[1\]: port is unknown; there are ports"),
        ([{}], "ports are missing"),
        ([{"ports": []}], "ports are missing"),
        ([{"ports": 0}], "'0' is no port"),
        ([{"ports": 65536}], "'65536' is no port"),
        ([{"ports": "90-80"}], "'90-80' is no port"),
        ([{"ports": "ssh"}], "'ssh' is no port"),
        ([{"ports": "80 } accept; tcp dport { 81"}], "is no port"),
        ([{"ports": 80, "protocol": "icmp"}], "neither tcp nor udp"),
        ([{"ports": 80, "from": ["10.0.0.1/8"]}], "has host bits set"),
        # A group without a server in it.
        ([{"ports": 80, "from": []}], "from is empty; name whom to let in"),
        ([{"ports": 80, "from": ["example.com"]}], "is no address and no network"),
        ([{"ports": 80, "comment": 'a " b'}], "comment has quotes"),
    ],
)
def test_a_wrong_rule(described: Any, says: str) -> None:
    with pytest.raises(FirewallError, match=says):
        rules(described, "rules")


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(FirewallError) as caught:
        rules([{"ports": 0}, {"ports": 80}, {}], "rules")
    assert len(str(caught.value).splitlines()) == 2


def test_everybody_is_one_source() -> None:
    assert sources([]) == [""]
