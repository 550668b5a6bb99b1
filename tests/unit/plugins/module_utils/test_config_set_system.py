# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The real file system and real processes. What needs root is tried by the scenario on a server; staging here too, where it can."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import ABSENT, Entry, Step
from ansible_collections.groundcrew.django.plugins.module_utils._config_set_system import System, temporary

ME = pwd.getpwuid(os.getuid()).pw_name
MY_GROUP = grp.getgrgid(os.getgid()).gr_name


def file(content: str, mode: int = 0o644) -> Entry:
    return Entry("file", content.encode(), owner=ME, group=MY_GROUP, mode=mode)


def directory(mode: int = 0o755) -> Entry:
    return Entry("directory", owner=ME, group=MY_GROUP, mode=mode)


@pytest.fixture
def system(tmp_path: Path) -> System:
    system = System(str(tmp_path / "state"))
    system.make_state()
    return system


def put(system: System, path: Path, entry: Entry) -> None:
    system.prepare(str(path), entry)
    system.commit(str(path), entry)


@pytest.mark.parametrize("first", [ABSENT, file("old", 0o600), Entry("link", target="elsewhere")])
@pytest.mark.parametrize("second", [ABSENT, file("new", 0o4750), Entry("link", target="nowhere")])
def test_an_entry_replaces_any_other(system: System, tmp_path: Path, first: Entry, second: Entry):
    (tmp_path / "elsewhere").write_text("untouched")
    for entry in (first, second):
        put(system, tmp_path / "x", entry)
        assert system.entry(str(tmp_path / "x")) == entry
    assert (tmp_path / "elsewhere").read_text() == "untouched"
    assert not os.path.lexists(temporary(str(tmp_path / "x")))


def test_nothing_stands_before_the_commit(system: System, tmp_path: Path):
    system.prepare(str(tmp_path / "x"), file("secret", 0o644))
    assert system.entry(str(tmp_path / "x")) == ABSENT
    system.discard(str(tmp_path / "x"))
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_link_in_the_way_of_the_temporary_file_is_not_followed(system: System, tmp_path: Path):
    (tmp_path / "victim").write_text("untouched")
    os.symlink("victim", temporary(str(tmp_path / "x")))
    put(system, tmp_path / "x", file("new"))
    assert (tmp_path / "victim").read_text() == "untouched"


def test_directories(system: System, tmp_path: Path):
    put(system, tmp_path / "d", directory(0o2750))
    assert system.entry(str(tmp_path / "d")) == directory(0o2750)
    put(system, tmp_path / "d", directory(0o700))
    assert system.entry(str(tmp_path / "d")) == directory(0o700)
    (tmp_path / "d" / "x").touch()
    put(system, tmp_path / "d", ABSENT)  # undoing its creation, when something else lives there by now
    assert (tmp_path / "d" / "x").exists()
    (tmp_path / "d" / "x").unlink()
    put(system, tmp_path / "d", ABSENT)
    assert system.entry(str(tmp_path / "d")) == ABSENT


def test_a_link_to_a_directory_counts_as_one_where_asked(system: System, tmp_path: Path):
    (tmp_path / "real").mkdir(mode=0o755)
    (tmp_path / "link").symlink_to("real")
    assert system.entry(str(tmp_path / "link"), follow=True) == directory()
    assert system.entry(str(tmp_path / "link")) == Entry("link", target="real")
    os.mkfifo(tmp_path / "fifo")
    assert system.entry(str(tmp_path / "fifo")).kind == "other"
    assert system.entry(str(tmp_path / "real" / "missing" / "x")) == ABSENT


def test_names_of_users(system: System):
    assert system.owner("root") == system.owner("0") == "root"
    assert system.group("root") == system.group("0") == "root"
    assert (system.owner("ghost-user"), system.group("ghost-group")) == (None, None)
    assert system.owner("4242424") == "4242424"


@pytest.mark.parametrize(
    ("argv", "rc", "words"),
    [
        (["sh", "-c", "echo out; echo err >&2; exit 3"], 3, "out\nerr"),
        (["no-such-program"], 127, "no-such-program is not installed"),
        (["/etc"], 126, "/etc cannot be run: Permission denied"),
        (["sleep", "60"], 124, "sleep did not end within 0 s"),
        (["sh", "-c", "cat; echo $LC_ALL; pwd"], 0, "C.UTF-8\n/"),
    ],
)
def test_run(system: System, argv: list[str], rc: int, words: str):
    result = system.run(argv, timeout=0.3)
    assert (result.rc, result.words) == (rc, words)


def test_children_are_told_from_others_that_reuse_their_number(system: System):
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "a ) b"]) as child:
        ((pid, started),) = [key for key, command in system.children(os.getpid()).items() if "a ) b" in command]
        assert pid == child.pid
        assert int(started) > 0
        child.kill()
    assert (pid, started) not in system.children(os.getpid())


def test_only_new_lines_of_a_log_are_shown(system: System, tmp_path: Path):
    log = tmp_path / "log"
    assert (system.size(str(log)), system.tail(str(log), 0)) == (0, "")
    log.write_text("old\n")
    offset = system.size(str(log))
    log.write_text("old\nnew\n")
    assert system.tail(str(log), offset) == "new"
    log.write_text("x")  # rotated meanwhile
    assert system.tail(str(log), offset) == "x"
    log.write_text("y" * 10_000)
    assert len(system.tail(str(log), 1)) == 4096


MAY_MOUNT = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode == 0


@pytest.mark.skipif(not MAY_MOUNT, reason="mounting is not allowed here")
class TestStage:
    def see(self, system: System, script: str, *steps: Step) -> str:
        result = system.run_staged(["sh", "-c", script], steps)
        assert result.rc == 0, result
        return result.stdout

    def test_the_program_sees_the_steps_as_done_and_nobody_else_does(self, system: System, tmp_path: Path):
        live = tmp_path / "live"
        (live / "sub").mkdir(parents=True)
        (live / "changed").write_text("old")
        (live / "removed").write_text("old")
        (live / "kept").write_text("kept")
        (live / "sub" / "kept").write_text("inner")
        (live / "sub" / "changed").write_text("old")
        (live / "to").symlink_to("kept")
        (live / "alias").symlink_to("sub")
        live.chmod(0o750)
        steps = [
            Step(f"{live}/made", ABSENT, directory(0o711)),
            Step(f"{live}/made/new", ABSENT, file("in made")),
            Step(f"{live}/changed", file("old"), file("new", 0o640)),
            Step(f"{live}/new", ABSENT, file("new", 0o600)),
            Step(f"{live}/link", ABSENT, Entry("link", target="new")),
            Step(f"{live}/removed", file("old"), ABSENT),
            Step(f"{live}/sub", directory(0o755), directory(0o700)),
            Step(f"{live}/sub/changed", file("old"), file("new inner")),
            Step(f"{live}/alias/new", ABSENT, file("by a link")),
        ]
        before = subprocess.check_output(["ls", "-laRi", live])
        shown = self.see(
            system,
            f"cd {live} && find . -printf '%P %m %y %l\n' | LC_ALL=C sort && cat changed kept sub/kept sub/changed sub/new"
            " && echo written > kept && echo gone > byproduct",
            *steps,
        )
        assert shown.splitlines() == [
            " 750 d ",
            "alias 777 l sub",
            "changed 640 f ",
            "kept 644 f ",
            "link 777 l new",
            "made 711 d ",
            "made/new 644 f ",
            "new 600 f ",
            "sub 700 d ",
            "sub/changed 644 f ",
            "sub/kept 644 f ",
            "sub/new 644 f ",
            "to 777 l kept",
            "newkeptinnernew innerby a link",
        ]
        assert (live / "kept").read_text() == "written\n"  # what is not of the set is the live file itself
        (live / "kept").write_text("kept")
        assert [path.name for path in Path(system.sets).iterdir()] == []
        assert not (live / "byproduct").exists()
        assert self.without_times(before) == self.without_times(subprocess.check_output(["ls", "-laRi", live]))

    @staticmethod
    def without_times(listing: bytes) -> list[list[bytes]]:
        return [line.split()[:5] + line.split()[9:] for line in listing.splitlines()]

    def test_a_directory_that_does_not_exist_yet(self, system: System, tmp_path: Path):
        steps = [
            Step(f"{tmp_path}/a", ABSENT, directory()),
            Step(f"{tmp_path}/a/b", ABSENT, directory()),
            Step(f"{tmp_path}/a/b/c", ABSENT, file("deep")),
        ]
        assert self.see(system, f"cat {tmp_path}/a/b/c", *steps) == "deep"
        assert not (tmp_path / "a").exists()

    def test_other_mounts_stay_visible(self, system: System, tmp_path: Path):
        """Special files too: nothing is copied."""
        os.mkfifo(tmp_path / "fifo")
        shown = self.see(system, f"stat -c %F {tmp_path}/fifo", Step(f"{tmp_path}/x", ABSENT, file("x")))
        assert shown == "fifo\n"

    def test_a_stage_that_cannot_be_built_is_not_taken_for_a_valid_set(self, system: System, tmp_path: Path):
        result = system.run_staged(["true"], [Step(f"{tmp_path}/missing/x", ABSENT, file("x"))])
        assert result.rc == 125
        assert "cannot be staged" in result.words
