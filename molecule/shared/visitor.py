"""What the tests of every scenario may use beside testinfra's `host`: a visitor from outside the server."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from testbed import pebble, server


@dataclass(frozen=True)
class Answer:
    """What came back; the certificate is the server's own, None without TLS."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    certificate: x509.Certificate | None

    @property
    def text(self) -> str:
        return self.body.decode()


class Visitor:
    """Visits the sites of one server by their names, without DNS, and trusts Pebble alone."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self, url: str, **options: Any) -> Answer:
        return self.ask("GET", url, **options)

    def ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        verify: bool = True,
        timeout: float = 30,
    ) -> Answer:
        """One request, redirects not followed. Unless told otherwise the certificate has to be right."""
        parts = urlsplit(url)
        assert parts.hostname, url
        connection = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=timeout)
        connection.sock = self.connect(parts.hostname, tls=parts.scheme == "https", verify=verify, timeout=timeout)
        try:
            target = parts._replace(scheme="", netloc="").geturl() or "/"
            connection.request(method, target, body, {"Host": parts.netloc, **(headers or {})})
            certificate = None
            if isinstance(connection.sock, ssl.SSLSocket):
                certificate = x509.load_der_x509_certificate(connection.sock.getpeercert(binary_form=True) or b"")
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read(), certificate)
        finally:
            connection.close()

    def connect(self, domain: str, *, tls: bool, verify: bool = True, timeout: float = 30) -> socket.socket:
        """A connection as a browser opens it, for what is no plain request."""
        plain = socket.create_connection(server.endpoint(self.name, 443 if tls else 80), timeout=timeout)
        return self._context(verify).wrap_socket(plain, server_hostname=domain) if tls else plain

    def _context(self, verify: bool) -> ssl.SSLContext:
        # The ACME server cannot see a virtual machine, which keeps the certificate that it began with.
        if not verify or server.is_vm(self.name):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return context
        return ssl.create_default_context(cafile=str(pebble.ROOTS))


@pytest.fixture
def visitor(host: Any) -> Visitor:
    """A visitor of the server under test."""
    return Visitor(host.backend.get_hostname())


@pytest.fixture
def resolve(host: Any) -> Callable[..., Path]:
    """Lets the test network resolve exactly these domains to the server under test: resolve("a.test", "b.test")."""
    name = host.backend.get_hostname()
    return lambda *domains: server.up(name, aliases=list(domains))
