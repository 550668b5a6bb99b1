"""A steady stream of visitors from outside the server, every one of them counted.

By hand: python3 molecule/shared/load.py https://shop.example.com/ --address 127.0.0.1:443 --roots roots.pem --seconds 10

Debian's hey and wrk wait for an answer before they ask again, so a slow server gets fewer requests just when it matters;
HTTP libraries quietly ask again when a kept connection breaks. Here every request goes out when it is due, once, and its
time counts from when it was due.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import re
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

RATE = 200
# Seconds after which a visitor goes away; longer than what nginx waits for the app.
PATIENCE = 70
# Seconds that an idle connection is kept: shorter than nginx does, so that neither hangs up on the other's question.
KEPT = 20
# Connections at a time: ten seconds' worth of visitors, because a machine that runs many tests at once stalls for some. Who
# comes while so many are waiting counts as let down, so that a server that hangs does not take the machine with it.
MOST = 10 * RATE
CROWD = f"{MOST} visitors are waiting already"
# Each so many-th request is for a stylesheet that an earlier page named, and each so many-th comes on a new connection.
STYLESHEET = 10
NEWCOMER = 7
STYLESHEETS = re.compile(rb'href="(/[^"]+\.css)"')
# The page says by this header which version of the project wrote it.
VERSION = "x-version"


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what became of it.

    :param number: counts from 0; the request was due ``number / rate`` seconds after the first.
    :param due: time of the day, in seconds since 1970.
    :param seconds: from when it was due to the last byte of the answer, or to the error.
    :param status: 0 without an answer.
    :param version: of the project that wrote the page; empty for what nginx answers itself.
    """

    number: int
    due: float
    seconds: float
    status: int
    path: str
    version: str = ""
    error: str = ""

    @property
    def done(self) -> float:
        return self.due + self.seconds

    @property
    def failed(self) -> bool:
        return bool(self.error) or self.status != 200

    def __str__(self) -> str:
        moment = time.strftime("%H:%M:%S", time.gmtime(self.due)) + f"{self.due % 1:.3f}"[1:]
        return f"{moment} {self.path} -> {self.error or self.status} after {self.seconds * 1000:.0f} ms {self.version}"


@dataclass(frozen=True)
class Window:
    """All requests that were due between two moments."""

    requests: Sequence[Request]

    @property
    def failures(self) -> list[Request]:
        return [request for request in self.requests if request.failed]

    @property
    def versions(self) -> list[str]:
        """Who answered, in the order of their first answers."""
        return [
            *dict.fromkeys(each.version for each in sorted(self.requests, key=lambda each: each.done) if each.version)
        ]

    def first(self, version: str) -> float:
        """When a version's first answer came, in seconds since 1970; infinity if none did."""
        return min((each.done for each in self.requests if each.version == version), default=math.inf)

    def turned_back(self, version: str) -> list[Request]:
        """Requests that another version answered though they began when this one had answered already.

        Those that were under way at the switch may end in any order.
        """
        switched = self.first(version)
        return [each for each in self.requests if each.version not in ("", version) and each.due > switched]

    def percentile(self, share: float) -> float:
        """Seconds within which that share of the requests was answered."""
        return sorted(request.seconds for request in self.requests)[math.ceil(share * len(self.requests)) - 1]

    @property
    def figures(self) -> str:
        if not self.requests:
            return "n=0"
        p50, p99, longest = (self.percentile(share) * 1000 for share in (0.5, 0.99, 1))
        return (
            f"n={len(self.requests)} failed={len(self.failures)} p50={p50:.1f} ms p99={p99:.1f} ms max={longest:.1f} ms"
        )

    def __str__(self) -> str:
        kinds = Counter(request.error or str(request.status) for request in self.failures)
        summary = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common())
        return "\n".join([f"{self.figures} {summary}", *map(str, self.failures[:20])])


class Visitors:
    """Asks, in a process of its own; see :class:`Load`."""

    def __init__(self, url: str, address: str, roots: str, rate: float) -> None:
        parts = urlsplit(url)
        self.domain, self.path, self.rate = parts.hostname or "", parts.path or "/", rate
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)
        self.context = ssl.create_default_context(cafile=roots) if parts.scheme == "https" else None
        self.idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.stylesheet = ""
        self.asking = 0

    async def ask_forever(self) -> None:
        waiting = set()
        start, began = time.monotonic(), time.time()
        for number in itertools.count():
            due = start + number / self.rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(self.count(number, began + number / self.rate, due))
            waiting.add(task)
            task.add_done_callback(waiting.discard)

    async def count(self, number: int, moment: float, due: float) -> None:
        path = self.stylesheet if number % STYLESHEET == 0 and self.stylesheet else self.path
        status, version, error = 0, "", ""
        try:
            async with asyncio.timeout(PATIENCE):
                status, version = await self.ask(path, newcomer=number % NEWCOMER == 0)
        except (OSError, EOFError, TimeoutError, ValueError) as problem:
            error = f"{type(problem).__name__}: {problem}"
        record = Request(number, moment, round(time.monotonic() - due, 6), status, path, version, error)
        # In one piece and at once, so that who reads along never waits for a buffer to fill.
        sys.stdout.write(json.dumps(asdict(record)) + "\n")
        sys.stdout.flush()

    async def ask(self, path: str, newcomer: bool) -> tuple[int, str]:
        if self.asking >= MOST:
            raise OSError(CROWD)
        self.asking += 1
        try:
            return await self.ask_on(*await self.connect(newcomer), path, newcomer)
        finally:
            self.asking -= 1

    async def ask_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, newcomer: bool
    ) -> tuple[int, str]:
        kept = False
        try:
            manner = "close" if newcomer else "keep-alive"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {self.domain}\r\nConnection: {manner}\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split()[1])
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body, ended = await self.body(reader, headers)
            kept = ended and not newcomer and headers.get("connection", "").lower() != "close"
        finally:
            if kept:
                self.idle.append((time.monotonic(), reader, writer))
            else:
                writer.close()
        if path == self.path and (found := STYLESHEETS.search(body)):
            self.stylesheet = found[1].decode()
        return status, headers.get(VERSION, "")

    @staticmethod
    async def body(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[bytes, bool]:
        """The body, and whether the connection can be asked again. A body that is cut short is an error."""
        if "content-length" in headers:
            return await reader.readexactly(int(headers["content-length"])), True
        if headers.get("transfer-encoding") != "chunked":
            return await reader.read(), False
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
        return body, True

    async def connect(self, newcomer: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.idle and self.idle[0][0] < time.monotonic() - KEPT:
            self.idle.pop(0)[2].close()
        while self.idle and not newcomer:
            _, reader, writer = self.idle.pop()
            # One that the server has closed meanwhile is none any more: nothing was asked on it.
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(
            self.host, self.port, ssl=self.context, server_hostname=self.domain if self.context else None
        )


@dataclass
class Load:
    """Visitors in a process of their own, from the beginning of the ``with`` block to its end.

    :param address: where the server is reached, HOST:PORT; the name in ``url`` is not looked up.
    :param roots: file with the certificates of the authority that has to vouch for the server.
    :param log: file that gets a line of JSON per request.
    """

    url: str
    address: str
    roots: Path
    log: Path
    rate: float = RATE
    _requests: dict[int, Request] = field(default_factory=dict)
    _read: int = 0

    def __enter__(self) -> Load:
        argv = [sys.executable, __file__, self.url, f"--address={self.address}", f"--roots={self.roots}"]
        with self.log.open("w") as output:
            self._process = subprocess.Popen([*argv, f"--rate={self.rate}"], stdout=output)
        self._first = self._wait_for(0, 30).due
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    def window(self, since: float, until: float) -> Window:
        """What became of every request that was due then; waits for the last answer.

        :param since: seconds since 1970, as all times here.
        """
        numbers = range(max(0, self._number(since)), self._number(until))
        return Window([self._wait_for(number, PATIENCE + 10) for number in numbers])

    @contextmanager
    def watched(self) -> Iterator[list[Window]]:
        """Yields a list that holds the window of the block once that has ended."""
        windows: list[Window] = []
        since = time.time()
        yield windows
        windows.append(self.window(since, time.time()))

    def _number(self, moment: float) -> int:
        """Of the first request that was due at that moment or after it."""
        return math.ceil((moment - self._first) * self.rate)

    def _wait_for(self, number: int, patience: float) -> Request:
        end = time.monotonic() + patience
        while number not in self._requests:
            assert self._process.poll() is None, "the visitors have gone"
            assert time.monotonic() < end, f"request {number} has been forgotten"
            self._read_on()
            if number not in self._requests:
                time.sleep(0.02)
        return self._requests[number]

    def _read_on(self) -> None:
        with self.log.open() as file:
            file.seek(self._read)
            while (line := file.readline()).endswith("\n"):
                self._read = file.tell()
                request = Request(**json.loads(line))
                self._requests[request.number] = request


def main() -> None:
    parser = argparse.ArgumentParser(description="Send a steady stream of requests; print a line of JSON for each.")
    parser.add_argument("url")
    parser.add_argument("--address", required=True, metavar="HOST:PORT", help="where the server is reached")
    parser.add_argument("--roots", required=True, help="certificates of the authority that has to vouch for it")
    parser.add_argument("--rate", type=float, default=RATE, help="requests a second (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="stop then, and print figures per second instead")
    arguments = parser.parse_args()
    if arguments.seconds:
        show(arguments)
        return
    visitors = Visitors(arguments.url, arguments.address, arguments.roots, arguments.rate)
    with suppress(KeyboardInterrupt):
        asyncio.run(visitors.ask_forever())


def show(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "requests")
        with Load(arguments.url, arguments.address, arguments.roots, log, arguments.rate) as load:
            since = time.time()
            for second in range(math.ceil(arguments.seconds)):
                time.sleep(max(0, since + second + 1 - time.time()))
                sys.stdout.write(f"{load.window(since + second, since + second + 1)}\n")


if __name__ == "__main__":
    main()
