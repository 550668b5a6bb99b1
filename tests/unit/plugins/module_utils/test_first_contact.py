# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a way into a server is found."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _first_contact as contact

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 me@example.com"


@pytest.mark.parametrize(
    ("present", "user", "port", "ways"),
    [
        (("root", 22), "admin", 22, [("admin", 22), ("root", 22)]),
        (("root", None), "admin", 22, [("admin", None), ("root", None)]),
        ((None, None), "admin", 22, [("admin", None), (None, None)]),
        (("admin", 22), "admin", 22, [("admin", 22)]),
        (("root", 22), "", 22, [("root", 22)]),
        (("root", 22), "", None, [("root", 22)]),
        (("root", 22), "admin", 2200, [("admin", 22), ("admin", 2200), ("root", 22), ("root", 2200)]),
        # Another port leads there, from outside: the one that is written down comes first.
        (("root", 2222), "admin", 22, [("admin", 2222), ("admin", 22), ("root", 2222), ("root", 22)]),
    ],
)
def test_ways(present: Any, user: str, port: int | None, ways: Any) -> None:
    assert contact.ways(present, user, port) == ways


def test_what_a_server_says() -> None:
    said = f"root yes\r\npython /usr/bin/python3\r\ncloud status: running\nkey {ED25519}\nkey {ED25519}\nkey \nallowed admin\n"
    assert contact.read(said) == contact.Server(True, "/usr/bin/python3", True, (ED25519,), ("admin",))
    assert contact.read("python \ncloud status: done\n") == contact.Server()
    assert contact.read("allowed ops bob\nallowed root\n").allowed == ("ops", "bob", "root")
    assert contact.read("allowed ops@10.0.0.*\nallowed root\n").allowed == ()


def test_the_keys_of_who_administers_the_server_are_all_that_count(tmp_path: Path) -> None:
    """As sshd sees it: what somebody has left in a home is none of them, once there is a file for the admin user."""
    home, others = tmp_path / "home", tmp_path / "keys"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/authorized_keys").write_text("ssh-ed25519 HOME")  # without a line's end
    others.mkdir()

    def keys(user: str) -> tuple[str, ...]:
        script = contact.script(user).replace("/etc/ssh/authorized_keys.d", str(others))
        done = subprocess.run(
            ["sh", "-c", script],
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        return tuple(contact.read(done.stdout).keys)

    assert keys("admin") == keys("") == ("ssh-ed25519 HOME",)
    (others / "admin").write_text("ssh-ed25519 ADMIN\nssh-ed25519 COLLEAGUE\n")
    assert keys("admin") == ("ssh-ed25519 ADMIN", "ssh-ed25519 COLLEAGUE")
    assert keys("") == ("ssh-ed25519 HOME",)
    assert keys("who; rm -rf x") == ("ssh-ed25519 HOME",)
    # A new name for him, who comes by the old one.
    (others / "admin").rename(others / getpass.getuser())
    assert keys("ops") == ("ssh-ed25519 ADMIN", "ssh-ed25519 COLLEAGUE")


@pytest.mark.parametrize(
    ("line", "is_key"),
    [
        (ED25519, True),
        ("ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ==", True),
        ("sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5 me", True),
        # With this, providers send root away.
        (f"no-port-forwarding,command=\"echo 'Please login as debian'\" {ED25519}", False),
        ("# a comment", False),
        ("", False),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", False),
    ],
)
def test_what_is_a_key(line: str, is_key: bool) -> None:
    assert contact.is_key(line) is is_key


@pytest.mark.parametrize(
    ("said", "of_user"),
    [
        ("root@192.0.2.1: Permission denied (publickey).", True),
        ("Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures", True),
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", False),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", False),
    ],
)
def test_whom_a_server_refuses(said: str, of_user: bool) -> None:
    assert contact.is_refusal_of_user(said) is of_user


CHANGED = (
    "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n"
    "Offending ED25519 key in /home/me/.ssh/known_hosts:7\r\nHost key verification failed."
)


@pytest.mark.parametrize(
    ("said", "port", "there"),
    [
        (CHANGED, 22, "ssh-keygen -f /home/me/.ssh/known_hosts -R '192.0.2.1'"),
        (CHANGED, 2222, "-R '[192.0.2.1]:2222'"),
        ("Host key verification failed.", None, "ssh 192.0.2.1;"),
        ("Host key verification failed.", 2222, "ssh -p 2222 192.0.2.1;"),
    ],
)
def test_a_host_key_that_is_not_believed(said: str, port: int | None, there: str) -> None:
    assert there in contact.host_key_problem(said, "192.0.2.1", port)


def test_other_problems_are_none_of_host_keys() -> None:
    assert contact.host_key_problem("Permission denied (publickey).", "192.0.2.1", 22) == ""


def test_no_way_in() -> None:
    said = contact.no_way_in("192.0.2.1", [("admin", 22, "Permission denied"), (None, None, "refused")], "me")
    assert "admin, port 22: Permission denied; me, port 22: refused" in said
    assert "--ask-pass" in said
