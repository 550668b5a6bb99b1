# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules through which an app server finds the project. Pure. PRIVATE to the collection.

nginx reaches the app over a unix socket, where a server sees no visitor's address and no https. nginx sets both
headers itself on every request and nobody else may connect to the socket, so they can be believed here.
"""

from __future__ import annotations

# A request with the release's own token gets an answer that says which release gave it.
SMOKE_HEADER = "X-Groundcrew-Smoke"
RELEASE_HEADER = "X-Groundcrew-Release"

_WSGI = '''\
"""Laid beside the project by groundcrew.django: gives each request the visitor's address and scheme."""

import os

from {module} import {name} as _project

_token = os.environ.get("GROUNDCREW_SMOKE", "")
_release = ("{release_header}", os.environ.get("GROUNDCREW_RELEASE", ""))


def application(environ, start_response):
    environ["REMOTE_ADDR"] = environ.get("HTTP_X_REAL_IP", "")
    environ["wsgi.url_scheme"] = environ.get("HTTP_X_FORWARDED_PROTO", "http")
    if _token and environ.pop("{smoke_environ}", "") == _token:
        return _project(
            environ, lambda status, headers, *error: start_response(status, [*headers, _release], *error)
        )
    return _project(environ, start_response)
'''

_ASGI = '''\
"""Laid beside the project by groundcrew.django: gives each request the visitor's address and scheme."""

import os

from {module} import {name} as _project

_SECURE = {{"http": "https", "websocket": "wss"}}
_token = os.environ.get("GROUNDCREW_SMOKE", "").encode()
_release = (b"{release_lower}", os.environ.get("GROUNDCREW_RELEASE", "").encode())


async def application(scope, receive, send):
    if scope["type"] in _SECURE:
        headers = dict(scope["headers"])
        scope = dict(scope, client=(headers.get(b"x-real-ip", b"").decode("latin-1"), 0))
        if headers.get(b"x-forwarded-proto") == b"https":
            scope["scheme"] = _SECURE[scope["type"]]
        if _token and headers.get(b"{smoke_lower}") == _token:
            send = _saying_which(send)
    await _project(scope, receive, send)


def _saying_which(send):
    async def also(message):
        if message["type"] == "http.response.start":
            message = dict(message, headers=[*message.get("headers", ()), _release])
        await send(message)

    return also
'''

# From the interface to the name of our module and its text.
_ENTRIES = {"wsgi": ("groundcrew_wsgi", _WSGI), "asgi": ("groundcrew_asgi", _ASGI)}


def entry_module(interface: str, entry: str) -> tuple[str, str]:
    """Name and text of the module that wraps ``entry`` ("package.module:callable") of an interface."""
    module, _colon, name = entry.partition(":")
    file, text = _ENTRIES[interface]
    return file, text.format(
        module=module,
        name=name or "application",
        smoke_environ="HTTP_" + SMOKE_HEADER.upper().replace("-", "_"),
        smoke_lower=SMOKE_HEADER.lower(),
        release_header=RELEASE_HEADER,
        release_lower=RELEASE_HEADER.lower(),
    )
