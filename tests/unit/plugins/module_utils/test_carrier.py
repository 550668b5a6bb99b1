# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How an operator's side and the engine speak with each other; the unit itself is systemd's, and seen on servers."""

from __future__ import annotations

import fcntl
import pathlib
import subprocess
import sys
import threading
import time
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _carrier, _engine, _own_code
from ansible_collections.groundcrew.django.plugins.module_utils._carrier import Carrier, follow
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

ORDER = {"kind": "deploy", "app": {}, "options": {}, "pauses": [], "who": "ann@laptop", "why": "spring sale"}


class Unit(Carrier):
    """A carrier whose unit is a word of the test's: what is at work describes itself so."""

    other = ""
    started = ""

    def at_work(self) -> str:
        return self.other or self.started

    def turn_into_another_ones(self, *, ends_after: float = 0) -> None:
        self.other, self.started = self.started, ""
        if ends_after:
            threading.Timer(ends_after, lambda: setattr(self, "other", "")).start()

    def start(self, operation: str, title: str) -> bool:
        if self.other:
            return False
        self.started = title
        return True


@pytest.fixture
def unit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Unit:
    monkeypatch.setattr(_carrier, "BEAT", 0)
    return Unit("shop", str(tmp_path))


def quiet() -> None:
    """Somebody is there to hear the result."""


def begin(unit: Unit, order: dict[str, t.Any], lock_wait: float = 0) -> tuple[str, list[str]]:
    return _carrier.begin(unit, order, lock_wait, quiet)


def test_the_unit_says_who_and_why_and_the_order_is_for_root_alone(unit: Unit) -> None:
    operation, notes = begin(unit, ORDER)
    assert unit.started.startswith("shop: deploy by ann@laptop since 20")
    assert unit.started.endswith(": spring sale")
    assert unit.order_file(operation).stat().st_mode & 0o077 == 0
    assert unit.directory.stat().st_mode & 0o077 == 0
    assert notes == []


def test_what_an_operator_says_cannot_break_the_unit() -> None:
    assert "\n" not in _carrier.title("shop", "deploy", "ann", "one\ntwo\x1b[31m")
    assert "\x1b" not in _carrier.title("shop", "deploy", "ann", "one\ntwo\x1b[31m")


def test_a_second_deploy_is_refused_with_what_the_first_says_of_itself(unit: Unit) -> None:
    first, _notes = begin(unit, ORDER)
    unit.turn_into_another_ones()
    with unit.progress_file(first).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # the first one's operator is there
        began = time.monotonic()
        with pytest.raises(ReleaseError, match="shop: deploy by ann@laptop since .*: spring sale"):
            begin(unit, ORDER)
        assert time.monotonic() - began < 1
    assert {path.name for path in unit.directory.iterdir()} == {f"{first}.order", f"{first}.progress"}


def test_a_second_deploy_waits_as_long_as_it_is_told(unit: Unit) -> None:
    first, _notes = begin(unit, ORDER)
    unit.turn_into_another_ones(ends_after=1.2)
    with unit.progress_file(first).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        _second, notes = begin(unit, ORDER, lock_wait=20)
    assert "ann@laptop" in notes[0]


def test_a_deploy_that_has_lost_its_operator_is_waited_for(unit: Unit) -> None:
    begin(unit, ORDER)
    unit.turn_into_another_ones(ends_after=1.2)
    _second, notes = begin(unit, ORDER, lock_wait=0)
    assert "Waited" in notes[0]


def test_who_has_gone_while_waiting_begins_nothing(unit: Unit) -> None:
    _carrier.begin(unit, ORDER, 0, quiet)
    unit.turn_into_another_ones(ends_after=20)

    def gone() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        _carrier.begin(unit, ORDER, 60, gone)
    assert len([*unit.directory.glob("*.order")]) == 1


def test_a_deploy_that_waits_for_its_operator_has_not_lost_him(unit: Unit) -> None:
    first, _notes = begin(unit, ORDER)
    unit.turn_into_another_ones()
    unit.paused_file(first, "built").touch()
    with pytest.raises(ReleaseError, match="Another deploy is at work"):
        begin(unit, ORDER)


def test_results_are_read_by_step_and_an_error_is_the_same_on_both_sides(unit: Unit) -> None:
    operation, _notes = begin(unit, ORDER)
    progress = _engine.Progress(unit, operation, [])
    progress.done("fetched", {"needed": True})
    progress.done("built", {"notes": ["uv.lock"]})
    progress.tell(error={"message": "It fails.", "cure": "mend it", "output": "Traceback"})
    assert follow(unit, operation, "built", quiet) == {"notes": ["uv.lock"]}
    with pytest.raises(ReleaseError) as caught:
        follow(unit, operation, "checked", quiet)
    assert str(caught.value) == "It fails.\nTo cure it: mend it\nIts last lines:\nTraceback"


def test_a_line_is_read_when_it_is_whole(unit: Unit) -> None:
    operation, _notes = begin(unit, ORDER)
    with unit.progress_file(operation).open("a") as file:
        file.write('{"step": "built", "res')
        file.flush()
        threading.Timer(0.3, print, ('ult": {"changed": true}}',), {"file": file, "flush": True}).start()
        assert follow(unit, operation, "built", quiet) == {"changed": True}


def test_an_engine_that_was_killed_is_noticed(unit: Unit) -> None:
    operation, _notes = begin(unit, ORDER)
    unit.started = ""
    with pytest.raises(ReleaseError, match="ended on the server before"):
        follow(unit, operation, "built", quiet)


def test_the_last_line_of_an_engine_that_has_ended_still_counts(unit: Unit) -> None:
    operation, _notes = begin(unit, ORDER)
    _engine.Progress(unit, operation, []).done("live", {"changed": True})
    unit.started = ""
    assert follow(unit, operation, "live", quiet) == {"changed": True}


def test_nobody_waits_for_a_deploy_that_is_forgotten(unit: Unit) -> None:
    unit.prepare()
    with pytest.raises(ReleaseError, match="no unfinished deploy 120000-abc"):
        follow(unit, "120000-abc", "built", quiet)


def test_an_operator_who_has_gone_follows_no_more(unit: Unit) -> None:
    operation, _notes = begin(unit, ORDER)

    def gone() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        follow(unit, operation, "built", gone)
    assert not unit.watched()


def test_the_engine_waits_for_the_operators_own_tasks_only_where_there_are_some(unit: Unit) -> None:
    operation, _notes = begin(unit, ORDER)
    progress = _engine.Progress(unit, operation, ["built"])
    progress.done("fetched", {})

    def go_on() -> None:
        progress.done("built", {})
        progress.done("checked", {})

    engine = threading.Thread(target=go_on)
    engine.start()
    time.sleep(0.3)
    # The operator's side is still at the step before, and asks for the one that the engine has stopped at.
    assert follow(unit, operation, "built", quiet) == {}
    assert engine.is_alive()
    assert unit.paused()
    assert follow(unit, operation, "checked", quiet) == {}
    engine.join(5)
    assert not engine.is_alive()


def test_tasks_that_never_end_do_not_hold_the_lock_for_ever(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_engine, "PATIENCE", 0.2)
    operation, _notes = begin(unit, ORDER)
    with pytest.raises(ReleaseError, match="did not end in"):
        _engine.Progress(unit, operation, ["built"]).done("built", {})
    assert not unit.paused()


def test_the_engine_outlives_the_module_that_brought_it(tmp_path: pathlib.Path) -> None:
    script = _own_code.lay_down(tmp_path, "_engine")
    assert _own_code.lay_down(tmp_path, "_engine") == script, "the same code is not laid down twice"
    # Alone, as systemd starts it: without Ansible, and with nothing but its arguments.
    done = subprocess.run([sys.executable, "-S", "-E", str(script)], capture_output=True, text=True, check=False)
    assert "missing 2 required positional arguments" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [script.parent.name]
