"""What the role nginx writes for a site, from its real defaults: rendered by Ansible, and read as nginx reads it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from worktree import ROOT, collections

from ansible_collections.groundcrew.django.plugins.module_utils._app_checks import app_records
from ansible_collections.groundcrew.django.plugins.module_utils._forwarding import forwarding_headers

SITE = {
    "name": "shop",
    "domains": ["shop.example.com", "api.example.com"],
    "root": "/srv/shop",
    "upstream": "/srv/shop/current/run/web.sock",
    "certificate": "/etc/groundcrew/tls/shop",
}
DEBIAN_12 = {"distribution_major_version": "12", "packages": {}}
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
{%- for file in __nginx_files + __nginx_site_files + __nginx_maintenance_files | selectattr('src', 'defined') -%}
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


def play(cases: dict[str, dict[str, Any]], text: str, place: Path) -> dict[str, Any]:
    """What ``text`` becomes, with the role's variables and those of each case; one run of Ansible."""
    role = ROOT / "roles" / "nginx"
    plays = []
    for name, case in cases.items():
        (place / f"{name}.json").write_text(json.dumps({"ansible_facts": DEBIAN_12, **case}))
        plays.append(
            {
                "hosts": "localhost",
                "gather_facts": False,
                "vars_files": [f"{role}/defaults/main.yml", f"{role}/vars/main.yml", f"{place}/{name}.json"],
                "tasks": [{"ansible.builtin.copy": {"content": text, "dest": f"{place}/{name}.out", "mode": "0600"}}],
                "vars": {"templates": f"{role}/templates/"},
            }
        )
    playbook = place / "render.yml"
    playbook.write_text(yaml.safe_dump(plays))
    run = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            "--inventory=localhost,",
            "--connection=local",
            playbook,
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(collections()),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return {name: json.loads((place / f"{name}.out").read_text()) for name in cases}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Every file of every case."""
    return play(CASES, RENDER, tmp_path_factory.mktemp("nginx"))


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
    assert values(location(server, "/"), "limit_req") == [["zone=shop_1", "burst=10", "nodelay"]]
    assert values(location(server, "/login"), "limit_req") == [["zone=shop_2", "burst=10", "nodelay"]]
    zones = values(parse(rendered["full"]["shop.conf"]), "limit_req_zone")
    assert [words[1:] for words in zones] == [["zone=shop_1:1m", "rate=10r/s"], ["zone=shop_2:1m", "rate=5r/m"]]
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

    assert headers("plain") == ["Strict-Transport-Security", "X-Content-Type-Options", "Referrer-Policy"]
    assert headers("no_hsts") == ["X-Content-Type-Options", "Referrer-Policy"]
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
    told = play(wishes, "{{ __nginx_maintenance_problems | to_json }}", tmp_path)
    assert list(told.values()) == [problems for _wish, problems in WISHES]
