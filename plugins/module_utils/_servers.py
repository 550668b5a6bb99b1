# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The app servers: how each is started, told its socket, and stopped. Pure. PRIVATE to the collection.

systemd hands its listening socket over as descriptor 3 to all that can take one. The others bind a socket of their own.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
from collections.abc import Mapping

Tuning = Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Start:
    """What a server's arguments are made of.

    :param tuning: workers, threads, timeout (s) and, for gunicorn, access_log and control_socket.
    :param interface: ``wsgi`` or ``asgi``.
    :param socket: path of the release's socket, for a server that binds it itself.
    """

    tuning: Tuning
    interface: str
    socket: str


@dataclasses.dataclass(frozen=True)
class Server:
    """One kind of app server.

    :param interfaces: what it serves: ``wsgi``, ``asgi``.
    :param arguments: what it is started with, before the entry.
    :param distribution: the Python package that it comes in.
    :param versions: of that package, which is added to a project that does not bring it.
    :param program: a script of the environment; otherwise the server is run as ``python -m kind``.
    :param notifies: tells systemd by itself when it is ready (``Type=notify``).
    :param binds: makes the socket by itself, because it cannot take over systemd's.
    :param alone: is one process and no more.
    """

    interfaces: tuple[str, ...]
    arguments: t.Callable[[Start], list[str]]
    distribution: str
    versions: str
    program: str = ""
    notifies: bool = False
    binds: bool = False
    alone: bool = False

    @property
    def requirement(self) -> str:
        """What is installed when the project does not bring the server."""
        return f"{self.distribution}{self.versions}"


def _gunicorn(start: Start) -> list[str]:
    tuning = start.tuning
    arguments = [
        f"--workers={tuning['workers']}",
        f"--threads={tuning['threads']}",
        f"--timeout={tuning['timeout']}",
        f"--graceful-timeout={tuning['timeout']}",
        # The heartbeat file of a worker must not wait for a disk.
        "--worker-tmp-dir=/dev/shm",
        "--access-logfile=-" if tuning.get("access_log") else "--log-level=info",
    ]
    if tuning.get("control_socket"):
        # Its control socket (gunicorn 24 and later) would need a writable home that the sandbox does not give.
        arguments.append("--no-control-socket")
    return arguments


def _uwsgi(start: Start) -> list[str]:
    tuning = start.tuning
    arguments = [
        "--strict",
        # It takes systemd's socket by itself, and would speak a protocol of its own on it.
        "--protocol=http",
        "--master",
        f"--processes={tuning['workers']}",
        f"--threads={tuning['threads']}",
        "--enable-threads",
        "--single-interpreter",
        # As other servers do it: connections and threads that the project opens at import belong to one process.
        "--lazy-apps",
        "--need-app",
        # SIGTERM would cut its visitors off.
        "--hook-master-start=unix_signal:15 gracefully_kill_them_all",
        f"--worker-reload-mercy={tuning['timeout']}",
        # nginx hands on up to 32 kB of headers; the rest of a request that no view reads must not end in a reset.
        "--buffer-size=40960",
        "--post-buffering=65536",
        "--disable-logging",
        # A visitor who goes away is no error.
        "--ignore-sigpipe",
        "--ignore-write-errors",
        "--disable-write-exception",
    ]
    if tuning["threads"] == 1:
        # It ends the whole worker, which with several threads would take the requests of the others along.
        arguments.append(f"--harakiri={tuning['timeout']}")
    return [*arguments, "--module"]


def _granian(start: Start) -> list[str]:
    tuning = start.tuning
    arguments = [
        f"--interface={start.interface}",
        f"--uds={start.socket}",
        "--uds-permissions=660",
        f"--workers={tuning['workers']}",
        # Half an hour is the most that it takes.
        f"--workers-kill-timeout={min(tuning['timeout'], 1800)}",
        # Otherwise one worker that ends takes all others along.
        "--respawn-failed-workers",
        "--backlog=2048",
    ]
    if start.interface == "wsgi":
        # A worker takes no more requests than it works on: the others wait for whichever worker is free first.
        arguments += [f"--blocking-threads={tuning['threads']}", f"--backpressure={tuning['threads']}"]
    return arguments


def _uvicorn(start: Start) -> list[str]:
    return [
        "--fd=3",
        f"--workers={start.tuning['workers']}",
        f"--timeout-graceful-shutdown={start.tuning['timeout']}",
        # Our entry point sets the visitor's address; two layers would undo each other.
        "--no-proxy-headers",
        "--no-server-header",
        "--no-access-log",
    ]


def _hypercorn(start: Start) -> list[str]:
    return [
        "--bind=fd://3",
        f"--workers={start.tuning['workers']}",
        f"--graceful-timeout={start.tuning['timeout']}",
        # It would shorten the queue of systemd's socket to 100.
        "--backlog=2048",
    ]


def _daphne(start: Start) -> list[str]:
    return [
        # It adopts a descriptor only to change the mode of its path, which is root's. By default its queue holds
        # 50, which is too short, and a lock file outlives a crash.
        f"--endpoint=unix:{start.socket}:mode=660:backlog=2048:lockfile=0",
        # No access log; nginx has one.
        "--verbosity=0",
    ]


SERVERS: dict[str, Server] = {
    "gunicorn": Server(("wsgi",), _gunicorn, "gunicorn", ">=23,<28", notifies=True),
    "uwsgi": Server(("wsgi",), _uwsgi, "pyuwsgi", ">=2.0.28,<2.1", program="pyuwsgi", notifies=True),
    "granian": Server(("wsgi", "asgi"), _granian, "granian", ">=2.6,<3", binds=True),
    "uvicorn": Server(("asgi",), _uvicorn, "uvicorn", ">=0.34,<1"),
    "hypercorn": Server(("asgi",), _hypercorn, "hypercorn", ">=0.17,<1"),
    "daphne": Server(("asgi",), _daphne, "daphne", ">=4.1,<5", binds=True, alone=True),
}


def serving(interface: str) -> list[str]:
    """The kinds that serve an interface."""
    return [kind for kind, server in SERVERS.items() if interface in server.interfaces]


def named_interface(entry: str) -> str:
    """The interface that the name of an entry tells; empty when it tells none."""
    told = [interface for interface in ("wsgi", "asgi") if interface in entry.lower()]
    return told[0] if len(told) == 1 else ""


def workers(tuning: Tuning, cpus: int, memory: float) -> dict[str, int]:
    """Worker processes by interface: as many as the app's description says, or the server has room for.

    gunicorn's own advice is two per core and one more; an ASGI worker keeps one core busy by itself.

    :param tuning: ``workers``, ``memory_share`` (of the server's memory that this app's workers may count on) and
        ``worker_memory`` (MB that one takes).
    :param memory: of the server, in MB.
    """
    affordable = max(1, int(memory * tuning["memory_share"] / tuning["worker_memory"]))
    by_cores = {"wsgi": 2 * cpus + 1, "asgi": cpus}
    return {interface: tuning["workers"] or min(number, affordable) for interface, number in by_cores.items()}


def start_command(kind: str, python: str, entry: str, start: Start) -> list[str]:
    """The argv that starts the app server ``kind`` with ``entry`` ("module:callable")."""
    server = SERVERS[kind]
    # Run by the interpreter, so that no script's first line has to hold a path.
    program = [os.path.join(os.path.dirname(python), server.program)] if server.program else ["-m", kind]
    return [python, *program, *server.arguments(start), entry]
