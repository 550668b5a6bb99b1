# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packing a directory of the controller, and unpacking it as the server does."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _archive, _source
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    write(path, "manage.py", "shop/settings.py", "shop/static/a.css", ".gitignore", ".env.example")
    (path / "manage.py").chmod(0o755)
    return path


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {os.path.basename(name)}\n")


def git(path: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *arguments], cwd=path, check=True, capture_output=True)


def commit(path: Path) -> None:
    git(path, "init", "-q", "-b", "main")
    git(path, "add", "-A")
    git(path, "commit", "-q", "-m", "Begin")


def pack(path: Path, include: Sequence[str] = ()) -> _archive.Archive:
    return _archive.archive(str(path), include, str(path.parent / "shop.tar.gz"))


def packed(path: Path, include: Sequence[str] = ()) -> set[str]:
    """What arrives on the server."""
    pack(path, include)
    target = path.parent / "code"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    _source.unpack(str(path.parent / "shop.tar.gz"), str(target), os.getuid(), os.getgid())
    return {str(found.relative_to(target)) for found in target.rglob("*") if found.is_symlink() or not found.is_dir()}


PROJECT = {"manage.py", "shop/settings.py", "shop/static/a.css", ".gitignore", ".env.example"}


def test_without_git(project: Path) -> None:
    write(
        project,
        ".env",
        ".env.production",
        ".envs/.production/.django",
        "db.sqlite3",
        "shop/a.pyc",
        "node_modules/x/y.js",
    )
    write(project, "env/pyvenv.cfg", "env/bin/python", "venv/x", "shop/__pycache__/a.pyc", ".mypy_cache/x", ".tox/x")
    assert packed(project) == PROJECT
    assert pack(project).notices == (
        "Left out, because such files hold secrets (source.include brings them): .env, .env.production, .envs",
    )
    assert pack(project).revision.description == "archive of shop"


def test_with_git(project: Path) -> None:
    (project / ".gitignore").write_text("dist/\n*.log\n")
    write(project, "gone.py", ".envs/.tracked", "sub dir/\N{SNOWMAN}.txt")
    commit(project)
    (project / "gone.py").unlink()
    write(project, "dist/app.js", "a.log", ".env", "new.py", "db.sqlite3", "node_modules/x.js", "__pycache__/a.pyc")
    expected = PROJECT | {".envs/.tracked", "sub dir/\N{SNOWMAN}.txt", "new.py"}
    assert packed(project) == expected
    assert packed(project, ["dist"]) == expected | {"dist/app.js"}
    assert packed(project, ["**/*.log", ".env"]) == expected | {"a.log", ".env"}
    found = pack(project, [".env"])
    assert found.notices == ()
    assert found.revision.id == found.sha256[:40]
    assert found.revision.description.startswith("archive of shop (main at ")
    assert found.revision.description.endswith(", with uncommitted changes)")
    assert found.revision.subject == "Begin"


def test_a_directory_of_a_work_tree(project: Path, tmp_path: Path) -> None:
    write(tmp_path, "other/readme")
    commit(tmp_path)
    assert packed(project) == PROJECT
    assert ", with uncommitted" not in pack(project).revision.description


def test_a_directory_that_its_work_tree_ignores(project: Path, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text("shop/\n")
    commit(tmp_path)
    assert packed(project) == PROJECT


def test_a_work_tree_without_a_commit(project: Path) -> None:
    git(project, "init", "-q")
    assert packed(project) == PROJECT
    assert pack(project).revision.description == "archive of shop"


def test_submodules(project: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    write(library, "library.py")
    commit(library)
    commit(project)
    git(project, "submodule", "--quiet", "add", str(library), "lib")
    write(project, "lib/new.py", "lib/.env")
    assert packed(project) == PROJECT | {".gitmodules", "lib/library.py", "lib/new.py"}


def test_equal_contents_have_equal_checksums(project: Path, tmp_path: Path) -> None:
    first = pack(project).sha256
    bytes_of_first = (tmp_path / "shop.tar.gz").read_bytes()
    os.utime(project / "manage.py", (1, 1))
    (project / "shop/settings.py").chmod(0o600)
    copy = tmp_path / "elsewhere" / "shop"
    shutil.copytree(project, copy)
    assert pack(copy).sha256 == pack(project).sha256 == first
    assert (tmp_path / "shop.tar.gz").read_bytes() == bytes_of_first
    (project / "shop/settings.py").chmod(0o700)
    executable = pack(project).sha256
    (project / "shop/settings.py").write_text("# changed\n")
    assert len({first, executable, pack(project).sha256}) == 3


def test_links(project: Path) -> None:
    (project / "inner").symlink_to("shop/settings.py")
    (project / "outer").symlink_to("/etc/hostname")
    (project / "shop" / "up").symlink_to("../../other")
    (project / "directory").symlink_to("shop")
    assert packed(project) == PROJECT | {"inner", "outer", "shop/up", "directory"}
    assert [notice.split(": ")[1] for notice in pack(project).notices] == [
        "outer -> /etc/hostname",
        "shop/up -> ../../other",
    ]


def test_what_is_no_file(project: Path) -> None:
    os.mkfifo(project / "pipe")
    assert packed(project) == PROJECT
    assert "neither a file nor a link: pipe" in pack(project).notices[0]


def test_a_large_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "LARGE", 1000)
    (project / "dump.sql").write_text("x" * 1001)
    assert "A large file goes along: dump.sql" in pack(project).notices[0]


def test_include_inside_what_is_left_out(project: Path) -> None:
    write(project, "node_modules/lib/a.js", "node_modules/lib/b/c.js", "node_modules/other/d.js")
    assert packed(project, ["node_modules/lib"]) == PROJECT | {"node_modules/lib/a.js", "node_modules/lib/b/c.js"}
    assert packed(project, ["node_modules/lib/**"]) == PROJECT | {"node_modules/lib/a.js", "node_modules/lib/b/c.js"}
    assert packed(project, ["node_modules/*/*.js"]) == PROJECT | {"node_modules/lib/a.js", "node_modules/other/d.js"}


@pytest.mark.parametrize(
    ("include", "message"),
    [
        (["dist"], r"names nothing that is there: 'dist'.*\n.*build these files first"),
        (["../other"], "leads out of"),
        (["/etc/passwd"], "leads out of"),
        (["./"], "leads out of"),
    ],
)
def test_wrong_includes(project: Path, include: list[str], message: str) -> None:
    with pytest.raises(ReleaseError, match=message):
        pack(project, include)


def test_nothing_to_deploy(tmp_path: Path) -> None:
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    with pytest.raises(ReleaseError, match="holds no file to deploy"):
        pack(tmp_path / "empty")
    with pytest.raises(ReleaseError, match="is no directory"):
        pack(tmp_path / "nowhere")


def test_git_lfs(project: Path) -> None:
    (project / "a.png").write_text(f"{_source.LFS_POINTER}\noid sha256:0\nsize 1\n")
    with pytest.raises(ReleaseError, match=r"a\.png"):
        pack(project)


def test_git_that_refuses(project: Path) -> None:
    commit(project)
    (project / ".git/config").write_text("[broken\n")
    with pytest.raises(ReleaseError, match="git cannot list the files"):
        pack(project)
