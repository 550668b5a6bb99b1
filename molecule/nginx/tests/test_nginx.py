"""What a visitor, an app and an attacker see of nginx."""

from __future__ import annotations

import importlib.util
import json
import re
import socket
import ssl
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from again import converge
from testbed import server
from visitor import Answer, Visitor

SCENARIO = Path(__file__).parents[1]


def header_lists() -> Any:
    spec = importlib.util.spec_from_file_location("f", SCENARIO.parents[1] / "plugins/module_utils/_forwarding.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def get(visitor: Visitor, url: str, **options: Any) -> Answer:
    """The certificates here are placeholders."""
    return visitor.get(url, verify=False, **options)


def seen(answer: Answer) -> dict[str, list[str]]:
    """The request headers as the app saw them, by their lower-case names."""
    assert answer.status == 200, answer.text
    headers: dict[str, list[str]] = {}
    for name, value in json.loads(answer.body)["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    return headers


def raw(visitor: Visitor, domain: str, request: str, tls: bool = True) -> bytes:
    """Everything that comes back for bytes that no decent client sends."""
    with visitor.connect(domain, tls=tls, verify=False, timeout=10) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


# ------------------------------------------------------------------------------------------------------- hosts and TLS


@pytest.mark.parametrize("host_name", ["shop.test", "api.shop.test", "www.shop.test", "static.shop.test", "later.test"])
def test_http_becomes_https_on_the_same_host(visitor: Visitor, host_name: str) -> None:
    answer = visitor.get(f"http://{host_name}/a%2Fb/?x=%20y")
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{host_name}/a%2Fb/?x=%20y")
    assert "Strict-Transport-Security" not in answer.headers


def test_redirecting_domains_lead_to_the_first_and_no_others_do(visitor: Visitor) -> None:
    answer = get(visitor, "https://www.shop.test/cart?item=1")
    assert (answer.status, answer.headers["Location"]) == (308, "https://shop.test/cart?item=1")
    answer = get(visitor, "https://www.shop.test:8443/cart")
    assert answer.headers["Location"] == "https://shop.test:8443/cart"
    assert seen(get(visitor, "https://api.shop.test/"))["host"] == ["api.shop.test"]


def test_unknown_hosts_get_no_word(visitor: Visitor) -> None:
    assert raw(visitor, "x", "GET / HTTP/1.0\n\n", tls=False) == b""
    for name in ("unknown.test", "localhost", "127.0.0.1", "shop.test.evil.test"):
        assert raw(visitor, "x", f"GET / HTTP/1.1\nHost: {name}\n\n", tls=False) == b""
    with pytest.raises(ssl.SSLError):
        visitor.connect("unknown.test", tls=True, verify=False)
    # The right name for TLS, another in the request.
    assert raw(visitor, "shop.test", "GET / HTTP/1.1\nHost: unknown.test\n\n") == b""


def test_a_client_without_sni_sees_no_certificate(visitor: Visitor) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(server.endpoint(visitor.name, 443), timeout=10) as connection,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(connection)


@pytest.mark.parametrize(
    ("version", "works"),
    [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)],
)
def test_tls_versions(visitor: Visitor, version: str, works: bool) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # this client would speak the old ones
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection(server.endpoint(visitor.name, 443), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="shop.test") as connection:
                assert works
                assert connection.selected_alpn_protocol() == "h2"
                assert "DHE" in (connection.cipher() or ("",))[0] or version == "TLSv1_3"
        except ssl.SSLError:
            assert not works


def test_http2_carries_the_same_headers(host: Any) -> None:
    answer = host.check_output(
        "curl --silent --insecure --http2 --resolve shop.test:443:127.0.0.1 -w '\n%{http_version}' https://shop.test/x"
    )
    body, _, version = answer.rpartition("\n")
    assert version == "2"
    assert dict(json.loads(body)["headers"])["Host"] == "shop.test"


def test_acme_challenges_are_answered_on_every_host(host: Any, visitor: Visitor) -> None:
    host.check_output("mkdir -p /var/lib/acme/.well-known/acme-challenge")
    host.check_output("echo answer >/var/lib/acme/.well-known/acme-challenge/token")
    for name in ("shop.test", "www.shop.test", "static.shop.test", "unknown.test"):
        assert visitor.get(f"http://{name}/.well-known/acme-challenge/token").text == "answer\n"
        assert visitor.get(f"http://{name}/.well-known/acme-challenge/other").status == 404
    # An authority follows a redirect, as proxies in front of a server like to make them.
    assert get(visitor, "https://shop.test/.well-known/acme-challenge/token").text == "answer\n"


# ------------------------------------------------------------------------------------------------------------ requests


def test_the_smoke_test_of_a_deploy_reaches_the_app_and_its_answer_comes_back(visitor: Visitor) -> None:
    url = "https://shop.test/?header=X-Groundcrew-Release:%20r1"
    answer = get(visitor, url, headers={"X-Groundcrew-Smoke": "token"})
    assert seen(answer)["x-groundcrew-smoke"] == ["token"]
    assert answer.headers.get_all("X-Groundcrew-Release") == ["r1"]
    # Of nginx's own it is not: who says it gets what everybody gets, and without it nothing is added.
    plain = get(visitor, "https://shop.test/", headers={"X-Groundcrew-Smoke": "token"})
    assert "X-Groundcrew-Release" not in plain.headers
    assert "x-groundcrew-smoke" not in seen(get(visitor, "https://shop.test/"))


def test_no_visitor_can_forge_who_and_whence_he_is(visitor: Visitor) -> None:
    headers = header_lists()
    names = set(headers.forwarding_headers()) - {"Host"}
    forged = dict.fromkeys(names | {name.replace("-", "_") for name in names}, "forged")
    app = seen(get(visitor, "https://shop.test/", headers=forged))
    assert not {name.lower() for name in headers.CLEARED} & set(app)
    assert not [value for values in app.values() for value in values if "forged" in value]
    assert {name: app[name.lower()] for name in headers.SCHEME_HEADERS} == {
        name: [value] for name, value in headers.SCHEME_HEADERS.items()
    }
    assert app["x-forwarded-proto"] == ["https"]
    assert app["host"] == app["x-forwarded-host"] == ["shop.test"]
    assert app["x-forwarded-port"] == ["443"]
    assert app["x-forwarded-for"] == app["x-real-ip"]
    socket.inet_aton(app["x-real-ip"][0])
    assert app["connection"] == ["close"]


def test_only_a_trusted_proxy_may_name_the_visitor(host: Any, visitor: Visitor) -> None:
    command = (
        "curl --silent --insecure --resolve shop.test:443:127.0.0.1 --header 'X-Forwarded-For: {}' https://shop.test/"
    )
    told = host.check_output(command.format("198.51.100.1, 203.0.113.9"))
    assert dict(json.loads(told)["headers"])["X-Real-IP"] == "203.0.113.9"
    app = seen(get(visitor, "https://shop.test/", headers={"X-Forwarded-For": "203.0.113.9"}))
    assert app["x-real-ip"] != ["203.0.113.9"]


def test_the_host_is_what_the_visitor_typed(visitor: Visitor) -> None:
    app = seen(get(visitor, "https://shop.test:8443/"))
    assert (app["host"], app["x-forwarded-port"]) == (["shop.test:8443"], ["8443"])
    assert seen(get(visitor, "https://shop.test:443/"))["host"] == ["shop.test"]
    # The request line overrules the header, and the app must not see the one that was overruled.
    request = "GET https://shop.test/ HTTP/1.1\nHost: evil.test:99\nConnection: close\n\n"
    assert b"evil" not in raw(visitor, "shop.test", request)


def test_paths_and_bodies_arrive_unaltered(visitor: Visitor) -> None:
    answer = visitor.ask("PUT", "https://shop.test/a%2Fb/%C3%A9?q=%2F&", body=b"x" * 1000, verify=False)
    app = json.loads(answer.body)
    assert (app["method"], app["path"], app["length"]) == ("PUT", "/a%2Fb/%C3%A9?q=%2F&", 1000)
    assert get(visitor, "https://vault.test/tcp").status == 200


def test_websocket_passes_and_other_upgrades_do_not(visitor: Visitor) -> None:
    with visitor.connect("shop.test", tls=True, verify=False) as connection:
        connection.sendall(b"GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 101 ")
        connection.sendall(b"hello")
        assert connection.recv(100) == b"HELLO"
    app = seen(get(visitor, "https://shop.test/", headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}))
    assert "upgrade" not in app


def test_bodies_beyond_the_limit_are_refused(visitor: Visitor) -> None:
    assert visitor.ask("POST", "https://shop.test/", body=b"x" * 2 * 2**20, verify=False).status == 200
    assert raw(
        visitor,
        "shop.test",
        f"POST / HTTP/1.1\nHost: shop.test\nContent-Length: {2 * 2**20 + 1}\nConnection: close\n\n",
    ).startswith(b"HTTP/1.1 413 ")


def test_rates_and_redirects_of_locations(visitor: Visitor) -> None:
    assert [get(visitor, f"https://shop.test/feeds/{n}").status for n in range(5)] == [200, 200, 200, 429, 429]
    for path, target in {
        "/legacy/a%2Fb?x=1": "https://old.test/archive/a%2Fb?x=1",
        "/legacy/": "https://old.test/archive/",
        "/moved/on": "https://old.test/exactly",
    }.items():
        answer = get(visitor, f"https://shop.test{path}")
        assert (answer.status, answer.headers["Location"]) == (308, target)


# ----------------------------------------------------------------------------------------------------------- responses


def test_headers_are_added_where_the_app_sent_none(visitor: Visitor) -> None:
    ours = get(visitor, "https://shop.test/").headers
    assert ours.get_all("Strict-Transport-Security") == ["max-age=600; includeSubDomains"]
    assert ours.get_all("Referrer-Policy") == ["same-origin"]
    assert ours.get_all("X-Content-Type-Options") == ["nosniff"]
    assert ours.get_all("Permissions-Policy") == ["camera=()"]
    assert "X-Frame-Options" not in ours
    assert ours["Server"] == "nginx"
    theirs = get(
        visitor,
        "https://shop.test/?status=404&header=Referrer-Policy:%20no-referrer&header=Strict-Transport-Security:%20max-age=1",
    ).headers
    assert theirs.get_all("Referrer-Policy") == ["no-referrer"]
    assert theirs.get_all("Strict-Transport-Security") == ["max-age=1"]
    assert theirs.get_all("X-Content-Type-Options") == ["nosniff"]
    redirect = get(visitor, "https://www.shop.test/").headers
    assert redirect["Strict-Transport-Security"] == "max-age=600; includeSubDomains"


def test_text_of_the_app_is_compressed(visitor: Visitor) -> None:
    options = {"headers": {"Accept-Encoding": "gzip"}}
    path = f"https://shop.test/{'x' * 600}?header=Content-Type:%20"
    assert get(visitor, f"{path}application/json", **options).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in get(visitor, f"{path}image/png", **options).headers


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_holding_page_before_the_first_release(visitor: Visitor, method: str) -> None:
    answer = visitor.ask(method, "https://later.test/anything", verify=False)
    assert (answer.status, answer.headers["Retry-After"], answer.headers["Cache-Control"]) == (503, "7", "no-store")
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "Back in a moment" in answer.text
    assert "Strict-Transport-Security" in answer.headers
    for loader in ("src=", "href=", "@import", "url(", "<script"):
        assert loader not in answer.text


def test_holding_page_for_an_app_that_is_slow_or_down(host: Any, visitor: Visitor) -> None:
    assert get(visitor, "https://shop.test/?slow=1").status == 200
    assert get(visitor, "https://shop.test/?slow=5").status == 503
    own = get(visitor, "https://shop.test/?status=503")
    assert own.status == 503
    assert b"Back in a moment" not in own.body
    assert get(visitor, "https://shop.test/_groundcrew/holding.html").status == 404
    host.check_output("systemctl stop upstream@vault")
    try:
        assert get(visitor, "https://vault.test/").status == 503
    finally:
        host.check_output("systemctl start upstream@vault")


# --------------------------------------------------------------------------------------------------- files and uploads

FOREVER = "public, max-age=31536000, immutable"
SHORT = "public, max-age=60, must-revalidate"


@pytest.mark.parametrize(
    ("path", "caching", "kind"),
    [
        ("app.css", SHORT, "text/css"),
        ("app.20240101.css", SHORT, "text/css"),
        ("app.0123456789ab.css", FOREVER, "text/css"),
        ("main-0123456789abcdef.js", FOREVER, "application/javascript"),
        ("old.fedcba987654.css", FOREVER, "text/css"),
        ("module.mjs", SHORT, "application/javascript"),
    ],
)
def test_static_files(visitor: Visitor, path: str, caching: str, kind: str) -> None:
    answer = get(visitor, f"https://shop.test/static/{path}")
    assert answer.status == 200
    assert answer.headers.get_all("Cache-Control") == [caching]
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Strict-Transport-Security" in answer.headers
    again = get(visitor, f"https://shop.test/static/{path}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


def test_precompressed_files_are_preferred(host: Any, visitor: Visitor) -> None:
    url = "https://shop.test/static/app.0123456789ab.css"
    plain = get(visitor, url)
    assert "Content-Encoding" not in plain.headers
    assert plain.headers["Vary"] == "Accept-Encoding"
    gzipped = get(visitor, url, headers={"Accept-Encoding": "gzip"})
    assert gzipped.headers["Content-Encoding"] == "gzip"
    assert len(gzipped.body) == int(host.check_output("stat -c %s /srv/shop/current/static/app.0123456789ab.css.gz"))
    assert gzipped.headers["Cache-Control"] == FOREVER
    brotli = get(visitor, url, headers={"Accept-Encoding": "gzip, br"})
    assert (brotli.headers["Content-Encoding"], brotli.body) == ("br", b"brotli\n")


def test_files_are_read_only_and_the_app_answers_the_rest(visitor: Visitor) -> None:
    assert visitor.ask("POST", "https://shop.test/static/app.css", verify=False).status == 405
    assert visitor.ask("HEAD", "https://shop.test/static/app.css", verify=False).status == 200
    for path in (
        "/static/",
        "/static/css",
        "/static/none.css",
        "/static/.hidden.css",
        "/static/.git/config",
        "/media/.hidden",
    ):
        answer = get(visitor, f"https://shop.test{path}")
        assert json.loads(answer.body)["path"] == path
        assert "Cache-Control" not in answer.headers
    for path in (
        "/static/../run/web.sock",
        "/static/..%2f..%2fcode",
        "/current/static/app.css",
        "/releases/1/static/app.css",
    ):
        answer = get(visitor, f"https://shop.test{path}")
        # 403: this site's admin is not for everybody, and such a path may lead there.
        assert answer.status in (400, 403) or "headers" in json.loads(answer.body)


def test_static_domain_serves_files_to_every_origin_and_no_app(visitor: Visitor) -> None:
    answer = get(visitor, "https://static.shop.test/static/app.0123456789ab.css")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, FOREVER)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    for path in ("/", "/media/photo.png", "/static/.hidden.css", "/static/none.css"):
        assert get(visitor, f"https://static.shop.test{path}").status == 404
    assert "Access-Control-Allow-Origin" not in get(visitor, "https://shop.test/static/app.css").headers


@pytest.mark.parametrize(
    ("name", "kind", "disposition", "policy"),
    [
        ("page.html", "text/html", "attachment", "sandbox"),
        ("drawing.SVG", "image/svg+xml", "attachment", "sandbox"),
        ("photo.png", "image/png", None, "sandbox"),
        ("linked.png", "image/png", None, "sandbox"),
        ("paper.pdf", "application/pdf", None, None),
        ("notes", "application/octet-stream", None, "sandbox"),
    ],
)
def test_uploads_run_nowhere(
    visitor: Visitor, name: str, kind: str, disposition: str | None, policy: str | None
) -> None:
    answer = get(visitor, f"https://shop.test/media/{name}")
    assert answer.status == 200
    assert answer.headers["Content-Type"].split(";")[0] == kind
    assert answer.headers.get_all("Content-Disposition") == ([disposition] if disposition else None)
    assert answer.headers.get_all("Content-Security-Policy") == ([policy] if policy else None)
    assert answer.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers["Cache-Control"] == SHORT
    assert "Strict-Transport-Security" in answer.headers


def test_media_domain_serves_uploads_and_no_app(visitor: Visitor) -> None:
    answer = get(visitor, "https://media.shop.test/media/page.html")
    assert (answer.status, answer.headers["Content-Disposition"]) == (200, "attachment")
    for path in ("/", "/static/app.css", "/media/.hidden", "/media/stolen.txt", "/media/none"):
        assert get(visitor, f"https://media.shop.test{path}").status == 404


def test_a_link_among_uploads_opens_nobody_elses_file(visitor: Visitor) -> None:
    for path in ("/media/stolen.txt", "/media/passwd.txt", "/uploads/stolen.txt"):
        answer = get(visitor, f"https://shop.test{path}")
        assert json.loads(answer.body)["path"] == path  # the app's answer, not the file
    assert get(visitor, "https://shop.test/uploads/linked.png").body == b"photo.png\n"


def test_internal_uploads_only_at_the_apps_word(visitor: Visitor) -> None:
    for path in ("/_media/report.html", "/media/report.html"):
        answer = get(visitor, f"https://vault.test{path}")
        assert b"private" not in answer.body
    assert get(visitor, "https://vault.test/_media/report.html").status == 404
    with pytest.raises(ssl.SSLError):  # no domain for uploads that nobody may fetch
        visitor.connect("media.vault.test", tls=True, verify=False)
    sent = get(
        visitor,
        "https://vault.test/view?header=X-Accel-Redirect:%20/_media/report.html&header=Content-Type:%20text/html",
    )
    assert (sent.status, sent.body) == (200, b"private\n")
    assert sent.headers.get_all("Content-Disposition") == ["attachment"]
    assert sent.headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert sent.headers.get_all("Content-Security-Policy") == ["sandbox"]
    assert sent.headers.get_all("Cache-Control") == ["private, no-cache"]
    named = get(
        visitor,
        "https://vault.test/view?header=X-Accel-Redirect:%20/_media/report.html&header=Cache-Control:%20no-store"
        "&header=Content-Disposition:%20inline;filename=a.html",
    )
    assert named.headers.get_all("Content-Disposition") == ["inline;filename=a.html"]
    assert named.headers.get_all("Cache-Control") == ["no-store"]


# ------------------------------------------------------------------------------------------------------------- service


def test_nothing_else_listens(host: Any) -> None:
    listening = {
        address.rpartition(":")[2]
        for address in host.check_output("ss -Hltn | awk '{print $4}'").split()
        if not address.startswith("127.")
    }
    assert listening == {"22", "80", "443"}


def logged(host: Any, mark: str) -> dict[str, Any]:
    """The last line of the access log that holds a mark."""
    found: dict[str, Any] = json.loads(host.check_output("grep -F %s /var/log/nginx/access.log", mark).splitlines()[-1])
    return found


def test_a_request_has_the_same_id_in_the_access_log_and_in_the_app(host: Any, visitor: Visitor) -> None:
    asked = {"X-Request-ID": "forged", "User-Agent": 'a "quoted" agent\\', "Referer": "https://elsewhere.test/"}
    answer = get(visitor, "https://api.shop.test/find-me?a=1%20b&slow=0.2", headers=asked)
    app = seen(answer)
    line = logged(host, "find-me")
    assert re.fullmatch(r"[0-9a-f]{32}", line["request_id"])
    assert app["x-request-id"] == [line["request_id"]]
    # The scenario wants visitors to be told as well.
    assert answer.headers.get_all("X-Request-ID") == [line["request_id"]]
    assert (line["host"], line["method"], line["path"]) == ("api.shop.test", "GET", "/find-me")
    assert (line["query"], line["status"], line["user_agent"]) == ("a=1%20b&slow=0.2", 200, asked["User-Agent"])
    assert (line["referer"], line["remote_addr"]) == (asked["Referer"], app["x-real-ip"][0])
    # Both are rounded on their own.
    assert line["request_time"] >= line["upstream_time"] - 0.002 >= 0.19
    assert line["bytes"] > 100
    assert datetime.fromisoformat(line["time"]).tzinfo
    another = seen(get(visitor, "https://shop.test/"))
    assert another["x-request-id"] != app["x-request-id"]


def test_every_line_of_the_access_log_is_an_object(host: Any, visitor: Visitor) -> None:
    """Also for what is no decent request, what the app is not asked for, and what it does not answer."""
    get(visitor, "https://shop.test/legacy/not-asked")
    assert logged(host, "not-asked")["upstream_time"] is None
    assert get(visitor, "https://later.test/not-there").status == 503
    assert logged(host, "not-there")["status"] == 503
    raw(visitor, "x", "GET /dropped HTTP/1.1\nHost: unknown.test\n\n", tls=False)
    assert logged(host, "/dropped")["status"] == 444
    for request in (
        "nonsense\n\n",
        "GET /old\n",
        "\x16\x03\x01\n\n",
        'GET /"{} HTTP/1.1\nHost: shop.test\nConnection: close\nX: \x01\n\n',
    ):
        raw(visitor, "shop.test", request)
    with visitor.connect("shop.test", tls=True, verify=False) as connection:
        connection.sendall(b"GET /half")
    lines = host.check_output("cat /var/log/nginx/access.log").splitlines()
    assert len(lines) > 10
    for line in lines:
        assert isinstance(json.loads(line), dict), line


def test_private_keys_are_roots(host: Any) -> None:
    key = host.file("/etc/groundcrew/tls/shop/privkey.pem")
    assert (key.user, key.group, key.mode) == ("root", "root", 0o600)


def test_a_crash_heals_itself(host: Any, visitor: Visitor) -> None:
    host.check_output("systemctl kill --signal=KILL nginx.service")
    deadline = time.monotonic() + 15
    while host.run("systemctl is-active --quiet nginx.service").rc:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert get(visitor, "https://shop.test/").status == 200


def test_certbots_hook_reloads_nginx(host: Any) -> None:
    def workers() -> str:
        return host.check_output("pgrep -P $(cat /run/nginx.pid) | sort | head -1")

    before = workers()
    host.check_output("/etc/letsencrypt/renewal-hooks/deploy/50-groundcrew-nginx")
    deadline = time.monotonic() + 10
    while workers() == before:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_an_invalid_site_never_stands_in_the_live_place(host: Any, visitor: Visitor) -> None:
    fingerprint = "find /etc/nginx -type f -exec sha256sum {} + | sort; pgrep -P $(cat /run/nginx.pid) | sort"
    before = host.check_output(fingerprint)
    wrong = {
        "name": "shop",
        "domains": ["shop.test"],
        "root": "/srv/shop",
        "upstream": "/srv/shop/current/run/web.sock",
        "certificate": "/etc/groundcrew/tls/shop",
        "body_size": "ten megabytes",
    }
    said = converge(host, check=False, nginx_sites=[wrong], nginx_hsts="max-age=1")
    assert 'invalid number of arguments in "client_max_body_size" directive' in said
    assert host.check_output(fingerprint) == before
    assert get(visitor, "https://vault.test/").headers["Strict-Transport-Security"] == "max-age=600; includeSubDomains"


def test_a_site_that_is_wanted_no_more_is_gone(host: Any, visitor: Visitor) -> None:
    only = {
        "name": "vault",
        "domains": ["vault.test"],
        "root": "/srv/vault",
        "upstream": "127.0.0.1:8001",
        "certificate": "/etc/groundcrew/tls/vault",
    }
    host.check_output(
        "echo 'server { server_name hand-made.test; listen 80; return 204; }' >/etc/nginx/sites-enabled/own"
    )
    converge(host, nginx_sites=[only])
    assert get(visitor, "https://vault.test/").status == 200
    with pytest.raises(ssl.SSLError):
        visitor.connect("shop.test", tls=True, verify=False)
    assert visitor.get("http://hand-made.test/").status == 204  # what somebody else wrote stays
