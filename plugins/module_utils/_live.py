# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting, asking and stopping one release's web server. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import time
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

# Seconds between two questions to an instance that is starting.
HEALTH_INTERVAL = 0.25

# Restarts after which an instance that never answered is given up: it would only end again.
HOPELESS = 3

# How Python begins the line between the tracebacks of two exceptions of which one led to the other.
CHAINED = ("During handling of the above exception", "The above exception was the direct cause")

# Stops a release once nobody is connected to its socket any more, or when its time is over. nginx may have looked up
# the socket just before the switch and connect a moment later, so nobody has to be there at two looks in a row.
# In /proc/net/unix a connection at the server's end has the path, flags 0, and the state 03, or 02 while it waits to be
# accepted; the listening socket itself has the flag 00010000.
DRAIN = r"""
path=$1 end=$(($(date +%s) + $2)) idle=0
while [ $idle -lt 2 ] && [ "$(date +%s)" -lt $end ]; do
    sleep 1
    idle=$((idle + 1))
    if grep -Eq "^[^ ]+ [^ ]+ [^ ]+ 00000000 0001 0[23] +[0-9]+ $path\$" /proc/net/unix; then idle=0; fi
done
# Who is still connected has had his time; the server would give him another.
if [ $idle -lt 2 ]; then systemctl stop --no-block "$3"; systemctl kill --signal=KILL "$3"; fi
systemctl stop "$3" "$4"
# Who had to be killed has failed, and would be listed for ever.
systemctl --quiet is-failed "$3" && systemctl reset-failed "$3"
true
"""


def systemctl(*arguments: str, check: bool = True) -> str:
    """Run systemctl and return what it printed.

    :raises ReleaseError: with systemd's words, when it failed and ``check`` is true.
    """
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise ReleaseError(f"systemctl {' '.join(arguments)} failed.", output=done.stderr)
    return done.stdout.strip()


class _SocketConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclasses.dataclass(frozen=True)
class Instance:
    """One release as systemd knows it."""

    unit: str
    release: str

    @property
    def service(self) -> str:
        """Name of the service unit."""
        return f"{self.unit}@{self.release}.service"

    @property
    def socket(self) -> str:
        """Name of the socket unit."""
        return f"{self.unit}@{self.release}.socket"

    @property
    def dropin(self) -> pathlib.Path:
        """The directory whose one file says how this release runs."""
        return pathlib.Path(f"/etc/systemd/system/{self.service}.d")

    def active(self) -> bool:
        """Whether the service runs."""
        return systemctl("is-active", self.service, check=False) == "active"

    def install(self, dropin: str) -> None:
        """Write down how the release runs; nothing is started yet.

        systemd reads it when it first hears of the instance, so it need not read every unit of the server again.
        """
        self.dropin.mkdir(parents=True, exist_ok=True)
        (self.dropin / "release.conf").write_text(dropin, "utf-8")

    def start(self) -> None:
        """Start the service, which brings its socket along.

        :raises ReleaseError: with the journal of the service, when it does not get ready.
        """
        # On its way out a moment ago, it is wanted again.
        systemctl("stop", self.drain, check=False)
        try:
            systemctl("start", self.service)
        except ReleaseError as error:
            raise ReleaseError(
                f"The app server of release {self.release} does not start.",
                "the lines below are its own; mend the cause and deploy again",
                self.journal(),
            ) from error

    def stop(self) -> None:
        """Stop both units; one does not stop the other, so that restarts keep the queue of waiting requests.

        A server that binds by itself has no socket unit, and stopping what is not there is no error.
        """
        systemctl("stop", self.service, self.socket, check=False)
        systemctl("reset-failed", self.service, check=False)

    @property
    def drain(self) -> str:
        """Name of the unit that stops the release once it has served its last visitor."""
        return f"{self.unit}-drain@{self.release}.service"

    def stop_when_idle(self, path: str, timeout: float) -> None:
        """Stop both units once nobody is connected.

        :param path: the release's socket.
        :param timeout: seconds after which those who are still connected are cut.
        """
        subprocess.run(self._drain_command(path, timeout), check=False, capture_output=True)

    def stop_later(self, path: str, timeout: float) -> None:
        """Like :meth:`stop_when_idle`, without keeping the deploy waiting."""
        argv = ["systemd-run", "--collect", "--quiet", f"--unit={self.drain}"]
        argv += [f"--description=Stop {self.service} once its last visitors have been served"]
        argv += [word.replace("$", "$$") for word in self._drain_command(path, timeout)]
        subprocess.run(argv, check=False, capture_output=True)

    def _drain_command(self, path: str, timeout: float) -> list[str]:
        return ["sh", "-c", DRAIN, "sh", path, str(int(timeout)), self.service, self.socket]

    def remove(self) -> None:
        """Forget the release: its units, and how it ran."""
        systemctl("stop", self.drain, check=False)
        # It serves nobody (any more), so nothing is waited for; a hanging worker would take its whole timeout.
        systemctl("stop", "--no-block", self.service, check=False)
        systemctl("kill", "--signal=KILL", self.service, check=False)
        self.stop()
        if self.dropin.exists():
            shutil.rmtree(self.dropin)

    def restarts(self) -> int:
        """How often systemd has started the service again because it ended by itself."""
        return int(systemctl("show", "--property=NRestarts", "--value", self.service, check=False) or 0)

    def journal(self) -> str:
        """What the service said that tells most."""
        argv = ["journalctl", "--no-pager", "--output=cat", "--lines=1000", f"--unit={self.service}"]
        return telling(subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False).stdout)


def telling(said: str, most: int = 40) -> str:
    """Of what a server said, the end of its first traceback, from which all others follow, and its last lines.

    :param most: lines.
    """
    # Python underlines what it means, which helps nobody whose screen breaks the line above.
    lines = [line for line in said.splitlines() if line.strip(" ~^")]
    last = most // 4
    first = next((at for at, line in enumerate(lines) if line.startswith("Traceback ")), len(lines))
    end = _end_of_traceback(lines, first)
    if end >= len(lines) - last:
        return "\n".join(lines[-most:])
    return "\n".join([*lines[max(first, end - most + last + 2) : end + 1], "...", *lines[-last:]])


def _end_of_traceback(lines: Sequence[str], first: int) -> int:
    """Index of the line that names the exception, the last one of a chain."""
    at = first + 1
    while at < len(lines) and lines[at].startswith(" "):
        at += 1
    follows = len(lines) > at + 2 and lines[at + 1].startswith(CHAINED) and lines[at + 2].startswith("Traceback ")
    return _end_of_traceback(lines, at + 2) if follows else at


def running(unit: str) -> list[str]:
    """Ids of the releases with a unit that is up, or is just going up or down."""
    states = "--state=active,activating,reloading,deactivating"
    found = systemctl("list-units", "--plain", "--no-legend", states, f"{unit}@*.socket", f"{unit}@*.service")
    names = [line.split()[0] for line in found.splitlines()]
    return sorted({name.partition("@")[2].rpartition(".")[0] for name in names})


def healthy(status: int, wanted: Sequence[int]) -> bool:
    """Whether an answer's status counts as healthy; with nothing wanted, everything below 400 does."""
    return status in wanted if wanted else status < 400


def ask(path: str, url: str, headers: Mapping[str, str], timeout: float = 10) -> tuple[int, str]:
    """One GET over a unix socket: status and the first part of the body."""
    connection = _SocketConnection(path, timeout)
    try:
        connection.request("GET", url, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read(2000).decode("utf-8", "replace")
    finally:
        connection.close()


def wait_until_healthy(
    question: Callable[[], tuple[int, str]],
    instance: Instance,
    health: Mapping[str, t.Any],
    timeout: float,
    why: Callable[[], str] = lambda: "",
) -> None:
    """Ask until the answer is a healthy one.

    :param timeout: seconds that the instance has.
    :param why: asks the project for the reason of an error of its own.
    :raises ReleaseError: with the last answer and the instance's own words.
    """
    last, status = "no answer", 0
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            status, body = question()
        except (OSError, http.client.HTTPException) as error:
            last, status = f"no answer ({error})", 0
            if (restarts := instance.restarts()) >= HOPELESS:
                raise ReleaseError(
                    f"The app server of the new release does not stay up: it has ended by itself {restarts} times.",
                    "the lines below are its own; mend the cause and deploy again",
                    instance.journal(),
                ) from error
        else:
            if healthy(status, health["status"]):
                return
            last = f"status {status}"
            if status == 400 and "DisallowedHost" in body:
                last += " (the host is not in ALLOWED_HOSTS)"
        time.sleep(HEALTH_INTERVAL)
    said = instance.journal() + (why() if status >= 500 else "")
    cure = "if that page is not meant to answer, name another by `health: /path` or `health: {path: /, status: [404]}`"
    if "redis.exceptions." in said:
        cure = (
            "it does not reach Redis: describe that by `redis: true`, and have the settings take its address, user and "
            "password from REDIS_URL, or from variables that `env` sets to `${redis.url}` and the like"
        )
    raise ReleaseError(
        f"The new release does not answer {health['path']} as it should within {timeout:g} s: {last}.", cure, said
    )


def switch(current: str, release: str) -> None:
    """Point ``current`` at a release, in one step that nobody can see half done; at nothing if there is none."""
    if not release:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(current)
        return
    new = f"{current}.new"
    if os.path.islink(new):
        os.unlink(new)
    os.symlink(f"releases/{release}", new)
    os.replace(new, current)


def live_release(current: str) -> str:
    """The id that ``current`` names; empty before the first release."""
    return os.path.basename(os.readlink(current)) if os.path.islink(current) else ""
