"""By name (`make molecule SCENARIO=processes`) every test runs on every Debian; among all scenarios, on one of them.

Otherwise CI would not end in time. Each Debian then has half of the app servers, and either the workers or the schedules.
"""

from __future__ import annotations

import os

import pytest


def takes_its_turn(item: pytest.Item, server: int) -> bool:
    """Whether a test runs on this Debian, where each runs on one.

    :param server: number of the app server that it is about; 0 for none.
    """
    if "machine" in item.name:
        return True
    newer = "test_2" in item.nodeid or server % 2 == 1
    return newer == ("trixie" in item.name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("GROUNDCREW_SCENARIOS") != "all":
        return
    servers = ["", *dict.fromkeys(server_of(item) for item in items if server_of(item))]
    wanted = [item for item in items if takes_its_turn(item, servers.index(server_of(item)))]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


def server_of(item: pytest.Item) -> str:
    """The app server that a test is about."""
    return str(item.callspec.params.get("case", "")) if isinstance(item, pytest.Function) else ""
