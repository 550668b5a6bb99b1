"""The filters as Ansible finds and calls them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible.plugins.loader import filter_loader
from worktree import ROOT

from ansible_collections.groundcrew.django.plugins.filter import firewall, host
from ansible_collections.groundcrew.django.plugins.filter.apps import FilterModule

FILTERS = FilterModule().filters()
SHOP = {"name": "shop", "domains": ["shop.example.com"], "source": {"repo": "https://example.com/acme/shop.git"}}


class Encrypted:
    """As core 2.18 hands over an inline ``!vault``: no str, but turning into one."""

    _ciphertext = b"$ANSIBLE_VAULT"

    def __str__(self) -> str:
        return "from the vault"


def test_every_filter_is_documented() -> None:
    documented = {
        path.stem: yaml.safe_load(path.read_text())["DOCUMENTATION"] for path in ROOT.glob("plugins/filter/*.yml")
    }
    others = {*host.FilterModule().filters(), *firewall.FilterModule().filters()}
    assert documented.keys() == {*FILTERS, *others}
    assert all(page["name"] == name for name, page in documented.items())


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_ansible_finds_it(name: str) -> None:
    assert filter_loader.get(f"groundcrew.django.{name}") is not None


@pytest.mark.parametrize("name", sorted(set(FILTERS) - {"app_problems"}))
def test_a_wrong_description_stops_every_filter(name: str) -> None:
    wrong: list[dict[str, Any]] = [{**SHOP, "name": "Shop", "domains": "x"}]
    with pytest.raises(AnsibleFilterError) as caught:
        FILTERS[name](wrong)
    assert "the description of the apps cannot be used" in str(caught.value)
    assert "django_apps[0].name: 'Shop' is no valid name" in str(caught.value)
    assert "django_apps[0].domains: expected a list" in str(caught.value)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_no_app_needs_no_slice(name: str) -> None:
    assert bool(FILTERS[name]([])) == (name == "app_problems")


def test_a_secret_may_come_encrypted() -> None:
    secrets = {"shop": {"redis_password": Encrypted(), "pepper": Encrypted()}}
    apps = [{**SHOP, "redis": True, "env": {"PEPPER": "${secret.pepper}"}}]
    assert FILTERS["app_problems"](apps, secrets) == []
    assert FILTERS["redis_instances"](apps, secrets)[0]["users"][0]["password"] == "from the vault"
