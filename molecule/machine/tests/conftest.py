"""A provider's first boot comes last: cloud-init makes users of its own, and what is judged before has none of them."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name == "test_provider.py")
