# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The switch and what comes after it, without systemd and nginx; with them it is seen on real servers."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import pathlib
import shutil
import tempfile
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.groundcrew.django.plugins.module_utils import (
    _background,
    _go_live,
    _ledger,
    _live,
    _rollback,
    _units,
)
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Options, Release, failing

UNITS = {"web": "shop-web", "worker": "shop-worker", "schedule": "shop-schedule"}


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("site.58d13fa51326.css", True),
        ("index.0a1b2c3d.js.gz", True),
        ("jquery.min.js", False),
        ("site.css", False),
        ("staticfiles.json", False),
        ("facade.css", False),
    ],
)
def test_only_hashed_files_are_kept_for_open_pages(name: str, hashed: bool) -> None:
    assert bool(_go_live.HASHED.search(name)) is hashed


@dataclasses.dataclass
class Server:
    """One app on a server without systemd: what runs is a set of ids."""

    app: App
    up: set[str]
    draining: set[str]

    def add(self, release: str) -> Release:
        found = Release(self.app, release)
        for path in (found.static, found.beside, f"{found.root}/run"):
            pathlib.Path(path).mkdir(parents=True)
        found.remember(static_url="/static/", health={"path": "/", "status": []}, database=False)
        pathlib.Path(found.static, f"site.{len(release):08x}.{release}.css").write_text(release)
        pathlib.Path(found.static, "shared.00000000.css").write_text("the same in every release")
        pathlib.Path(found.environment_file).touch()
        self.app.ledger.entries.append(_ledger.Entry(release, "", "", release, ""))
        return found

    def present(self) -> set[str]:
        return {path.name for path in pathlib.Path(self.app.paths["releases"]).iterdir()}


@pytest.fixture
def server(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Server]:
    yield serve(tmp_path, monkeypatch)


def serve(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    names = ("releases", "current", "state", "config", "static", "public", "secrets", "cache")
    paths = {name: str(folder / name) for name in names}
    for name in names:
        if name != "current":
            (folder / name).mkdir()
    unlimited = dict.fromkeys(_units.LIMITS)
    record = {"name": "shop", "user": "shop", "paths": paths, "units": UNITS, "server": unlimited}
    found = Server(App(record), set(), set())

    def remove(self: _live.Instance) -> None:
        found.up.discard(self.release)
        found.draining.discard(self.release)

    def start(self: _live.Instance) -> None:
        found.draining.discard(self.release)
        found.up.add(self.release)

    # Nothing of it works in the background.
    monkeypatch.setattr(_background, "UNITS", folder)
    monkeypatch.setattr(_live, "systemctl", lambda *arguments, check=True: "")
    monkeypatch.setattr(_live, "running", lambda unit: sorted(found.up))
    monkeypatch.setattr(_live.Instance, "stop_later", lambda self, path, timeout: found.draining.add(self.release))
    monkeypatch.setattr(_live.Instance, "stop_when_idle", lambda self, path, timeout: found.up.discard(self.release))
    monkeypatch.setattr(_live.Instance, "stop", remove)
    monkeypatch.setattr(_live.Instance, "remove", remove)
    monkeypatch.setattr(_live.Instance, "start", start)
    monkeypatch.setattr(_live.Instance, "active", lambda self: self.release in found.up)
    return found


def take_live(server: Server, release: Release, keep: int, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deploy as the engine does, up to the point and with the outcome that ``ending`` names."""

    def smoke(*_arguments: object) -> None:
        if ending == "fails after the switch":
            raise ReleaseError("nginx answers with 502.")
        if ending == "killed after the switch":
            raise KeyboardInterrupt

    monkeypatch.setattr(_go_live, "smoke", smoke)
    with failing(server.app, release):
        if ending == "fails before the switch":
            raise ReleaseError("It does not build.")
        server.app.instance(release.id).start()
        _go_live.share_static(release)
        if ending == "killed after the switch":
            # No Python sees a kill: nothing of what the engine does about an exception happens.
            _live.switch(server.app.paths["current"], release.id)
            return
        _go_live.switch(server.app, release, Options(keep=keep))
        _go_live.settle(server.app, Options(keep=keep))


def test_a_release_that_fails_for_visitors_gives_them_back_what_they_had(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_live(server, server.add("first"), 5, "", monkeypatch)
    with pytest.raises(ReleaseError, match=r"502\. shop was not deployed; release first is still serving"):
        take_live(server, server.add("second"), 5, "fails after the switch", monkeypatch)
    assert server.app.live == "first"
    assert server.up == {"first"}
    assert server.present() == {"first"}
    assert [entry.state for entry in server.app.ledger.entries] == [_ledger.GOOD, _ledger.FAILED]


def test_the_first_release_that_fails_leaves_nothing_live(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReleaseError, match="nothing is live yet"):
        take_live(server, server.add("first"), 5, "fails after the switch", monkeypatch)
    assert server.app.live == ""
    assert server.up == set()


@pytest.mark.parametrize("well", [True, False])
def test_what_a_killed_deploy_switched_to_is_judged_by_the_next(
    well: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_live(server, server.add("first"), 5, "", monkeypatch)
    take_live(server, server.add("second"), 5, "killed after the switch", monkeypatch)
    assert server.app.live == "second"

    def smoke(*_arguments: object) -> None:
        if not well:
            raise ReleaseError("nginx answers with 502.")

    monkeypatch.setattr(_go_live, "smoke", smoke)
    assert _go_live.heal(server.app, Options())
    assert server.app.live == ("second" if well else "first")
    assert server.app.ledger.entries[1].state == (_ledger.GOOD if well else _ledger.FAILED)
    assert not _go_live.heal(server.app, Options()), "once is enough"


def test_pages_that_are_open_keep_their_files_as_long_as_a_release_has_them(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = pathlib.Path(server.app.paths["static"])
    for release in ("a", "b", "c"):
        take_live(server, server.add(release), 2, "", monkeypatch)
        server.up &= {server.app.live}
    assert server.present() == {"b", "c"}
    assert {path.name for path in shared.iterdir()} == {
        "shared.00000000.css",
        "site.00000001.b.css",
        "site.00000001.c.css",
    }


ENDINGS = ("", "fails before the switch", "fails after the switch", "killed after the switch")
ROLLBACKS = ("", "fails after the switch", "killed before the switch", "killed after the switch")
EVENTS = st.one_of(
    st.tuples(st.just("deploy"), st.sampled_from(ENDINGS)),
    st.tuples(st.just("roll back"), st.tuples(st.integers(0, 4), st.sampled_from(ROLLBACKS))),
    st.tuples(st.just("drained"), st.just("")),
)


@given(st.lists(EVENTS, max_size=25), st.integers(1, 4))
@settings(deadline=None, max_examples=150)
def test_after_any_history_something_complete_is_live_and_a_way_back_is_left(
    events: list[tuple[str, t.Any]], keep: int
) -> None:
    folder = pathlib.Path(tempfile.mkdtemp())
    with pytest.MonkeyPatch.context() as monkeypatch:
        server = serve(folder, monkeypatch)
        try:
            live_through(server, events, keep, monkeypatch)
        finally:
            shutil.rmtree(folder)


def go_back(server: Server, place: int, ending: str, keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roll back as the engine does, up to the point and with the outcome that ``ending`` names.

    :param place: which of the ways back; 0 leaves it to the rollback.
    """
    app, left = server.app, server.app.live
    ways = _ledger.ways_back(app.ledger.entries, server.present(), left)
    wanted = ways[place % len(ways)] if ways and place else ""
    target = _rollback.choose(app.ledger.entries, server.present(), left, wanted)
    chosen = app.ledger.find(target)
    assert chosen and chosen.state == _ledger.GOOD, "what was rolled back or has failed is not offered"

    dead = False

    def switch(current: str, release: str) -> None:
        nonlocal dead
        dead = dead or ending == "killed before the switch"
        if not dead:
            to_link(current, release)
            dead = ending == "killed after the switch"
        if dead:
            raise KeyboardInterrupt

    def save(ledger: _ledger.Ledger) -> None:
        # No Python sees a kill: nothing of what it does about an exception happens.
        if not dead:
            to_file(ledger)

    def smoke(*_arguments: object) -> None:
        if ending == "fails after the switch":
            raise ReleaseError("nginx answers with 502.")

    to_link, to_file = _live.switch, _ledger.Ledger.save
    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(_live, "switch", switch)
        patch.setattr(_ledger.Ledger, "save", save)
        patch.setattr(_go_live, "smoke", smoke)
        app.instance(target).start()
        _rollback.change_places(app, Release(app, target), Options(keep=keep))
        _go_live.settle(app, Options(keep=keep))
    # As the next run finds it.
    app.__dict__.pop("ledger")


def live_through(server: Server, events: list[tuple[str, t.Any]], keep: int, monkeypatch: pytest.MonkeyPatch) -> None:
    app = server.app
    for number, (event, how) in enumerate(events):
        before = app.live
        if event == "drained":
            server.up -= server.draining
            server.draining.clear()
            continue
        monkeypatch.setattr(_go_live, "smoke", lambda *_arguments: None)
        _go_live.heal(app, Options(keep=keep))
        if event == "deploy":
            try:
                take_live(server, server.add(f"r{number}"), keep, how, monkeypatch)
            except ReleaseError:
                assert app.live == before
        else:
            try:
                place, ending = how
                go_back(server, place, ending, keep, monkeypatch)
            except ReleaseError:
                assert app.live == before
        live = app.live
        assert not live or live in server.present()
        assert not live or live in server.up
        assert not live or live not in server.draining
        if event == "deploy" and not how:
            assert live == f"r{number}"
            assert not before or before in server.present(), "the one before stays"
        for entry in app.ledger.entries:
            if entry.state == _ledger.FAILED:
                assert entry.id not in server.present()


@pytest.mark.parametrize(
    ("kind", "interface", "workers", "own"),
    [
        ("gunicorn", "wsgi", "--workers=5", False),
        ("granian", "wsgi", "--workers=5", True),
        ("granian", "asgi", "--workers=2", True),
        ("hypercorn", "asgi", "--workers=2", False),
        ("daphne", "asgi", "", True),
    ],
)
def test_a_release_is_described_for_its_app_server(
    kind: str, interface: str, workers: str, own: bool, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuning = {"workers": {"wsgi": 5, "asgi": 2}, "threads": 2, "timeout": 60}
    monkeypatch.setattr(App, "tuning", lambda self: dict(tuning))
    monkeypatch.setattr(App, "writable", [])
    owners: list[tuple[str, int, int]] = []
    monkeypatch.setattr("os.chown", lambda *owner: owners.append(owner))
    monkeypatch.setattr("grp.getgrnam", lambda name: argparse.Namespace(gr_gid=33))
    release = server.add("first")
    release.remember(server=kind, interface=interface, entry="shop.entry:application", directory="")
    text = _go_live.describe(server.app, release)
    assert workers in text
    assert f"groundcrew_{interface}:application" in text
    assert (pathlib.Path(release.beside) / f"groundcrew_{interface}.py").exists()
    directory = pathlib.Path(release.socket).parent
    # In its own directory the app may make a socket, which nginx may reach; nobody may put a link in its place.
    assert owners == ([(str(directory), 0, 33)] if own else [])
    assert (directory.stat().st_mode & 0o7777 == 0o3717) is own
    assert (f'"{directory}"' in text) is own
    assert ("shop-web@%i.socket" in text) is not own
