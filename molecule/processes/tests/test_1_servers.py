"""Each app server, alone on the shop: moved from release to release under load, spoken to, killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import turns
from shop import Shop, visited, went_live

ASGI = {"entry": "shop.asgi:application"}
SERVERS: dict[str, dict[str, Any]] = {
    "gunicorn": {"kind": "gunicorn"},
    "uwsgi": {"kind": "uwsgi"},
    "granian-wsgi": {"kind": "granian"},
    "granian-asgi": {"kind": "granian", **ASGI},
    "uvicorn": {"kind": "uvicorn"},
    "hypercorn": {"kind": "hypercorn"},
    "daphne": {"kind": "daphne", "workers": 1},
}
# Those that make their socket by themselves.
BINDING = ("granian", "daphne")
# From another app server, and from itself.
DEPLOYS = 2 if turns.AMONG_ALL else 3
# Visitors a second: the machine of the tests has to carry them beside every server's start.
RATE = turns.visitors(50)


@pytest.fixture(scope="module")
def shop(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    name = host.backend.get_hostname()
    with visited(name, tmp_path_factory.mktemp(name) / "requests", RATE) as shop:
        yield shop


def wishes(case: str) -> tuple[dict[str, Any], str]:
    """A change that has the shop served that way, and the interface that it is served by then."""
    server = SERVERS[case]
    interface = "asgi" if server["kind"] in ("uvicorn", "hypercorn", "daphne") or "entry" in server else "wsgi"
    return {"server": server, "env": {"ASYNCHRONOUS": "yes"} if interface == "asgi" else {}}, interface


@pytest.mark.parametrize("case", SERVERS)
def test_app_server(shop: Shop, case: str) -> None:
    shop.change, interface = wishes(case)
    kind = SERVERS[case]["kind"]
    with shop.nobody_notices():
        for _deploy in range(DEPLOYS):
            before, version = shop.settled(), shop.another()
            with shop.nobody_notices() as windows:
                shop.deploy(version)
            after = went_live(shop, version, before, windows[0])
    facts = shop.facts()
    assert (facts["server"], facts["interface"]) == (kind, interface)
    unit = f"shop-web@{after.current}"
    assert after.units == [f"{unit}.service"] + ([] if kind in BINDING else [f"{unit}.socket"])
    if interface == "asgi":
        assert shop.echo(b"hello") == b"hello"
    # In tenths, so 20 is 2.0.
    shop.root(f"systemd-analyze security --threshold=20 {unit}.service")
    shop.root(f"systemctl kill --kill-whom=main --signal=KILL {unit}.service")
    shop.wait_for(shop.answers)
    assert shop.settled().current == after.current


def test_rollbacks_bring_other_app_servers_back(shop: Shop) -> None:
    """From one that makes its socket to one that takes over systemd's, and back."""
    shop.deploy(change=wishes("gunicorn")[0])
    shop.deploy(change=wishes("granian-asgi")[0])
    shop.deploy(change=wishes("uwsgi")[0])
    for kind in ("granian", "gunicorn"):
        with shop.nobody_notices():
            shop.roll_back()
        assert shop.facts()["server"] == kind
        shop.settled()
