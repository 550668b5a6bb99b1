# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking and switching."""

from __future__ import annotations

import os
import pathlib
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _live
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError


@pytest.mark.parametrize(
    ("status", "wanted", "result"),
    [
        (200, [], True),
        (302, [], True),
        (399, [], True),
        (400, [], False),
        (500, [], False),
        (404, [404], True),
        (200, [404], False),
    ],
)
def test_healthy(status: int, wanted: list[int], result: bool) -> None:
    assert _live.healthy(status, wanted) is result


class Silent(_live.Instance):
    """An instance without systemd."""

    def restarts(self) -> int:
        return 0

    def journal(self, lines: int = 40) -> str:
        del lines
        return "ImproperlyConfigured: nothing works"


INSTANCE = Silent("shop-web", "r1")


class Answering(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        request = self.rfile.readline().decode()
        headers = {}
        while line := self.rfile.readline().decode().strip():
            name, _colon, value = line.partition(": ")
            headers[name] = value
        body = f"{request.split()[1]} {headers['Host']}".encode()
        self.wfile.write(b"HTTP/1.1 418 Short\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[str]:
    """An HTTP server on a unix socket."""
    path = str(tmp_path / "web.sock")
    with socketserver.ThreadingUnixStreamServer(path, Answering) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield path
        running.shutdown()


def test_ask_sends_the_path_and_the_host(server: str) -> None:
    assert _live.ask(server, "/healthz?x=1", {"Host": "shop.example.com"}) == (418, "/healthz?x=1 shop.example.com")


def answers(*statuses: int | OSError) -> Callable[[], tuple[int, str]]:
    """A question that is answered like this, the last answer for ever."""
    left = list(statuses)

    def question() -> tuple[int, str]:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, OSError):
            raise answer
        return answer, "DisallowedHost at /"

    return question


def test_it_is_asked_until_it_is_healthy() -> None:
    question = answers(ConnectionRefusedError(), 503, 200)
    _live.wait_until_healthy(question, INSTANCE, {"path": "/", "status": []}, 5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (ConnectionRefusedError("refused"), "no answer (refused)"),
        (500, "status 500"),
        (400, "status 400 (the host is not in ALLOWED_HOSTS)"),
    ],
)
def test_what_does_not_get_healthy_is_told_with_its_last_answer_and_words(answer: int | OSError, words: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        _live.wait_until_healthy(answers(answer), INSTANCE, {"path": "/up", "status": []}, 0.5)
    assert words in caught.value.message
    assert "/up" in caught.value.message
    assert "nothing works" in caught.value.output


class Ending(Silent):
    """One that systemd has had to start again and again."""

    def restarts(self) -> int:
        return 3


def test_what_ends_again_and_again_is_given_up_at_once() -> None:
    with pytest.raises(ReleaseError, match="has ended by itself 3 times"):
        _live.wait_until_healthy(
            answers(TimeoutError()), Ending("shop-web", "r1"), {"path": "/", "status": []}, timeout=3600
        )


@pytest.mark.parametrize(("answer", "asked"), [(500, True), (404, False), (ConnectionRefusedError(), False)])
def test_a_project_is_asked_why_only_after_an_error_of_its_own(answer: int | OSError, asked: bool) -> None:
    with pytest.raises(ReleaseError) as caught:
        question = answers(500, answer)
        _live.wait_until_healthy(question, INSTANCE, {"path": "/", "status": []}, 0.5, lambda: "\nKeyError: 'shelf'")
    assert caught.value.output.endswith("nothing works\nKeyError: 'shelf'") is asked


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ("redis.exceptions.ConnectionError: Error 111 connecting to 127.0.0.1:6379.", "`redis: true`"),
        ("redis.exceptions.AuthenticationError: Authentication required.", "${redis.url}"),
        ("KeyError: 'shelf'", "`health: /path`"),
    ],
)
def test_an_app_without_its_redis_is_told_how_to_reach_it(said: str, cure: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        _live.wait_until_healthy(answers(500), INSTANCE, {"path": "/", "status": []}, 0.2, lambda: said)
    assert cure in caught.value.cure


def test_switch_replaces_the_link_whatever_a_killed_run_left(tmp_path: pathlib.Path) -> None:
    current = str(tmp_path / "current")
    assert _live.live_release(current) == ""
    _live.switch(current, "r1")
    os.symlink("releases/half", f"{current}.new")
    _live.switch(current, "r2")
    assert _live.live_release(current) == "r2"
    assert sorted(os.listdir(tmp_path)) == ["current"]


def traceback(*names: str, frames: int = 3) -> list[str]:
    """As a server prints it; of several exceptions each but the first came of the one before it."""
    lines: list[str] = []
    for name in names:
        lines += ["", "During handling of the above exception, another exception occurred:", ""] if lines else []
        lines += ["Traceback (most recent call last):"]
        lines += [f'  File "app.py", line {number}, in <module>\n    ~~~~^^^' for number in range(frames)]
        lines += [f"{name}: the till is empty"]
    return lines


@pytest.mark.parametrize(
    ("said", "begins", "holds", "ends"),
    [
        ([f"line {number}" for number in range(100)], "line 60", "line 80", "line 99"),
        (["Starting", *traceback("KeyError"), "Bye"], "Starting", "KeyError", "Bye"),
        # What the server's own error at the end is about, stands at the beginning.
        ([*traceback("KeyError"), *["INFO"] * 50, *traceback("HaltServer")], "Traceback", "KeyError", "HaltServer"),
        ([*traceback("KeyError", "ImportError"), *["INFO"] * 50, "Bye"], "Traceback", "ImportError", "Bye"),
        ([*traceback("KeyError", frames=90), *["INFO"] * 50, "Bye"], "  File", "KeyError", "Bye"),
        ([], "", "", ""),
    ],
)
def test_what_a_server_said_is_cut_to_what_tells(said: list[str], begins: str, holds: str, ends: str) -> None:
    told = _live.telling("\n".join(said))
    assert told.startswith(begins)
    assert holds in told
    assert (told.splitlines() or [""])[-1].startswith(ends)
    assert len(told.splitlines()) <= 40
    assert "^" not in told
