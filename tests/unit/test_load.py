"""What counts the visitors of the deploy tests has to see it when one of them is let down."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "molecule/shared"))
from load import Load, Request, Window

PAGE = b'<link rel="stylesheet" href="/static/shop.0123456789ab.css">'


class Site(http.server.BaseHTTPRequestHandler):
    """Does to the next visitor what ``mishap`` says, and to the others what is right."""

    protocol_version = "HTTP/1.1"
    wbufsize = 4096
    mishap = ""

    def do_GET(self) -> None:
        mishap, type(self).mishap = self.mishap, ""
        if mishap == "silence":
            self.close_connection = True
            return
        if mishap == "hesitation":
            time.sleep(0.6)
        body = PAGE if self.path == "/" else b"p { color: #123456 }"
        self.send_response(502 if mishap == "status" else 200)
        self.send_header("X-Version", "good-1")
        self.send_header("Content-Length", str(len(body) + (1 if mishap == "half" else 0)))
        self.end_headers()
        self.wfile.write(body)
        if mishap == "half":
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name that the class has)
        pass


def certify(folder: Path) -> None:
    """A certificate for localhost that vouches for itself."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "roots.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.getbasetemp()
    certify(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "roots.pem", folder / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture
def load(port: int, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Load]:
    Site.mishap = ""
    roots = tmp_path_factory.getbasetemp() / "roots.pem"
    with Load("https://localhost/", f"127.0.0.1:{port}", roots, tmp_path / "log", rate=50) as visitors:
        yield visitors


def test_every_request_is_there_and_good(load: Load) -> None:
    with load.watched() as windows:
        time.sleep(1)
    assert 48 <= len(windows[0].requests) <= 52
    assert not windows[0].failures, windows[0]
    assert windows[0].versions == ["good-1"]
    assert {request.path for request in windows[0].requests} == {"/", "/static/shop.0123456789ab.css"}
    numbers = [request.number for request in windows[0].requests]
    assert numbers == [*range(numbers[0], numbers[-1] + 1)]


@pytest.mark.parametrize(
    ("mishap", "told"), [("status", "502"), ("silence", "IncompleteReadError"), ("half", "IncompleteReadError")]
)
def test_a_request_that_fails_is_seen_and_is_the_only_one(load: Load, mishap: str, told: str) -> None:
    with load.watched() as windows:
        time.sleep(0.1)  # who came before the window has been served
        Site.mishap = mishap
        time.sleep(0.4)
    assert len(windows[0].failures) == 1, windows[0]
    assert told in str(windows[0])


def test_a_slow_answer_neither_slows_the_rate_nor_looks_quick(load: Load) -> None:
    with load.watched() as windows:
        time.sleep(0.1)  # who came before the window has been served
        Site.mishap = "hesitation"
        time.sleep(0.4)
    assert 23 <= len(windows[0].requests) <= 27
    assert windows[0].percentile(1) > 0.6 > windows[0].percentile(0.9)


def test_a_server_that_nobody_vouches_for_is_a_failure(port: int, tmp_path: Path) -> None:
    certify(tmp_path)
    with Load("https://localhost/", f"127.0.0.1:{port}", tmp_path / "roots.pem", tmp_path / "log") as load:
        window = load.window(time.time(), time.time() + 0.2)
    assert len(window.failures) == len(window.requests) == 40
    assert "CERTIFICATE_VERIFY_FAILED" in str(window)


def test_visitors_that_are_gone_are_no_good_news(load: Load) -> None:
    load._process.kill()
    load._process.wait()
    with pytest.raises(AssertionError, match="the visitors have gone"):
        load.window(time.time(), time.time() + 1)


def test_percentiles_are_times_that_were_measured() -> None:
    window = Window([Request(number, 0, number / 1000, 200, "/") for number in range(1, 101)])
    assert [window.percentile(share) for share in (0.5, 0.99, 1)] == [0.05, 0.099, 0.1]
    assert Window([]).figures == "n=0"


def test_a_version_that_comes_back_is_told_from_answers_that_overlap() -> None:
    overlap = [
        Request(0, 1.0, 0.5, 200, "/", "old"),
        Request(1, 1.1, 0.1, 200, "/", "new"),
        Request(2, 1.15, 0.3, 200, "/", "old"),
    ]
    assert Window(overlap).versions == ["new", "old"]
    assert not Window(overlap).turned_back("new")
    late = Request(3, 1.3, 0.1, 200, "/", "old")
    assert Window([*overlap, late]).turned_back("new") == [late]
