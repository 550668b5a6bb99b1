# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Public keys, as text and as files on the controller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleLookupError
from ansible.plugins.loader import lookup_loader

ANNA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1 anna"
BEN = 'from="192.0.2.0/24" ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB ben'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home/.ssh").mkdir(parents=True)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/team.pub").write_text(f"# the team\n\n{ANNA}\n{BEN}\n")
    return tmp_path / "home"


def look(tmp_path: Path, *terms: str, **options: Any) -> list[str]:
    lookup = lookup_loader.get("groundcrew.django.public_keys")
    found: list[str] = lookup.run(list(terms), variables={"inventory_dir": str(tmp_path / "inventory")}, **options)
    return found


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        ([ANNA], [ANNA]),
        ([BEN, ANNA, BEN], [BEN, ANNA]),
        # Beside the directory of the inventory.
        (["keys/team.pub"], [ANNA, BEN]),
        (["keys/team.pub", ANNA], [ANNA, BEN]),
    ],
)
def test_keys(tmp_path: Path, terms: list[str], found: list[str]) -> None:
    assert look(tmp_path, *terms, otherwise=["unused"]) == found


def test_without_any_those_of_the_server_and_then_the_operators(tmp_path: Path, home: Path) -> None:
    assert look(tmp_path) == []
    (home / ".ssh/id_ed25519.pub").write_text(f"{ANNA}\n")
    (home / ".ssh/id_odd.pub").write_text("no key\n")
    assert look(tmp_path) == [ANNA]
    assert look(tmp_path, otherwise=[BEN]) == [BEN]


@pytest.mark.parametrize(
    ("term", "says"),
    [
        ("keys/nobody.pub", "neither a public key nor a file; a relative path is looked for in"),
        ("ssh-ed25519 what is this", "is no public key"),
        ("keys/private", "is a private key, which stays where it is"),
        ("keys/odd.pub", "is no public key"),
    ],
)
def test_what_is_no_key(tmp_path: Path, term: str, says: str) -> None:
    (tmp_path / "keys/private").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n")
    (tmp_path / "keys/odd.pub").write_text("hello\n")
    with pytest.raises(AnsibleLookupError, match=says):
        look(tmp_path, term)
