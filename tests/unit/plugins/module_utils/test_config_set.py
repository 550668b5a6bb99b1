# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, what is planned, what is shown: all pure."""

from __future__ import annotations

import copy
import os.path
import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    ABSENT,
    ARGUMENT_SPEC,
    Command,
    Entry,
    Exclusive,
    Mask,
    Observed,
    Plan,
    Step,
    Unit,
    Wanted,
    WantedFile,
    WantedUnit,
    argument_errors,
    file_diff,
    literal_errors,
    make_plan,
    manifest_entry,
    manifest_paths,
    matches,
    pack_contents,
    unpack_contents,
    wanted_from,
)

MANIFEST = "/state/config_set/x.json"


def checked(**args: t.Any) -> dict[str, t.Any]:
    validated = ArgumentSpecValidator(copy.deepcopy(ARGUMENT_SPEC)).validate({"name": "x", **args})
    assert not validated.error_messages
    return validated.validated_parameters


# ------------------------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"name": "Nginx"}, "name: 'Nginx' must match"),
        ({"name": "../x"}, "name: '../x' must match"),
        ({"files": [{"dest": "etc/x", "content": ""}]}, "files[0] (etc/x): 'etc/x' must be an absolute path"),
        ({"files": [{"dest": "/etc/../x", "content": ""}]}, "files[0] (/etc/../x): '/etc/../x' must be a plain path"),
        ({"files": [{"dest": "/etc/x/", "content": ""}]}, "must be a plain path, without '..'"),
        ({"files": [{"dest": "//etc/x", "content": ""}]}, "must be a plain path, without '..'"),
        ({"files": [{"dest": "/etc/x\ny", "content": ""}]}, "or a line break"),
        ({"files": [{"dest": "/x"}]}, "give exactly one of src, content, copy, link; none of them is given"),
        ({"files": [{"dest": "/x", "src": "a", "link": "b"}]}, "files[0] (/x): give exactly one of src, content, copy, link; "
         "found src and link"),
        ({"files": [{"dest": "/x", "content": "", "vars": {"a": 1}}]}, "files[0] (/x): vars belong to a template (src)"),
        ({"files": [{"dest": "/x", "link": "a", "mode": "0644"}]}, "files[0] (/x): a link has neither mode nor secret"),
        ({"files": [{"dest": "/x", "content": "", "mode": "u=rw"}]}, "files[0] (/x): mode 'u=rw' must be octal"),
        ({"files": [{"dest": "/x", "content": "", "mode": "0888"}]}, "files[0] (/x): mode '0888' must be octal"),
        ({"files": [{"dest": "/x", "content": ""}, {"dest": "/x", "link": "y"}]},
         "files[1] (/x): files[0] (/x) describes the same path"),
        ({"files": [{"dest": "/x", "content": ""}], "directories": [{"path": "/x"}]},
         "files[0] (/x): directories[0] (/x) describes the same path"),
        ({"files": [{"dest": "/x", "content": ""}], "absent": ["/x"]}, "absent[0]: files[0] (/x) wants /x to exist"),
        ({"absent": ["x"]}, "absent[0]: 'x' must be an absolute path"),
        ({"exclusive": ["x"]}, "exclusive[0]: 'x' must be an absolute path"),
        ({"exclusive": [{"path": "/x", "foriegn": True}]}, "exclusive[0]: must be a path, or {path: ..., foreign: true}"),
        ({"validate": ["nginx", ["-t"]]}, "validate: must be a list of words, such as [nginx, -t]"),
        ({"commands": [{"argv": []}]}, "commands[0]: argv is empty"),
        ({"units": [{"name": "nginx"}]}, "units[0]: 'nginx' must be a full unit name, such as nginx.service"),
        ({"units": [{"name": "a.service"}, {"name": "a.service"}]}, "units[1]: a.service is listed twice"),
        ({"units": [{"name": "a.service", "confirm": "new_wokers"}]}, "units[0] (a.service): confirm: must be new_workers, or"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(args: dict[str, t.Any], message: str):
    errors = argument_errors(checked(**args))
    assert [error for error in errors if message in error], errors
    assert len(errors) == 1, errors


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"files": [{"dest": "/x", "mode": 420}]}, "files[0] (/x): mode must be a quoted string"),
        ({"directories": [{"path": "/x", "mode": 493}]}, "directories[0] (/x): mode must be a quoted string"),
        ({"files": [{"dest": "/x", "content": {"a": 1}}]}, "files[0] (/x): content must be text, not a dictionary"),
        ({"files": [{"dest": "/x", "content": 5}]}, "files[0] (/x): content must be text, not a number"),
    ],
)
def test_literals_that_yaml_took_for_something_else_are_refused(args: dict[str, t.Any], message: str):
    (error,) = literal_errors(args)
    assert message in error


@pytest.mark.parametrize(
    "args", [{}, {"files": "text"}, {"files": ["text"]}, {"files": [{"dest": "/x", "content": ""}]}]
)
def test_what_the_argument_spec_judges_is_left_to_it(args: dict[str, t.Any]):
    assert literal_errors(args) == []


def test_the_wanted_set_has_its_defaults():
    args = checked(
        files=[
            {"dest": "/a", "src": "a.j2"},
            {"dest": "/b", "content": "x", "secret": True},
            {"dest": "/c", "link": "a"},
            {"dest": "/d", "copy": "d", "mode": "755", "owner": "app", "group": "app"},
        ],
        directories=[{"path": "/e/f"}, {"path": "/e", "owner": "app", "group": "app", "mode": "02750"}],
        exclusive=["/e", {"path": "/f", "foreign": True}],
        validate=["true"],
        commands=[{"argv": ["true"]}],
        units=[{"name": "a.service", "confirm": ["true"], "enabled": True}],
    )
    assert argument_errors(args) == []
    assert wanted_from(args, {"/a": b"a", "/b": b"x", "/d": b"d"}) == Wanted(
        name="x",
        files=(
            WantedFile("/a", Entry("file", b"a", owner="root", group="root", mode=0o644)),
            WantedFile("/b", Entry("file", b"x", owner="root", group="root", mode=0o600), secret=True),
            WantedFile("/c", Entry("link", target="a")),
            WantedFile("/d", Entry("file", b"d", owner="app", group="app", mode=0o755)),
        ),
        directories=(
            WantedFile("/e", Entry("directory", owner="app", group="app", mode=0o2750)),
            WantedFile("/e/f", Entry("directory", owner="root", group="root")),
        ),
        exclusive=(Exclusive("/e"), Exclusive("/f", foreign=True)),
        validate=(("true",),),
        commands=(Command(("true",)),),
        units=(WantedUnit("a.service", enabled=True, confirm=("true",)),),
    )


@given(st.dictionaries(st.text(), st.binary()))
def test_contents_travel_unaltered(contents: dict[str, bytes]):
    assert unpack_contents(pack_contents(contents)) == contents


@given(st.dictionaries(st.text(), st.booleans()))
def test_the_manifest_is_read_as_it_was_written(paths: dict[str, bool]):
    assert manifest_paths(manifest_entry(paths).content) == paths


# ----------------------------------------------------------------------------------------------------------- plan


def file(content: str = "new", owner: str = "root", group: str = "root", mode: int = 0o644) -> Entry:
    return Entry("file", content.encode(), owner=owner, group=group, mode=mode)


def directory(mode: int = 0o755, owner: str = "root") -> Entry:
    return Entry("directory", owner=owner, group="root", mode=mode)


def link(target: str) -> Entry:
    return Entry("link", target=target)


def planned(
    wanted: dict[str, t.Any],
    found: dict[str, Entry] | None = None,
    manifest: dict[str, bool] | None = None,
    **observed: t.Any,
) -> Plan:
    """The plan for a set, on a server where /etc exists and `found` stands."""
    wanted_set = Wanted("x", **wanted)
    entries = dict(found or {})
    parents = {"/": directory(), "/etc": directory()}
    for path, entry in entries.items():
        if entry.kind == "directory":
            parents[path] = entry
    manifest = manifest or {}
    for path in (*(f.path for f in wanted_set.files), *wanted_set.absent, *manifest):
        entries.setdefault(path, ABSENT)
    for path in (*entries, *(f"{d.path}/x" for d in wanted_set.directories)):
        while (path := os.path.dirname(path)) != "/":
            parents.setdefault(path, ABSENT)
    entries[MANIFEST] = manifest_entry(manifest) if manifest else ABSENT
    observed.setdefault("owners", {"root": "root", "0": "root", "app": "app"})
    observed.setdefault("groups", {"root": "root", "0": "root", "app": "app"})
    return make_plan(wanted_set, Observed(entries, parents, manifest=manifest, **observed), MANIFEST)


def a(**about: t.Any) -> dict[str, t.Any]:
    return {"files": (WantedFile("/etc/a", file(**about)),)}


@pytest.mark.parametrize(
    ("wanted", "found", "steps"),
    [
        pytest.param(a(), {}, [("/etc/a", "created")], id="new file"),
        pytest.param(a(), {"/etc/a": file()}, [], id="same file"),
        pytest.param(a(), {"/etc/a": file("old")}, [("/etc/a", "changed")], id="content"),
        pytest.param(a(mode=0o640), {"/etc/a": file()}, [("/etc/a", "changed")], id="mode"),
        pytest.param(a(owner="app"), {"/etc/a": file()}, [("/etc/a", "changed")], id="owner"),
        pytest.param(a(group="app"), {"/etc/a": file()}, [("/etc/a", "changed")], id="group"),
        pytest.param(a(owner="0", group="0"), {"/etc/a": file()}, [], id="owner by number"),
        pytest.param(a(), {"/etc/a": link("b")}, [("/etc/a", "changed")], id="a link is replaced by a file"),
        pytest.param({"files": (WantedFile("/etc/a", link("b")),)}, {"/etc/a": link("b")}, [], id="same link"),
        pytest.param({"files": (WantedFile("/etc/a", link("b")),)}, {"/etc/a": link("c")}, [("/etc/a", "changed")], id="link"),
        pytest.param({"files": (WantedFile("/etc/a", link("b")),)}, {"/etc/a": file()}, [("/etc/a", "changed")],
                     id="a file is replaced by a link"),
        pytest.param({"directories": (WantedFile("/etc/d/e", directory(0o700)),)}, {},
                     [("/etc/d", "created"), ("/etc/d/e", "created")], id="directory with a missing parent"),
        pytest.param({"directories": (WantedFile("/etc/d", directory(0o700)),)}, {"/etc/d": directory(0o755)},
                     [("/etc/d", "changed")], id="mode of a directory"),
        pytest.param({"directories": (WantedFile("/etc/d", directory()),), "files": (WantedFile("/etc/d/a", file()),)}, {},
                     [("/etc/d", "created"), ("/etc/d/a", "created")], id="directory before its file"),
        pytest.param({"absent": ("/etc/a",)}, {"/etc/a": file()}, [("/etc/a", "removed")], id="absent file"),
        pytest.param({"absent": ("/etc/a",)}, {"/etc/a": link("b")}, [("/etc/a", "removed")], id="absent link"),
        pytest.param({"absent": ("/etc/a",)}, {}, [], id="absent already"),
    ],
)  # fmt: skip
def test_files(wanted: dict[str, t.Any], found: dict[str, Entry], steps: list[tuple[str, str]]):
    plan = planned(wanted, found)
    assert [(step.path, step.state) for step in plan.changes] == steps
    assert (plan.conflicts, plan.unmet, plan.units) == ((), (), ())
    assert plan.changed is bool(steps)


@pytest.mark.parametrize(
    ("foreign", "manifest", "removed"),
    [
        (False, {}, []),
        (False, {"/etc/d/old": False}, ["/etc/d/old"]),
        (False, {"/etc/old": False}, []),
        (True, {}, ["/etc/d/link", "/etc/d/old"]),
        (True, {"/etc/d/old": False}, ["/etc/d/link", "/etc/d/old"]),
    ],
)
def test_exclusive_directories(foreign: bool, manifest: dict[str, bool], removed: list[str]):
    found = {
        "/etc/d": directory(),
        "/etc/d/a": file(),
        "/etc/d/old": file(),
        "/etc/d/link": link("/x"),
        "/etc/d/sub": directory(),
        "/etc/old": file(),
    }
    wanted = {"files": (WantedFile("/etc/d/a", file()),), "exclusive": (Exclusive("/etc/d", foreign),)}
    assert [step.path for step in planned(wanted, found, manifest).changes] == removed


def test_a_path_stays_in_the_manifest_as_long_as_it_stands():
    found = {"/etc/a": file(), "/etc/b": file(), "/etc/d": directory(), "/etc/d/c": file()}
    wanted = {**a(), "exclusive": (Exclusive("/etc/d"),)}
    plan = planned(wanted, found, {"/etc/b": True, "/etc/d/c": False, "/etc/gone": False})
    assert manifest_paths(plan.steps[-1].after.content) == {"/etc/a": False, "/etc/b": True}
    assert plan.steps[-1].internal


def test_a_set_that_adopts_what_stands_changes_nothing():
    plan = planned(a(), {"/etc/a": file()})
    assert not plan.changed
    assert [step.path for step in plan.steps] == [MANIFEST]


@pytest.mark.parametrize(
    ("wanted", "found", "observed", "conflict"),
    [
        (a(), {"/etc/a": directory()}, {}, "/etc/a is a directory"),
        (a(), {"/etc/a": Entry("other")}, {}, "/etc/a is a special file"),
        ({"absent": ("/etc/a",)}, {"/etc/a": directory()}, {}, "/etc/a shall be absent, but only files and links"),
        ({"units": (WantedUnit("u.service", "started"),)}, {}, {"units": {"u.service": Unit("masked")}}, "u.service is masked"),
    ],
)  # fmt: skip
def test_conflicts_are_wrong_in_any_mode(wanted, found, observed, conflict: str):
    (said,) = planned(wanted, found, **observed).conflicts
    assert conflict in said


@pytest.mark.parametrize(
    ("wanted", "observed", "unmet"),
    [
        (a(owner="ghost"), {"owners": {"ghost": None}}, "the owner ghost of /etc/a does not exist on the server"),
        (a(group="ghost"), {"groups": {"ghost": None}}, "the group ghost of /etc/a does not exist on the server"),
        ({"files": (WantedFile("/etc/d/a", file()),)}, {}, "the directory of /etc/d/a does not exist"),
        ({"units": (WantedUnit("u.service", "started"),)}, {"systemd": False}, "systemd does not run on this server"),
    ],
)
def test_a_bare_host_lacks_things_that_check_mode_forgives(wanted, observed, unmet: str):
    plan = planned(wanted, **observed)
    assert plan.changed
    assert plan.conflicts == ()
    assert unmet in " ".join(plan.unmet)


RUNNING = Unit("loaded", "active", "enabled", 7)
STOPPED = Unit("loaded", "inactive", "disabled")


@pytest.mark.parametrize(
    ("unit", "now", "first", "then"),
    [
        ({"state": "started", "enabled": True}, RUNNING, (), ("reload-or-restart",)),
        ({"state": "started", "enabled": True, "on_change": "reload"}, RUNNING, (), ("reload",)),
        ({"on_change": "restart"}, RUNNING, (), ("restart",)),
        ({"on_change": "restart"}, STOPPED, (), ()),
        ({"state": "started", "on_change": "none"}, RUNNING, (), ()),
        ({"state": "started", "enabled": True, "on_change": "reload"}, STOPPED, (), ("enable", "start")),
        ({"state": "started", "enabled": True}, Unit(), (), ("enable", "start")),
        ({"state": "started"}, Unit("loaded", "failed"), (), ("start",)),
        ({"state": "started"}, Unit("loaded", "activating"), (), ("start",)),
        ({"enabled": True}, Unit("loaded", "active", "static"), (), ("reload-or-restart",)),
        ({"state": "stopped", "enabled": False}, RUNNING, ("stop", "disable"), ()),
        ({"state": "stopped"}, Unit("loaded", "activating"), ("stop",), ()),
        ({"state": "stopped", "enabled": False}, STOPPED, (), ()),
        ({"on_change": "reload", "watch": ("/etc/b*",)}, RUNNING, (), ()),
        ({"on_change": "reload", "watch": ("/etc/*",)}, RUNNING, (), ("reload",)),
        ({"on_change": "reload", "restart_on": ("*/a",)}, RUNNING, (), ("restart",)),
        ({"on_change": "none", "restart_on": ("*/a",)}, RUNNING, (), ("restart",)),
        ({"on_change": "reload", "restart_on": ("*/b",)}, RUNNING, (), ("reload",)),
    ],
)
def test_units_after_a_change_of_a_file(
    unit: dict[str, t.Any], now: Unit, first: tuple[str, ...], then: tuple[str, ...]
):
    plan = planned({**a(), "units": (WantedUnit("u.service", **unit),)}, units={"u.service": now})
    assert [(u.first, u.then) for u in plan.units] == ([(first, then)] if first or then else [])


def test_units_without_a_change_of_a_file():
    same = {"/etc/a": file()}
    wanted = {**a(), "units": (WantedUnit("u.service", "started", True, "restart"),)}
    assert not planned(wanted, same, units={"u.service": RUNNING}).changed
    drift = planned(wanted, same, units={"u.service": STOPPED})
    assert [u.then for u in drift.units] == [("enable", "start")]


@pytest.mark.parametrize(
    ("unit", "then"),
    [
        ({"state": "started", "on_change": "reload"}, ["reload"]),
        ({"state": "started", "on_change": "none"}, ["restart"]),
        ({"state": "stopped"}, []),
    ],
)
def test_a_unit_that_runs_and_does_not_work(unit: dict[str, t.Any], then: list[str]):
    idle = Unit("loaded", "active", "enabled", 7, works=False)
    plan = planned({**a(), "units": (WantedUnit("u.service", **unit),)}, {"/etc/a": file()}, units={"u.service": idle})
    assert [verb for u in plan.units for verb in u.then] == then


@pytest.mark.parametrize(
    ("path", "reloads"),
    [
        ("/etc/systemd/system/a.service", True),
        ("/etc/systemd/system/a.service.d/b.conf", True),
        ("/run/systemd/system/a.timer", True),
        ("/etc/systemd/journald.conf.d/a.conf", False),
        ("/etc/sysusers.d/a.conf", False),
    ],
)
def test_systemd_reads_its_units_anew_only_when_one_changed(path: str, reloads: bool):
    parents = {path: directory() for path in (os.path.dirname(path),)}
    wanted = {"files": (WantedFile(path, file()),)}
    assert planned(wanted, parents).daemon_reload is reloads
    assert planned({"absent": (path,)}, {**parents, path: file()}).daemon_reload is reloads
    assert not planned(wanted, {**parents, path: file()}).daemon_reload
    assert not planned(wanted, parents, systemd=False).daemon_reload


def test_commands_run_for_the_files_that_they_name():
    wanted = {
        **a(),
        "commands": (Command(("every",)), Command(("a",), ("/etc/b", "/etc/a")), Command(("b",), ("/etc/b",))),
    }
    assert planned(wanted).commands == (("every",), ("a",))
    assert planned(wanted, {"/etc/a": file()}).commands == ()


@pytest.mark.parametrize(
    ("found", "mode"),
    [
        (ABSENT, 0o755),
        (directory(0o755), None),
        (directory(0o750), None),
        (directory(0o2700), None),
        (directory(0o777), 0o755),
        (directory(0o2770), 0o2750),
        (directory(0o750, "app"), 0o750),
    ],
)
def test_a_directory_without_a_mode_stays_as_closed_as_it_is(found: Entry, mode: int | None):
    wanted = WantedFile("/etc/d", Entry("directory", owner="root", group="root"))
    plan = planned({"directories": (wanted,)}, {"/etc/d": found})
    assert [step.after for step in plan.steps] == ([] if mode is None else [directory(mode)])


def test_directories_are_no_reason_to_reload_anything():
    wanted = {
        "directories": (WantedFile("/etc/d", directory()),),
        "commands": (Command(("every",)),),
        "units": (WantedUnit("u.service"),),
    }
    plan = planned(wanted, units={"u.service": RUNNING})
    assert plan.changed
    assert (plan.commands, plan.units) == ((), ())


@pytest.mark.parametrize(
    ("glob", "path", "found"),
    [
        ("*", "/etc/a", True),
        ("/etc/nginx/*", "/etc/nginx/sites/a", True),
        ("/etc/a", "/etc/ab", False),
        ("/etc/[ab]", "/etc/b", True),
    ],
)
def test_globs(glob: str, path: str, found: bool):
    assert matches(path, [glob]) is found


# ---------------------------------------------------------------------------------------------------------- shown


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [
        (Step("/a", file("old\n"), file("new\n")), "old\n", "new\n"),
        (Step("/a", ABSENT, file("new\n")), "", "file, owner root, group root, mode 0644\nnew\n"),
        (Step("/a", file("x\n"), file("x\n", mode=0o600)), "file, owner root, group root, mode 0644\nx\n",
         "file, owner root, group root, mode 0600\nx\n"),
        (Step("/a", link("x"), link("y")), "link to x\n", "link to y\n"),
        (Step("/a", directory(), directory(0o700)), "directory, owner root, group root, mode 0755\n",
         "directory, owner root, group root, mode 0700\n"),
        (Step("/a", file("old"), file("new"), secret=True), "", "(secret content changed)\n"),
        (Step("/a", file("x", mode=0o644), file("x", mode=0o600), secret=True),
         "file, owner root, group root, mode 0644\n", "file, owner root, group root, mode 0600\n"),
        (Step("/a", file("x" * 100_001), ABSENT), "file, owner root, group root, mode 0644\n"
         "(100001 bytes, too many for a diff)\n", ""),
        (Step("/a", Entry("file", b"\xff", owner="root", group="root", mode=0o644), file("x")), "(1 bytes that are not text)\n", "x"),
    ],
)  # fmt: skip
def test_diffs(step: Step, before: str, after: str):
    diff = file_diff(step)
    assert (diff["before"], diff["after"]) == (before, after)


@pytest.mark.parametrize(
    ("wanted", "found", "manifest"),
    [
        pytest.param({"files": (WantedFile("/etc/a", file("new"), secret=True),)}, {"/etc/a": file("hunter2")}, {},
                     id="is secret"),
        pytest.param(a(), {"/etc/a": file("hunter2")}, {"/etc/a": True}, id="was secret"),
        pytest.param({"absent": ("/etc/a",)}, {"/etc/a": file("hunter2")}, {"/etc/a": True}, id="was secret and goes"),
        pytest.param({"absent": ("/etc/a",)}, {"/etc/a": file("hunter2", mode=0o640)}, {}, id="not everybody may read it"),
        pytest.param({"files": (WantedFile("/etc/a", link("b")),)}, {"/etc/a": file("hunter2")}, {"/etc/a": True},
                     id="becomes a link"),
    ],
)  # fmt: skip
def test_no_diff_shows_a_secret(wanted: dict[str, t.Any], found: dict[str, Entry], manifest: dict[str, bool]):
    plan = planned(wanted, found, manifest)
    assert plan.changes
    assert "hunter2" not in str([file_diff(step) for step in plan.changes])


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("at line 3: 'requirepass hunter2'", "at line 3: '********'"),
        ("unknown word hunter2", "unknown word ********"),
        ("redis://shop:pa:ss@localhost", "redis://shop:pa:ss@localhost"),
        ("token=abc.def!", "********"),
        ("abc.def! is wrong", "******** is wrong"),
        ("nothing of it", "nothing of it"),
    ],
)
def test_words_of_a_product_are_masked(words: str, shown: str):
    mask = Mask([b"requirepass hunter2\ntoken=abc.def!\n", b"x\n"])
    assert mask(words) == shown
