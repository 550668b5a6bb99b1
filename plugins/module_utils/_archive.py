# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs a directory of the controller for the server (``source.path``).

PRIVATE to the collection: may change at any time.

What git would commit goes along, in the state in which it lies there; without git, everything that is not plainly a
tool's own, a cache or a secret. Links stay links.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import gzip
import hashlib
import os
import stat
import subprocess
import tarfile
import typing as t
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._source import LFS_POINTER, Revision, lfs_error

# Directories and files of tools, never part of a project, whether or not a .gitignore says so.
TOOLS = """
    .git .hg .svn .jj __pycache__ .venv venv .tox .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
    htmlcov node_modules .idea .vscode .vagrant .DS_Store *.pyc *.pyo *.swp *.retry db.sqlite3 db.sqlite3-journal
    *.egg-info
""".split()
SECRETS = [".env", ".env.*", ".envrc", ".envs"]
EXAMPLES = ["*.example", "*.sample", "*.template", "*.dist", "*.defaults"]
# Bytes of one file above which the operator is told.
LARGE = 50_000_000


@dataclasses.dataclass(frozen=True)
class Archive:
    """What :func:`archive` packed.

    :param sha256: checksum of the contents (the tar before compression): equal for equal files, modes and links.
    :param revision: its first 40 digits as id; described by the git revision where the directory is in a work tree.
    :param size: bytes of all files.
    :param notices: one sentence each about what was left out or looks wrong.
    """

    sha256: str
    revision: Revision
    files: int
    size: int
    notices: tuple[str, ...]


def archive(path: str, include: Sequence[str], destination: str) -> Archive:
    """Pack ``path`` (absolute) into the file ``destination`` (tar.gz).

    :param include: globs below ``path`` for files that git ignores or that are left out otherwise: built assets.
    """
    root = Path(path)
    if not root.is_dir():
        raise ReleaseError(f"source.path is no directory: {path}", cure="name the directory of the project.")
    listed = _git(root, "ls-files", "-z", "--cached")
    others = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
    left_out: list[str] = []
    if listed is None or others is None or not (listed or others):
        # No work tree, or a directory that its work tree ignores as a whole.
        names = set(_walk(root, "", left_out))
        listed = None
    else:
        names = {
            *_expand(root, listed.split("\0"), left_out, True),
            *_expand(root, others.split("\0"), left_out, False),
        }
    for pattern in include:
        names |= _included(root, pattern)
    if not names:
        raise ReleaseError(f"source.path holds no file to deploy: {path}", cure="name the directory of the project.")
    try:
        digest, size, notices = _pack(root, sorted(names), destination)
    except OSError as error:
        raise ReleaseError(f"source.path cannot be packed: {error}") from error
    secrets = sorted(name for name in left_out if name not in names)
    if secrets:
        notices.insert(0, f"Left out, because such files hold secrets (source.include brings them): {_shown(secrets)}")
    revision = _revision(root, digest) if listed is not None else Revision(digest[:40], f"archive of {root.name}")
    return Archive(digest, revision, len(names), size, tuple(notices))


def _git(root: Path, *arguments: str) -> str | None:
    """What git says about ``root``; None when it is in no work tree, or there is no git."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            env=environment,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return None
    if done.returncode == 0:
        return os.fsdecode(done.stdout)
    words = os.fsdecode(done.stderr)
    if "not a git repository" in words or "must be run in a work tree" in words:
        return None
    raise ReleaseError(f"git cannot list the files of {root}.", output=words)


def _expand(root: Path, listed: Sequence[str], left_out: list[str], tracked: bool) -> Iterator[str]:
    """The files that git listed and that are there, with those of submodules and repositories inside.

    :param left_out: takes the names of secrets that are left out.
    :param tracked: git keeps these files, so none of them is left out.
    """
    for entry in listed:
        name = entry.rstrip("/")
        path = root / name
        if not name or not os.path.lexists(path) or not (tracked or _wanted(name, left_out)):
            continue
        if not path.is_dir() or path.is_symlink():
            yield name
        elif (path / ".git").exists():
            for kind in ("--cached", "--others"):
                inner = (_git(path, "ls-files", "-z", "--exclude-standard", kind) or "").split("\0")
                yield from (f"{name}/{below}" for below in _expand(path, inner, left_out, kind == "--cached"))


def _wanted(name: str, left_out: list[str]) -> bool:
    """Whether no part of a path is a tool's or a secret; names of secrets are noted."""
    for part in name.split("/"):
        if _matches(part, TOOLS):
            return False
        if _matches(part, SECRETS) and not _matches(part, EXAMPLES):
            left_out.append(name)
            return False
    return True


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _walk(root: Path, below: str, left_out: list[str]) -> Iterator[str]:
    """The files of a directory that git does not know."""
    with os.scandir(root / below) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if not _wanted(entry.name, left_out):
                if left_out and left_out[-1] == entry.name:
                    left_out[-1] = name
            elif not entry.is_dir(follow_symlinks=False):
                yield name
            elif not (root / name / "pyvenv.cfg").exists():
                yield from _walk(root, name, left_out)


def _included(root: Path, pattern: str) -> set[str]:
    """The files that a glob of ``source.include`` names, directories with all that is in them."""
    if pattern.startswith("/") or ".." in pattern.split("/") or not pattern.strip("/."):
        raise ReleaseError(
            f"source.include leads out of source.path: {pattern!r}", cure="write it relative to source.path."
        )
    found: set[str] = set()
    for path in root.glob(pattern):
        if path.is_dir() and not path.is_symlink():
            files = (below for below in path.rglob("*") if below.is_symlink() or not below.is_dir())
            found |= {str(file.relative_to(root)) for file in files}
        else:
            found.add(str(path.relative_to(root)))
    if not found:
        raise ReleaseError(f"source.include names nothing that is there: {pattern!r}", cure="build these files first.")
    return found


def _pack(root: Path, names: Sequence[str], destination: str) -> tuple[str, int, list[str]]:
    """Write the tar; owners, times and the disk's order leave no trace, so that equal contents have equal checksums."""
    notices: list[str] = []
    pointers: list[str] = []
    size = 0
    with open(destination, "wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        hashing = _Hashing(packed)
        with tarfile.open(fileobj=t.cast(t.BinaryIO, hashing), mode="w|", format=tarfile.PAX_FORMAT) as tar:
            for name in names:
                path = root / name
                status = path.lstat()
                member = tarfile.TarInfo(name)
                if stat.S_ISLNK(status.st_mode):
                    member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
                    tar.addfile(member)
                    target = os.path.normpath(os.path.join(os.path.dirname(name), member.linkname))
                    if target.startswith(("/", "..")):
                        notices.append(
                            f"A link leads out of the project and is kept as it is: {name} -> {member.linkname}"
                        )
                elif stat.S_ISREG(status.st_mode):
                    member.size, member.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                    with path.open("rb") as content:
                        if content.read(len(LFS_POINTER)) == LFS_POINTER.encode():
                            pointers.append(name)
                        content.seek(0)
                        tar.addfile(member, content)
                    size += status.st_size
                    if status.st_size > LARGE:
                        notices.append(f"A large file goes along: {name} ({status.st_size // 1_000_000} MB)")
                else:
                    notices.append(f"Left out, because it is neither a file nor a link: {name}")
    if pointers:
        raise lfs_error(pointers)
    return hashing.digest.hexdigest(), size, notices


class _Hashing:
    """Passes on what is written, and keeps its checksum: of the tar, since versions of zlib compress differently."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self.file = file
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self.file.write(data)


def _revision(root: Path, digest: str) -> Revision:
    """The archive's id, described by what git knows about the work tree."""
    head = _git(root, "log", "-1", "--format=%h%n%cI%n%s") if _git(root, "rev-list", "-n", "1", "--all") else None
    if not head:
        return Revision(digest[:40], f"archive of {root.name}")
    commit, when, subject = head.splitlines()[:3]
    branch = (_git(root, "branch", "--show-current") or "").strip()
    changed = ", with uncommitted changes" if _git(root, "status", "--porcelain", "--", ".") else ""
    return Revision(
        digest[:40], f"archive of {root.name} ({branch + ' at ' if branch else ''}{commit}{changed})", when, subject
    )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
