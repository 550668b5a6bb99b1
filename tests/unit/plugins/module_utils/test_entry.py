# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The entry modules, executed around applications of our own."""

from __future__ import annotations

import asyncio
import sys
import types
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._entry import entry_module


def load(interface: str, application: t.Callable[..., t.Any], monkeypatch: pytest.MonkeyPatch) -> t.Any:
    project = types.ModuleType("shop_entry")
    project.serve = application  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_entry", project)
    _name, text = entry_module(interface, "shop_entry:serve")
    names: dict[str, t.Any] = {}
    exec(compile(text, "entry", "exec"), names)
    return names["application"]


@pytest.mark.parametrize(
    ("headers", "address", "scheme"),
    [
        ({"HTTP_X_REAL_IP": "2001:db8::1", "HTTP_X_FORWARDED_PROTO": "https"}, "2001:db8::1", "https"),
        ({}, "", "http"),
    ],
)
def test_wsgi(headers: dict[str, str], address: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    application = load("wsgi", lambda environ, start: (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]), monkeypatch)
    assert application({"REMOTE_ADDR": "unix:", **headers}, None) == (address, scheme)


@pytest.mark.parametrize(
    ("kind", "proto", "scheme"),
    [("http", b"https", "https"), ("websocket", b"https", "wss"), ("http", b"http", "http")],
)
def test_asgi(kind: str, proto: bytes, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, t.Any]] = []

    async def project(scope: dict[str, t.Any], receive: t.Any, send: t.Any) -> None:
        seen.append(scope)

    application = load("asgi", project, monkeypatch)
    headers = [(b"x-real-ip", b"192.0.2.7"), (b"x-forwarded-proto", proto)]
    asyncio.run(application({"type": kind, "scheme": "http", "client": None, "headers": headers}, None, None))
    assert seen[0]["client"] == ("192.0.2.7", 0)
    assert seen[0]["scheme"] == scheme


def test_asgi_leaves_the_lifespan_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, t.Any]] = []

    async def project(scope: dict[str, t.Any], receive: t.Any, send: t.Any) -> None:
        seen.append(scope)

    asyncio.run(load("asgi", project, monkeypatch)({"type": "lifespan"}, None, None))
    assert seen == [{"type": "lifespan"}]


@pytest.mark.parametrize(("shown", "says"), [("right", True), ("wrong", False), ("", False)])
@pytest.mark.parametrize("interface", ["wsgi", "asgi"])
def test_only_the_deploys_own_visit_is_told_the_release(
    interface: str, shown: str, says: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROUNDCREW_SMOKE", "right")
    monkeypatch.setenv("GROUNDCREW_RELEASE", "r2")
    answered: list[t.Any] = []

    def wsgi(environ: dict[str, str], start: t.Callable[..., None]) -> None:
        start("200 OK", [("Content-Type", "text/plain")])

    async def asgi(scope: dict[str, t.Any], receive: t.Any, send: t.Callable[..., t.Any]) -> None:
        await send({"type": "http.response.start", "headers": [(b"content-type", b"text/plain")]})

    async def send(message: dict[str, t.Any]) -> None:
        answered.extend((name.decode().lower(), value.decode()) for name, value in message["headers"])

    if interface == "wsgi":
        environ = {"HTTP_X_GROUNDCREW_SMOKE": shown} if shown else {}
        load(interface, wsgi, monkeypatch)(environ, lambda status, headers: answered.extend(headers))
    else:
        headers = [(b"x-groundcrew-smoke", shown.encode())] if shown else []
        asyncio.run(load(interface, asgi, monkeypatch)({"type": "http", "headers": headers}, None, send))
    names = {name.lower(): value for name, value in answered}
    assert names.get("x-groundcrew-release") == ("r2" if says else None)


@pytest.mark.parametrize("token", [None, ""])
def test_without_a_token_nobody_is_told(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROUNDCREW_SMOKE", raising=False)
    if token is not None:
        monkeypatch.setenv("GROUNDCREW_SMOKE", token)
    seen: list[t.Any] = []
    application = load("wsgi", lambda environ, start: start("200 OK", []), monkeypatch)
    application({"HTTP_X_GROUNDCREW_SMOKE": ""}, lambda status, headers: seen.append(headers))
    assert seen == [[]]
