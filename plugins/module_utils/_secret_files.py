# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that live in files of their own, one secret per file. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import string
import tempfile
import typing as t
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Letters and digits only: such a secret needs no quoting in a URL, a shell, a systemd file or SQL.
ALPHABET = string.ascii_letters + string.digits

# What a dry run returns for a secret that a real run would generate. Shaped like a hash, so that files rendered
# from it are well-formed; no secret hashes to it.
PLACEHOLDER = "0" * 64

# While a secret is being rotated, the value before lies in a file beside it, with this at the end of its name.
FORMER = ".former"

MODE = 0o600
DIRECTORY_MODE = 0o700


class SecretFileError(Exception):
    """A secret cannot be kept where it was asked for. The message never holds a secret."""


@dataclass(frozen=True)
class Wanted:
    """A secret that should exist. An empty `value` means: keep what is there, else generate `length` characters.

    :param keep_former: what `value` replaces stays beside it, until whoever uses it has moved on.
    """

    path: str
    length: int = 50
    value: str = ""
    keep_former: bool = False


@dataclass(frozen=True)
class Observed:
    """A secret's file as found; `content` is None where there is no file."""

    content: str | None = None
    private: bool = True  # owner, group and mode are right
    former: str = ""  # of a rotation that has not come to its end, the hash of the value before


@dataclass(frozen=True)
class Step:
    """What has to happen to one file: `action` is generate, replace, protect or keep; `content` it holds after.

    :param former: what goes into the file beside it first; empty for nothing.
    """

    path: str
    action: str
    content: str = ""
    length: int = 0
    former: str = ""

    @property
    def sha256(self) -> str:
        """Hash of the secret after this step, as far as it is known before the step is done."""
        return PLACEHOLDER if self.action == "generate" else digest(self.content)


def digest(content: str) -> str:
    """SHA-256 in hexadecimal digits. A newline that an editor left at the end is no part of the secret."""
    return hashlib.sha256(content.rstrip("\n").encode()).hexdigest()


def wanted(entries: Sequence[Mapping[str, t.Any]]) -> list[Wanted]:
    """Check the module's `secrets` and drop repetitions: two services may name the same file for the same secret."""
    found: dict[str, Wanted] = {}
    for entry in entries:
        path, length, value = entry["path"], entry["length"], entry["value"]
        if not os.path.isabs(path) or os.path.normpath(path) != path:
            raise SecretFileError(f"{path}: write the path of a secret in full, without . or .. in it")
        if value is not None and not value.strip():
            raise SecretFileError(f"{path}: the value given is empty; leave `value` out to have one generated")
        if value is None and length < 16:
            raise SecretFileError(f"{path}: a generated secret of {length} characters can be guessed; use at least 16")
        secret = Wanted(path, length, value or "", bool(entry.get("keep_former")))
        if found.setdefault(path, secret) != secret:
            raise SecretFileError(f"{path} is listed twice, with different lengths or values")
    return list(found.values())


def plan(secrets_wanted: Sequence[Wanted], observed: Mapping[str, Observed]) -> list[Step]:
    """Decide one step per secret. Generating is left to `apply`, so that a plan holds no secret that is never used.

    A secret of which two values are in use gets no third one here: a deploy knows which of them it may drop.
    """
    steps = []
    for want in secrets_wanted:
        seen = observed[want.path]
        if want.value and seen.content != want.value and not (want.keep_former and seen.former):
            before = (seen.content or "").strip() if want.keep_former else ""
            steps.append(Step(want.path, "replace", want.value, former=before))
        elif not (seen.content or "").strip():
            # An empty file is no secret: whoever reads it would go on without one.
            steps.append(Step(want.path, "generate", length=want.length))
        else:
            steps.append(Step(want.path, "keep" if seen.private else "protect", seen.content or ""))
    return steps


def describe(steps: Sequence[Step]) -> dict[str, str]:
    """The plan as a diff of states; never of contents."""
    changes = [step for step in steps if step.action != "keep"]
    before = {"generate": "no secret", "replace": "another secret, or none", "protect": "readable by others"}
    after = {"generate": "generated", "replace": "the value given", "protect": "0600, owned by root"}
    return {
        "before": "".join(f"{step.path}: {before[step.action]}\n" for step in changes),
        "after": "".join(f"{step.path}: {after[step.action]}\n" for step in changes),
    }


def former(path: str) -> str:
    """Hash of the value before a rotation that has not come to its end; empty where there is none."""
    return observe(path).former


def observe(path: str, owner: int = 0, group: int = 0) -> Observed:
    """Read one secret. Refuses what somebody else than its owner could have laid there."""
    directory = os.path.dirname(path)
    if os.path.isdir(directory):
        found = os.stat(directory)
        if found.st_uid != owner or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SecretFileError(
                f"{directory} can be written by others than root; keep secrets in a directory of their own"
            )
    try:
        file = os.lstat(path)
    except FileNotFoundError:
        return Observed()
    if not stat.S_ISREG(file.st_mode):
        raise SecretFileError(f"{path} is there, but is no ordinary file")
    with open(path, encoding="utf-8", newline="") as stream:
        content = stream.read()
    before = "" if path.endswith(FORMER) else observe(path + FORMER, owner, group).content or ""
    return Observed(
        content,
        private=(file.st_uid, file.st_gid, stat.S_IMODE(file.st_mode)) == (owner, group, MODE),
        former=digest(before) if before and digest(before) != digest(content) else "",
    )


def apply(steps: Sequence[Step], owner: int = 0, group: int = 0) -> list[Step]:
    """Carry the plan out. Returns the steps with the contents that are on disk now."""
    return [_apply(step, owner, group) for step in steps]


def _apply(step: Step, owner: int, group: int) -> Step:
    if step.action == "protect":
        os.chown(step.path, owner, group)
        os.chmod(step.path, MODE)
    if step.action in ("keep", "protect"):
        return step
    content = step.content or "".join(secrets.choice(ALPHABET) for dummy in range(step.length))
    directory = os.path.dirname(step.path)
    os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
    try:
        os.mkdir(directory, DIRECTORY_MODE)
    except FileExistsError:
        pass
    else:
        os.chown(directory, owner, group)
    if step.former:
        _write(step.path + FORMER, step.former, owner, group)
    _write(step.path, content, owner, group)
    return Step(step.path, "keep", content)


def _write(path: str, content: str, owner: int, group: int) -> None:
    directory = os.path.dirname(path)
    # mkstemp makes the file 0600 from its first moment on; the name is exchanged only when all is on disk.
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(temporary, owner, group)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
