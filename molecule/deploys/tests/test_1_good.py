"""Deploys as they are meant to go."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import turns
from accidents import current_fluttering
from load import Load
from shop import Shop, assert_right, says, went_live

# A site that is busy.
RATE = turns.visitors(200)
# Seconds without any deploy, for comparison, deploys and rollbacks; most on the server that has the whole matrix.
ROW = {"deploys-trixie": (60, 10, 3), "deploys-bookworm": (15, 3, 1)}
if turns.AMONG_ALL:
    ROW = {"deploys-trixie": (15, 4, 2), "deploys-bookworm": (5, 2, 1)}


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Puts a line on the screen of who runs the tests."""

    def write(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}")  # noqa: T201 (for the log)

    return write


@pytest.mark.both
def test_deploys_and_rollbacks_in_a_row_let_nobody_down(shop: Shop, tell: Callable[[str], None]) -> None:
    seconds, deploys, rollbacks = ROW[shop.name]
    shop.deploy("good-12")
    shop.settled()
    with shop.nobody_notices() as quiet:
        time.sleep(seconds)
    with shop.nobody_notices() as busy:
        for number in range(1, deploys + 1):
            before = shop.look()
            with shop.nobody_notices() as windows:
                shop.deploy(f"good-{number}")
            after = went_live(shop, f"good-{number}", before, windows[0])
            assert len(after.releases) <= 5
        for number in range(deploys - 1, deploys - 1 - rollbacks, -1):
            before = shop.look()
            with shop.nobody_notices() as windows:
                shop.roll_back()
            assert windows[0].versions == [f"good-{number + 1}", f"good-{number}"]
            assert not windows[0].turned_back(f"good-{number}")
            after = shop.settled()
            assert after.entry(before.current)["state"] == "rolled back"
            assert_right(shop, f"good-{number}", after)
    tell(f"{shop.name}, quiet:   {quiet[0].figures}\n{shop.name}, deploys: {busy[0].figures}")


def test_the_same_again_changes_nothing(shop: Shop) -> None:
    version = shop.version
    # What was rolled back served its last visitors until now, and goes.
    shop.settled()
    shop.deploy(version)
    before = shop.look()
    with shop.nobody_notices():
        said = shop.deploy(version)
    assert "changed=0" in said
    assert shop.settled() == before


def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    before = shop.settled()
    with shop.nobody_notices():
        said = shop.deploy("note", None, "--check", "--diff")
    for words in (r"\+revision: \S+ \(note at", r"\+commit: \S+ Make it note", r"\+migration: shop\.0002_note"):
        assert says(words, said), said
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


@pytest.mark.both
def test_a_file_is_found_at_every_moment_of_a_switch(shop: Shop, tmp_path: Path) -> None:
    """nginx looks for a file first and opens it later."""
    page = shop.visitor.get(shop.url).text
    found = re.search(r'href="/([^"]+\.[0-9a-f]{12}\.css)"', page)
    assert found, page
    visitors = Load(shop.url + found[1], shop.load.address, shop.load.roots, tmp_path / "requests", shop.load.rate)
    with shop.nobody_notices(), current_fluttering(shop), visitors:
        began = time.time()
        time.sleep(5)
        window = visitors.window(began, time.time())
    assert not window.failures, window


def test_a_changed_environment_alone_is_a_release_of_its_own(shop: Shop) -> None:
    version, before = shop.version, shop.settled()
    shop.change = {"env": {"GREETING": "welcome"}}
    with shop.nobody_notices():
        shop.deploy(version)
    assert shop.facts()["greeting"] == "welcome"
    after = shop.settled()
    assert after.current != before.current
    assert after.entry()["revision"] == before.entry()["revision"]


def patient(shop: Shop) -> str:
    """A visitor whose answer takes 20 s."""
    answer = shop.visitor.get(f"{shop.url}slow/?seconds=20", timeout=60)
    assert answer.status == 200
    return str(answer.headers["X-Version"])


def listener(shop: Shop) -> float:
    """A visitor who listens to an event stream until it is cut; returns the time at which that happened."""
    with shop.visitor.connect(shop.domain, tls=True, timeout=120) as connection:
        connection.sendall(f"GET /stream/ HTTP/1.1\r\nHost: {shop.domain}\r\n\r\n".encode())
        assert b" 200 " in connection.recv(4096)
        with suppress(OSError):
            while connection.recv(4096):
                pass
    return time.time()


GUNICORN = {"server": {"kind": "gunicorn", "workers": 2, "threads": 8}}
UVICORN = {"server": {"kind": "uvicorn", "workers": 2}, "env": {"ASYNCHRONOUS": "yes"}}


@pytest.mark.parametrize("change", [pytest.param(GUNICORN, id="gunicorn"), pytest.param(UVICORN, id="uvicorn")])
def test_who_is_still_being_served_is_waited_for_within_limits(shop: Shop, change: dict[str, Any]) -> None:
    """A request of 20 s ends on the release where it began; an event stream is cut, and holds up nobody."""
    shop.change = change
    shop.deploy()
    assert shop.facts()["server"] == change["server"]["kind"]
    before = shop.settled()
    with shop.nobody_notices() as windows, ThreadPoolExecutor() as visitors:
        answer, cut = visitors.submit(patient, shop), visitors.submit(listener, shop)
        time.sleep(1)
        version = shop.another()
        shop.deploy(version, app_deploy_drain_timeout=22)
        assert answer.result() == before.version
        ended = cut.result()
    went_live(shop, version, before, windows[0])
    # Both had their time, which began with the switch; a machine that is busy may be late.
    assert 20 < ended - windows[0].first(version) < 60


def test_a_rollback_brings_another_app_server_back(shop: Shop) -> None:
    shop.deploy(change=GUNICORN)
    assert shop.facts()["server"] == "gunicorn"
    shop.deploy(change=UVICORN)
    assert shop.facts()["server"] == "uvicorn"
    with shop.nobody_notices():
        shop.roll_back()
    assert shop.facts()["server"] == "gunicorn"
    shop.settled()
