"""The shop of the tests: what its operator types, what its visitors get, and what root sees on its server."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import Load, Window
from testbed import pebble, server
from visitor import Visitor

HERE = Path(__file__).resolve().parent
# Versions that tests go on to when something has to work again; see tests/projects/versions.py.
GOOD = [f"good-{number}" for number in range(1, 13)]
# Seconds that anything on the server may take.
PATIENCE = 90
# By step of a deploy: a change that lets it take its time, and what shows on the server that it has begun.
STEPS: dict[str, tuple[dict[str, Any], str]] = {
    "fetched": ({}, "pgrep -u shop -x git"),
    "built": ({"commands": {"build": ["sleep 2.1"]}}, "pgrep -u shop -f ^sleep.2.1"),
    "checked": ({"commands": {"static": ["sleep 2.2"]}}, "pgrep -u shop -f ^sleep.2.2"),
    "migrated": ({"commands": {"migrated": ["sleep 2.3"]}}, "pgrep -u shop -f ^sleep.2.3"),
    "started": (
        {"env": {"START_DELAY": "3"}},
        "test $(systemctl list-units --plain --no-legend shop-web@*.service | wc -l) -gt 1",
    ),
    "switched": ({}, "test $(readlink /srv/shop/current) != releases/{live}"),
}


@dataclass(frozen=True)
class Seen:
    """What root sees of the shop; see observe.py."""

    current: str
    releases: list[str]
    environments: list[str]
    dropins: list[str]
    units: list[str]
    sockets: list[str]
    homes: list[str]
    remains: list[str]
    ledger: list[dict[str, Any]]

    @property
    def tidy(self) -> bool:
        """Whether the live release is all that runs, and nothing of a step is left."""
        unit = f"shop-web@{self.current}"
        return (
            # Some app servers make their socket by themselves.
            self.units in ([f"{unit}.service", f"{unit}.socket"], [f"{unit}.service"])
            and self.homes == [f"{unit}.service"]
            and self.sockets == [f"/srv/shop/releases/{self.current}/run/web.sock"]
            and not self.remains
        )

    def entry(self, release: str = "") -> dict[str, Any]:
        """What the ledger says of a release, by default the live one."""
        return next(entry for entry in reversed(self.ledger) if entry["id"] == (release or self.current))

    @property
    def version(self) -> str:
        """Of the project, which the ledger knows as a branch."""
        return str(self.entry()["described"]).split()[0]


class Deploy:
    """A playbook that the operator has started."""

    def __init__(self, version: str, argv: list[str]) -> None:
        self.version = version
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self, *, fails: bool | None = False) -> str:
        """Wait for it, and return all that the operator saw.

        :param fails: whether it has to fail; None where it may or may not.
        """
        said, _ = self.process.communicate()
        assert fails is None or bool(self.process.returncode) == fails, said
        return said

    def kill(self) -> None:
        """Kill it with all its children, if it has not ended; Ansible gives some of them sessions of their own."""
        if self.process.poll() is not None:
            return
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], stdout=subprocess.PIPE, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
        killed = {self.process.pid}
        while children := {pid for pid, parent in parents.items() if parent in killed} - killed:
            killed |= children
        for pid in sorted(killed):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()


class Shop:
    """The shop on one server, with visitors who keep coming."""

    def __init__(self, name: str, load: Load) -> None:
        self.name = name
        self.load = load
        self.visitor = Visitor(name)
        self.domain = domain(name)
        self.url = f"https://{self.domain}/"
        self.change: dict[str, Any] = {}
        self._good = itertools.cycle(GOOD)

    # --- the operator

    def start(
        self, version: str, change: dict[str, Any] | None = None, *options: str, playbook: str = "deploy", **more: Any
    ) -> Deploy:
        """Begin to deploy a version.

        :param change: of the app's description, for this deploy; ``self.change`` is for those to come as well.
        :param more: further variables.
        """
        variables = {"version": version, "change": {**self.change, **(change or {})}, **more}
        argv = ["ansible-playbook", f"groundcrew.django.{playbook}", f"--limit={self.name}"]
        inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")
        return Deploy(version, [*argv, f"--inventory={inventory}", f"--extra-vars={json.dumps(variables)}", *options])

    def deploy(self, version: str = "", change: dict[str, Any] | None = None, *options: str, **more: Any) -> str:
        """Deploy a version, by default the next good one."""
        return self.start(version or self.another(), change, *options, **more).end()

    def refused(self, version: str = "", change: dict[str, Any] | None = None, *options: str, **more: Any) -> str:
        """Deploy a version, which is to fail."""
        return self.start(version or self.another(), change, *options, **more).end(fails=True)

    def roll_back(self, *options: str, **more: Any) -> str:
        """Go back to the release before the live one."""
        return self.start("main", None, *options, playbook="rollback", app="shop", **more).end()

    def another(self) -> str:
        """A good version that is not live."""
        live = self.version
        return next(version for version in self._good if version != live)

    @contextmanager
    def begun(self, step: str, change: dict[str, Any] | None = None, **more: Any) -> Iterator[Deploy]:
        """A deploy that has reached a step, in which it stays for a while."""
        slow, reached = STEPS[step]
        live = self.look().current
        if step == "fetched":
            self.root("systemctl kill --signal=STOP repositories")
        try:
            deploy = self.start(self.another(), {**slow, **(change or {})}, **more)
            try:
                self.wait_until(reached.format(live=live))
                yield deploy
            except BaseException:
                deploy.kill()
                raise
        finally:
            if step == "fetched":
                self.root("systemctl kill --signal=CONT repositories")

    # --- the visitors

    @property
    def version(self) -> str:
        """What a visitor gets now."""
        return str(self.visitor.get(self.url).headers["X-Version"])

    def facts(self) -> dict[str, str]:
        """What the live release says of itself."""
        facts: dict[str, str] = json.loads(self.visitor.get(f"{self.url}facts/").text)
        return facts

    def echo(self, word: bytes) -> bytes:
        """What comes back when a visitor says a word over a WebSocket."""
        with self.visitor.connect(self.domain, tls=True) as connection:
            connection.sendall(
                f"GET /echo/ HTTP/1.1\r\nHost: {self.domain}\r\nOrigin: https://{self.domain}\r\n"
                "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            stream = connection.makefile("rb")
            assert stream.readline().split()[1] == b"101"
            while stream.readline() != b"\r\n":
                pass
            mask = b"\x01\x02\x03\x04"
            masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(word))
            connection.sendall(bytes([0x81, 0x80 | len(word)]) + mask + masked)
            _, length = stream.read(2)
            return stream.read(length)

    @contextmanager
    def nobody_notices(self) -> Iterator[list[Window]]:
        """No visitor is let down by what happens inside."""
        with self.load.watched() as windows:
            yield windows
        assert not windows[0].failures, windows[0]

    # --- root

    def root(self, script: str, stdin: str = "", *, check: bool = True) -> str:
        """Run a shell script on the server; not by SSH, which a restart of the server would cut."""
        return server.root(self.name, script, stdin, check=check)

    def psql(self, query: str) -> str:
        """Ask the shop's database as its superuser."""
        return self.root("cd / && runuser -u postgres -- psql -d shop -At", query)

    def look(self) -> Seen:
        return Seen(**json.loads(self.root("python3 - shop", (HERE / "observe.py").read_text())))

    def answers(self) -> bool:
        """Whether a visitor gets the page."""
        try:
            return self.visitor.get(self.url, timeout=5).status == 200
        except OSError:
            return False

    def settled(self) -> Seen:
        """What is there once the releases before the live one have been stopped."""
        return self.wait_for(self.look, lambda seen: seen.tidy)

    def wait_until(self, condition: str) -> None:
        """Wait on the server, so that little time is lost, for a shell command to succeed."""
        self.root(f"timeout {PATIENCE} sh -c 'until {condition}; do sleep 0.02; done'")

    @staticmethod
    def wait_for(look: Callable[[], Any], right: Callable[[Any], bool] = bool) -> Any:
        """Look again and again until it is right; returns what was seen then."""
        end = time.monotonic() + PATIENCE
        while not right(seen := look()):
            assert time.monotonic() < end, seen
            time.sleep(0.3)
        return seen


def domain(name: str) -> str:
    return f"shop.{name}.test"


@contextmanager
def visited(name: str, log: Path, rate: float) -> Iterator[Shop]:
    """The shop of a server, with so many visitors per second."""
    host, port = server.endpoint(name, 443)
    with Load(f"https://{domain(name)}/", f"{host}:{port}", pebble.ROOTS, log, rate) as load:
        yield Shop(name, load)


def went_live(shop: Shop, version: str, before: Seen, window: Window) -> Seen:
    """A deploy has succeeded: visitors got the old version, then the new one, and never the old one again."""
    after = shop.settled()
    assert window.versions == [before.version, version], window.versions
    assert not window.turned_back(version)
    assert after.current not in ("", before.current)
    assert set(after.releases) - set(before.releases) == {after.current}
    assert_right(shop, version, after)
    return after


def assert_right(shop: Shop, version: str, seen: Seen) -> None:
    """A version is live, and nothing is unfinished."""
    assert shop.version == seen.version == version
    assert seen.entry()["state"] == "good"
    assert not [entry for entry in seen.ledger if entry["state"] == "building"]
    assert seen.environments == [f"{release}.env" for release in seen.releases]
    assert seen.dropins == [f"shop-web@{release}.service.d" for release in seen.releases]


def unharmed(before: Seen, after: Seen, *, noted: bool) -> None:
    """A deploy has failed, and left nothing but its line in the ledger."""
    *older, last = [*after.ledger] if noted else [*after.ledger, None]
    assert older == before.ledger
    assert not noted or (last and last["state"] == "failed" and "failed" in last["times"])
    assert {**vars(after), "ledger": []} == {**vars(before), "ledger": []}


def says(pattern: str, said: str) -> bool:
    """Whether the operator reads it, however the screen broke the lines."""
    return bool(re.search(pattern, " ".join(said.split())))
