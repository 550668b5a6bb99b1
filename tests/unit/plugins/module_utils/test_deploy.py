# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of a deploy decide by themselves; what they do together is seen on real servers."""

from __future__ import annotations

import gzip
import pathlib
import subprocess
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _deploy
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError


@pytest.mark.parametrize(
    ("header", "fits"),
    [
        (None, True),
        (["HTTP_X_FORWARDED_PROTO", "https"], True),
        (["HTTP_X_FORWARDED_SSL", "on"], True),
        (["HTTP_X_FORWARDED_PROTO", "on"], False),
        (["HTTP_X_MADE_UP", "https"], False),
    ],
)
def test_a_scheme_header_that_nginx_does_not_send_is_refused(header: list[str] | None, fits: bool) -> None:
    if fits:
        _deploy.refuse_unknown_scheme(header)
    else:
        with pytest.raises(ReleaseError, match="SECURE_PROXY_SSL_HEADER"):
            _deploy.refuse_unknown_scheme(header)


def message(name: str, level: int) -> dict[str, t.Any]:
    return {"id": name, "level": level, "msg": f"{name} says", "hint": "", "obj": "", "silenced": False}


@pytest.mark.parametrize(
    ("name", "level", "ignore", "fails"),
    [
        ("security.W018", 30, [], True),
        ("security.W018", 30, ["security.W018"], False),
        ("security.W004", 30, [], False),
        ("models.W001", 30, [], False),
        ("models.E001", 40, [], True),
    ],
)
def test_judge_checks(name: str, level: int, ignore: list[str], fails: bool) -> None:
    wanted = {"fail_level": "WARNING", "ignore": ignore}
    if fails:
        with pytest.raises(ReleaseError, match=rf"(?s){name} says.*`check: {{ignore: \[{name}\]}}`"):
            _deploy.judge_checks([message(name, level)], wanted)
    else:
        notes = _deploy.judge_checks([message(name, level)], wanted)
        assert bool(notes) is (name not in ignore)


def run(script: str, *arguments: object) -> None:
    subprocess.run(["/bin/sh", "-e", "-c", script, "sh", *map(str, arguments)], check=True)


def test_a_directory_moves_out_once_and_keeps_what_is_outside(tmp_path: pathlib.Path) -> None:
    inside, outside = tmp_path / "code/var/uploads", tmp_path / "data/var/uploads"
    inside.mkdir(parents=True)
    (inside / "shipped.txt").write_text("first")
    run(_deploy.LINK, inside, outside)
    assert inside.is_symlink()
    assert (inside / "shipped.txt").read_text() == "first"
    (outside / "shipped.txt").write_text("changed by a user")
    inside.unlink()
    inside.mkdir()
    (inside / "shipped.txt").write_text("second release")
    (inside / "new.txt").write_text("new")
    run(_deploy.LINK, inside, outside)
    assert (inside / "shipped.txt").read_text() == "changed by a user"
    assert (inside / "new.txt").read_text() == "new"


def test_a_directory_that_the_project_does_not_ship_is_made(tmp_path: pathlib.Path) -> None:
    run(_deploy.LINK, tmp_path / "code/data", tmp_path / "out/data")
    assert (tmp_path / "code/data").is_dir()


def test_text_is_compressed_and_the_rest_is_not(tmp_path: pathlib.Path) -> None:
    text = b"body { color: red }\n" * 200
    for name in ("site.css", "with space.js", "picture.png", "small.css"):
        (tmp_path / name).write_bytes(text if name != "small.css" else b"a{}")
    run(_deploy.COMPRESS, tmp_path)
    assert gzip.decompress((tmp_path / "site.css.gz").read_bytes()) == text
    assert (tmp_path / "with space.js.gz").exists()
    assert not (tmp_path / "picture.png.gz").exists()
    assert not (tmp_path / "small.css.gz").exists()


def test_nginx_reads_static_files_and_follows_no_link_out_of_them(tmp_path: pathlib.Path) -> None:
    static, elsewhere = tmp_path / "static", tmp_path / "other/uploads"
    (static / "sub").mkdir(parents=True)
    elsewhere.mkdir(parents=True)
    (elsewhere / "private.pdf").write_text("of another app")
    (static / "sub/site.css").write_text("a{}")
    (static / "sub/site.css").chmod(0o600)
    (static / "same.css").symlink_to("sub/site.css")
    (static / "theirs.pdf").symlink_to(elsewhere / "private.pdf")
    (static / "all").symlink_to(elsewhere)
    (static / "sub/up").symlink_to("../../other")
    _deploy.open_static(str(static))
    assert sorted(str(path.relative_to(static)) for path in static.rglob("*")) == ["same.css", "sub", "sub/site.css"]
    assert (static / "sub/site.css").stat().st_mode & 0o777 == 0o644
    assert (elsewhere / "private.pdf").read_text() == "of another app"
