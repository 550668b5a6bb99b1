# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A management command as an operator orders it, and the wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._manage import order

SECRET = "correct-horse"


def params(command: str = "check", **more: Any) -> dict[str, Any]:
    return {"command": command, "secrets": {}, "timeout": 3600, **more}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("clearsessions", ["clearsessions"]),
        ("createsuperuser --noinput", ["createsuperuser", "--noinput"]),
        ("shell -c \"print('a  b')\"", ["shell", "-c", "print('a  b')"]),
        ("loaddata manage.py", ["loaddata", "manage.py"]),
    ],
)
def test_a_command_comes_apart_as_in_a_shell(command: str, words: list[str]) -> None:
    assert order(params(command)) == (words, "")


def test_secrets_become_an_environment() -> None:
    assert order(params(secrets={"A": 'x "y" $z', "B_2": ""}))[1] == 'A="x \\"y\\" \\$z"\nB_2=""\n'


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (params(""), "The command is empty"),
        (params("  "), "The command is empty"),
        (params("shell -c 'x"), "cannot be split into words: No closing quotation"),
        (params("manage.py check"), "give only what comes behind it"),
        (params("python3.11 ./manage.py check"), "give only what comes behind it"),
        (params(timeout=0), "The command's timeout is 0 s."),
        (params(secrets={"A-B": SECRET}), "secrets: 'A-B' is no name of an environment variable"),
        (params(secrets={"2A": SECRET}), "secrets: '2A' is no name"),
        (params(secrets={"A": 4711}), "secrets.A: expected a string, found int; its value is not shown"),
        (params(secrets={"A": {"B": SECRET}}), "secrets.A: expected a string, found dict"),
        (params(secrets={"A": f"{SECRET}\0"}), "secrets.A holds the character '\\x00'"),
    ],
)
def test_a_wrong_order_is_told(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ReleaseError) as raised:
        order(wrong)
    assert message in str(raised.value)
    assert raised.value.cure
    assert SECRET not in str(raised.value)
    assert "4711" not in str(raised.value)
