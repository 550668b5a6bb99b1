# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the app servers are started."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._servers import (
    SERVERS,
    Start,
    named_interface,
    serving,
    start_command,
    workers,
)

SOCKET = "/srv/shop/releases/r1/run/web.sock"
TUNING = {"workers": 3, "threads": 2, "timeout": 60}


@pytest.mark.parametrize(
    ("kind", "interface", "changes", "there"),
    [
        ("gunicorn", "wsgi", {}, "--workers=3 --threads=2 --timeout=60 --graceful-timeout=60"),
        ("gunicorn", "wsgi", {"control_socket": True}, "--no-control-socket"),
        ("uwsgi", "wsgi", {}, "--processes=3 --threads=2"),
        ("uwsgi", "wsgi", {}, "--worker-reload-mercy=60"),
        ("uwsgi", "wsgi", {}, "--module entry:application"),
        ("uwsgi", "wsgi", {"threads": 1}, "--harakiri=60"),
        ("granian", "wsgi", {}, f"--interface=wsgi --uds={SOCKET}"),
        ("granian", "wsgi", {}, "--workers=3 --workers-kill-timeout=60"),
        ("granian", "wsgi", {}, "--blocking-threads=2 --backpressure=2"),
        ("granian", "wsgi", {"timeout": 7200}, "--workers-kill-timeout=1800"),
        ("granian", "asgi", {}, "--interface=asgi"),
        ("uvicorn", "asgi", {}, "--fd=3 --workers=3 --timeout-graceful-shutdown=60"),
        ("hypercorn", "asgi", {}, "--bind=fd://3 --workers=3 --graceful-timeout=60"),
        ("daphne", "asgi", {}, f"--endpoint=unix:{SOCKET}:mode=660:backlog=2048:lockfile=0"),
    ],
)
def test_start_command(kind: str, interface: str, changes: dict[str, t.Any], there: str) -> None:
    start = Start({**TUNING, **changes}, interface, SOCKET)
    command = start_command(kind, "/venv/bin/python", "entry:application", start)
    program = ["/venv/bin/pyuwsgi"] if kind == "uwsgi" else ["-m", kind]
    assert command[: 1 + len(program)] == ["/venv/bin/python", *program]
    assert there in " ".join(command)
    assert command[-1] == "entry:application"


@pytest.mark.parametrize(
    ("kind", "interface", "absent"),
    [("uwsgi", "wsgi", "harakiri"), ("granian", "asgi", "threads"), ("daphne", "asgi", "workers")],
)
def test_what_would_do_harm_is_left_out(kind: str, interface: str, absent: str) -> None:
    command = start_command(kind, "/venv/bin/python", "entry:application", Start(TUNING, interface, SOCKET))
    assert absent not in " ".join(command)


@pytest.mark.parametrize("kind", SERVERS)
def test_each_server_binds_its_socket_or_takes_over_systemds(kind: str) -> None:
    server = SERVERS[kind]
    command = " ".join(server.arguments(Start(TUNING, server.interfaces[0], SOCKET)))
    assert server.binds is (SOCKET in command)


@pytest.mark.parametrize(
    ("entry", "interface"),
    [
        ("config.asgi:application", "asgi"),
        ("config.WSGI:application", "wsgi"),
        ("config.web:application", ""),
        ("config.asgi:wsgi", ""),
        ("", ""),
    ],
)
def test_named_interface(entry: str, interface: str) -> None:
    assert named_interface(entry) == interface


def test_serving() -> None:
    assert serving("wsgi") == ["gunicorn", "uwsgi", "granian"]
    assert serving("asgi") == ["granian", "uvicorn", "hypercorn", "daphne"]


@pytest.mark.parametrize(
    ("wanted", "cpus", "memory", "wsgi", "asgi"),
    [
        (None, 2, 8192, 5, 2),
        (None, 1, 1024, 3, 1),
        (None, 8, 1024, 3, 3),  # no more than there is memory for
        (None, 1, 200, 1, 1),
        (7, 1, 200, 7, 7),  # who says a number is believed
    ],
)
def test_workers(wanted: int | None, cpus: int, memory: float, wsgi: int, asgi: int) -> None:
    tuning = {"workers": wanted, "memory_share": 0.5, "worker_memory": 150}
    assert workers(tuning, cpus, memory) == {"wsgi": wsgi, "asgi": asgi}
