"""Among all scenarios each Debian has half of the app servers, and either the workers or the schedules."""

from __future__ import annotations

import pytest
import turns


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    servers = ["", *dict.fromkeys(server_of(item) for item in items if server_of(item))]

    def takes_its_turn(item: pytest.Item) -> bool:
        newer = "test_2" in item.nodeid or servers.index(server_of(item)) % 2 == 1
        return newer == ("trixie" in item.name)

    turns.take(config, items, takes_its_turn)


def server_of(item: pytest.Item) -> str:
    """The app server that a test is about."""
    return str(item.callspec.params.get("case", "")) if isinstance(item, pytest.Function) else ""
