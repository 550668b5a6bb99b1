# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks for pages as a visitor does: through nginx and TLS. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
import http.client
import os
import pathlib
import socket
import ssl
import time
import typing as t
import urllib.parse
from collections.abc import Mapping

from ansible_collections.groundcrew.django.plugins.module_utils import _live
from ansible_collections.groundcrew.django.plugins.module_utils._entry import RELEASE_HEADER, SMOKE_HEADER
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

# A visitor's request may hit a moment that is bad by chance; a release that is broken fails every time.
ATTEMPTS = 3
PAUSE = 0.5

# Bytes; a larger static file says no more than a small one.
LARGEST = 1 << 20

NGINX = ("127.0.0.1", 443)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    release: str
    body: bytes


class _VisitorConnection(http.client.HTTPSConnection):
    """HTTPS to this very server, whatever DNS says of its name yet, and whoever has signed its certificate."""

    def __init__(self, host: str, address: tuple[str, int], timeout: float) -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, context=context, timeout=timeout)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(self._address, self.timeout)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def visit(
    host: str, path: str, headers: Mapping[str, str], timeout: float = 10, address: tuple[str, int] = NGINX
) -> Answer:
    """One GET of ``https://host/path`` from nginx on this server."""
    connection = _VisitorConnection(host, address, timeout)
    try:
        connection.request("GET", path, headers={**headers, "Connection": "close", "Accept-Encoding": "identity"})
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheader(RELEASE_HEADER, ""), answer.read(LARGEST + 1))
    finally:
        connection.close()


def a_static_file(static: str) -> str:
    """One file of the release that nginx has to serve, relative to its directory; empty where there is none.

    A style sheet if possible: it is what a page misses first.
    """
    found = ""
    for directory, _directories, names in os.walk(static):
        for name in sorted(names):
            path = os.path.join(directory, name)
            fits = not name.startswith(".") and os.path.isfile(path) and 0 < os.path.getsize(path) <= LARGEST
            if fits and (name.endswith(".css") or not found):
                found = os.path.relpath(path, static)
                if name.endswith(".css"):
                    return found
    return found


def test(release: str, facts: Mapping[str, t.Any], record: Mapping[str, t.Any], static: str, token: str) -> None:
    """Ask for the health page and for a static file, and see that this very release answers.

    :param token: makes the app say which release it is.
    :raises ReleaseError: when it does not.
    """
    host, path = record["domains"][0], facts["health"]["path"]

    def page() -> str:
        answer = visit(host, path, {SMOKE_HEADER: token})
        if answer.status == 503 and not answer.release:
            return (
                f"at https://{host}{path} nginx shows its holding page (503), for want of an answer that it can pass on"
            )
        if not _live.healthy(answer.status, facts["health"]["status"]):
            return f"https://{host}{path} answers with status {answer.status}"
        if answer.release != release:
            by = f"release {answer.release}" if answer.release else "something else, or a page of nginx's"
            return f"https://{host}{path} is answered by {by}"
        return ""

    def file() -> str:
        url = f"{facts['static_url'].rstrip('/')}/{urllib.parse.quote(name)}"
        answer = visit(record["static_domain"] or host, url, {})
        wanted = pathlib.Path(static, name).read_bytes()
        if answer.status != 200 or answer.body != wanted:
            return f"the static file {url} comes with status {answer.status} and {len(answer.body)} bytes"
        return ""

    questions = [page]
    name = a_static_file(static) if facts["static_url"] else ""
    if name:
        questions.append(file)
    for question in questions:
        wrong = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(PAUSE)
            try:
                wrong = question()
            except (OSError, http.client.HTTPException) as error:
                wrong = f"nginx does not answer for {host} ({error})"
            if not wrong:
                break
        else:
            raise ReleaseError(
                f"The release is healthy by itself, but not for visitors: {wrong}.",
                "look into /var/log/nginx/error.log on the server",
            )
