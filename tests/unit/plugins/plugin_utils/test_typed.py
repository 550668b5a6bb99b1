# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The words behind -e, as an operator meant them, though his shell has eaten the quotes."""

from __future__ import annotations

import pytest
from ansible import context
from ansible.errors import AnsibleLookupError
from ansible.parsing.splitter import parse_kv
from ansible.plugins.loader import lookup_loader

from ansible_collections.groundcrew.django.plugins.plugin_utils._typed import typed


def understood(option: str) -> str:
    """What Ansible makes of it."""
    return str(parse_kv(option)["command"])


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("command=clearsessions", "clearsessions"),
        ("command=createsuperuser --noinput", "createsuperuser --noinput"),
        ("command=createsuperuser --noinput --email=a@b.c x", "createsuperuser --noinput --email=a@b.c x"),
        ("command='migrate --plan'", "migrate --plan"),
        ('command="migrate --plan"', "migrate --plan"),
        ("command=shell -c \"print('a  b')\"", "shell -c \"print('a  b')\""),
        ("command=shell -c 'x=1; y = \"z\"'", "shell -c 'x=1; y = \"z\"'"),
        ("command=migrate  --plan", "migrate  --plan"),
        ("app=shop command=migrate --plan", "migrate --plan"),
        ("command=migrate --plan app=shop", "migrate --plan"),
        ("command=migrate app=shop target=a", "migrate"),
        ("command='a b' c app=shop", "'a b' c"),
        ("command=a command=b c", "b c"),
        ("command=", ""),
    ],
)
def test_all_words_of_a_variable(option: str, meant: str) -> None:
    assert typed("command", understood(option), ["app=blog", option, "@vault.yml", "why=it is late"]) == meant


@pytest.mark.parametrize(
    "options",
    [
        ["command=other words", '{"command": "migrate"}'],
        ["@vault.yml"],
        ["command={{ 'mig' ~ 'rate' }} --plan"],
        [],
        # The last word counts, and that one has no more.
        ["command=migrate --plan", "command=migrate"],
    ],
)
def test_what_was_not_typed_stays(options: list[str]) -> None:
    assert typed("command", "migrate", options) == "migrate"


def test_words_that_may_be_either_variables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"-e command=\.\.\.: Ansible takes KEY= for a variable") as raised:
        typed("command", "set", ["command=set KEY=s3cret --force"])
    assert "s3cret" not in str(raised.value)


def test_the_lookup_reads_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "CLIARGS", {"extra_vars": ("app_deploy_why=two words", "why=a A=1 b")})
    lookup = lookup_loader.get("groundcrew.django.typed")
    assert lookup.run(["app_deploy_why", "two"]) == ["two words"]
    assert lookup.run(["allow", ["a", "b"]]) == [["a", "b"]]
    with pytest.raises(AnsibleLookupError, match="quote the value twice"):
        lookup.run(["why", "a"])
