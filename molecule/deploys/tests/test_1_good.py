"""Deploys as they are meant to go."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from shop import Shop, went_live

# Seconds without any deploy, for comparison: a minute on the server that has the whole matrix.
QUIET = {"deploys-trixie": 60, "deploys-bookworm": 15}


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Puts a line on the screen of who runs the tests."""

    def write(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201 (for the log)

    return write


@pytest.mark.both
def test_ten_deploys_in_a_row_let_nobody_down(shop: Shop, tell: Callable[[str], None]) -> None:
    shop.deploy("good-12")
    shop.settled()
    with shop.nobody_notices() as quiet:
        time.sleep(QUIET[shop.name])
    with shop.nobody_notices() as busy:
        for number in range(1, 11):
            before = shop.look()
            with shop.nobody_notices() as windows:
                shop.deploy(f"good-{number}")
            after = went_live(shop, f"good-{number}", before, windows[0])
            assert len(after.releases) <= 5
    tell(f"{shop.name}, quiet:   {quiet[0].figures}\n{shop.name}, deploys: {busy[0].figures}")


def test_the_same_again_changes_nothing(shop: Shop) -> None:
    version, before = shop.version, shop.settled()
    with shop.nobody_notices():
        said = shop.deploy(version)
    assert "changed=0" in said
    assert shop.settled() == before


def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    before = shop.settled()
    with shop.nobody_notices():
        shop.deploy(shop.another(), None, "--check", "--diff")
    assert shop.settled() == before


def test_a_page_from_before_the_deploy_keeps_its_stylesheet(shop: Shop) -> None:
    page = shop.visitor.get(shop.url).text
    found = re.search(r'href="/([^"]+\.[0-9a-f]{12}\.css)"', page)
    assert found, page
    old = shop.visitor.get(shop.url + found[1])
    shop.deploy()
    assert found[1] not in shop.visitor.get(shop.url).text
    again = shop.visitor.get(shop.url + found[1])
    assert (again.status, again.body) == (200, old.body)


def test_a_changed_environment_alone_is_a_release_of_its_own(shop: Shop) -> None:
    version, before = shop.version, shop.settled()
    shop.change = {"env": {"GREETING": "welcome"}}
    with shop.nobody_notices():
        shop.deploy(version)
    assert shop.facts()["greeting"] == "welcome"
    after = shop.settled()
    assert after.current != before.current
    assert after.entry()["revision"] == before.entry()["revision"]
