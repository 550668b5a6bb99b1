# Copyright (c) groundcrew.django contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server as config_set sees and changes it: files, commands, systemd, processes. Every effect is a method here, so
that tests can put a fake systemctl, or a kill, in place of any of them."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import grp
import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import sys
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.groundcrew.django.plugins.module_utils._config_set import (
    ABSENT,
    ActionFailed,
    ConfigSetError,
    Entry,
    Step,
    Unit,
)
from ansible_collections.groundcrew.django.plugins.module_utils._own_code import lay_down

# Seconds after which a validator hangs rather than works.
VALIDATION_TIMEOUT = 120
# Seconds to wait for another call that works on the same set. It may be restarting a database.
LOCK_TIMEOUT = 300

SYSTEMD = "/etc/systemd/system"

_CLONE_NEWNS = 0x00020000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18


@dataclass(frozen=True)
class Result:
    rc: int
    stdout: str = ""
    stderr: str = ""

    @property
    def words(self) -> str:
        return "\n".join(part for part in (self.stdout.strip(), self.stderr.strip()) if part)


class System:
    def __init__(self, state_directory: str = "/var/lib/groundcrew") -> None:
        self.state_directory = state_directory
        self.sets = f"{state_directory}/config_set"  # manifests and locks
        self.pending = f"{state_directory}/pending"  # journals

    # ---------------------------------------------------------------------------------------------------- observation

    def entry(self, path: str, follow: bool = False) -> Entry:
        """What stands at a path. Contents are read of files only."""
        try:
            found = os.stat(path) if follow else os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        if stat.S_ISLNK(found.st_mode):
            return Entry("link", target=os.readlink(path))
        kind, content = "other", b""
        if stat.S_ISDIR(found.st_mode):
            kind = "directory"
        elif stat.S_ISREG(found.st_mode):
            kind = "file"
            with open(path, "rb") as file:
                content = file.read()
        owner, group = _user_name(found.st_uid), _group_name(found.st_gid)
        return Entry(kind, content=content, owner=owner, group=group, mode=stat.S_IMODE(found.st_mode))

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def owner(self, name: str) -> str | None:
        """The name under which the server knows a user given by name or number; None when there is none."""
        if name.isdigit():
            return _user_name(int(name))
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            return None

    def group(self, name: str) -> str | None:
        if name.isdigit():
            return _group_name(int(name))
        try:
            return grp.getgrnam(name).gr_name
        except KeyError:
            return None

    def systemd(self) -> bool:
        return os.path.isdir("/run/systemd/system")

    def units(self, names: Sequence[str]) -> dict[str, Unit]:
        if not names or not self.systemd():
            return {}
        keys = ("LoadState", "ActiveState", "UnitFileState", "MainPID")
        shown = self.run(["systemctl", "show", f"--property={','.join(keys)}", "--", *names])
        if shown.rc != 0:
            raise ActionFailed(f"systemctl show failed (exit status {shown.rc}):\n{shown.words}")
        units = {}
        for name, block in zip(names, shown.stdout.strip("\n").split("\n\n"), strict=True):
            about = dict(line.split("=", 1) for line in block.splitlines())
            pid = int(about.get("MainPID") or 0)
            units[name] = Unit(about["LoadState"], about["ActiveState"], about["UnitFileState"], pid)
        return units

    def children(self, pid: int) -> dict[tuple[int, str], str]:
        """Processes whose parent is `pid`: (pid, start time) -> command line, so that a reused pid is not the same."""
        found = {}
        for name in os.listdir("/proc"):
            if not name.isdigit():
                continue
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    # The second field is the program's name in parentheses and may itself hold spaces.
                    fields = file.read().rpartition(")")[2].split()
                with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as file:
                    command = file.read()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found[int(name), fields[19]] = command
        return found

    def journal(self, unit: str, since: float) -> str:
        """What the unit and systemd about it wrote to the journal since a moment."""
        argv = ["journalctl", "--unit", unit, f"--since=@{int(since)}", "--output=cat", "--no-pager", "--lines=30"]
        return self.run([*argv, "--quiet"]).stdout.strip()

    def size(self, path: str) -> int:
        try:
            return os.stat(path).st_size
        except OSError:
            return 0

    def tail(self, path: str, offset: int) -> str:
        """What was appended to a log since it had `offset` bytes; the last of it, when it is much."""
        try:
            with open(path, "rb") as file:
                end = file.seek(0, os.SEEK_END)
                file.seek(max(offset if offset <= end else 0, end - 4096))
                return file.read().decode(errors="replace").strip()
        except OSError:
            return ""

    def clock(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    # -------------------------------------------------------------------------------------------------------- effects

    def make_state(self) -> None:
        """The directories of our own book-keeping. They hold old copies of secret files: root's alone."""
        if not os.path.isdir(self.state_directory):
            os.makedirs(self.state_directory, exist_ok=True)
            # Whatever the umask of who called: users of apps and nginx have files below it.
            os.chmod(self.state_directory, 0o755)  # noqa: S103
        for path in (self.sets, self.pending):
            os.makedirs(path, mode=0o700, exist_ok=True)
            os.chmod(path, 0o700)

    @contextlib.contextmanager
    def lock(self, name: str, check_mode: bool = False) -> Iterator[None]:
        """One call at a time per set. The kernel frees it when the process dies, however it dies."""
        path = f"{self.sets}/{name}.lock"
        if check_mode and not os.path.exists(path):
            yield  # check mode makes no lock file, and where there is none there was never a call
            return
        descriptor = os.open(path, os.O_RDONLY if check_mode else os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            deadline = self.clock() + LOCK_TIMEOUT
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self.clock() >= deadline:
                        raise ConfigSetError(
                            f"another call has been working on the config set {name} for {LOCK_TIMEOUT} s; "
                            f"`fuser -v {path}` shows its process"
                        ) from None
                    self.sleep(0.2)
            yield
        finally:
            os.close(descriptor)

    def prepare(self, path: str, entry: Entry) -> None:
        """Everything towards `entry` that needs space or a user, beside the live file. Directories are made at once."""
        with _naming(path):
            if entry.kind == "directory":
                with contextlib.suppress(FileExistsError):
                    os.mkdir(path, 0o700)
                self._own(path, entry)
                _sync_directory(os.path.dirname(path))
            elif entry.kind != "absent":
                self.discard(path)
                if entry.kind == "link":
                    os.symlink(entry.target, temporary(path))
                else:
                    self._write(temporary(path), entry)

    def commit(self, path: str, entry: Entry) -> None:
        """The prepared entry takes the live place, in one rename. A link there is replaced, not followed."""
        if entry.kind == "directory":
            return
        with _naming(path):
            if entry.kind == "absent":
                self._remove(path)
            else:
                os.replace(temporary(path), path)
            with contextlib.suppress(FileNotFoundError):
                _sync_directory(os.path.dirname(path))

    def discard(self, path: str) -> None:
        """Removes what `prepare` left beside a path."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(temporary(path))

    def run(self, argv: Sequence[str], timeout: float | None = None, enter: Callable[[], None] | None = None) -> Result:
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                env={**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
                timeout=timeout,
                check=False,
                preexec_fn=enter,
            )
        except FileNotFoundError:
            return Result(127, stderr=f"{argv[0]} is not installed")
        except OSError as error:
            return Result(126, stderr=f"{argv[0]} cannot be run: {error.strerror}")
        except subprocess.TimeoutExpired:
            return Result(124, stderr=f"{argv[0]} did not end within {timeout:.0f} s")
        return Result(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def arm(self, name: str, seconds: int) -> None:
        """Have systemd take a set back after some seconds, whatever becomes of this process, and of this boot."""
        script = lay_down(pathlib.Path(self.state_directory, "revert", name), "_config_set_apply")
        unit = _revert_unit(name)
        about = f"[Unit]\nDescription=Take back the config set {name}, because nobody has confirmed it\n\n"
        # A restart in between starts the timer anew, because it is among those of the boot.
        timer = f"[Timer]\nOnActiveSec={seconds}\nAccuracySec=100ms\n\n[Install]\nWantedBy=timers.target\n"
        # One that is stopped while it waits has not failed; see below.
        service = f"[Service]\nType=oneshot\nExecStart={sys.executable} {script} {name}\nSuccessExitStatus=SIGTERM\n"
        for suffix, text in (("service", service), ("timer", timer)):
            pathlib.Path(f"{SYSTEMD}/{unit}.{suffix}").write_text(about + text, "utf-8")
        # Where the time was over before the change was complete, the service waits for the lock that we have.
        for argv in (
            ["daemon-reload"],
            ["stop", f"{unit}.service"],
            ["--quiet", "enable", f"{unit}.timer"],
            ["restart", f"{unit}.timer"],
        ):
            done = self.run(["systemctl", *argv])
            if done.rc != 0:
                raise ActionFailed(f"systemctl {' '.join(argv)} failed (exit status {done.rc}):\n{done.words}")

    def is_armed(self, name: str) -> bool:
        """Whether systemd is going to take a set back, or at it."""
        unit = _revert_unit(name)
        said = self.run(["systemctl", "is-active", f"{unit}.timer", f"{unit}.service"]).stdout.split()
        return "active" in said or "activating" in said

    def disarm(self, name: str) -> None:
        """Let what stands stay."""
        unit = _revert_unit(name)
        if not os.path.exists(f"{SYSTEMD}/{unit}.timer"):
            return
        self.run(["systemctl", "--quiet", "disable", "--now", f"{unit}.timer"])
        for suffix in ("service", "timer"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{SYSTEMD}/{unit}.{suffix}")
        shutil.rmtree(f"{self.state_directory}/revert/{name}", ignore_errors=True)
        self.run(["systemctl", "daemon-reload"])

    def run_staged(self, argv: Sequence[str], steps: Iterable[Step]) -> Result:
        """Runs a program that sees the steps as done, while nobody else does.

        The child gets a mount namespace of its own. There, each directory that changes is covered by a stage on a
        tmpfs: its other entries bound into it, the set's laid beside them. Chosen over systemd-run's BindReadOnlyPaths
        because it also shows new, removed and linked entries, needs no running systemd, keeps contents (secrets among
        them) off the disk, and vanishes with the child, however that ends. Chosen over an overlay because bind mounts
        work on every file system and in every container that may mount at all. What the program writes elsewhere (a
        pid file, a log) is written for real, as it would be without the stage.
        """
        todo = list(steps)

        def enter() -> None:
            try:
                self._stage(todo)
            except BaseException as error:  # in the forked child: nothing may run on from here
                os.write(2, f"the set cannot be staged for validation: {error}\n".encode())
                os._exit(125)

        return self.run(argv, timeout=VALIDATION_TIMEOUT, enter=enter)

    # -------------------------------------------------------------------------------------------------------- private

    def _own(self, target: str | int, entry: Entry) -> None:
        os.chown(target, _uid(entry.owner), _gid(entry.group))
        os.chmod(target, entry.mode or 0)  # after chown, which clears the setuid and setgid bits

    def _write(self, path: str, entry: Entry) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        with open(descriptor, "wb") as file:
            file.write(entry.content)
            file.flush()
            self._own(descriptor, entry)
            os.fsync(descriptor)

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            try:
                os.rmdir(path)
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:  # something else lives there by now
                    raise

    def _stage(self, steps: Sequence[Step]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)

        def call(function: str, *args: t.Any) -> None:
            if getattr(libc, function)(*args) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"{function} {args[:2]}: {os.strerror(number)}")

        def mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
            words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
            call("mount", words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])

        call("unshare", _CLONE_NEWNS)
        mount("none", "/", None, _MS_REC | _MS_PRIVATE)
        mount("tmpfs", self.sets, "tmpfs", 0, "mode=0700")
        stage_device = os.stat(self.sets).st_dev

        covered: dict[str, set[str]] = {}
        for step in steps:
            parent = os.path.realpath(os.path.dirname(step.path))
            if os.path.isdir(parent):
                covered.setdefault(parent, set()).add(os.path.basename(step.path))
            if step.before.kind == step.after.kind == "directory":
                covered.setdefault(os.path.realpath(step.path), set())
                covered[parent].discard(os.path.basename(step.path))
        # The outermost first: an inner stage is then mounted within the outer one.
        for number, directory in enumerate(sorted(covered, key=lambda path: path.count("/"))):
            stage = f"{self.sets}/{number}"
            os.mkdir(stage, 0o700)
            for name in os.listdir(directory):
                if name in covered[directory]:
                    continue
                live, staged = f"{directory}/{name}", f"{stage}/{name}"
                mode = os.lstat(live).st_mode
                if stat.S_ISLNK(mode):
                    os.symlink(os.readlink(live), staged)
                    continue
                if stat.S_ISDIR(mode):
                    os.mkdir(staged)
                else:
                    os.close(os.open(staged, os.O_CREAT | os.O_EXCL, 0o600))
                mount(live, staged, None, _MS_BIND | _MS_REC)
            like = os.stat(directory)
            os.chown(stage, like.st_uid, like.st_gid)
            os.chmod(stage, stat.S_IMODE(like.st_mode))
            mount(stage, directory, None, _MS_BIND | _MS_REC)

        for step in steps:
            altered = step.before.kind == step.after.kind == "directory"
            directory = step.path if altered else os.path.dirname(step.path)
            if os.stat(directory).st_dev != stage_device:
                raise OSError(f"{directory} is not covered")  # never write to the live place from here
            self.prepare(step.path, step.after)
            self.commit(step.path, step.after)


def temporary(path: str) -> str:
    """The name beside `path` under which its next content is prepared. A leading dot keeps it out of include globs."""
    return f"{os.path.dirname(path)}/.{os.path.basename(path)}.groundcrew"


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Errors name the path that the operator knows, not the temporary one, nor none as those of a write."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _revert_unit(name: str) -> str:
    return f"groundcrew-revert-{name}"


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _uid(name: str) -> int:
    try:
        return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no user {name}") from None


def _gid(name: str) -> int:
    try:
        return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid
    except KeyError:
        raise OSError(errno.EINVAL, f"there is no group {name}") from None
