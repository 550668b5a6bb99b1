"""What else may happen to a site that is being deployed, or that just runs."""

from __future__ import annotations

import time

import pytest
from load import CROWD
from shop import GOOD, Shop, assert_right, says

# Seconds that it takes until the workers of a master process that has died are gone too.
MARGIN = 0.3


def test_the_second_of_two_deploys_is_told_who_is_at_work(shop: Shop) -> None:
    before = shop.settled()
    with shop.nobody_notices(), shop.begun("built", app_deploy_why="new prices") as first:
        said = shop.refused()
        assert says(r"Another deploy is at work.*shop: deploy by \S+@\S+ since .*: new prices", said), said
        first.end()
    after = shop.settled()
    assert len(after.ledger) == len(before.ledger) + 1
    assert_right(shop, after.version, after)


def test_the_second_of_two_deploys_waits_if_it_may(shop: Shop) -> None:
    before = shop.settled()
    with shop.nobody_notices() as windows, shop.begun("built") as first:
        following = next(version for version in GOOD if version not in (before.version, first.version))
        said = shop.deploy(following, app_deploy_lock_wait=120)
        assert says("Waited .* for the end of another one", said), said
        first.end()
    assert windows[0].versions == [before.version, first.version, following]
    assert_right(shop, following, shop.settled())


@pytest.mark.both
def test_a_killed_master_takes_only_the_requests_in_flight_with_it(shop: Shop) -> None:
    seen = shop.settled()
    unit = f"shop-web@{seen.current}.service"
    with shop.load.watched() as windows:
        shop.root(f"kill -KILL $(systemctl show --property=MainPID --value {unit})")
        time.sleep(5)
    # The workers go on until systemd has noticed; whom they have let in by then, they take with them.
    journal = f"journalctl --unit={unit} --output=short-unix"
    noticed = float(shop.root(f"{journal} | grep 'Main process exited' | tail -1").split()[0])
    # On a busy machine the restart takes longer than our visitors can wait for.
    failed = [request for request in windows[0].failures if CROWD not in request.error]
    assert max([request.due for request in failed], default=0) < noticed + MARGIN, windows[0]
    assert windows[0].versions == [seen.version]
    assert shop.settled() == seen


def test_a_crash_while_a_new_environment_waits_brings_the_live_one_back(shop: Shop) -> None:
    shop.deploy(change={"env": {"GREETING": "old"}})
    live = shop.settled().current
    with shop.begun("started", {"env": {"GREETING": "new", "START_DELAY": "8"}}) as deploy:
        shop.root(f"kill -KILL $(systemctl show --property=MainPID --value shop-web@{live}.service)")
        shop.wait_for(shop.answers)
        assert shop.facts()["greeting"] == "old"
        assert shop.look().current == live
        deploy.end()
    assert shop.facts()["greeting"] == "new"
    shop.settled()
