"""Known secrets are looked for everywhere that somebody without a right to them may look."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

GIVEN = {"vaulted-pepper-5b3f0d6a", "vaulted-key-0f7d2c9e8b1a4f6e9d3c5b7a1e2f4d6c8b0a9e7f5d3c1b"}


@pytest.fixture
def secrets(host: Any) -> set[str]:
    """Those from the vault, and those that the server made itself."""
    made = set(host.check_output("awk 1 /etc/groundcrew/*/secrets/*").split())
    assert len(made) > 5
    assert made >= GIVEN
    return made


def search(host: Any, command: str) -> str:
    """What ``command``, with a grep that reads its patterns from standard input, finds; no pattern is in an argv."""
    return host.run(
        f"awk 1 /etc/groundcrew/*/secrets/* > /root/patterns; ({command}) < /root/patterns; rm /root/patterns"
    ).stdout


def test_the_search_finds_what_is_there(host: Any) -> None:
    assert "/secrets/" in search(host, "grep -rlF -f - /etc/groundcrew")


def test_no_secret_is_in_the_output_of_any_run(secrets: set[str]) -> None:
    log = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "ansible.log").read_text("utf-8")
    # The log must be the whole one: it holds diffs, and the arguments of modules.
    assert "+++ after" in log
    assert '"invocation"' in log
    assert not [secret[:6] for secret in secrets if secret in log]


@pytest.mark.parametrize(
    "command",
    [
        "journalctl --no-pager --output=export > /root/journal; grep -cF -f - /root/journal",
        "cat /proc/[0-9]*/cmdline > /root/cmdlines; grep -caF -f - /root/cmdlines",
        "systemctl show --all '*' > /root/units; grep -cF -f - /root/units",
    ],
)
def test_no_secret_is_in_the_journal_a_command_line_or_a_unit(host: Any, command: str) -> None:
    assert search(host, command).strip() == "0"


def test_no_secret_is_in_a_file_that_everybody_reads(host: Any) -> None:
    places = "/etc /home /opt /run /srv /tmp /usr/local /var"
    assert search(host, f"setpriv --reuid=nobody --regid=nogroup --clear-groups grep -rlaF -s -f - {places}") == ""


def test_no_run_has_left_a_module_with_its_arguments(host: Any) -> None:
    assert search(host, "grep -rlaF -s -f - /root/.ansible /tmp /var/tmp") == ""


def test_an_app_reads_no_secret_file_not_even_its_own(host: Any) -> None:
    assert host.run("setpriv --reuid=guestbook --regid=guestbook --clear-groups ls /etc/groundcrew/guestbook").rc != 0
