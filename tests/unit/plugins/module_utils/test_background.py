# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers and schedules between releases, with a systemd that only keeps books."""

from __future__ import annotations

import json
import pathlib
import shutil

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _background, _live
from ansible_collections.groundcrew.django.plugins.module_utils._app_checks import app_records
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release

TUNING = {"workers": 1, "memory_share": 0.5, "worker_memory": 150}
WORKERS = [
    {"kind": "celery", "app": "shop.celery", "count": 2},
    {"kind": "celery-beat", "app": "shop.celery"},
]
NIGHTLY = {"name": "nightly", "command": "clearsessions", "calendar": "daily"}


class Server:
    """An app below a directory, and the states of units by name."""

    def __init__(self, place: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shop = {"name": "shop", "domains": ["shop.example.com"], "source": {"repo": "https://example.com/s.git"}}
        (record,) = app_records([{**shop, "workers": WORKERS, "schedules": [NIGHTLY]}])
        record["paths"] = {name: f"{place}{path}" for name, path in record["paths"].items()}
        self.app = App(record)
        self.units = place / "units"
        self.units.mkdir()
        self.states: dict[str, str] = {}
        # Units that do not stay up.
        self.broken: set[str] = set()
        self.said: list[str] = []
        monkeypatch.setattr(_background, "UNITS", self.units)
        monkeypatch.setattr(_background, "STAMPS", place)
        monkeypatch.setattr(_background, "INTERVAL", 0.0)
        monkeypatch.setattr(_background, "IDLE", 0.0)
        monkeypatch.setattr(_background, "journal", lambda service: f"the words of {service}")
        monkeypatch.setattr(_live, "systemctl", self.systemctl)
        monkeypatch.setattr(App, "tuning", lambda self: TUNING)

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        del check
        verb, *rest = arguments
        names = [word for word in rest if not word.startswith("--")]
        if verb == "list-units":
            before, _star, after = names[-1].partition("*")
            wanted = next(word for word in rest if word.startswith("--state="))
            known = {name: state for name, state in self.states.items() if state in wanted}
            up = {name: state for name, state in known.items() if name.startswith(before) and name.endswith(after)}
            return "\n".join(f"{name} loaded {state} x" for name, state in up.items())
        if verb == "show":
            return "\n\n".join(
                f"Id={name}\nActiveState={self.states.get(name, 'inactive')}\nSubState=x\nType=notify\nNRestarts=0"
                for name in names
            )
        self.said.append(" ".join([verb, *(name.partition("@")[2] for name in names)]))
        for name in names:
            if verb in ("start", "restart"):
                self.states[name] = "failed" if name in self.broken else "active"
            elif verb == "stop" and self.states.get(name) != "deactivating":
                self.states.pop(name, None)
            elif verb == "reset-failed" and self.states.get(name) == "failed":
                del self.states[name]
        return ""

    def add(self, release: str) -> Release:
        found = Release(self.app, release)
        pathlib.Path(found.beside).mkdir(parents=True)
        record = self.app.record
        found.remember(directory="", workers=record["workers"], schedules=record["schedules"])
        _background.describe(found)
        return found

    def switch(self, release: Release) -> None:
        pathlib.Path(self.app.paths["root"]).mkdir(exist_ok=True)
        _live.switch(self.app.paths["current"], release.id)

    def up(self) -> set[str]:
        """What runs, without the name of the app."""
        return {
            name.partition("@")[2].removesuffix(".service") for name, state in self.states.items() if state != "failed"
        }


@pytest.fixture
def server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


def of(release: str) -> set[str]:
    return {f"{release}:celery:1", f"{release}:celery:2", f"{release}:celery-beat"}


def test_workers_start_beside_the_old_ones_and_the_beat_never_does(server: Server) -> None:
    first, second = server.add("r1"), server.add("r2")
    _background.converge(server.app, first)
    assert of("r1") <= server.up()
    _background.begin(server.app, second)
    assert server.up() >= of("r1") | (of("r2") - {"r2:celery-beat"})
    assert "r2:celery-beat" not in server.up()
    server.said.clear()
    _background.hand_over_beat(server.app, first, second)
    beats = [said for said in server.said if not said.startswith("reset-failed")]
    assert beats == ["stop r1:celery-beat.service", "start r2:celery-beat.service"]
    _background.converge(server.app, second)
    assert server.up() == of("r2") | {"nightly.timer"}
    assert not _background.converge(server.app, second), "once is enough"


def test_who_was_killed_after_his_time_is_listed_no_more(server: Server) -> None:
    server.add("r1")
    server.states["shop-worker@r1:celery:1.service"] = "failed"
    _background.converge(server.app, server.add("r2"))
    assert "shop-worker@r1:celery:1.service" not in server.states


def test_the_beat_is_handed_over_by_a_release_whose_directory_is_gone(server: Server) -> None:
    first, second = server.add("r1"), server.add("r2")
    _background.converge(server.app, first)
    shutil.rmtree(first.root)
    _background.begin(server.app, second)
    _background.hand_over_beat(server.app, first, second)
    assert "r1:celery-beat" not in server.up()
    assert "r2:celery-beat" in server.up()


def test_a_worker_that_does_not_stay_up_tells_why(server: Server) -> None:
    release = server.add("r1")
    server.broken = {"shop-worker@r1:celery:2.service"}
    with pytest.raises(ReleaseError, match=r"The worker celery:2 of the new release does not stay up\.") as caught:
        _background.begin(server.app, release)
    assert caught.value.output == "the words of shop-worker@r1:celery:2.service"


def test_a_release_that_failed_gives_back_the_beat(server: Server) -> None:
    first, second = server.add("r1"), server.add("r2")
    _background.converge(server.app, first)
    _background.begin(server.app, second)
    _background.hand_over_beat(server.app, first, second)
    _background.give_back(server.app, first, second)
    assert server.up() == of("r1") | {"nightly.timer"}
    assert _background.remove("shop-worker", "r2")
    assert not list(server.units.glob("*r2*"))


def test_a_release_is_kept_for_a_worker_that_is_at_a_task(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    release = server.add("r1")
    monkeypatch.setattr(_background, "stop", lambda names: None)
    server.states["shop-worker@r1:celery:1.service"] = "deactivating"
    assert not _background.remove("shop-worker", "r1")
    assert len(list(server.units.glob("*r1*"))) == len(of("r1"))
    release.remove()
    assert pathlib.Path(release.root).exists()


def test_what_finishes_its_tasks_does_so_and_does_not_begin_again(server: Server) -> None:
    server.add("r1")
    second = server.add("r2")
    server.states["shop-worker@r1:celery:1.service"] = "deactivating"
    _background.converge(server.app, second)
    assert "r1:celery:1" in server.up()
    # A start that a rollback had queued behind its end is taken back by this.
    assert "stop r1:celery:1.service" in server.said
    assert not _background.converge(server.app, second)


def test_schedules_follow_the_live_release(server: Server) -> None:
    first, second = server.add("r1"), server.add("r2")
    service = server.units / "shop-schedule@nightly.service"
    assert _background.place_schedules(server.app, first)
    assert "/releases/r1/" in service.read_text()
    assert (server.units / "timers.target.wants" / "shop-schedule@nightly.timer").is_symlink()
    assert not _background.place_schedules(server.app, first)
    server.said.clear()
    assert _background.place_schedules(server.app, second)
    assert "/releases/r2/" in service.read_text()
    assert server.said == ["daemon-reload"], "the timer goes on as it was"
    second.remember(schedules=[])
    server.states["shop-schedule@nightly.service"] = "activating"
    assert _background.place_schedules(server.app, second)
    assert sorted(path.name for path in server.units.glob("*schedule*")) == ["shop-schedule@nightly.service"]
    del server.states["shop-schedule@nightly.service"]
    assert _background.place_schedules(server.app, second)
    assert not list(server.units.glob("*schedule*"))


@pytest.mark.parametrize(
    ("service", "timer", "result", "following"),
    [
        ({}, {}, "not run yet", "never"),
        ({"ActiveState": "activating"}, {"SubState": "running"}, "running", "after this run"),
        ({"Result": "success", "ExecMainExitTimestamp": "then"}, {"NextElapseUSecRealtime": "soon"}, "ok", "soon"),
        ({"Result": "timeout"}, {}, "failed (took too long)", "never"),
        ({"Result": "exit-code", "ExecMainStatus": "3"}, {}, "failed (exit-code, status 3)", "never"),
        ({"Result": "success"}, {"LastTriggerUSec": "once"}, "not run since the server started", "never"),
    ],
)
def test_what_is_told_of_a_schedule(
    service: dict[str, str], timer: dict[str, str], result: str, following: str
) -> None:
    told = _background.read_schedule(service, timer)
    assert (told["result"], told["next"]) == (result, following)


def test_what_is_told_of_workers(server: Server) -> None:
    first, second = server.add("r1"), server.add("r2")
    _background.converge(server.app, first)
    _background.begin(server.app, second)
    server.states["shop-worker@r1:celery:1.service"] = "deactivating"
    told = json.loads(json.dumps(_background.told(server.app, second)))
    assert {"name": "celery:1", "release": "r1", "state": "deactivating", "restarts": 0} in told["workers"]
    assert {"name": "celery-beat", "release": "r2", "state": "inactive", "restarts": 0} in told["workers"]
