"""Stands in for an app: tells as JSON what arrived. ?header=Name:%20value is sent back, ?slow=SECONDS waits."""

from __future__ import annotations

import json
import os
import socketserver
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, urlsplit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        if self.headers.get("Upgrade"):
            self.upgrade()
            return
        query = parse_qsl(urlsplit(self.path).query)
        time.sleep(float(dict(query).get("slow", 0)))
        length = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        seen = {"method": self.command, "path": self.path, "length": length, "headers": self.headers.items()}
        body = json.dumps(seen).encode()
        self.send_response(int(dict(query).get("status", 200)))
        for name, _, value in (value.partition(": ") for key, value in query if key == "header"):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 (the names that http.server wants)

    def upgrade(self) -> None:
        """What a visitor says after the handshake comes back in capitals."""
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.end_headers()
        self.wfile.write(self.connection.recv(100).upper())
        self.close_connection = True

    def address_string(self) -> str:
        return "nginx"


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 1024  # as app servers have it; Python's 5 would refuse who comes with some others


class Tcp(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads = True
    allow_reuse_address = True


listen = os.environ["LISTEN"]
server: socketserver.BaseServer
if listen.startswith("/"):
    if os.path.exists(listen):
        os.unlink(listen)
    server = Unix(listen, Handler)
    os.chmod(listen, 0o666)
else:
    server = Tcp(("127.0.0.1", int(listen)), Handler)
server.serve_forever()
