"""What the filter host_measures makes of measures that are on or off."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.groundcrew.django.plugins.filter.host import host_measures

BAN: dict[str, Any] = {
    "wanted": True,
    "packages": ["fail2ban"],
    "files": [{"content": "", "dest": "/etc/fail2ban/jail.d/x.local"}, {"content": "", "dest": "/etc/x"}],
    "validate": [["fail2ban-server", "--test"]],
    "commands": [{"argv": ["true"], "when_changed": ["/etc/x"]}],
    "units": [
        {"name": "fail2ban.service", "state": "started", "enabled": True, "confirm": ["fail2ban-client", "ping"]}
    ],
    "services": [{"name": "apt-daily.timer", "state": "started"}],
}
NOTHING: dict[str, Any] = {
    key: [] for key in ("packages", "files", "validate", "commands", "units", "directories", "exclusive")
}


@pytest.mark.parametrize(
    ("measures", "expected"),
    [
        ([], NOTHING),
        ([{"wanted": True}], NOTHING),
        (
            [BAN],
            {
                "packages": BAN["packages"],
                "files": BAN["files"],
                "validate": BAN["validate"],
                "commands": BAN["commands"],
                "units": BAN["units"] + BAN["services"],
                # /etc is everybody's.
                "directories": [{"path": "/etc/fail2ban/jail.d"}],
                "exclusive": ["/etc", "/etc/fail2ban/jail.d"],
            },
        ),
        (
            [{**BAN, "wanted": False}],
            {
                **NOTHING,
                "commands": BAN["commands"],
                "units": [{"name": "fail2ban.service", "state": "stopped", "enabled": False}],
                "exclusive": ["/etc", "/etc/fail2ban/jail.d"],
            },
        ),
        (
            [
                {"wanted": True, "packages": ["a"]},
                {"wanted": False, "packages": ["b"]},
                {"wanted": True, "packages": ["c"]},
            ],
            {**NOTHING, "packages": ["a", "c"]},
        ),
        (
            [
                {
                    "wanted": True,
                    "directories": [{"path": "/etc/a.d", "mode": "0755"}],
                    "files": [{"content": "", "dest": "/etc/a.d/x"}, {"content": "", "dest": "/etc/b.d/x"}],
                },
                {"wanted": True, "directories": [{"path": "/etc/a.d", "mode": "0755"}]},
                {"wanted": False, "directories": [{"path": "/etc/c.d"}]},
            ],
            {
                **NOTHING,
                "directories": [{"path": "/etc/a.d", "mode": "0755"}, {"path": "/etc/b.d"}],
                "files": [{"content": "", "dest": "/etc/a.d/x"}, {"content": "", "dest": "/etc/b.d/x"}],
                "exclusive": ["/etc/a.d", "/etc/b.d"],
            },
        ),
    ],
    ids=["none", "empty", "on", "off", "mixed", "directories"],
)
def test_measures_become_one_set(measures: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert host_measures(measures) == expected


@pytest.mark.parametrize(
    ("measure", "words"),
    [
        ({"wanted": "yes"}, "measure 0 is neither on nor off: 'yes'"),
        ({"wanted": True, "unit": []}, "unknown keys: unit"),
    ],
)
def test_what_is_no_measure_is_told(measure: dict[str, Any], words: str) -> None:
    with pytest.raises(AnsibleFilterError, match=words):
        host_measures([measure])
