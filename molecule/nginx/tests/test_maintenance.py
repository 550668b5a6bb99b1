"""What visitors see of a site that is closed for maintenance, and what an operator sees of closing it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from again import converge, play
from visitor import Answer, Visitor

SCENARIO = Path(__file__).parents[1]
URL = "https://shop.test"
# What a server keeps of it, and what nginx works with.
STATE = "find /etc/nginx -type f -exec sha256sum {} + | sort; pgrep -P $(cat /run/nginx.pid) | sort"


def maintenance(host: Any, state: str, *options: str, check: bool = True, **wish: Any) -> str:
    return play(
        host,
        "groundcrew.django.maintenance",
        f"--extra-vars=@{SCENARIO}/vars.yml",
        *options,
        check=check,
        state=state,
        **wish,
    )


def ask(visitor: Visitor, url: str = f"{URL}/", method: str = "GET", **options: Any) -> Answer:
    return visitor.ask(method, url, verify=False, **options)


def own_address(visitor: Visitor) -> str:
    """The address that the server sees the visitor under."""
    return str(dict(json.loads(ask(visitor, "https://vault.test/").body)["headers"])["X-Real-IP"])


def from_the_server(host: Any, by_proxy: str = "") -> str:
    """Status of a request that the server makes itself, as the deploy's smoke test does, or as a trusted proxy."""
    header = f"--header 'X-Forwarded-For: {by_proxy}'" if by_proxy else ""
    return str(
        host.check_output(
            "curl --silent --insecure --output /dev/null --write-out '%{http_code}' "
            f"--resolve shop.test:443:127.0.0.1 {header} {URL}/"
        )
    )


def assert_closed(answer: Answer, retry_after: str = "120") -> None:
    assert answer.status == 503
    assert answer.headers.get_all("Retry-After") == [retry_after]
    assert answer.headers.get_all("Cache-Control") == ["no-store"]
    assert answer.headers["Content-Type"].startswith("text/html")
    assert answer.headers["Strict-Transport-Security"] == "max-age=600; includeSubDomains"


@pytest.fixture(scope="module")
def opened(host: Any) -> Iterator[None]:
    """Whatever happens, the tests after these find every site open."""
    yield
    maintenance(host, "off", app="all")


pytestmark = pytest.mark.usefixtures("opened")


def test_closing_is_shown_first(host: Any, visitor: Visitor) -> None:
    before = host.check_output(STATE)
    said = maintenance(host, "on", "--check", "--diff", app="shop", allow="203.0.113.7")
    assert "changed=1" in said
    assert "+    203.0.113.7 0;" in said
    assert host.check_output(STATE) == before
    assert ask(visitor).status == 200


def test_a_closed_site_answers_503_to_everybody(host: Any, visitor: Visitor) -> None:
    assert "changed=1" in maintenance(host, "on", app="shop", allow="203.0.113.7,2001:db8::/64", retry_after="120")
    answer = ask(visitor)
    assert_closed(answer)
    assert "closed for maintenance" in answer.text
    for loader in ("src=", "href=", "@import", "url(", "<script"):
        assert loader not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a%2Fb/?x=1",
        "/feeds/1",
        "/legacy/page",  # redirected, when open
        "/static/app.css",
        "/media/photo.png",
        "/.well-known/security.txt",
        "/_groundcrew/maintenance.html",
        "/_groundcrew/holding.html",
    ],
)
def test_every_path_is_closed(visitor: Visitor, path: str) -> None:
    assert_closed(ask(visitor, f"{URL}{path}"))
    assert_closed(ask(visitor, f"https://api.shop.test{path}"))


@pytest.mark.parametrize(
    ("method", "size"), [("HEAD", 0), ("POST", 10), ("POST", 3 * 2**20), ("PUT", 10), ("DELETE", 0)]
)
def test_every_method_is_closed(visitor: Visitor, method: str, size: int) -> None:
    assert_closed(ask(visitor, method=method, headers={"Content-Length": str(size)}, body=b"x" * min(size, 1000)))


def test_http2_is_closed(host: Any) -> None:
    told = host.check_output(
        "curl --silent --insecure --http2 --resolve shop.test:443:127.0.0.1 -H 'X-Forwarded-For: 198.51.100.1' "
        f"--output /dev/null --write-out '%{{http_version}} %{{http_code}}' --data x=1 {URL}/"
    )
    assert told == "2 503"


def test_a_websocket_is_closed(visitor: Visitor) -> None:
    with visitor.connect("shop.test", tls=True, verify=False) as connection:
        connection.sendall(b"GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
        answer = connection.recv(10000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 120\r\n" in answer


def test_what_only_the_smoke_test_says_opens_nothing(visitor: Visitor) -> None:
    assert_closed(ask(visitor, headers={"X-Groundcrew-Smoke": "1", "X-Forwarded-For": "127.0.0.1"}))


def test_plain_http_still_leads_to_https(visitor: Visitor) -> None:
    assert visitor.get("http://shop.test/").status == 308


def test_other_sites_and_the_files_of_this_one_are_open(visitor: Visitor) -> None:
    assert ask(visitor, "https://vault.test/").status == 200
    assert ask(visitor, "https://static.shop.test/static/app.css").status == 200


def test_a_certificate_can_be_renewed_meanwhile(host: Any, visitor: Visitor) -> None:
    host.check_output("mkdir -p /var/lib/acme/.well-known/acme-challenge")
    host.check_output("echo answer >/var/lib/acme/.well-known/acme-challenge/renewal")
    for scheme in ("http", "https"):
        challenge = f"{scheme}://shop.test/.well-known/acme-challenge"
        assert ask(visitor, f"{challenge}/renewal").text == "answer\n"
        assert ask(visitor, f"{challenge}/other").status == 404


def test_the_server_itself_gets_through_and_who_comes_by_a_proxy_is_a_visitor(host: Any) -> None:
    assert from_the_server(host) == "200"
    for address in ("::1", "203.0.113.7", "2001:db8::7"):
        assert from_the_server(host, address) == "200"
    for address in ("198.51.100.1", "203.0.113.8", "2001:db8:0:1::7", "127.0.0.1, 198.51.100.1"):
        assert from_the_server(host, address) == "503"


def test_closing_twice_changes_nothing(host: Any) -> None:
    before = host.check_output(STATE)
    # The order in which addresses are named counts as little as where they are written.
    said = maintenance(host, "on", app="shop", allow=["203.0.113.7", "2001:db8::/64"], retry_after=120)
    assert "changed=0" in said
    assert host.check_output(STATE) == before


def test_a_run_of_the_role_leaves_it_closed(host: Any, visitor: Visitor) -> None:
    assert "changed=0" in converge(host)
    assert "changed=0" not in converge(host, nginx_static_max_age=61)
    assert_closed(ask(visitor))
    converge(host)
    assert_closed(ask(visitor))


def test_a_restart_leaves_it_closed(host: Any, visitor: Visitor) -> None:
    started = "systemctl show --property=UserspaceTimestampMonotonic"
    before = host.check_output(started)
    host.check_output("systemd-run --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot")
    deadline = time.monotonic() + 90
    while True:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        try:
            if host.run(started).stdout not in ("", before, f"{before}\n") and ask(visitor).status:
                break
        except (OSError, RuntimeError):
            continue  # testinfra says RuntimeError when ssh does not get through
    assert_closed(ask(visitor))


def test_chosen_addresses_get_through(host: Any, visitor: Visitor) -> None:
    address = own_address(visitor)
    maintenance(host, "on", app="shop", allow=address, retry_after=120)
    assert json.loads(ask(visitor, method="POST", body=b"12345").body)["length"] == 5
    network = f"{address.rpartition('.')[0]}.0/24"
    maintenance(host, "on", app="shop", allow=["2001:db8::/64", network], retry_after=120)
    assert ask(visitor).status == 200
    assert ask(visitor, f"{URL}/static/app.css").status == 200


def test_a_page_of_the_users_own(host: Any, visitor: Visitor, tmp_path: Path) -> None:
    page = tmp_path / "closed.html"
    page.write_text("<!doctype html><title>é {{ no template }}</title>\n", "utf-8")
    maintenance(host, "on", app="shop", page=str(page), retry_after=7)
    answer = ask(visitor, method="POST", body=b"x")
    assert_closed(answer, "7")
    assert answer.body == page.read_bytes()


def test_opening(host: Any, visitor: Visitor) -> None:
    assert "changed=1" in maintenance(host, "off", app="shop")
    assert ask(visitor).status == 200
    assert ask(visitor, f"{URL}/_groundcrew/maintenance.html").status == 200  # the app's answer
    assert "changed=0" in maintenance(host, "off", app="shop")
    assert host.check_output("ls /etc/nginx/maintenance") == ""


def test_all_at_once_also_what_has_no_release(host: Any, visitor: Visitor) -> None:
    maintenance(host, "on", app="all", retry_after=120)
    for site in ("shop", "vault", "later"):
        assert_closed(ask(visitor, f"https://{site}.test/"))
    maintenance(host, "off", app="all")
    assert ask(visitor).status == ask(visitor, "https://vault.test/").status == 200
    assert "Back in a moment" in ask(visitor, "https://later.test/").text


@pytest.mark.parametrize(
    ("state", "wish", "words"),
    [
        ("on", {}, "so say which: name one of shop, vault, later, all"),
        ("on", {"app": "shp"}, "there is no site 'shp' here: name one of shop, vault, later, all"),
        ("offf", {"app": "shop"}, "must be one of: on, off, got: offf"),
        ("on", {"app": "shop", "allow": "203.0.113.256"}, "'203.0.113.256' is neither an address nor a network"),
        ("on", {"app": "shop", "page": "no/such.html"}, "no/such.html on this machine"),
        ("on", {"app": "shop", "retry_after": "soon"}, "soon"),
        ("on", {"app": "new"}, "run the playbook groundcrew.django.site against this server once"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_changes(
    host: Any, state: str, wish: dict[str, Any], words: str
) -> None:
    before = host.check_output(STATE)
    if wish.get("app") == "new":
        wish = {**wish, "nginx_sites": [{"name": "new", "domains": ["new.test"]}]}
    said = maintenance(host, state, check=False, **wish)
    assert words in " ".join(said.split())
    assert "failed=1" in said
    assert host.check_output(STATE) == before
