"""What the role nginx writes for a site, from its real defaults: rendered by Ansible, and read as nginx reads it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._app_checks import app_records
from ansible_collections.groundcrew.django.plugins.module_utils._forwarding import forwarding_headers
from ansible_collections.groundcrew.django.tests.unit.rendering import DEBIAN_12, play

SITE = {
    "name": "shop",
    "domains": ["shop.example.com", "api.example.com"],
    "root": "/srv/shop",
    "upstream": "/srv/shop/current/run/web.sock",
    "certificate": "/etc/groundcrew/tls/shop",
}
DEBIAN_13 = {"distribution_major_version": "13", "packages": {}}

CASES: dict[str, dict[str, Any]] = {
    "plain": {"nginx_sites": [SITE]},
    "trixie": {"nginx_sites": [SITE], "ansible_facts": DEBIAN_13},
    "backport": {
        "nginx_sites": [SITE],
        "ansible_facts": {**DEBIAN_12, "packages": {"nginx": [{"version": "1.26.3-1"}]}},
    },
    "no_ipv6": {"nginx_sites": [SITE], "ansible_facts": {**DEBIAN_13, "cmdline": {"ipv6.disable": "1"}}},
    "no_brotli": {"nginx_sites": [SITE], "nginx_packages": ["nginx"]},
    "no_hsts": {"nginx_sites": [SITE], "nginx_hsts": ""},
    "json_log": {"nginx_sites": [SITE], "nginx_access_log_format": "json"},
    "described": {
        "django_apps": [
            {
                "name": "blog",
                "domains": ["blog.example.com"],
                "source": {"repo": "https://example.com/blog.git", "version": "main"},
            }
        ]
    },
    "full": {
        "nginx_sites": [
            {
                **SITE,
                "redirect_domains": ["www.example.com"],
                "static_domain": "files.example.com",
                "media_domain": "files.example.com",
                "upstream": "127.0.0.1:8000",
                "media": "public",
                "body_size": "1g",
                "timeout": 305,
                "locations": [
                    {"path": "/", "rate": "10r/s", "redirect": None},
                    {"path": "/a.b/(c)/", "rate": None, "redirect": "https://old.example.com/"},
                    {"path": "/login", "rate": "5r/m"},
                ],
            }
        ],
        "nginx_trusted_proxies": ["192.0.2.0/24"],
    },
    "guarded": {
        "ansible_facts": {**DEBIAN_13, "default_ipv4": {"address": "192.0.2.10"}, "default_ipv6": {}},
        "nginx_sites": [
            {
                **SITE,
                "name": "my-shop",
                "admin_paths": ["/admin/", "/a.b"],
                "admin_allow": ["203.0.113.7", "2001:db8::/64"],
                "login_paths": ["/accounts/login/"],
                "locations": [{"path": "/accounts/", "rate": "10r/s"}],
            },
            {**SITE, "name": "blog", "admin_paths": ["/admin/"]},
        ],
        "nginx_unlimited": ["198.51.100.0/24"],
        "nginx_security_txt": {
            "contact": ["security@example.com", "https://example.com/report"],
            "policy": "https://example.com/policy",
            "preferred_languages": ["en", "de"],
        },
    },
    "unlimited": {
        "nginx_sites": [{**SITE, "admin_paths": ["/admin/"], "login_paths": ["/login/"]}],
        "nginx_visitor_rate": "",
        "nginx_visitor_connections": 0,
        "nginx_login_rate": "",
        "nginx_client_header_timeout": "",
        "nginx_client_body_timeout": "",
        "nginx_send_timeout": "",
        "nginx_sandbox": False,
    },
    **{f"media_{kind}": {"nginx_sites": [{**SITE, "media": kind}]} for kind in ("public", "app", "internal", "none")},
    "closed": {
        "nginx_sites": [{**SITE, "name": "my-shop"}, {**SITE, "name": "myshop"}],
        "nginx_maintenance_state": "on",
        "nginx_maintenance_site": "my-shop",
        "nginx_maintenance_allow": "203.0.113.7, 2001:db8::/64,203.0.113.7",
        "nginx_maintenance_retry_after": "1800",
    },
    "nulls": {
        "nginx_sites": [{**SITE, "static_domain": None, "media_domain": None, "redirect_domains": [], "locations": []}]
    },
}

# One text for all files of a case: a task for each would take minutes.
RENDER = """
{%- set files = {} -%}
{%- for file in __nginx_files + (__nginx_security_files if nginx_security_txt else []) + __nginx_site_files + __nginx_maintenance_files | selectattr('src', 'defined') -%}
{%- set text = lookup('ansible.builtin.template', templates ~ file.src, template_vars=file.vars | default({})) -%}
{%- set ignored = files.update({file.dest | basename: text}) -%}
{%- endfor -%}
{{ files | to_json }}
"""

Block = list[tuple[list[str], Any]]


def parse(text: str) -> Block:
    """Directives as nginx reads them: the words of each, and the directives of its block, or None."""
    words = re.findall(r'#[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[;{}]|(?:\\.|\$\{|[^\s;{}"\'])+', text)
    tokens = iter([word for word in words if not word.startswith("#")])

    def block() -> Block:
        found: Block = []
        line: list[str] = []
        for token in tokens:
            if token == "}":
                break
            if token in (";", "{"):
                found.append((line, block() if token == "{" else None))
                line = []
            else:
                line.append(token.strip("\"'"))
        assert not line, f"unfinished: {line}"
        return found

    return block()


def values(block: Block, name: str) -> list[list[str]]:
    return [words[1:] for words, inner in block if words[0] == name and inner is None]


def location(server: Block, path: str) -> Block:
    (found,) = [inner for words, inner in server if words[0] == "location" and words[-1] == path]
    return found


def locations(server: Block) -> set[str]:
    return {words[-1] for words, _inner in server if words[0] == "location"}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Every file of every case."""
    return play("nginx", CASES, RENDER, tmp_path_factory.mktemp("nginx"))


def servers(files: dict[str, str], file: str = "shop.conf") -> dict[tuple[str, str], Block]:
    """Servers of a site by the first word of their listen and their first name."""
    found = [inner for words, inner in parse(files[file]) if words == ["server"]]
    return {(values(each, "listen")[0][0], values(each, "server_name")[0][0]): each for each in found}


def test_every_file_is_what_nginx_can_read(rendered: dict[str, dict[str, str]]) -> None:
    for files in rendered.values():
        for name, text in files.items():
            if name.endswith(".conf") and name != "10-groundcrew.conf":
                assert parse(text)
            assert "\n\n\n" not in text, name
            assert not re.search(r"[ \t]$", text, re.MULTILINE), name
            assert "None" not in text, name


@pytest.mark.parametrize(
    ("case", "listen", "directive"),
    [
        ("plain", ["443 ssl http2", "[::]:443 ssl http2"], []),
        ("trixie", ["443 ssl", "[::]:443 ssl"], [["on"]]),
        ("backport", ["443 ssl", "[::]:443 ssl"], [["on"]]),
        ("no_ipv6", ["443 ssl"], [["on"]]),
    ],
)
def test_http2_and_ipv6_by_what_the_server_can(
    rendered: dict[str, dict[str, str]], case: str, listen: list[str], directive: list[list[str]]
) -> None:
    server = servers(rendered[case])["443", "shop.example.com"]
    assert [" ".join(words) for words in values(server, "listen")] == listen
    assert values(server, "http2") == directive
    unknown = [inner for words, inner in parse(rendered[case]["groundcrew-unknown-hosts.conf"])]
    assert [[" ".join(words) for words in values(each, "listen")] for each in unknown] == [
        [f"{words.split()[0].replace('443', '80')} default_server" for words in listen],
        [f"{words} default_server" for words in listen],
    ]


def log_format(text: str) -> tuple[list[str], str]:
    """The options of the access log's format, and a line of it as nginx puts it together."""
    (http,) = [inner for words, inner in parse(text) if words == ["http"]]
    assert values(http, "access_log") == [["/var/log/nginx/access.log", "groundcrew"]]
    (written,) = re.findall(r"log_format groundcrew ([^;]*);", text)
    options = re.findall(r"escape=\w+", written)
    return options, "".join(re.findall("'([^']*)'", written))


def test_the_access_log_begins_as_log_tools_know_it_and_ends_with_the_requests_id(
    rendered: dict[str, dict[str, str]],
) -> None:
    options, line = log_format(rendered["plain"]["nginx.conf"])
    combined = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
    assert options == []
    assert line.startswith(f'{combined} "$http_referer" "$http_user_agent" ')
    assert line.endswith(" $request_id")


def test_the_access_log_may_be_an_object_per_line(rendered: dict[str, dict[str, str]]) -> None:
    options, line = log_format(rendered["json_log"]["nginx.conf"])
    assert options == ["escape=json"]
    # What is not in quotes is a number, or null.
    numbers = {"status", "bytes", "request_time", "upstream_time"}
    found = json.loads(re.sub(r"(?<=:)\$\w+", "0", line))
    assert {name for name, value in found.items() if value == 0} == numbers
    assert found["request_id"] == "$request_id"


def test_a_plain_site(rendered: dict[str, dict[str, str]]) -> None:
    found = servers(rendered["plain"])
    assert set(found) == {("80", "shop.example.com"), ("443", "shop.example.com")}
    server = found["443", "shop.example.com"]
    assert values(server, "server_name") == [["shop.example.com", "api.example.com"]]
    assert values(server, "ssl_certificate") == [["/etc/groundcrew/tls/shop/fullchain.pem"]]
    assert values(server, "client_max_body_size") == [["10m"]]
    assert values(location(server, "/"), "try_files") == [
        ["/current/public/static$groundcrew_file", "/shared/public$groundcrew_file", "@media"]
    ]
    assert values(location(server, "@media"), "try_files") == [["/current/public/media$groundcrew_file", "@app"]]
    app = location(server, "@app")
    assert values(app, "proxy_pass") == [["http://unix:/srv/shop/current/run/web.sock"]]
    assert values(app, "proxy_read_timeout") == [["65s"]]
    assert rendered["plain"]["shop.conf"] == rendered["nulls"]["shop.conf"]


def test_a_described_app_gets_a_site(rendered: dict[str, dict[str, str]]) -> None:
    server = servers(rendered["described"], "blog.conf")["443", "blog.example.com"]
    assert values(location(server, "@app"), "proxy_pass") == [["http://unix:/srv/blog/current/run/web.sock"]]
    assert values(server, "ssl_certificate") == [["/etc/groundcrew/tls/blog/fullchain.pem"]]


def test_a_full_site(rendered: dict[str, dict[str, str]]) -> None:
    found = servers(rendered["full"])
    assert values(found["80", "shop.example.com"], "server_name") == [
        ["shop.example.com", "api.example.com", "www.example.com", "files.example.com"]
    ]
    redirect = location(found["443", "www.example.com"], "/")
    assert values(redirect, "return") == [["308", "https://shop.example.com$groundcrew_port$request_uri"]]
    server = found["443", "shop.example.com"]
    assert values(server, "client_max_body_size") == [["1g"]]
    app = location(server, "@app")
    assert (values(app, "proxy_pass"), values(app, "proxy_read_timeout")) == ([["http://127.0.0.1:8000"]], [["305s"]])
    # A rule for everything takes the place of the plain location, which nginx would refuse as a second one.
    assert values(location(server, "/"), "limit_req") == [["zone=shop_rate_1", "burst=10", "nodelay"]]
    assert values(location(server, "/login"), "limit_req") == [["zone=shop_rate_2", "burst=10", "nodelay"]]
    zones = values(parse(rendered["full"]["shop.conf"]), "limit_req_zone")
    assert [words[1:] for words in zones] == [
        ["zone=shop_rate_1:1m", "rate=10r/s"],
        ["zone=shop_rate_2:1m", "rate=5r/m"],
    ]
    assert r'"^/a\.b/\(c\)/(?<groundcrew_rest>.*)$"' in rendered["full"]["shop.conf"]
    files = found["443", "files.example.com"]
    assert values(location(files, "/"), "try_files")[0][-1] == "@media"
    assert values(location(files, "@media"), "try_files")[0][-1] == "=404"
    http = next(inner for words, inner in parse(rendered["full"]["nginx.conf"]) if words == ["http"])
    assert values(http, "set_real_ip_from") == [["192.0.2.0/24"]]
    assert not values(next(i for w, i in parse(rendered["plain"]["nginx.conf"]) if w == ["http"]), "set_real_ip_from")


@pytest.mark.parametrize(
    ("case", "places"),
    [
        ("media_public", {"@media"}),
        ("media_app", set()),
        ("media_none", set()),
        ("media_internal", {"/_media/"}),
    ],
)
def test_uploads(rendered: dict[str, dict[str, str]], case: str, places: set[str]) -> None:
    server = servers(rendered[case])["443", "shop.example.com"]
    assert locations(server) - {"/", "@app", "@moved", "/_groundcrew/holding.html"} == places
    after = values(location(server, "/"), "try_files")[0][-1]
    assert after == ("@media" if case == "media_public" else "@app")
    for place in places:
        assert values(location(server, place), "disable_symlinks")[0][0] == "if_not_owner"
        assert ["snippets/groundcrew-media.conf"] in values(location(server, place), "include")
    if case == "media_internal":
        assert values(location(server, "/_media/"), "internal") == [[]]


def test_every_location_with_headers_of_its_own_keeps_the_common_ones(rendered: dict[str, dict[str, str]]) -> None:
    common = {"snippets/groundcrew-headers.conf", "snippets/groundcrew-media.conf"}

    def walk(block: Block) -> None:
        if values(block, "add_header"):
            assert common & {words[0] for words in values(block, "include")}
        for _words, inner in block:
            if inner is not None:
                walk(inner)

    for files in rendered.values():
        for name, text in files.items():
            if name in ("shop.conf", "blog.conf"):
                walk(parse(text))


def test_every_forwarding_header_is_set_or_cleared_once(rendered: dict[str, dict[str, str]]) -> None:
    headers = [tuple(words) for words in values(parse(rendered["plain"]["groundcrew-proxy.conf"]), "proxy_set_header")]
    own = {"Connection": "$groundcrew_connection", "Upgrade": "$groundcrew_upgrade"}
    assert sorted(headers) == sorted({**forwarding_headers(), **own}.items())


def test_response_headers(rendered: dict[str, dict[str, str]]) -> None:
    def headers(case: str) -> list[str]:
        return [words[0] for words in values(parse(rendered[case]["groundcrew-headers.conf"]), "add_header")]

    common = ["X-Content-Type-Options", "Referrer-Policy", "Permissions-Policy"]
    assert headers("plain") == ["Strict-Transport-Security", *common]
    assert headers("no_hsts") == common
    assert '"max-age=31536000"' in rendered["plain"]["nginx.conf"]
    assert "includeSubDomains" not in rendered["plain"]["nginx.conf"]


def test_brotli_only_with_its_module(rendered: dict[str, dict[str, str]]) -> None:
    assert "brotli_static on;" in rendered["plain"]["nginx.conf"]
    assert "brotli" not in rendered["no_brotli"]["nginx.conf"]


FOREVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "hashed"),
    [
        ("/static/admin/css/base.27e20196a850.css", True),  # Django's ManifestStaticFilesStorage
        ("/static/js/main.8e2b3f1a.chunk.js", True),  # webpack
        ("/static/js/main.8e2b3f1a.js.map", True),
        ("/static/main-3f2a9c1b4d5e6f708192.js", True),
        ("/static/fonts/inter.0f1e2d3c4b5a69788796a5b4c3d2e1f0.woff2", True),
        ("/static/app.css", False),
        ("/static/report.20240101.pdf", False),  # a date
        ("/static/facade.deadbeef.css", False),  # letters alone may be a word
        ("/static/jquery-3.7.1.min.js", False),
        ("/static/a.b2c3d4.css", False),  # too short to mean anything
        ("/static/photo-20240101120000.jpg", False),
        ("/static/BA5E27E20196A850.css", False),
        ("/static/27e20196a850", False),
        ("/static/index-BsG3x9_A.js", False),  # vite's alphabet is that of words
    ],
)
def test_which_names_hold_a_hash(rendered: dict[str, dict[str, str]], path: str, hashed: bool) -> None:
    http = next(inner for words, inner in parse(rendered["plain"]["nginx.conf"]) if words == ["http"])
    (table,) = [inner for words, inner in http if words[:3] == ["map", "$uri", "$groundcrew_static_cache"]]
    patterns = {words[0][1:]: words[1] for words, _inner in table if words[0].startswith("~")}
    matching = {value for pattern, value in patterns.items() if re.search(pattern, path)}
    assert matching == ({FOREVER} if hashed else set())


def test_the_holding_page_loads_nothing(rendered: dict[str, dict[str, str]]) -> None:
    page = rendered["plain"]["holding.html"]
    assert not re.search(r"<script|<link|src=|href=|@import|url\(", page)
    assert '<meta http-equiv="refresh" content="30">' in page
    assert page.count("Back in a moment") == 2
    assert "being prepared" in page


# --- limits, guarded admins, security.txt


def patterns(table: Block, result: str) -> list[str]:
    """The regular expressions of a map that give a result, in Python's words."""
    return [
        re.sub(r"\\z$", r"\\Z", words[0].removeprefix("~").removeprefix("*").replace("(?<", "(?P<"))
        for words, _inner in table
        if words[0].startswith("~") and words[1] == result
    ]


def table(text: str, name: str) -> Block:
    (found,) = [inner for words, inner in parse(text) if words[0] in ("map", "geo") and words[-1] == name]
    return found


def http(files: dict[str, str]) -> Block:
    return next(inner for words, inner in parse(files["nginx.conf"]) if words == ["http"])


def test_limits_count_what_reaches_an_app(rendered: dict[str, dict[str, str]]) -> None:
    server = servers(rendered["guarded"], "my-shop.conf")["443", "shop.example.com"]
    login = ["zone=my-shop_login", "burst=20", "nodelay"]
    assert values(location(server, "@app"), "limit_req") == [
        ["zone=groundcrew_visitors", "burst=2000", "nodelay"],
        login,
    ]
    # nginx asks limits once per request, so a location with a rate has to ask for attempts as well.
    assert values(location(server, "/accounts/"), "limit_req") == [
        ["zone=my-shop_rate_1", "burst=10", "nodelay"],
        login,
    ]
    for place in ("/", "@media", "@moved"):
        assert not values(location(server, place), "limit_req")
    settings = http(rendered["guarded"])
    assert values(settings, "limit_conn") == [["groundcrew_connections", "1500"]]
    assert values(settings, "limit_req_status") == values(settings, "limit_conn_status") == [["429"]]
    uncounted = [words for words, inner in settings if words[:1] == ["geo"] and inner]
    assert uncounted == [["geo", "$groundcrew_counted"]]
    (networks,) = [inner for words, inner in settings if words == ["geo", "$groundcrew_counted"]]
    assert [words for words, _inner in networks] == [
        ["default", "1"],
        *([network, "0"] for network in ("127.0.0.0/8", "::1", "192.0.2.10", "198.51.100.0/24")),
    ]


@pytest.mark.parametrize(
    ("request_line", "attempt"),
    [
        ("POST /admin/login/", True),
        ("POST /admin/login", True),
        ("POST /admin/", True),
        ("POST /de/admin/login/", True),
        ("POST /ADMIN/Login/", True),
        ("POST /a.b/login/", True),
        ("POST /accounts/login/", True),
        ("POST /pt-br/accounts/login/code/", True),
        ("POST /zh_hans/accounts/login/", True),
        ("GET /admin/login/", False),
        ("POST /admin/shop/product/add/", False),
        ("POST /admin/login/elsewhere/", False),
        ("POST /axb/login/", False),
        ("POST /accounts/loginpage/", False),
        ("POST /forum/accounts/login/", False),
        ("POST /", False),
    ],
)
def test_what_is_an_attempt_to_log_in(rendered: dict[str, dict[str, str]], request_line: str, attempt: bool) -> None:
    found = table(rendered["guarded"]["my-shop.conf"], "$groundcrew_attempt_at_my_shop")
    matching = [p for p in patterns(found, "$groundcrew_visitor") if re.search(p, request_line, re.I)]
    assert bool(matching) == attempt


@pytest.mark.parametrize(
    ("path", "kept_out"),
    [
        ("/admin", True),
        ("/admin/", True),
        ("/Admin/x", True),
        ("/en/admin/", True),
        ("/sr-latn/admin/", True),
        ("/a.b/", True),
        ("/administrators/", False),
        ("/axb/", False),
        ("/news/admin/", False),
        ("/", False),
    ],
)
def test_who_is_kept_out_of_an_admin(rendered: dict[str, dict[str, str]], path: str, kept_out: bool) -> None:
    text = rendered["guarded"]["my-shop.conf"]
    found = patterns(table(text, "$groundcrew_forbidden_at_my_shop"), "1")
    assert any(re.search(pattern, f"10:{path}", re.I) for pattern in found) == kept_out
    # A detour may lead anywhere.
    assert any(re.search(pattern, f"11:{path}", re.I) for pattern in found)
    assert not any(re.search(pattern, f"0{detour}:{path}", re.I) for pattern in found for detour in "01")
    assert [words[0] for words, _inner in table(text, "$groundcrew_stranger_to_my_shop")] == [
        *("default", "127.0.0.0/8", "::1", "192.0.2.10", "203.0.113.7", "2001:db8::/64")
    ]
    assert "stranger" not in rendered["guarded"]["blog.conf"]


@pytest.mark.parametrize(
    ("asked", "detour"),
    [
        ("/x/../admin/", True),
        ("/x/..%2Fadmin/", True),
        ("/admin/%2e%2E/", True),
        ("/admin/.%2e", True),
        ("/admin/./x", True),
        ("/x%2f..#", True),
        ("/a/..?x", True),
        ("/a?x=/../", False),
        ("/..a/...", False),
        ("/a..b/.well-known/x", False),
        ("/%252e%252e/", False),
    ],
)
def test_what_is_a_detour(rendered: dict[str, dict[str, str]], asked: str, detour: bool) -> None:
    (found,) = [inner for words, inner in http(rendered["guarded"]) if words[-1] == "$groundcrew_detour"]
    (pattern,) = patterns(found, "1")
    assert bool(re.search(pattern, asked, re.I)) == detour


@pytest.mark.parametrize(
    ("binary", "counted_as"),
    [
        (b"\xcb\x00\x71\x07", None),
        (bytes.fromhex("20010db8000000000000000000000007"), bytes.fromhex("20010db800000000")),
        (bytes.fromhex("20010db80a0d000a0000000000000a0a"), bytes.fromhex("20010db80a0d000a")),
        (bytes.fromhex("00000000000000000000ffff0a00710a"), bytes.fromhex("0a00710a")),
    ],
)
def test_who_counts_as_one_visitor(
    rendered: dict[str, dict[str, str]], binary: bytes, counted_as: bytes | None
) -> None:
    (found,) = [inner for words, inner in http(rendered["plain"]) if words[-1] == "$groundcrew_source"]
    first = None
    for version in ("$groundcrew_ipv4", "$groundcrew_ipv6"):
        (pattern,) = patterns(found, version)
        match = re.search(pattern.encode(), binary)
        first = first or (match and match[version.removeprefix("$")])
    assert first == counted_as


def test_security_txt_never_expires(rendered: dict[str, dict[str, str]]) -> None:
    files = rendered["guarded"]
    for name in ("my-shop.conf", "blog.conf"):
        server = servers(files, name)["443", "shop.example.com"]
        assert ["snippets/groundcrew-security-txt.conf"] in values(server, "include")
    ((_words, answer),) = parse(files["groundcrew-security-txt.conf"])
    ((status, text),) = values(answer, "return")
    assert status == "200"
    assert text.split("\\n") == [
        "Contact: mailto:security@example.com",
        "Contact: https://example.com/report",
        "Expires: ${groundcrew_in_a_year}-01T00:00:00Z",
        "Policy: https://example.com/policy",
        "Preferred-Languages: en, de",
        "Canonical: https://$host$groundcrew_port/.well-known/security.txt",
        "",
    ]
    (found,) = [inner for words, inner in http(files) if words[-1] == "$groundcrew_in_a_year"]
    for now, ahead in {"2026-11": "2027-11", "2029-02": "2030-02", "2039-12": "2040-12", "2098-01": "2099-01"}.items():
        years = set()
        for words, _inner in found:
            if match := re.search(words[0][1:].replace("(?<", "(?P<"), f"{now}-26T05:00:00+00:00"):
                years.add(re.sub(r"\$\{?(\w+)\}?", lambda name, match=match: match[name[1]], words[1]))  # type: ignore[misc]
        assert years == {ahead}
    for case in ("plain", "unlimited"):
        assert "security-txt" not in rendered[case]["shop.conf"]
        assert "in_a_year" not in rendered[case]["nginx.conf"]
        assert "groundcrew-security-txt.conf" not in rendered[case]


def test_what_is_switched_off_leaves_no_trace(rendered: dict[str, dict[str, str]]) -> None:
    site, main = rendered["unlimited"]["shop.conf"], rendered["unlimited"]["nginx.conf"]
    for word in ("limit_req", "limit_conn", "groundcrew_visitor", "groundcrew_counted", "attempt", "detour", "geo"):
        assert word not in site + main
    assert not re.search(r"\s(client_header|client_body|send)_timeout", main)
    unit = [line for line in rendered["unlimited"]["10-groundcrew.conf"].splitlines() if not line.startswith("#")]
    assert unit == ["[Service]", "Restart=on-failure", "RestartSec=1"]


TEXTS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"contact": ["a@b.example", "mailto:a@b.example", "https://b.example/x", "tel:+1-201-555-0123"]}, []),
    ({"policy": "https://b.example/"}, ["has no contact, without which it says nothing: add one, such as"]),
    ({"contact": ["b.example"]}, ["contact: 'b.example' is neither a mail address nor a URI"]),
    ({"contact": ["http://b.example/"]}, ["contact: 'http://b.example/' is neither"]),
    ({"contact": ["https://b.example/$host"]}, ["contact: 'https://b.example/$host' is neither"]),
    ({"contact": ["a@b.example\n"]}, ["contact: 'a@b.example\n' is neither"]),
    (
        {"contact": ["a@b.example"], "policy": '"; }', "hiring": "/jobs"},
        ["policy: '\"; }' is no URI", "hiring: '/jobs' is no URI"],
    ),
    ({"contact": ["a@b.example"], "preferred_languages": ["en_US"]}, ["preferred_languages: 'en_US' is no language"]),
]


def test_what_is_no_security_txt_is_told(tmp_path: Path) -> None:
    cases = {str(n): {"nginx_sites": [SITE], "nginx_security_txt": text} for n, (text, _words) in enumerate(TEXTS)}
    told = play("nginx", cases, "{{ __nginx_security_problems | to_json }}", tmp_path)
    for (text, expected), problems in zip(TEXTS, told.values(), strict=True):
        assert len(problems) == len(expected), (text, problems)
        for problem, words in zip(sorted(problems), sorted(expected), strict=True):
            assert problem.startswith(words)


# --- maintenance


def test_a_closed_site(rendered: dict[str, dict[str, str]]) -> None:
    files = rendered["closed"]
    ((words, addresses),) = parse(files["my-shop.addresses.conf"])
    assert words == ["geo", "$groundcrew_shut_out_of_my_shop"]
    assert [line for line, _inner in addresses] == [
        ["default", "1"],
        *([address, "0"] for address in ("127.0.0.1", "::1", "203.0.113.7", "2001:db8::/64")),
    ]
    answer = parse(files["my-shop.answer.conf"])
    assert [words for words, inner in answer if words[0] == "if"][-1] == ["if", "($groundcrew_shut_out_of_my_shop)"]
    page = location(answer, "/_groundcrew/maintenance.html")
    assert values(page, "alias") == [["/etc/nginx/maintenance/my-shop.html"]]
    assert values(page, "add_header") == [["Retry-After", "1800", "always"], ["Cache-Control", "no-store", "always"]]
    assert '<meta http-equiv="refresh" content="60">' in files["my-shop.html"]
    assert "closed for maintenance" in files["my-shop.html"]
    assert "myshop.answer.conf" not in files


def test_a_site_asks_for_what_closes_it_and_is_nothing_without(rendered: dict[str, dict[str, str]]) -> None:
    for name in ("my-shop", "myshop"):
        site = parse(rendered["closed"][f"{name}.conf"])
        assert values(site, "include") == [[f"maintenance/{name}[.]addresses.conf"]]
        server = next(inner for words, inner in site if words == ["server"] and values(inner, "ssl_certificate"))
        assert [f"maintenance/{name}[.]answer.conf"] in values(server, "include")


def test_the_record_knows_where_a_closed_site_is_told(rendered: dict[str, dict[str, str]]) -> None:
    (blog,) = app_records(CASES["described"]["django_apps"])
    directory, name = os.path.split(blog["paths"]["maintenance"])
    assert name in rendered["described"]
    assert f"alias {directory}/" in rendered["described"][name]


SITES = [{**SITE, "name": "shop"}, {**SITE, "name": "blog"}]


WISHES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"nginx_maintenance_site": "shop"}, []),
    ({"nginx_maintenance_site": "shp"}, ["there is no site 'shp' here: name one of shop, all"]),
    ({"nginx_sites": SITES, "nginx_maintenance_site": "all"}, []),
    ({"nginx_sites": SITES}, ["this server has not one site, so say which: name one of shop, blog, all"]),
    ({"nginx_sites": []}, ["this server has not one site, so say which: name one of all"]),
    ({"nginx_maintenance_allow": ["203.0.113.7", "2001:db8::/64"]}, []),
    (
        {"nginx_maintenance_allow": "203.0.113.7,203.0.113.300,;"},
        [
            f"'{wrong}' is neither an address nor a network, as 203.0.113.7 and 2001:db8::/64 are"
            for wrong in ("203.0.113.300", ";")
        ],
    ),
    ({"nginx_maintenance_retry_after": 0}, ["Retry-After has to be 1 second or more, not 0"]),
    ({"nginx_maintenance_page": "/no/page.html", "nginx_maintenance_state": "off"}, []),
    ({"nginx_maintenance_page": "/no/page.html"}, ["there is no page /no/page.html on this machine"]),
    ({"nginx_maintenance_page": __file__}, []),
]


def test_what_cannot_be_done_is_told(tmp_path: Path) -> None:
    wishes = {
        str(number): {"nginx_sites": [SITE], "nginx_maintenance_state": "on", **wish}
        for number, (wish, _problems) in enumerate(WISHES)
    }
    told = play("nginx", wishes, "{{ __nginx_maintenance_problems | to_json }}", tmp_path)
    assert list(told.values()) == [problems for _wish, problems in WISHES]
