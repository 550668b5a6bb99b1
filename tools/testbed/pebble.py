"""Pebble, the ACME test server, in a container beside the test servers: real HTTP-01 validation on port 80."""

from __future__ import annotations

import json
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from testbed import engine, image, server
from testbed.engine import docker
from testbed.system import CACHE, PREFIX, TestbedError, locked, write

BOX = f"{PREFIX}-pebble"
FOLDER = CACHE / "pebble"
# As servers of the test network reach it; DIRECTORY_CA is the authority of this address, not of what Pebble issues.
DIRECTORY = "https://pebble:14000/dir"
DIRECTORY_CA = FOLDER / "directory-ca.pem"
ROOTS = FOLDER / "roots.pem"
LIFETIME = 90 * 24 * 3600


def up(lifetime: int = LIFETIME) -> Path:
    """Start Pebble, issuing certificates that live so many seconds; returns the folder with its authorities."""
    engine.ensure()
    with locked("pebble"):
        state = engine.inspect(BOX)
        if state and state["Config"]["Labels"]["groundcrew.lifetime"] != str(lifetime):
            engine.remove(BOX)
            state = None
        if state is None:
            _create(lifetime)
        docker("start", BOX)
        write(DIRECTORY_CA, docker("exec", BOX, "cat", "/etc/pebble/ca.pem"))
        # Made anew at each start, so read each time.
        write(ROOTS, _management("roots/0"))
        write(FOLDER / "intermediates.pem", _management("intermediates/0"))
    return FOLDER


def down() -> None:
    engine.remove(BOX)
    shutil.rmtree(FOLDER, ignore_errors=True)


def _create(lifetime: int) -> None:
    address = server.address_for(BOX, [14000, 15000])
    docker(
        "create",
        f"--name={BOX}",
        "--hostname=pebble",
        f"--network={engine.NETWORK}",
        "--network-alias=pebble",
        f"--label={engine.LABEL}",
        f"--label=groundcrew.address={address}",
        f"--label=groundcrew.lifetime={lifetime}",
        *server.publish(address, {14000: 14000, 15000: 15000}),
        "--env=PEBBLE_VA_NOSLEEP=1",
        # It refuses 5 % of all good nonces otherwise; certbot tries once more, and two in a row fail a test by chance.
        "--env=PEBBLE_WFE_NONCEREJECT=0",
        image.pebble(),
    )
    engine.rename(BOX, [])
    config = {
        "listenAddress": "0.0.0.0:14000",
        "managementListenAddress": "0.0.0.0:15000",
        "certificate": "/etc/pebble/cert.pem",
        "privateKey": "/etc/pebble/key.pem",
        "httpPort": 80,
        "tlsPort": 443,
        "certificateValidityPeriod": lifetime,
    }
    with tempfile.NamedTemporaryFile("w", dir=CACHE) as file:
        json.dump({"pebble": config}, file)
        file.flush()
        docker("cp", file.name, f"{BOX}:/etc/pebble/config.json")


def _management(path: str) -> str:
    context = ssl.create_default_context(cafile=str(DIRECTORY_CA))
    context.check_hostname = False  # reached by its address, issued to its name; the authority is the proof
    address, port = server.published(BOX)[15000]
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(f"https://{address}:{port}/{path}", context=context, timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError) as error:
            if time.monotonic() > deadline:
                raise TestbedError(f"Pebble does not answer: {error}\n{docker('logs', BOX)}") from error
            time.sleep(0.2)
