"""What keeps those away who mean no good, seen by them and by everybody else."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import ssl
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from again import converge
from visitor import Answer, Visitor

LOGIN = "/accounts/login/"
LARGE = "/srv/shop/releases/1/static/large.bin"
NOTHING: dict[str, Any] = {
    "nginx_visitor_rate": "",
    "nginx_visitor_connections": 0,
    "nginx_login_rate": "",
    "nginx_client_header_timeout": "",
    "nginx_client_body_timeout": "",
    "nginx_send_timeout": "",
    "nginx_security_txt": {},
    "nginx_sandbox": False,
}


def get(visitor: Visitor, path: str, host: str = "shop.test") -> Answer:
    return visitor.get(f"https://{host}{path}", verify=False)


def statuses(
    host: Any, visitor_address: str, path: str, *options: str, times: int = 1, at_once: int = 1
) -> Counter[str]:
    """What a visitor is answered; a trusted proxy on the server says who it is. curl counts in brackets."""
    argv = ["curl", "--silent", "--insecure", "--path-as-is", "--resolve", "shop.test:443:127.0.0.1"]
    argv += ["--parallel", "--parallel-immediate", "--parallel-max", str(at_once)] if at_once > 1 else []
    argv += ["--header", f"X-Forwarded-For: {visitor_address}"] if visitor_address else []
    argv += ["--output", "/dev/null", "--write-out", "%{http_code}\\n", *options]
    mark = ("&" if "?" in path else "?") + f"n=[1-{times}]" if times > 1 else ""
    return Counter(host.run(shlex.join([*argv, f"https://shop.test{path}{mark}"])).stdout.split())


# ----------------------------------------------------------------------------------------------------------- rate limits


def test_a_burst_on_the_login_path_is_answered_429_and_others_are_served(host: Any, visitor: Visitor) -> None:
    attempt = ("--data", "user=x")
    found = statuses(host, "198.51.100.1", LOGIN, *attempt, times=12)
    assert found["200"] in (5, 6, 7) and found["429"] == 12 - found["200"]
    # The same visitor reads on, and whoever else wants to may log in.
    assert statuses(host, "198.51.100.1", LOGIN, times=12) == {"200": 12}
    assert statuses(host, "198.51.100.1", "/checkout/", *attempt, times=12) == {"200": 12}
    assert statuses(host, "198.51.100.2", LOGIN, *attempt) == {"200": 1}
    answer = visitor.ask("POST", f"https://shop.test{LOGIN}", body=b"user=x", verify=False)
    assert answer.status == 200
    assert "limiting requests" in host.check_output("tail -n 20 /var/log/nginx/error.log")


@pytest.mark.parametrize("path", ["/de/accounts/login/", "/ACCOUNTS/login", "/accounts/%6Cogin/", "//accounts/login/x"])
def test_a_login_counts_however_it_is_written(host: Any, path: str) -> None:
    found = statuses(host, f"198.51.100.{100 + len(path)}", path, "--data", "user=x", times=12)
    assert found["429"] >= 5


def test_an_admins_login_counts_and_its_other_pages_do_not(host: Any) -> None:
    assert statuses(host, "203.0.113.1", "/admin/shop/product/add/", "--data", "x=1", times=15) == {"200": 15}
    assert statuses(host, "203.0.113.1", "/admin/login/", "--data", "x=1", times=12)["429"] >= 5


def test_an_ipv6_network_is_one_visitor(host: Any) -> None:
    for number in range(8):
        statuses(host, f"2001:db8:2::{number}", LOGIN, "--data", "user=x")
    assert statuses(host, "2001:db8:2:0:a::1", LOGIN, "--data", "user=x") == {"429": 1}
    assert statuses(host, "2001:db8:2:1::1", LOGIN, "--data", "user=x") == {"200": 1}


@pytest.mark.parametrize("address", ["", "::1", "192.0.2.7"], ids=["server", "loopback", "unlimited"])
def test_the_server_itself_and_chosen_addresses_are_not_limited(host: Any, address: str) -> None:
    assert statuses(host, address, LOGIN, "--data", "user=x", times=30) == {"200": 30}
    assert statuses(host, address, "/feeds/x", times=30) == {"200": 30}
    assert statuses(host, address, "/", times=400, at_once=30) == {"200": 400}


def test_a_flood_of_requests_to_the_app_is_limited_and_files_are_not(host: Any, visitor: Visitor) -> None:
    found = statuses(host, "198.51.100.3", "/", times=600, at_once=30)
    assert found["200"] >= 100 and found["429"] >= 100, found
    assert statuses(host, "198.51.100.3", "/static/app.css", times=600, at_once=100) == {"200": 600}
    assert get(visitor, "/").status == 200


def test_requests_at_the_same_time_are_limited(host: Any, visitor: Visitor) -> None:
    found = statuses(host, "198.51.100.4", "/?slow=2", times=100, at_once=100)
    assert found == {"200": 100}
    found = statuses(host, "198.51.100.4", "/static/app.css", times=100, at_once=100)
    assert found == {"200": 100}
    found = statuses(host, "198.51.100.5", "/?slow=2", times=160, at_once=160)
    assert found["429"] >= 20, found
    assert "limiting connections by zone" in host.check_output("tail -n 20 /var/log/nginx/error.log")
    assert get(visitor, "/").status == 200


# ------------------------------------------------------------------------------------------------------------ slow clients


@pytest.mark.parametrize(
    "begun",
    [b"GET / HTTP/1.1\r\nHost: shop.test\r\n", b"POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100\r\n\r\nx"],
    ids=["header", "body"],
)
def test_a_client_that_only_waits_is_cut_off(visitor: Visitor, begun: bytes) -> None:
    with visitor.connect("shop.test", tls=True, verify=False, timeout=20) as connection:
        connection.sendall(begun)
        since = time.monotonic()
        try:
            answer = connection.recv(1000)
        except (TimeoutError, ConnectionResetError) as error:
            assert isinstance(error, ConnectionResetError)
            answer = b""
        assert time.monotonic() - since < 15
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_reads_nothing_is_cut_off(host: Any, visitor: Visitor) -> None:
    # More than the buffers on the way take.
    size = 64 * 1024 * 1024
    host.check_output(f"truncate --size={size} {LARGE}")
    try:
        assert len(get(visitor, "/static/large.bin").body) == size
        with visitor.connect("shop.test", tls=True, verify=False, timeout=20) as connection:
            connection.sendall(b"GET /static/large.bin HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            time.sleep(10)
            read = len(connection.recv(1024))
            with contextlib.suppress(ssl.SSLEOFError, ConnectionResetError):
                while more := len(connection.recv(1024 * 1024)):
                    read += more
    finally:
        host.check_output(f"rm {LARGE}")
    assert 0 < read < size


# ------------------------------------------------------------------------------------------------------------------ admin


@pytest.mark.parametrize(
    "path",
    [
        "/admin/",
        "/admin",
        "/Admin/login/",
        "//admin/",
        "/%61dmin/",
        "/admin%2Flogin/",
        "/en/admin/",
        "/pt-br/cms/pages/",
        "/x/../admin/",
        "/x/%2e%2e/admin/",
        "/admin/../x",
        "/a/b/..%2Fadmin/../../y",
    ],
)
def test_an_admin_is_open_to_chosen_addresses_only(host: Any, visitor: Visitor, path: str) -> None:
    for stranger in ("198.51.100.6", "2001:db8:1:1::1", "203.0.114.1"):
        assert statuses(host, stranger, path) == {"403": 1}
        assert statuses(host, stranger, path, "--data", "x=1") == {"403": 1}
    for friend in ("203.0.113.6", "2001:db8:1::6", ""):
        assert statuses(host, friend, path) == {"200": 1}
    # Nobody gets in by saying to be somebody else.
    forged = {"X-Forwarded-For": "203.0.113.6", "X-Real-IP": "203.0.113.6"}
    assert visitor.get(f"https://api.shop.test{path}", verify=False, headers=forged).status == 403


@pytest.mark.parametrize(
    "path", ["/", "/administration/", "/news/admin/", "/?next=/admin/../", "/a..b/", "/static/app.css"]
)
def test_all_else_is_open_to_everybody(host: Any, visitor: Visitor, path: str) -> None:
    assert statuses(host, "198.51.100.7", path) == {"200": 1}
    assert get(visitor, path).status == 200


def test_an_app_without_a_list_has_an_open_admin(visitor: Visitor) -> None:
    assert get(visitor, "/admin/", "vault.test").status == 200


# ----------------------------------------------------------------------------------------------------- what is told to all


def test_security_txt(visitor: Visitor) -> None:
    for name in ("shop.test", "api.shop.test", "vault.test", "later.test"):
        answer = get(visitor, "/.well-known/security.txt", name)
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert "Strict-Transport-Security" in answer.headers
        fields = [line.partition(": ")[::2] for line in answer.text.splitlines()]
        assert [value for key, value in fields if key == "Contact"] == [
            "mailto:security@shop.test",
            "https://shop.test/report",
        ]
        ((expires,), (canonical,)) = (
            [value for key, value in fields if key == name] for name in ("Expires", "Canonical")
        )
        ahead = datetime.fromisoformat(expires) - datetime.now(UTC)
        assert timedelta(days=330) < ahead < timedelta(days=366)
        assert canonical == f"https://{name}/.well-known/security.txt"
    assert visitor.get("http://shop.test/.well-known/security.txt").status == 308


# ---------------------------------------------------------------------------------------------------------------- sandbox


def exposure(host: Any) -> float:
    """What systemd says about the unit as it runs, from 0 to 10."""
    said = host.check_output("systemd-analyze security --no-pager nginx.service").splitlines()[-1]
    found = re.search(r"nginx.service: ([0-9.]+)", said)
    assert found, said
    return float(found[1])


def main_pid(host: Any) -> str:
    return str(host.check_output("systemctl show -P MainPID nginx.service"))


def test_the_service_is_in_a_sandbox(host: Any) -> None:
    assert exposure(host) <= 4.0
    status = host.check_output("cat /proc/$(pgrep -P $(cat /run/nginx.pid) | head -1)/status")
    found = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert found["CapEff"].strip("0") == "" and found["NoNewPrivs"] == "1" and found["Seccomp"] == "2"
    inside = f"nsenter --mount --target {main_pid(host)} --"
    for path in ("/srv/shop/shared/media", "/etc/nginx", "/etc/groundcrew/tls/shop", "/usr/local/bin", "/var/lib/acme"):
        assert "Read-only file system" in host.run(f"{inside} touch {path}/made-by-nginx").stderr
    for path in ("/var/log/nginx", "/var/lib/nginx"):
        host.check_output(f"{inside} touch {path}/made-by-nginx && rm {path}/made-by-nginx")


def serves(visitor: Visitor) -> None:
    answer = visitor.ask("POST", "https://shop.test/", body=b"x" * 2**20, verify=False)
    assert json.loads(answer.body)["length"] == 2**20
    assert get(visitor, "/static/app.css").status == get(visitor, "/media/photo.png").status == 200


def test_logs_are_rotated_in_it(host: Any, visitor: Visitor) -> None:
    # What logrotate does by the package's file.
    log = "/var/log/nginx/access.log"
    host.check_output(f"mv {log} {log}.1 && install -m 0640 -o www-data -g adm /dev/null {log}")
    host.check_output("/usr/sbin/service nginx rotate || /etc/init.d/nginx rotate")
    time.sleep(1)
    serves(visitor)
    assert "/static/app.css" in host.check_output(f"cat {log}")
    assert not host.check_output("tail -n 5 /var/log/nginx/error.log | grep -i 'permission denied' || true")


def test_the_program_is_replaced_in_it(host: Any, visitor: Visitor) -> None:
    """As Debian's package does when it is upgraded."""
    before = main_pid(host)
    host.check_output("/etc/init.d/nginx upgrade")
    deadline = time.monotonic() + 20
    while main_pid(host) in (before, "0") or host.file("/run/nginx.pid.oldbin").exists:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert host.service("nginx.service").is_running
    serves(visitor)
    host.check_output("systemctl reload nginx.service")
    serves(visitor)
    host.check_output("systemctl restart nginx.service")
    serves(visitor)


def test_what_is_switched_off_is_gone(host: Any, visitor: Visitor) -> None:
    sites = [
        {
            "name": "shop",
            "domains": ["shop.test"],
            "root": "/srv/shop",
            "upstream": "/srv/shop/current/run/web.sock",
            "certificate": "/etc/groundcrew/tls/shop",
            "admin_paths": ["/admin/"],
            "login_paths": [LOGIN],
        }
    ]
    converge(host, nginx_sites=sites, **NOTHING)
    try:
        assert statuses(host, "198.51.100.8", LOGIN, "--data", "user=x", times=30) == {"200": 30}
        assert statuses(host, "198.51.100.8", "/admin/", times=300, at_once=50) == {"200": 300}
        assert json.loads(get(visitor, "/.well-known/security.txt").body)["path"] == "/.well-known/security.txt"
        whole = host.check_output("nginx -T 2>/dev/null")
        assert not re.search(r"^\s*(limit_|geo|client_header_timeout|client_body_timeout|send_timeout)", whole, re.M)
        assert host.run("ls /etc/nginx/snippets/groundcrew-security-txt.conf").failed
        assert exposure(host) > 9
    finally:
        converge(host)
    assert exposure(host) <= 4.0
    serves(visitor)
