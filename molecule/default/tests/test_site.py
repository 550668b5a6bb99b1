"""A visitor looks at the site, and at what is around it."""

from __future__ import annotations

import base64
import json
import re
import ssl
import time
from http.client import HTTPMessage
from pathlib import Path
from typing import Any

import pytest
import yaml
from visitor import Answer, Visitor


def site(host: Any, app: str = "guestbook") -> str:
    return f"https://{app}.{host.backend.get_hostname()}.test"


APPS = ["guestbook", "live"]


@pytest.mark.parametrize("app", APPS)
def test_the_page_comes_by_tls_that_the_acme_server_vouches_for(host: Any, visitor: Visitor, app: str) -> None:
    answer = visitor.get(f"{site(host, app)}/")
    assert answer.status == 200
    assert "Guestbook" in answer.text
    assert answer.headers["Strict-Transport-Security"].startswith("max-age=31536000")
    assert len(answer.headers.get_all("Strict-Transport-Security") or []) == 1


def test_plain_http_is_led_to_https(host: Any, visitor: Visitor) -> None:
    answer = visitor.get(f"{site(host).replace('https', 'http')}/visits/?a=1")
    assert answer.status in (301, 308)
    assert answer.headers["Location"] == f"{site(host)}/visits/?a=1"


def test_a_redirect_domain_leads_to_the_first_domain(host: Any, visitor: Visitor) -> None:
    answer = visitor.get(f"{site(host, 'www')}/database/")
    assert answer.status in (301, 308)
    assert answer.headers["Location"] == f"{site(host)}/database/"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_unknown_host_is_dropped(host: Any, visitor: Visitor, scheme: str) -> None:
    with pytest.raises((ConnectionError, ssl.SSLError, OSError)):
        visitor.get(f"{scheme}://unknown.example.com/", verify=False)


def stylesheet(page: Answer) -> str:
    found = re.search(r'href="(/[^"]+\.css)"', page.text)
    assert found, page.text
    return found.group(1)


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_static_files_come_from_nginx_compressed_and_for_a_year(host: Any, visitor: Visitor, encoding: str) -> None:
    path = stylesheet(visitor.get(f"{site(host)}/"))
    assert re.search(r"\.[0-9a-f]{12}\.css$", path)
    answer = visitor.get(f"{site(host)}{path}", headers={"Accept-Encoding": encoding})
    assert answer.status == 200
    assert answer.headers["Content-Encoding"] == encoding
    assert "max-age=31536000" in answer.headers["Cache-Control"]
    assert "immutable" in answer.headers["Cache-Control"]
    # The app is not asked: it would put headers of Django's on its answer.
    assert "Cross-Origin-Opener-Policy" not in answer.headers


def cookie(headers: HTTPMessage) -> str:
    return "; ".join(value.split(";")[0] for value in headers.get_all("Set-Cookie") or [])


def sign(host: Any, visitor: Visitor, app: str, picture: bytes) -> Answer:
    """Fill the form in as a browser does."""
    form = visitor.get(f"{site(host, app)}/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
    assert token
    lines = [b""]
    for name, value in {"csrfmiddlewaretoken": token.group(1), "name": "Ada", "message": "Hello there"}.items():
        lines.append(f'--part\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode())
    field = re.search(r'type="file" name="([^"]+)"', form.text)
    assert field
    disposition = f'Content-Disposition: form-data; name="{field.group(1)}"; filename="dot.png"'
    lines.append(f"--part\r\n{disposition}\r\nContent-Type: image/png\r\n\r\n".encode() + picture)
    return visitor.ask(
        "POST",
        f"{site(host, app)}/",
        body=b"\r\n".join([*lines[1:], b"--part--", b""]),
        headers={
            "Content-Type": "multipart/form-data; boundary=part",
            "Cookie": cookie(form.headers),
            "Origin": site(host, app),
            "Referer": f"{site(host, app)}/",
        },
    )


PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c636460f8cf500f0002"
    "0101007d2d5a3c0000000049454e44ae426082"
)


@pytest.mark.parametrize("app", APPS)
def test_an_upload_comes_back_from_nginx(host: Any, visitor: Visitor, app: str) -> None:
    assert sign(host, visitor, app, PICTURE).status == 302
    page = visitor.get(f"{site(host, app)}/").text
    found = re.search(r'src="(/media/[^"]+)"', page)
    assert found, page
    answer = visitor.get(f"{site(host, app)}{found.group(1)}")
    assert answer.status == 200
    assert answer.body == PICTURE
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Cross-Origin-Opener-Policy" not in answer.headers


def test_a_body_over_the_apps_limit_is_refused(host: Any, visitor: Visitor) -> None:
    answer = visitor.ask("POST", f"{site(host, 'live')}/", body=b"x", headers={"Content-Length": str(2 * 1024 * 1024)})
    assert answer.status == 413


def fact(page: str, name: str) -> str:
    found = re.search(rf'id="{name}"[^>]*>([^<]+)<', page)
    assert found, page
    return found.group(1).strip()


@pytest.mark.parametrize(("app", "user"), [("guestbook", "guestbook"), ("live", "live-guestbook")])
def test_the_database_is_the_apps_own_over_the_socket(host: Any, visitor: Visitor, app: str, user: str) -> None:
    page = visitor.get(f"{site(host, app)}/database/").text
    assert fact(page, "user") == user
    assert fact(page, "database") == user
    assert fact(page, "connection") == "unix socket"


def test_the_cache_counts_each_apps_visits_by_itself(host: Any, visitor: Visitor) -> None:
    first = int(fact(visitor.get(f"{site(host)}/visits/").text, "visits"))
    visitor.get(f"{site(host, 'live')}/visits/")
    assert int(fact(visitor.get(f"{site(host)}/visits/").text, "visits")) == first + 1


@pytest.mark.parametrize(("app", "interface"), [("guestbook", "wsgi"), ("live", "asgi")])
def test_the_app_sees_the_visitor_and_no_forgery(host: Any, visitor: Visitor, app: str, interface: str) -> None:
    forged = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "Forwarded": "for=6.6.6.6",
    }
    seen = json.loads(visitor.get(f"{site(host, app)}/whoami/", headers=forged).text)
    assert seen["interface"] == interface
    assert seen["is_secure"] is True
    assert seen["scheme"] == "https"
    assert re.fullmatch(r"[0-9a-f.:]+", seen["remote_addr"])
    assert "6.6.6.6" not in json.dumps(seen)
    assert seen["release"] == host.check_output(
        "basename $(readlink /srv/%s/current)", seen["host"].split(".")[0].replace("live", "live-guestbook")
    )


def test_a_websocket_opens_and_echoes(host: Any, visitor: Visitor) -> None:
    name = site(host, "live").removeprefix("https://")
    with visitor.connect(name, tls=True) as channel:
        channel.sendall(
            f"GET /ws/echo/ HTTP/1.1\r\nHost: {name}\r\nOrigin: https://{name}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        stream = channel.makefile("rb")
        assert stream.readline().split()[1] == b"101"
        while stream.readline() != b"\r\n":
            pass
        mask = b"\x01\x02\x03\x04"
        text = b"hello"
        channel.sendall(
            bytes([0x81, 0x80 | len(text)]) + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))
        )
        assert stream.read(2) == bytes([0x81, len(text)])
        assert stream.read(len(text)) == text


def test_a_stream_arrives_piece_by_piece(host: Any, visitor: Visitor) -> None:
    name = site(host, "live").removeprefix("https://")
    with visitor.connect(name, tls=True) as channel:
        channel.sendall(f"GET /stream/?count=3&interval=0.5 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        stream = channel.makefile("rb")
        times: list[float] = []
        while len(times) < 3:
            if stream.readline().startswith(b"data:"):
                times.append(time.monotonic())
        assert times[-1] - times[0] > 0.5


@pytest.mark.parametrize("app", ["guestbook", "live-guestbook"])
def test_check_deploy_has_nothing_to_say(host: Any, app: str) -> None:
    release = host.check_output("readlink -f /srv/%s/current", app)
    run = host.run(
        "systemd-run --pipe --wait --quiet --uid=%s --working-directory=%s/code "
        "-p EnvironmentFile=/etc/groundcrew/%s/%s.env "
        "--setenv=PYTHONPATH=%s/groundcrew %s/venv/bin/python manage.py check --deploy --fail-level DEBUG",
        app,
        release,
        app,
        release.split("/")[-1],
        release,
        release,
    )
    assert run.rc == 0, run.stderr
    assert "no issues" in run.stdout


def test_nothing_else_listens(host: Any) -> None:
    listening = host.check_output("ss -Hlntu | awk '{print $1, $5}'").splitlines()
    outside = {line for line in listening if not re.search(r"\s(127\.|\[::1\])", line)}
    assert {line.rsplit(":", 1)[-1] for line in outside} == {"22", "80", "443"}, outside


PRIVATE = [
    "/srv/guestbook/current/code/manage.py",
    "/srv/guestbook/shared/media",
    "/srv/guestbook/current/run/web.sock",
    "/etc/groundcrew/guestbook",
    "/var/lib/groundcrew/guestbook/home",
    "/etc/groundcrew/tls/guestbook/privkey.pem",
]


@pytest.mark.parametrize("path", PRIVATE)
def test_one_app_cannot_read_the_other(host: Any, path: str) -> None:
    assert host.file(path.removesuffix("/run/web.sock")).exists
    assert host.run("setpriv --reuid=live-guestbook --regid=live-guestbook --clear-groups test -r %s", path).rc != 0


@pytest.mark.parametrize(
    "path",
    [
        "current/code/manage.py",
        "current/venv/pyvenv.cfg",
        "current/groundcrew/release.json",
        "current/static",
        "current",
    ],
)
def test_the_app_cannot_write_what_it_runs(host: Any, path: str) -> None:
    assert (
        host.run("setpriv --reuid=guestbook --regid=guestbook --clear-groups test -w /srv/guestbook/%s", path).rc != 0
    )


def test_one_app_cannot_reach_the_others_database(host: Any) -> None:
    as_guestbook = "setpriv --reuid=guestbook --regid=guestbook --clear-groups psql -c 'select 1' -d"
    assert host.run(f"{as_guestbook} guestbook").rc == 0
    assert host.run(f"{as_guestbook} live-guestbook").rc != 0


def test_the_environment_is_what_the_description_says(host: Any) -> None:
    release = host.check_output("basename $(readlink /srv/guestbook/current)")
    pid = host.check_output("systemctl show --property=MainPID --value guestbook-web@%s.service", release)
    variables = base64.b64decode(host.check_output("base64 /proc/%s/environ", pid)).decode().split("\0")
    environment = dict(variable.split("=", 1) for variable in variables if variable)
    assert environment["PEPPER"] == "vaulted-pepper-5b3f0d6a"
    assert re.fullmatch(r"[A-Za-z0-9]{40}", environment["GENERATED"])
    described = yaml.safe_load((Path(__file__).parent.parent / "group_vars/all.yml").read_text("utf-8"))
    odd = {name: value for name, value in described["django_apps"][0]["env"].items() if name.startswith("ODD_")}
    assert len(odd) > 5
    assert {name: environment.get(name) for name in odd} == {
        name: value.replace("$$", "$") for name, value in odd.items()
    }
