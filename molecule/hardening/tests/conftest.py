"""Among all scenarios the judges see the newer Debian, on which the ways in are tried as well, all else the older one."""

from __future__ import annotations

import pytest
import turns


def takes_its_turn(item: pytest.Item) -> bool:
    newer = any(name in item.nodeid for name in ("test_access", "test_judges", "test_provider"))
    return newer == ("trixie" in item.name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    turns.take(config, items, takes_its_turn)
