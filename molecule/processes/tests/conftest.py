"""Each Debian sees every test; visitors keep coming to the shop all the time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from shop import Shop, visited


@pytest.fixture(scope="module")
def shop(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name = host.backend.get_hostname()
    with visited(name, tmp_path_factory.mktemp(name) / "requests") as shop:
        yield shop
