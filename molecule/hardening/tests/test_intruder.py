"""Somebody has the app run code of his: as the app's user, in the sandbox of its web server. What he gets at, and what not."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from testbed import server

PORT = 8099
# How he is kept from things that are there; of what he does not find, TRIED says where root finds it.
REFUSALS = {"PermissionError", "OSError", "FileNotFoundError", "OperationalError", "CalledProcessError"}
TRIED = """
/srv/guestbook/current/code/manage.py /srv/guestbook/current/venv/lib/python*/site-packages/django/__init__.py
/etc/groundcrew/guestbook/*.env /etc/groundcrew/guestbook/secrets /srv/neighbour/current/code
/srv/neighbour/shared/media /etc/groundcrew/neighbour /srv/neighbour/current/run/web.sock
/etc/groundcrew/tls/guestbook/privkey.pem /home/admin /usr/bin/sudo /usr/bin/unshare /usr/bin/systemctl
"""
# Each answers with what went wrong, or with nothing where nothing did.
CODE = """
import glob, json, os, socket, subprocess, sys, time
import psycopg

live = os.path.realpath("/srv/guestbook/current")


def attempt(action):
    try:
        return "done: " + str(action())[:200]
    except BaseException as error:
        return type(error).__name__


def connect(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def query(user, database):
    with psycopg.connect(user=user, dbname=database, host="/var/run/postgresql") as connection:
        return connection.execute("select current_user").fetchone()


found = {
    "own role": attempt(lambda: query("guestbook", "guestbook")),
    "write code": attempt(lambda: open(live + "/code/manage.py", "a")),
    "write dependencies": attempt(lambda: open(glob.glob(live + "/venv/lib/python*/site-packages/django/__init__.py")[0], "a")),
    "make a file beside the code": attempt(lambda: open(live + "/code/new.py", "w")),
    "own environment file": attempt(lambda: open("/etc/groundcrew/guestbook/" + os.path.basename(live) + ".env").read()),
    "own secrets": attempt(lambda: os.listdir("/etc/groundcrew/guestbook/secrets")),
    "neighbour's code": attempt(lambda: os.listdir("/srv/neighbour/current/code")),
    "neighbour's uploads": attempt(lambda: os.listdir("/srv/neighbour/shared/media")),
    "neighbour's environment": attempt(lambda: os.listdir("/etc/groundcrew/neighbour")),
    "neighbour's socket": attempt(lambda: connect("/srv/neighbour/current/run/web.sock")),
    "neighbour's role": attempt(lambda: query("neighbour", "neighbour")),
    "neighbour's database": attempt(lambda: query("guestbook", "neighbour")),
    "superuser": attempt(lambda: query("postgres", "postgres")),
    "become root": attempt(lambda: os.setuid(0)),
    "sudo": attempt(lambda: subprocess.run(["sudo", "-n", "id"], check=True, capture_output=True)),
    "namespaces": attempt(lambda: subprocess.run(["unshare", "--user", "true"], check=True, capture_output=True)),
    "tell systemd": attempt(lambda: subprocess.run(["systemctl", "stop", "nginx"], check=True, capture_output=True)),
    "the key of the site": attempt(lambda: open("/etc/groundcrew/tls/guestbook/privkey.pem").read()),
    "homes": attempt(lambda: os.listdir("/home/admin")),
}
others = []
for status in glob.glob("/proc/[0-9]*/status"):
    with open(status) as file:
        uid = [line.split()[1] for line in file if line.startswith("Uid:")][0]
    if uid != str(os.getuid()):
        others.append(status)
found["others' processes"] = others
with open("/proc/self/status") as file:
    found["privileges"] = [line.split()[1] for line in file if line.startswith(("CapEff", "CapBnd", "NoNewPrivs"))]
listener = socket.create_server(("0.0.0.0", PORT))
print(json.dumps(found), flush=True)
time.sleep(60)
""".replace("PORT", str(PORT))


@pytest.fixture(scope="module")
def intruder(host: Any) -> Iterator[dict[str, Any]]:
    """What he finds; his code goes on listening."""
    unit = host.check_output(
        "systemctl list-units --plain --no-legend --state=running 'guestbook-web@*.service' | cut -d' ' -f1"
    )
    name = host.backend.get_hostname()
    release = unit.removeprefix("guestbook-web@").removesuffix(".service")
    described = host.file(f"/etc/systemd/system/{unit}.d/release.conf").content_string
    # The unit as it is, but for what it starts.
    section = described[described.index("[Service]") :]
    section = re.sub(
        r"^(Type|ExecStart|ExecStartPre|Restart|RestartSec|SyslogIdentifier)=.*\n", "", section, flags=re.M
    )
    start = f"Type=exec\nExecStart=/srv/guestbook/releases/{release}/venv/bin/python /usr/local/share/intruder.py\n"
    write = "umask 022; cat >"
    server.root(name, f"{write} /usr/local/share/intruder.py", stdin=CODE)
    server.root(name, f"{write} /run/systemd/system/intruder.service", stdin=f"{section}{start}")
    server.root(name, "systemctl daemon-reload; systemctl start intruder")
    try:
        end = time.monotonic() + 60
        while not (said := host.run("journalctl --unit=intruder --output=cat --quiet | grep own.role").stdout):
            assert time.monotonic() < end, host.check_output("journalctl --unit=intruder")
            time.sleep(1)
        yield json.loads(said)
    finally:
        server.root(
            name, "systemctl stop intruder; rm /run/systemd/system/intruder.service /usr/local/share/intruder.py"
        )


def test_the_code_works_where_it_is_meant_to(intruder: dict[str, Any]) -> None:
    assert intruder["own role"] == "done: ('guestbook',)"


def test_he_gets_at_nothing_else(host: Any, intruder: dict[str, Any]) -> None:
    host.check_output(f"ls -d {' '.join(TRIED.split())}")
    tried = {what: said for what, said in intruder.items() if isinstance(said, str) and what != "own role"}
    assert len(tried) > 15
    assert {what: said for what, said in tried.items() if said not in REFUSALS} == {}


def test_he_sees_and_becomes_nobody_else(intruder: dict[str, Any]) -> None:
    assert intruder["others' processes"] == []
    assert intruder["privileges"] == ["0000000000000000", "0000000000000000", "1"]


def test_he_is_not_reached(host: Any, intruder: dict[str, Any]) -> None:
    assert intruder
    name = host.backend.get_hostname()
    assert server.root(name, f"ss -Hltn sport = :{PORT}")
    with pytest.raises(TimeoutError), socket.create_connection((server.address(name), PORT), timeout=3):
        pass
