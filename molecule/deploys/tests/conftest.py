"""The whole matrix runs on Debian 13; Debian 12 sees what is marked `both`, and one of each kind, marked `debian_12`.

Among all scenarios each step of a deploy is killed in one way, by name in every way; and the server restarts in
two of the four ways.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import turns
from shop import STEPS, Shop, visited

MARKS = {"both": "runs on every supported Debian", "debian_12": "one of a matrix that Debian 13 sees as a whole"}
# What dies of a deploy, by the names of the functions that kill it.
WAYS = ("controller", "both")
RESTARTS = {"power_cut": "switched", "reboot": "migrated"}
# Visitors a second, where a module does not say otherwise; they and the deploys share the machine.
RATE = turns.visitors(50)


def pytest_configure(config: pytest.Config) -> None:
    for mark, meaning in MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")


def wanted(item: pytest.Item) -> bool:
    if item.get_closest_marker("both"):
        return True
    return bool(item.get_closest_marker("debian_12")) == ("bookworm" in item.name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = [item for item in items if wanted(item)]
    turns.take(config, items, takes_its_turn)


def takes_its_turn(item: pytest.Item) -> bool:
    given = item.callspec.params if isinstance(item, pytest.Function) else {}
    if "restart" in given:
        return RESTARTS[getattr(given["restart"], "__name__", "")] == given["step"]
    way = getattr(given.get("kill"), "__name__", "")
    if way not in WAYS or "bookworm" in item.name:
        return True
    return WAYS[list(STEPS).index(str(given["step"])) % len(WAYS)] == way


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name = host.backend.get_hostname()
    with visited(name, tmp_path_factory.mktemp(name) / "requests", getattr(request.module, "RATE", RATE)) as shop:
        yield shop


@pytest.fixture(autouse=True)
def begin_tidy(shop: Shop) -> None:
    """What one test has left behind must not fail all that come after it."""
    shop.change = {}
    if not shop.look().tidy:
        try:
            shop.settled()
        except AssertionError:
            shop.deploy(app_deploy_lock_wait=120)
