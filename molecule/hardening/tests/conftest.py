"""Among all scenarios the judges see both Debians; the way in is tried on the newer one, all else on the older."""

from __future__ import annotations

import pytest
import turns


def takes_its_turn(item: pytest.Item) -> bool:
    return "test_judges" in item.nodeid or ("test_access" in item.nodeid) == ("trixie" in item.name)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    turns.take(config, items, takes_its_turn)
