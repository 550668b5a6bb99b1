# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A set is applied to a temporary directory, with a fake systemctl, and killed wherever it can be killed."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import grp
import os
import pwd
import tempfile
import threading
import typing as t
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    NEW_WORKERS,
    Command,
    ConfigSetError,
    Entry,
    Exclusive,
    Unit,
    Wanted,
    WantedFile,
    WantedUnit,
)
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_apply import (
    _not_live,
    confirm,
    converge,
    manifest_path,
    recover,
    revert,
)
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_system import Result, System, temporary

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name


class Killed(BaseException):
    """As SIGKILL, it passes by whatever handles an Exception."""


class Service:
    """A unit of the fake systemd, which knows the files that it has loaded."""

    def __init__(self, active: str = "inactive", file_state: str = "disabled") -> None:
        self.active, self.file_state = active, file_state
        self.loaded: dict[str, str] | None = None
        self.workers = 0


class Server(System):
    """A real file system below `root`, and a systemctl that only remembers.

    `kill_at` is the number of the effect before which, or half way through which, the process dies.
    """

    def __init__(self, root: Path, services: dict[str, Service] | None = None) -> None:
        super().__init__(f"{root}/state")
        self.root = root
        self.services = services if services is not None else {}
        self.calls: list[str] = []
        self.kill_at = 0
        self.effects = 0
        self.failing: dict[str, str] = {}  # a command, or "prepare /path" -> what is wrong with it
        self.broken = ""  # a content with which a service does not reload, and does not say so
        self.time = 0.0
        self.armed: tuple[str, int] | None = None

    # What stands, for comparison. Our own book-keeping apart.
    def files(self) -> dict[str, str]:
        found = {}
        for path in sorted(self.root.rglob("*")):
            if str(path).startswith(self.state_directory):
                continue
            name = str(path.relative_to(self.root))
            if path.is_symlink():
                found[name] = f"-> {os.readlink(path)}"
            elif path.is_dir():
                found[name] = "directory"
            else:
                found[name] = f"{path.stat().st_mode & 0o7777:04o} {path.read_text()}"
        return found

    def effect(self, half: t.Callable[[], t.Any] = lambda: None) -> None:
        self.effects += 1
        if self.kill_at and self.effects == self.kill_at:
            half()
            raise Killed

    def _own(self, target: str | int, entry: Entry) -> None:
        os.chmod(target, entry.mode or 0)  # chown is root's, and tests need not be

    def prepare(self, path: str, entry: Entry) -> None:
        if entry.kind == "absent":
            return
        self.effect()
        if f"prepare {path}" in self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if entry.kind == "file":
            self.effect(lambda: Path(temporary(path)).write_text("half a fi"))
        super().prepare(path, entry)

    def commit(self, path: str, entry: Entry) -> None:
        if entry.kind == "directory":
            return
        self.effect()
        if f"commit {path}" in self.failing:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        super().commit(path, entry)

    def systemd(self) -> bool:
        return True

    def units(self, names: t.Sequence[str]) -> dict[str, Unit]:
        found = {}
        for name in names:
            service = self.services[name]
            pid = list(self.services).index(name) + 1
            found[name] = Unit("loaded", service.active, service.file_state, pid)
        return found

    def children(self, pid: int) -> dict[tuple[int, str], str]:
        return {(list(self.services.values())[pid - 1].workers, "0"): "worker"}

    def run(self, argv: t.Sequence[str], timeout: float | None = None, enter: t.Any = None) -> Result:
        self.effect()
        command = " ".join(word for word in argv if word != "--")
        self.calls.append(command)
        if command in self.failing:
            return Result(1, stderr=self.failing[command])
        if argv[0] == "systemctl" and argv[1] not in ("daemon-reload", "reset-failed"):
            self._systemctl(argv[1], self.services[argv[-1]])
        self.effect()
        return Result(0)

    def run_staged(self, argv: t.Sequence[str], steps: t.Any) -> Result:
        return self.run(argv)

    def arm(self, name: str, seconds: int) -> None:
        self.effect()
        self.armed = (name, seconds)

    def is_armed(self, name: str) -> bool:
        return self.armed is not None

    def disarm(self, name: str) -> None:
        self.armed = None

    def _systemctl(self, verb: str, service: Service) -> None:
        if verb in ("enable", "disable"):
            service.file_state = f"{verb}d"
        elif verb == "stop":
            service.active = "inactive"
        else:
            content = self.files()
            if verb == "reload" and self.broken and self.broken in str(content):
                return
            service.active, service.loaded = "active", content
            service.workers += 1
            if verb != "reload" and self.broken and self.broken in str(content):
                service.active = "failed"

    def journal(self, unit: str, since: float) -> str:
        return f"{unit} said something"

    def clock(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def file(path: Path | str, content: str = "new", mode: int = 0o644, secret: bool = False) -> WantedFile:
    return WantedFile(str(path), Entry("file", content.encode(), owner=ME, group=MY_GROUP, mode=mode), secret)


def link(path: Path | str, target: str) -> WantedFile:
    return WantedFile(str(path), Entry("link", target=target))


def directory(path: Path | str, mode: int = 0o755) -> WantedFile:
    return WantedFile(str(path), Entry("directory", owner=ME, group=MY_GROUP, mode=mode))


def old_set(root: Path) -> Wanted:
    return Wanted(
        "x",
        files=(
            file(root / "a", "old a"),
            file(root / "b", "old b", mode=0o600),
            file(root / "gone", "old"),
            link(root / "link", "a"),
            file(root / "kept", "same"),
            file(root / "turns", "into a link"),
        ),
        units=(WantedUnit("x.service", "started", True, "reload"), WantedUnit("y.service", "started", True, "restart")),
    )


def new_set(root: Path) -> Wanted:
    return Wanted(
        "x",
        directories=(directory(root / "made" / "inner", 0o750),),
        files=(
            file(root / "a", "new a"),
            file(root / "b", "old b", mode=0o640),
            file(root / "made" / "inner" / "c", "new c"),
            link(root / "link", "b"),
            file(root / "kept", "same"),
            link(root / "turns", "kept"),
        ),
        absent=(str(root / "gone"),),
        exclusive=(Exclusive(str(root)),),
        validate=(("validate",),),
        commands=(Command(("derive",)),),
        units=(
            WantedUnit("x.service", "started", True, "reload", confirm=NEW_WORKERS),
            WantedUnit("y.service", "started", True, "restart"),
            WantedUnit("new.service", "started", True),
            WantedUnit("leaving.service", "stopped", False),
        ),
    )


def prepared(root: Path) -> Server:
    """A server that has the old set, and two more units."""
    services = {name: Service() for name in ("x.service", "y.service", "new.service")}
    services["leaving.service"] = Service("active", "enabled")
    server = Server(root, services)
    (root / "foreign").write_text("theirs")
    converge(server, old_set(root), check_mode=False)
    server.calls.clear()
    server.effects = 0
    return server


def state(server: Server) -> dict[str, t.Any]:
    units = {name: (service.active, service.file_state) for name, service in server.services.items()}
    return {"files": server.files(), "units": units}


def assert_live(server: Server) -> None:
    """What runs has loaded what stands."""
    for name in ("x.service", "y.service"):
        assert server.services[name].loaded == server.files(), name


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return prepared(tmp_path)


def old_and_new(path: Path) -> tuple[dict[str, t.Any], dict[str, t.Any], int]:
    path.mkdir()
    server = prepared(path)
    old = state(server)
    converge(server, new_set(path), check_mode=False)
    return old, state(server), server.effects


# ------------------------------------------------------------------------------------------------------- converge


def test_a_set_is_brought_about_and_a_second_call_changes_nothing(server: Server):
    outcome = converge(server, new_set(server.root), check_mode=False)
    assert outcome.plan.changed
    assert outcome.validated
    assert server.files() == {
        "a": "0644 new a",
        "b": "0640 old b",
        "foreign": "0644 theirs",
        "kept": "0644 same",
        "link": "-> b",
        "made": "directory",
        "made/inner": "directory",
        "made/inner/c": "0644 new c",
        "turns": "-> kept",
    }
    assert server.calls == [
        "validate",
        "systemctl stop leaving.service",
        "systemctl disable leaving.service",
        "derive",
        "systemctl reload x.service",
        "systemctl restart y.service",
        "systemctl enable new.service",
        "systemctl start new.service",
    ]
    assert_live(server)
    assert os.listdir(server.pending) == []

    server.calls.clear()
    again = converge(server, new_set(server.root), check_mode=False)
    assert (again.plan.changed, again.plan.steps, again.validated, server.calls) == (False, (), False, [])


def test_check_mode_predicts_all_of_it_and_touches_nothing(server: Server):
    before = state(server)
    predicted = converge(server, new_set(server.root), check_mode=True)
    assert state(server) == before
    assert (server.calls, server.effects) == ([], 0)
    assert predicted.plan == converge(server, new_set(server.root), check_mode=False).plan


def test_check_mode_on_a_bare_host_makes_not_even_our_own_directories(tmp_path: Path):
    server = Server(tmp_path, {"x.service": Service()})
    server.units = lambda names: {name: Unit() for name in names}  # type: ignore[method-assign]
    wanted = Wanted("x", files=(file(tmp_path / "missing" / "a"),), units=(WantedUnit("x.service", "started", True),))
    plan = converge(server, wanted, check_mode=True).plan
    assert [(step.path, step.state) for step in plan.changes] == [(f"{tmp_path}/missing/a", "created")]
    assert [unit.then for unit in plan.units] == [("enable", "start")]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigSetError, match="nothing was touched: the directory of .*/missing/a does not exist"):
        converge(server, wanted, check_mode=False)


def test_an_invalid_set_never_stands(server: Server):
    before = state(server)
    server.failing["validate"] = "unknown directive"
    with pytest.raises(
        ConfigSetError, match=r"(?s)nothing was touched. validate \(exit status 1\):\nunknown directive"
    ):
        converge(server, new_set(server.root), check_mode=False)
    assert state(server) == before
    assert server.calls == ["validate"]
    assert os.listdir(server.pending) == []


@pytest.mark.parametrize(
    "failure",
    [
        "prepare {root}/a",
        "prepare {root}/made/inner/c",
        "commit {root}/a",
        "commit {root}/link",
        "commit {root}/gone",
        "derive",
        "systemctl stop leaving.service",
        "systemctl disable leaving.service",
        "systemctl enable new.service",
        "systemctl start new.service",
    ],
)
def test_what_fails_is_taken_back(server: Server, failure: str):
    before = state(server)
    server.failing[failure.format(root=server.root)] = "its own words"
    with pytest.raises(ConfigSetError, match="The old files are back, and the units as they were") as caught:
        converge(server, new_set(server.root), check_mode=False)
    assert caught.value.details == {"rolled_back": True}
    assert (
        ("No space left" in str(caught.value))
        or ("busy" in str(caught.value))
        or ("its own words" in str(caught.value))
    )
    assert state(server) == before
    assert_live(server)
    assert os.listdir(server.pending) == []


def test_a_full_disk_is_noticed_while_every_live_file_still_stands(server: Server):
    placed: list[str] = []
    commit = server.commit

    def note(path: str, entry: Entry) -> None:
        placed.append(path)
        commit(path, entry)

    server.commit = note  # type: ignore[method-assign]
    server.failing[f"prepare {server.root}/turns"] = ""
    with pytest.raises(ConfigSetError, match="turns: No space left on device"):
        converge(server, new_set(server.root), check_mode=False)
    files = [path for path in placed if not path.startswith(server.state_directory)]
    assert [path for path in files if f"{server.root}/made" not in path] == []


def test_a_unit_that_was_started_is_stopped_again_when_a_later_one_fails(server: Server):
    before = state(server)
    server.failing["systemctl restart y.service"] = "its own words"
    units = (WantedUnit("new.service", "started", True), WantedUnit("y.service", "started", on_change="restart"))
    with pytest.raises(ConfigSetError, match="its own words"):
        converge(server, Wanted("x", files=(file(server.root / "a"),), units=units), check_mode=False)
    assert "systemctl start new.service" in server.calls
    assert state(server) == before


def test_a_reload_that_did_not_take_is_noticed(server: Server):
    before = state(server)
    server.broken = "new a"
    with pytest.raises(ConfigSetError) as caught:
        converge(server, new_set(server.root), check_mode=False)
    assert "reload of x.service is not live after 15 s: process 1 has no new worker" in str(caught.value)
    assert "journal of x.service:\nx.service said something" in str(caught.value)
    assert state(server) == before
    assert_live(server)


def test_a_service_that_dies_of_the_change_is_back_with_the_old_files(server: Server):
    before = state(server)
    server.broken = "new a"
    wanted = Wanted(
        "x", files=(file(server.root / "a", "new a"),), units=(WantedUnit("y.service", "started", True, "restart"),)
    )
    with pytest.raises(ConfigSetError, match="restart of y.service is not live after 15 s: the unit is failed"):
        converge(server, wanted, check_mode=False)
    assert state(server) == before
    assert server.services["y.service"].loaded == server.files()


@pytest.mark.parametrize(
    ("before", "after", "waited", "live"),
    [
        pytest.param({1: "w"}, {1: "w"}, 9, False, id="nothing happened"),
        pytest.param({1: "w"}, {2: "w"}, 0, True, id="replaced"),
        pytest.param({1: "w", 2: "w"}, {2: "w", 3: "w"}, 9, False, id="one had crashed"),
        pytest.param({1: "w", 2: "w"}, {1: "w leaving", 3: "w"}, 0, True, id="fewer new ones, the old ones leave"),
        pytest.param({1: "w"}, {1: "w", 2: "w"}, 0, False, id="the old one may still take requests"),
        pytest.param({1: "w"}, {1: "w", 2: "w"}, 3, True, id="the old one stays beside the new"),
        pytest.param({1: "w", 2: "w leaving", 3: "w leaving"}, {2: "w leaving", 3: "w leaving", 4: "w"}, 0, True,
                     id="others are still leaving since an earlier reload"),
        pytest.param({1: "w", 2: "w leaving"}, {1: "w", 2: "w leaving"}, 9, False, id="nothing happened, others leave"),
        pytest.param({}, {1: "w"}, 0, True, id="start"),
        pytest.param({}, {}, 0, False, id="start without workers"),
    ],
)  # fmt: skip
def test_new_workers(server: Server, before: dict[int, str], after: dict[int, str], waited: float, live: bool):
    def workers(commands: dict[int, str]) -> dict[tuple[int, str], str]:
        return {(pid, "0"): command for pid, command in commands.items()}

    server.children = lambda pid: workers(after)  # type: ignore[method-assign]
    unit = WantedUnit("x.service", confirm=NEW_WORKERS)
    assert (_not_live(server, unit, workers(before), waited) == "") is live


def test_a_confirming_command_is_asked_until_it_agrees(server: Server):
    answers = iter([Result(1, stderr="not yet"), Result(1, stderr="not yet"), Result(0)])
    ask = server.run
    server.run = lambda argv, **options: next(answers) if argv[0] == "ask" else ask(argv, **options)  # type: ignore[method-assign]
    wanted = Wanted("x", files=(file(server.root / "a"),), units=(WantedUnit("x.service", confirm=("ask", "it")),))
    converge(server, wanted, check_mode=False)
    assert list(answers) == []


def test_log_lines_written_meanwhile_are_shown(server: Server):
    log = server.root / "error.log"
    log.write_text("before\n")
    ask = server.run

    def run(argv: t.Sequence[str], **options: t.Any) -> Result:
        if argv[1:2] == ["reload"]:
            log.write_text("before\nport is busy\n")
        return ask(argv, **options)

    server.run = run  # type: ignore[assignment, method-assign]
    server.broken = "new"
    unit = WantedUnit("x.service", on_change="reload", confirm=NEW_WORKERS, logs=(str(log),))
    with pytest.raises(ConfigSetError) as caught:
        converge(server, Wanted("x", files=(file(server.root / "a"),), units=(unit,)), check_mode=False)
    assert f"{log}:\nport is busy\n" in str(caught.value)


def test_secrets_are_masked_in_the_words_of_a_product(server: Server):
    server.failing["validate"] = "line 1: password 'hunter2' is too short, unlike verysecret"
    (server.root / "a").write_text("verysecret")
    wanted = Wanted("x", files=(file(server.root / "a", "hunter2", secret=True),), validate=(("validate",),))
    with pytest.raises(ConfigSetError) as caught:
        converge(server, wanted, check_mode=False)
    assert "password '********' is too short, unlike ********" in str(caught.value)


def test_drift_of_a_unit_is_repaired_without_touching_files(server: Server):
    server.services["y.service"] = Service("failed", "disabled")
    outcome = converge(server, old_set(server.root), check_mode=False)
    assert outcome.plan.changed
    assert outcome.plan.steps == ()
    assert server.calls == [
        "systemctl enable y.service",
        "systemctl reset-failed y.service",
        "systemctl start y.service",
    ]


def test_a_unit_that_runs_and_does_not_work_is_seen_to(server: Server):
    unit = WantedUnit("y.service", "started", on_change="reload", working=("look",))
    wanted = Wanted("x", units=(unit,))
    server.services["y.service"] = Service("active", "enabled")
    assert not converge(server, wanted, check_mode=False).plan.changed
    server.failing["look"] = "no such table"
    server.calls.clear()
    assert converge(server, wanted, check_mode=True).plan.changed
    assert server.calls == ["look"]
    converge(server, wanted, check_mode=False)
    assert "systemctl reload y.service" in server.calls
    # Whether one that stands still does something is no question.
    server.services["y.service"] = Service("inactive", "enabled")
    server.calls.clear()
    converge(server, wanted, check_mode=True)
    assert server.calls == []


def test_a_journal_that_cannot_be_written_means_that_nothing_happens(server: Server):
    before = state(server)
    server.failing[f"prepare {server.pending}/x/journal.json"] = ""
    with pytest.raises(ConfigSetError, match="nothing was touched: the journal cannot be written: .*No space left"):
        converge(server, new_set(server.root), check_mode=False)
    assert state(server) == before


def test_what_cannot_be_put_back_stays_in_the_journal(server: Server):
    before = state(server)
    server.broken = "new a"
    prepare = server.prepare

    def full(path: str, entry: Entry) -> None:
        if path == f"{server.root}/a" and entry.content == b"old a":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        prepare(path, entry)

    server.prepare = full  # type: ignore[method-assign]
    for expected in ("did not wholly succeed:\n.*/a: No space left", "cannot be put back:\n.*/a: No space left"):
        with pytest.raises(ConfigSetError, match=f"(?s){expected}"):
            converge(server, new_set(server.root), check_mode=False)
    server.prepare = prepare  # type: ignore[method-assign]
    recovered = converge(server, old_set(server.root), check_mode=False).recovered
    assert recovered
    assert recovered["found"] == "undoing"
    assert state(server) == before


# --------------------------------------------------------------------------------------------------------- killed


def test_killed_at_every_effect(tmp_path: Path):
    """The whole matrix: wherever the call dies, recovering leaves the old set or the new one, never a mixture; it is live;
    and the next calls complete the new set and then change nothing."""
    old, new, effects = old_and_new(tmp_path / "reference")
    assert effects > 60
    found = []
    for kill_at in range(1, effects + 1):
        root = tmp_path / str(kill_at)
        root.mkdir()
        server = prepared(root)
        server.kill_at = kill_at
        with pytest.raises(Killed):
            converge(server, new_set(root), check_mode=False)
        # In check mode it is reported, and nothing is touched.
        dead, effects_before = state(server), server.effects
        reported = converge(server, new_set(root), check_mode=True).recovered
        assert (state(server), server.effects) == (dead, effects_before)

        recovered = recover(server, "x", check_mode=False)
        assert state(server) in (old, new), f"a mixture after a kill at {kill_at}"
        assert (reported is None) == (recovered is None)
        if recovered and reported:
            assert reported["outcome"] == f"would_be_{recovered['outcome']}"
            assert recovered["outcome"] == ("completed" if state(server) == new else "rolled_back")
        if state(server) == new or recovered:
            assert_live(server)
        found.append(recovered["found"] if recovered else "none")

        assert converge(server, new_set(root), check_mode=False).recovered is None
        assert state(server) == new
        assert_live(server)
        last = converge(server, new_set(root), check_mode=False)
        assert (last.plan.changed, last.recovered) == (False, None)
        assert os.listdir(server.pending) == []
        assert not list(root.rglob("*.groundcrew")), "temporary files are left"
    # Each stage was met, in this order.
    assert list(dict.fromkeys(found)) == ["none", "writing", "written"]
    assert found[-1] == "none"


# ----------------------------------------------------------------------------------------------------------- held


def held_set(root: Path) -> Wanted:
    return dataclasses.replace(new_set(root), hold=60)


def test_a_held_change_stays_when_it_is_confirmed(server: Server):
    asked = converge(server, held_set(server.root), check_mode=False, ask=True)
    assert asked.pending
    assert asked.validated
    assert server.armed is None
    converge(server, held_set(server.root), check_mode=False)
    new = state(server)
    assert server.armed == ("x", 60)
    confirm(server, "x")
    assert server.armed is None
    assert state(server) == new
    assert_live(server)
    assert not converge(server, held_set(server.root), check_mode=False, ask=True).plan.changed
    assert server.armed is None
    with pytest.raises(ConfigSetError, match="nothing is held any more"):
        confirm(server, "x")


@pytest.mark.parametrize("by", ["the timer", "the next call"])
def test_a_held_change_that_nobody_confirms_is_taken_back(server: Server, by: str):
    old = state(server)
    converge(server, held_set(server.root), check_mode=False)
    assert state(server) != old
    if by == "the timer":
        assert revert(server, "x") == []
    else:
        recovered = recover(server, "x", check_mode=False)
        assert recovered
        assert recovered["found"] == "held"
    assert server.armed is None
    assert state(server) == old
    assert_live(server)
    with pytest.raises(ConfigSetError, match="nothing is held any more.*host_access_hold"):
        confirm(server, "x")
    assert revert(server, "x") == [], "a timer that comes too late"


def test_a_held_change_is_left_to_whoever_made_it(server: Server):
    converge(server, held_set(server.root), check_mode=False)
    new = state(server)
    for ask in (True, False):
        with pytest.raises(ConfigSetError, match="waits to be confirmed"):
            converge(server, held_set(server.root), check_mode=False, ask=ask)
    assert state(server) == new
    confirm(server, "x")
    # The same from somebody else is no change any more, and has nothing to confirm.
    assert not converge(server, held_set(server.root), check_mode=False).pending


def test_a_held_change_without_its_timer_is_taken_back_by_the_next_call(server: Server):
    converge(server, held_set(server.root), check_mode=False)
    server.armed = None
    asked = converge(server, held_set(server.root), check_mode=False, ask=True)
    assert asked.recovered
    assert asked.recovered["found"] == "held"


def test_only_what_is_named_is_held(server: Server):
    wanted = dataclasses.replace(held_set(server.root), held=(f"{server.root}/elsewhere/*",))
    outcome = converge(server, wanted, check_mode=False, ask=True)
    assert (outcome.plan.changed, outcome.pending, server.armed) == (True, False, None)
    assert not converge(server, wanted, check_mode=False, ask=True).plan.changed


def test_killed_at_every_effect_of_a_held_change(tmp_path: Path):
    """Once a file has changed, or a unit, a timer is set that takes it back."""
    old, _new, effects = old_and_new(tmp_path / "reference")
    for kill_at in range(1, effects + 3):
        root = tmp_path / str(kill_at)
        root.mkdir()
        server = prepared(root)
        server.kill_at = kill_at
        with contextlib.suppress(Killed):
            converge(server, held_set(root), check_mode=False)
        server.kill_at = 0
        assert server.armed or state(server) == old
        revert(server, "x")
        assert state(server) == old, kill_at
        assert server.armed is None
        assert_live(server)


def test_a_held_change_that_fails_leaves_no_timer(server: Server):
    before = state(server)
    server.broken = "new a"
    with pytest.raises(ConfigSetError, match="The old files are back"):
        converge(server, held_set(server.root), check_mode=False)
    assert server.armed is None
    assert state(server) == before


def test_killed_at_every_effect_of_taking_back(tmp_path: Path):
    """As above, for a set that a service refuses: what is left is always the old set in the end."""
    for kill_at in range(1, 200):
        root = tmp_path / str(kill_at)
        root.mkdir()
        server = prepared(root)
        old = state(server)
        server.broken = "new a"
        server.kill_at = kill_at
        try:
            converge(server, new_set(root), check_mode=False)
        except Killed:
            pass
        except ConfigSetError:
            break
        recover(server, "x", check_mode=False)
        assert state(server) == old, f"after a kill at {kill_at}"
        assert_live(server)
        assert os.listdir(server.pending) == []
    assert kill_at > 90


def test_a_server_that_started_again_with_half_a_set_is_put_right(server: Server):
    commit = server.commit

    def die(path: str, entry: Entry) -> None:
        if path == f"{server.root}/link":
            raise Killed
        commit(path, entry)

    server.commit = die  # type: ignore[method-assign]
    with pytest.raises(Killed):
        converge(server, new_set(server.root), check_mode=False)
    server.commit = commit  # type: ignore[method-assign]
    for name in ("x.service", "y.service"):  # a reboot: they load what stands, a mixture
        server.services[name].loaded = server.files()
    recovered = recover(server, "x", check_mode=False)
    assert recovered
    assert (recovered["found"], recovered["outcome"]) == ("writing", "rolled_back")
    assert_live(server)


def test_a_unit_that_fails_after_a_kill_is_rolled_back(server: Server):
    old = state(server)
    server.broken = "new a"
    ask = server.run

    def run(argv: t.Sequence[str], **options: t.Any) -> Result:
        if argv[1:2] == ["reload"]:
            raise Killed
        return ask(argv, **options)

    server.run = run  # type: ignore[assignment, method-assign]
    with pytest.raises(Killed):
        converge(server, new_set(server.root), check_mode=False)
    server.run = ask  # type: ignore[method-assign]
    recovered = recover(server, "x", check_mode=False)
    assert recovered
    assert (recovered["found"], recovered["outcome"]) == ("written", "rolled_back")
    assert "no new worker" in recovered["reason"]
    assert state(server) == old
    assert_live(server)


names = st.sampled_from(["a", "b", "c", "d"])
contents = st.one_of(
    st.tuples(st.just("file"), st.sampled_from(["1", "2", "3"]), st.sampled_from([0o600, 0o644])),
    st.tuples(st.just("link"), names, st.none()),
)


@settings(max_examples=120, deadline=None)
@given(
    before=st.dictionaries(names, contents),
    after=st.dictionaries(names, contents),
    action=st.sampled_from(["reload", "restart", "reload-or-restart", "none"]),
    broken=st.sampled_from(["", "3"]),
    kills=st.lists(st.integers(1, 70), min_size=1, max_size=4),
)
def test_killed_again_and_again(before, after, action, broken, kills):
    """Any set after any other, killed in a row of calls, recovering ones among them: never a mixture; in the end the
    wanted set, or the old one when the service refuses the new."""

    def wanted(root: Path, described: dict[str, tuple[str, str, int | None]]) -> Wanted:
        files = [
            link(root / name, value) if kind == "link" else file(root / name, value, t.cast("int", mode))
            for name, (kind, value, mode) in described.items()
        ]
        unit = WantedUnit("x.service", "started", True, action, confirm=NEW_WORKERS)
        return Wanted("x", files=tuple(files), exclusive=(Exclusive(str(root)),), units=(unit,))

    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        server = Server(root, {"x.service": Service()})
        converge(server, wanted(root, before), check_mode=False)
        server.services["x.service"].loaded = server.files()
        old = server.files()
        target = {
            name: f"-> {value}" if kind == "link" else f"{mode:04o} {value}"
            for name, (kind, value, mode) in after.items()
        }
        server.broken = broken if action == "reload" and broken and broken not in str(old) else ""
        for kill_at in kills:
            server.kill_at, server.effects = kill_at, 0
            with contextlib.suppress(Killed, ConfigSetError):
                converge(server, wanted(root, after), check_mode=False)
        server.kill_at = 0
        recover(server, "x", check_mode=False)
        visible = server.files()
        assert visible in (old, target)
        refused = bool(server.broken) and server.broken in str(target) and target != old
        try:
            converge(server, wanted(root, after), check_mode=False)
            assert not refused
            assert server.files() == target
        except ConfigSetError:
            assert refused
            assert server.files() == old
        if action != "none":
            assert server.services["x.service"].loaded == server.files()
        assert os.listdir(server.pending) == []
        if not refused:
            assert not converge(server, wanted(root, after), check_mode=False).plan.changed


# ------------------------------------------------------------------------------------------------------- two calls


def test_two_calls_on_one_set_follow_each_other(tmp_path: Path):
    first, second = Server(tmp_path, {}), Server(tmp_path, {})
    second.sleep = lambda seconds: waiting.set()  # type: ignore[method-assign]
    entered, waiting = threading.Event(), threading.Event()
    order = []

    def slow(argv: t.Sequence[str], steps: t.Any) -> Result:
        entered.set()
        assert waiting.wait(10)
        order.append("first")
        return Result(0)

    first.run_staged = slow  # type: ignore[method-assign]
    wanted = Wanted("x", files=(file(tmp_path / "a"),), validate=(("validate",),))
    thread = threading.Thread(target=converge, args=(first, wanted, False))
    thread.start()
    assert entered.wait(10)
    outcome = converge(second, wanted, check_mode=False)
    order.append("second")
    thread.join(10)
    assert order == ["first", "second"]
    assert not outcome.plan.changed


def test_a_call_does_not_wait_for_ever(tmp_path: Path):
    first, second = Server(tmp_path), Server(tmp_path)
    first.make_state()
    with (
        first.lock("x"),
        pytest.raises(ConfigSetError, match="another call has been working on the config set x for 300 s"),
    ):
        converge(second, Wanted("x"), check_mode=False)
    converge(second, Wanted("x"), check_mode=False)


def test_the_book_keeping_belongs_to_root_alone(server: Server):
    modes = {}
    begin = server.commit

    def commit(path: str, entry: Entry) -> None:
        begin(path, entry)
        if path.startswith(server.state_directory):
            modes[path.removeprefix(server.state_directory)] = (
                os.lstat(path).st_mode & 0o777 if os.path.lexists(path) else None
            )

    server.commit = commit  # type: ignore[method-assign]
    (server.root / "a").chmod(0o666)
    converge(server, new_set(server.root), check_mode=False)
    assert set(modes.values()) == {0o600, None}
    for path in (server.sets, server.pending):
        assert os.stat(path).st_mode & 0o777 == 0o700
    assert os.stat(manifest_path(server, "x")).st_mode & 0o777 == 0o600
