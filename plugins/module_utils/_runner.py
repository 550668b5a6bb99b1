# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a program as an app's user, in the app's sandbox. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import subprocess
import typing as t
from collections.abc import Callable, Iterator, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._operator import BEAT
from ansible_collections.groundcrew.django.plugins.module_utils._units import CREDENTIALS, STEP_SANDBOX, quote

# Lines of a failed program that reach the operator's screen.
LAST_LINES = 30


@dataclasses.dataclass(frozen=True)
class Result:
    """What a program left behind: its exit status and its output."""

    rc: int
    stdout: str
    stderr: str

    def last_lines(self, count: int = LAST_LINES) -> str:
        """The end of what it said: errors last, because that is where people look first."""
        text = self.stdout.rstrip() + "\n" + self.stderr.rstrip()
        return "\n".join(text.strip().splitlines()[-count:])


def credentials_of(environment_file: str) -> dict[str, str]:
    """The secrets that go along with an environment file, as files: their paths, by the variables that name them."""
    directory = f"{environment_file.removesuffix('.env')}.credentials"
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    return {name: f"{directory}/{name}" for name in names}


class Runner(t.Protocol):
    """The way the parts of a release run programs; tests hand in another one."""

    def run(
        self,
        argv: Sequence[str],
        *,
        title: str,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        writable: Sequence[str] = (),
        environment_file: str = "",
        network: bool = True,
        timeout: int = 900,
        check: bool = True,
        stdin: str = "",
        output: t.IO[bytes] | None = None,
    ) -> Result:
        """Run ``argv`` and wait for it.

        :param title: an imperative sentence that the operator sees, such as "Install the dependencies".
        :param env: variables beside the environment file; never a secret, because they stand in the process list.
        :param writable: directories that the program may write, beside its private /tmp.
        :param environment_file: a file that systemd reads as root and hands to the program; secrets belong there.
        :param timeout: seconds until systemd ends the program with all its children.
        :param check: raise :class:`ReleaseError` with the last lines when the exit status is not 0.
        :param output: an open file that takes the standard output instead of the result.
        """


class SandboxRunner:
    """Runs each program in a transient unit of systemd's: nothing of it outlives the step.

    :param purpose: follows the app's name in the units' names: "step" of a deploy, "look" of a dry run, or "manage".
    :param bound_to: a unit with which those of this runner end.
    """

    def __init__(self, app: str, user: str, home: str, purpose: str, bound_to: str = "") -> None:
        self.app = app
        self.purpose = purpose
        self.bound_to = bound_to
        self.user = user
        self.home = home
        self._count = 0

    @property
    def unit_prefix(self) -> str:
        """How the units' names begin; no name of an app holds the sign, so none begins like another's."""
        return f"{self.app}-{self.purpose}@"

    def command(
        self,
        argv: Sequence[str],
        *,
        title: str,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        writable: Sequence[str] = (),
        environment_file: str = "",
        network: bool = True,
        timeout: int = 900,
        secrets_file: str = "",
    ) -> list[str]:
        """The complete argv, systemd-run included.

        :param secrets_file: another environment file, which is read last.
        """
        self._count += 1
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40]
        unit = f"{self.unit_prefix}{os.getpid()}-{self._count}-{slug}"
        credentials = credentials_of(environment_file) if environment_file else {}
        properties = {
            **STEP_SANDBOX,
            "User": self.user,
            "Group": self.user,
            "WorkingDirectory": cwd,
            "RuntimeMaxSec": str(timeout),
            # systemd-run takes the words apart, as a unit file does, but expands nothing in them.
            "ReadWritePaths": " ".join(quote(path).replace("%%", "%") for path in writable),
        }
        if environment_file:
            properties["EnvironmentFile"] = environment_file
        if not network:
            properties["PrivateNetwork"] = "yes"
        if self.bound_to:
            properties["BindsTo"] = properties["After"] = self.bound_to
        command = [
            "systemd-run",
            "--pipe",
            "--wait",
            "--collect",
            "--quiet",
            f"--unit={unit}",
            # Without a description the whole command line would stand in the journal.
            f"--description={self.app}: {title}",
        ]
        command += [f"--property={key}={value}" for key, value in properties.items() if value]
        command += [f"--property=LoadCredential={name}:{path}" for name, path in credentials.items()]
        if secrets_file:
            command.append(f"--property=EnvironmentFile={secrets_file}")
        paths = {name: f"{CREDENTIALS}/{unit}.service/{name}" for name in credentials}
        command += [f"--setenv={key}={value}" for key, value in {"HOME": self.home, **(env or {}), **paths}.items()]
        # systemd puts variables of its own into the words of a command; "$$" is what it takes for a dollar.
        return [*command, "--", *(part.replace("$", "$$") for part in argv)]

    def run(
        self,
        argv: Sequence[str],
        *,
        title: str,
        cwd: str = "/",
        env: Mapping[str, str] | None = None,
        writable: Sequence[str] = (),
        environment_file: str = "",
        network: bool = True,
        timeout: int = 900,
        check: bool = True,
        stdin: str = "",
        output: t.IO[bytes] | None = None,
        secrets: str = "",
        alive: Callable[[], None] | None = None,
    ) -> Result:
        """See :meth:`Runner.run`.

        :param secrets: the text of another environment file, which is in no place but this process's memory.
        :param alive: called every other second; when it raises, the program is ended.
        """
        with _in_memory(secrets) as secrets_file:
            command = self.command(
                argv,
                title=title,
                cwd=cwd,
                env=env,
                writable=writable,
                environment_file=environment_file,
                network=network,
                timeout=timeout,
                secrets_file=secrets_file,
            )
            try:
                done = _communicate(command, stdin, output, alive)
            except BaseException:
                # Interrupted, such as by the end of the deploy's own unit; the program does not notice that by itself.
                stop = ["systemctl", "stop", f"{self.unit_prefix}{os.getpid()}-*"]
                subprocess.run(stop, capture_output=True, check=False)
                raise
        if check and done.rc != 0:
            raise ReleaseError(f"{title}: the command ended with status {done.rc}.", output=done.last_lines())
        return done


def _communicate(
    command: Sequence[str], stdin: str, output: t.IO[bytes] | None, alive: Callable[[], None] | None
) -> Result:
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output or subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"},
    ) as process:
        given: str | None = stdin
        try:
            while True:
                try:
                    stdout, stderr = process.communicate(given, timeout=BEAT if alive else None)
                    return Result(process.returncode, stdout or "", stderr)
                except subprocess.TimeoutExpired:
                    given = None
                    if alive:
                        alive()
        except BaseException:
            process.kill()
            raise


@contextlib.contextmanager
def _in_memory(text: str) -> Iterator[str]:
    """A path at which root reads a text that lies on no disk and is gone with this process; empty for no text."""
    if not text:
        yield ""
        return
    descriptor = os.memfd_create("environment")
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)
