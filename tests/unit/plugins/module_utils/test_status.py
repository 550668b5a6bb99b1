# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of an app, in whatever state it is."""

from __future__ import annotations

import json
import pathlib
import types
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _live, _migrations, _status
from ansible_collections.groundcrew.django.plugins.module_utils._app_checks import app_records
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App
from ansible_collections.groundcrew.django.tests.unit.statuses import NEVER_DEPLOYED

NOON = 1795348800.0  # 2026-11-22 12:00:00 UTC
TOLD = "notAfter={}\nissuer=CN = {}\nsubject=CN = shop.example.com\n"


@pytest.mark.parametrize(
    ("end", "issuer", "read"),
    [
        ("Feb 20 12:00:00 2027 GMT", "Authority", {"days": 90, "self_signed": False}),
        ("Nov 23 11:59:59 2026 GMT", "Authority", {"days": 0, "self_signed": False}),
        ("Nov 22 11:59:59 2026 GMT", "Authority", {"days": -1, "self_signed": False}),
        ("Jan  1 12:00:00 2027 GMT", "shop.example.com", {"days": 40, "self_signed": True}),
    ],
)
def test_certificate(end: str, issuer: str, read: dict[str, Any]) -> None:
    assert _status.read_certificate(TOLD.format(end, issuer), NOON) == read


def entry(release: str, state: str) -> dict[str, Any]:
    return {
        "id": release,
        "revision": f"{release}abc",
        "described": f"main at {release}",
        "fingerprint": "f",
        "who": "alice@laptop",
        "state": state,
        "times": {"live": "2026-11-22T14:51:02Z"},
    }


FACTS = {"database": False, "health": {"path": "/", "status": []}}


class Server:
    """An app's files below a directory, and a systemd that says what it is told to."""

    def __init__(self, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place = place
        described = {"name": "shop", "domains": ["shop.example.com"], "source": {"repo": "https://example.com/s.git"}}
        (self.record,) = app_records([described])
        self.record["paths"] = {name: f"{place}{path}" for name, path in self.record["paths"].items()}
        self.units: dict[str, str] = {}
        self.ledger = self.path("state") / "releases.json"
        monkeypatch.setattr(_live, "systemctl", self.systemctl)
        self.status = 200
        monkeypatch.setattr(_status, "health_question", lambda release: self.health)
        monkeypatch.setattr(_migrations, "plan", self.plan, raising=False)
        self.pending: list[str] = []

    def path(self, name: str) -> pathlib.Path:
        path = pathlib.Path(self.record["paths"][name])
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def release(self, *names: str, live: str = "") -> None:
        for name in names:
            beside = self.path("releases") / name / "groundcrew"
            beside.mkdir(parents=True)
            (beside / "release.json").write_text(json.dumps({**FACTS, "database": True}))
        if live:
            self.path("current").symlink_to(f"releases/{live}")

    def history(self, *entries: dict[str, Any]) -> None:
        self.ledger.parent.mkdir(parents=True, exist_ok=True)
        self.ledger.write_text(json.dumps({"releases": entries}))

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        del check
        if arguments[0] == "list-units":
            before, _star, after = arguments[-1].partition("*")
            names = [name for name in self.units if name.startswith(before) and name.endswith(after)]
            return "\n".join(f"{name} loaded active running x" for name in names)
        state = self.units.get(arguments[-1], "inactive")
        return f"ActiveState={state}\nDescription=shop: deploy by bob" if arguments[0] == "show" else state

    def health(self) -> tuple[int, str]:
        if not self.status:
            raise ConnectionRefusedError
        return self.status, ""

    def plan(self, release: Any) -> Any:
        assert release.id == "r2"
        if "broken" in self.pending:
            raise ReleaseError("No database.", "start it", "one\n  OperationalError: gone\n")
        return types.SimpleNamespace(pending=[types.SimpleNamespace(app="shop", name=name) for name in self.pending])

    def describe(self) -> dict[str, Any]:
        return _status.describe(App(self.record))


@pytest.fixture
def server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def test_an_app_that_was_never_deployed(server: Server) -> None:
    assert server.describe() == {**NEVER_DEPLOYED, "name": "shop"}


def test_a_first_deploy_at_work(server: Server) -> None:
    server.release("r1")
    server.history(entry("r1", "building"))
    server.units["shop-deploy.service"] = "active"
    assert server.describe() == {**NEVER_DEPLOYED, "name": "shop", "at_work": "shop: deploy by bob"}


def test_an_app_that_is_live(server: Server) -> None:
    server.release("r0", "r1", "r2", "r3", "r4", live="r2")
    states = {"gone": "good", "r0": "good", "r1": "good", "r2": "good", "r3": "rolled back", "r4": "failed"}
    server.history(*(entry(*item) for item in states.items()))
    server.units = {"shop-web@r2.service": "active", "shop-web-drain@r3.service": "active"}
    server.pending = ["0002_price"]
    server.path("maintenance").touch()
    assert server.describe() == {
        **NEVER_DEPLOYED,
        "name": "shop",
        "release": "r2",
        "described": "main at r2",
        "revision": "r2abc",
        "since": "2026-11-22T14:51:02Z",
        "who": "alice@laptop",
        "service": "active",
        "health": "200",
        "healthy": True,
        "previous": ["r1", "r0"],
        "draining": ["r3"],
        "maintenance": True,
        "pending_migrations": ["shop.0002_price"],
    }


@pytest.mark.parametrize(
    ("status", "wanted", "health", "healthy"),
    [(500, [], "500", False), (404, [404], "404", True), (0, [], "no answer", False)],
)
def test_health(server: Server, status: int, wanted: list[int], health: str, healthy: bool) -> None:
    server.release("r2", live="r2")
    server.history(entry("r2", "good"))
    server.status = status
    (server.path("releases") / "r2/groundcrew/release.json").write_text(
        json.dumps({"health": {"path": "/", "status": wanted}})
    )
    found = server.describe()
    assert (found["health"], found["healthy"]) == (health, healthy)


def test_a_damaged_ledger_keeps_nothing_else_back(server: Server) -> None:
    server.release("r1", "r2", live="r2")
    server.history()
    server.ledger.write_text("{")
    found = server.describe()
    assert (found["release"], found["health"], found["pending_migrations"]) == ("r2", "200", [])
    (problem,) = found["problems"]
    assert problem.startswith("history: The ledger ")
    assert "To cure it: put a copy of it back" in problem


def test_everything_else_that_cannot_be_found_out(server: Server) -> None:
    server.path("current").symlink_to("releases/r2")
    server.path("tls").mkdir()
    (server.path("tls") / "fullchain.pem").write_text("no certificate")
    found = server.describe()
    assert (found["health"], found["healthy"]) == ("unknown", False)
    assert [problem.split(":")[0] for problem in found["problems"]] == [
        "health",
        "releases",
        "certificate",
    ]
    server.release("r2")
    server.pending = ["broken"]
    assert server.describe()["problems"][0] == "migrations: No database. OperationalError: gone To cure it: start it"


def test_an_app_without_a_database_has_no_migrations(server: Server) -> None:
    server.release("r2", live="r2")
    server.history(entry("r2", "good"))
    (server.path("releases") / "r2/groundcrew/release.json").write_text(json.dumps(FACTS))
    server.pending = ["broken"]
    found = server.describe()
    assert (found["pending_migrations"], found["problems"]) == (None, [])
