"""The programs that the role host leaves on a server: when one reboots it, how it judges a boot, and how much swap there is."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from worktree import ROOT


def load(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name, ROOT / "roles" / "host" / "files" / f"{name}.py")
    assert specification and specification.loader
    program: Any = importlib.util.module_from_spec(specification)
    sys.modules[name] = program
    specification.loader.exec_module(program)
    return program


reboot = load("groundcrew_reboot")
swap = load("groundcrew_swap")

BATCH = """NEEDRESTART-VER: 3.6
NEEDRESTART-KCUR: 6.1.0-18-amd64
NEEDRESTART-KEXP: 6.1.0-21-amd64
NEEDRESTART-KSTA: 3
NEEDRESTART-SVC: nginx.service
NEEDRESTART-SVC: postgresql@15-main.service
NEEDRESTART-SVC: shop-worker@r1:mail.service
"""
KERNEL = (3, "6.1.0-18-amd64", "6.1.0-21-amd64")
LEFT = ["postgresql*", "*-worker@*"]


@pytest.mark.parametrize(
    ("required", "kernel", "tried", "expected"),
    [
        (None, 0, [], []),
        (None, 1, [], []),
        ("", 1, [], ["/run/reboot-required exists"]),
        ("linux-image-amd64\ndbus\ndbus\n", 1, [], ["asked for by dbus, linux-image-amd64"]),
        (None, 2, [], ["a newer kernel is installed"]),
        ("dbus\n", 3, [], ["asked for by dbus", "a newer kernel is installed"]),
        # It was rebooted for that one, and boots the other all the same.
        (None, 3, ["6.1.0-18", "6.1.0-21"], []),
        ("dbus\n", 3, ["6.1.0-18", "6.1.0-21"], ["asked for by dbus"]),
        (None, 3, ["6.1.0-18", "6.1.0-20"], ["a newer kernel is installed"]),
    ],
)
def test_why_a_server_has_to_be_rebooted(
    required: str | None, kernel: int, tried: list[str], expected: list[str]
) -> None:
    assert reboot.reasons(required, reboot.Kernel(kernel, "6.1.0-18", "6.1.0-21"), tried) == expected


@pytest.mark.parametrize(
    ("why", "stale", "busy", "expected"),
    [
        ([], [], [], ("nothing", "no update asks for it")),
        # Nobody is kept waiting for nothing.
        ([], [], ["shop-deploy.service"], ("nothing", "no update asks for it")),
        (["dbus"], [], [], ("reboot", "dbus")),
        # A reboot is a restart of everything.
        (["dbus", "kernel"], ["postgresql@15-main.service"], [], ("reboot", "dbus; kernel")),
        ([], ["a.service", "b.service"], [], ("restart", "a.service, b.service")),
        (["dbus"], [], ["shop-deploy.service"], ("wait", "shop-deploy.service at work")),
        ([], ["a.service"], ["shop-deploy.service", "x.service"], ("wait", "shop-deploy.service, x.service at work")),
    ],
)
def test_what_the_window_is_used_for(
    why: list[str], stale: list[str], busy: list[str], expected: tuple[str, str]
) -> None:
    assert reboot.decide(why, stale, busy) == expected


@pytest.mark.parametrize(
    ("text", "left", "expected"),
    [
        ("", LEFT, ((0, "", ""), [])),
        (BATCH, [], (KERNEL, [])),
        (BATCH, LEFT, (KERNEL, ["postgresql@15-main.service", "shop-worker@r1:mail.service"])),
        ("NEEDRESTART-KSTA: 1\n", LEFT, ((1, "", ""), [])),
    ],
)
def test_needrestart_is_understood(text: str, left: list[str], expected: tuple[Any, list[str]]) -> None:
    assert reboot.read_needrestart(text, left) == expected


@pytest.mark.parametrize(
    ("failed", "live", "states", "expected"),
    [
        ([], {}, {}, []),
        ([], {"shop": "r1"}, {"shop-web@r1.service": "active"}, []),
        (["x.service"], {}, {}, ["x.service has failed"]),
        (
            [],
            {"shop": "r1"},
            {"shop-web@r1.service": "inactive"},
            ["shop-web@r1.service, the live release of shop, is inactive"],
        ),
        ([], {"shop": "r1"}, {}, ["shop-web@r1.service, the live release of shop, is not there"]),
        # Said once.
        (
            ["shop-web@r1.service"],
            {"shop": "r1"},
            {"shop-web@r1.service": "failed"},
            ["shop-web@r1.service has failed"],
        ),
    ],
)
def test_a_boot_is_judged(failed: list[str], live: dict[str, str], states: dict[str, str], expected: list[str]) -> None:
    assert reboot.problems(failed, live, states) == expected


def test_the_state_keeps_what_others_wrote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reboot, "STATE", tmp_path / "deep" / "reboot.json")
    reboot.remember(window={"did": "reboot"})
    reboot.remember(health={"healthy": True})
    assert json.loads(reboot.STATE.read_text()) == {"window": {"did": "reboot"}, "health": {"healthy": True}}
    reboot.STATE.write_text("cut short")
    reboot.remember(health={"healthy": False})
    assert json.loads(reboot.STATE.read_text()) == {"health": {"healthy": False}}


def test_live_releases_are_what_the_links_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reboot, "SITES", tmp_path)
    (tmp_path / "shop" / "releases" / "r1").mkdir(parents=True)
    (tmp_path / "shop" / "current").symlink_to("releases/r1")
    (tmp_path / "new").mkdir()
    assert reboot.live_releases() == {"shop": "r1"}


GIBI = 1024 * swap.MEBI


@pytest.mark.parametrize(
    ("wish", "memory", "free", "expected"),
    [
        ("auto", GIBI, 20 * GIBI, GIBI),
        ("auto", 64 * GIBI, 500 * GIBI, 2 * GIBI),
        # A quarter of the disk, in whole blocks, and nothing rather than a handful.
        ("auto", GIBI, 2 * GIBI, GIBI // 2),
        ("auto", 1000 * swap.MEBI + 5, 20 * GIBI, 1000 * swap.MEBI),
        ("auto", GIBI, GIBI // 4, 0),
        ("512M", GIBI, 20 * GIBI, GIBI // 2),
        ("3G", GIBI, 20 * GIBI, 3 * GIBI),
    ],
)
def test_swap_fits_memory_and_disk(wish: str, memory: int, free: int, expected: int) -> None:
    assert swap.wanted_size(wish, memory, free) == expected


def test_a_wish_that_does_not_fit_is_told() -> None:
    with pytest.raises(SystemExit, match="4G does not fit: 4096 MiB are free"):
        swap.wanted_size("4G", GIBI, 4 * GIBI)


def test_swap_of_others_is_seen() -> None:
    head = "Filename\t\t\t\tType\t\tSize\n"
    assert swap.other_swap(head) == []
    assert swap.other_swap(f"{head}{swap.FILE} file 1 0 -2\n") == []
    assert swap.other_swap(f"{head}/dev/vda2 partition 1 0 -2\n{swap.FILE} file 1 0 -2\n") == ["/dev/vda2"]
