"""Serves the challenges on port 80, and on 443 whatever certificates are there when it starts."""

from __future__ import annotations

import functools
import ssl
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

handler = functools.partial(SimpleHTTPRequestHandler, directory="/var/lib/challenges")
contexts: dict[str, ssl.SSLContext] = {}
for directory in Path("/etc/tls").glob("*"):
    if (directory / "fullchain.pem").exists():
        contexts[directory.name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        contexts[directory.name].load_cert_chain(directory / "fullchain.pem", directory / "privkey.pem")


def choose(connection: ssl.SSLSocket, name: str | None, _context: ssl.SSLContext) -> None:
    found = contexts.get((name or "").partition(".")[0])
    if found:
        connection.context = found


if contexts:
    first = next(iter(contexts.values()))
    first.sni_callback = choose  # type: ignore[assignment]
    secure = ThreadingHTTPServer(("", 443), handler)
    secure.socket = first.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 80), handler).serve_forever()
