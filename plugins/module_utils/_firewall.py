# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is let in, from its description to the words of nftables. Pure. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import re
import typing as t
from collections.abc import Mapping, Sequence

_KEYS = ("ports", "protocol", "from", "comment")
_EXAMPLE = "{ports: [5432], from: [10.0.0.0/8], comment: replicas}"


class FirewallError(Exception):
    """What is wrong with the rules, a line each."""


def rules(described: t.Any, variable: str) -> list[str]:
    """Each rule as statements of nftables, one for each family of addresses.

    :param described: a list of {ports, protocol, from, comment}.
    :param variable: where it was written, for messages.
    :raises FirewallError: with everything that is wrong.
    """
    if not isinstance(described, (list, tuple)):
        raise FirewallError(f"{variable}: expected a list of rules, such as [{_EXAMPLE}]")
    problems: list[str] = []
    statements: list[str] = []
    for number, rule in enumerate(described):
        where = f"{variable}[{number}]"
        try:
            statements += _statements(rule)
        except ValueError as error:
            problems.append(f"{where}: {error}")
    if problems:
        raise FirewallError("\n".join(problems))
    return statements


def _statements(rule: t.Any) -> list[str]:
    if not isinstance(rule, Mapping):
        raise ValueError(f"expected a rule, such as {_EXAMPLE}")
    if unknown := set(map(str, rule)) - set(_KEYS):
        raise ValueError(f"{', '.join(sorted(unknown))} is unknown; there are {', '.join(_KEYS)}")
    protocol = rule.get("protocol", "tcp")
    if protocol not in ("tcp", "udp"):
        raise ValueError(f"protocol is {protocol!r}, neither tcp nor udp")
    if "from" in rule and not rule["from"]:
        raise ValueError("from is empty; name whom to let in, or leave it out to let in everybody")
    ports = ", ".join(_ports(rule.get("ports")))
    comment = str(rule.get("comment", ""))
    if not re.fullmatch(r"[^\"\\\x00-\x1f]{0,100}", comment):
        raise ValueError("comment has quotes, a backslash or a line break, or more than 100 characters")
    said = f' comment "{comment}"' if comment else ""
    return [f"{source}{protocol} dport {{ {ports} }} accept{said}" for source in sources(rule.get("from", []))]


def _ports(given: t.Any) -> list[str]:
    found = given if isinstance(given, (list, tuple)) else [given]
    ports = [str(port) for port in found if port is not None]
    if not ports:
        raise ValueError("ports are missing: a number, a range such as 8000-8010, or a list of them")
    for port in ports:
        ends = [int(end) for end in port.split("-")] if re.fullmatch(r"\d{1,5}(-\d{1,5})?", port) else [0]
        if not all(1 <= end <= 65535 for end in ends) or ends != sorted(ends):
            raise ValueError(f"ports: {port!r} is no port (1 to 65535) and no range such as 8000-8010")
    return ports


def sources(given: t.Any) -> list[str]:
    """What a packet has to come from, for each family; everybody, where nothing is given.

    :raises ValueError: when something is no address and no network.
    """
    networks = [_network(each) for each in (given if isinstance(given, (list, tuple)) else [given])]
    if not networks:
        return [""]
    families: Sequence[tuple[int, str]] = ((4, "ip"), (6, "ip6"))
    return [
        f"{word} saddr {{ {', '.join(map(str, same))} }} "
        for version, word in families
        if (same := list(ipaddress.collapse_addresses(n for n in networks if n.version == version)))
    ]


def _network(given: t.Any) -> t.Any:
    try:
        return ipaddress.ip_network(str(given))
    except ValueError as error:
        raise ValueError(f"from: {given!r} is no address and no network ({error})") from error
