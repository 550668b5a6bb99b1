# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which connections a firewall can cut, and which of those can be made anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.plugin_utils import _connections as connections


@pytest.mark.parametrize(
    ("transport", "over_ssh", "other_ssh"),
    [
        ("ssh", True, False),
        ("paramiko", False, True),
        ("ansible.netcommon.libssh", False, True),
        ("local", False, False),
        ("community.docker.docker", False, False),
    ],
)
def test_what_can_be_cut(transport: str, over_ssh: bool, other_ssh: bool) -> None:
    action: Any = SimpleNamespace(_connection=SimpleNamespace(transport=transport))
    assert (connections.over_ssh(action), connections.other_ssh(action)) == (over_ssh, other_ssh)
