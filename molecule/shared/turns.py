"""Among all scenarios, where the time of CI is short, each test of a long one runs on one of its servers; by name, on all."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

AMONG_ALL = os.environ.get("GROUNDCREW_SCENARIOS") == "all"


def visitors(by_name: float) -> float:
    """Visitors a second: among all scenarios, as many as leave the cores to what is tried before their eyes."""
    return 20 if AMONG_ALL else by_name


def take(config: pytest.Config, items: list[pytest.Item], takes_its_turn: Callable[[pytest.Item], bool]) -> None:
    """For `pytest_collection_modifyitems` in a scenario's conftest.py.

    :param takes_its_turn: whether a test on a server, whose name is in that of the item, is one that runs.
    """
    if AMONG_ALL:
        config.hook.pytest_deselected(items=[item for item in items if not takes_its_turn(item)])
        items[:] = [item for item in items if takes_its_turn(item)]
