"""Every shape of a project, asked over HTTPS as its visitors would."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from visitor import Answer, Visitor

HERE = Path(__file__).resolve().parents[1]
DESCRIBED = yaml.safe_load((HERE / "inventory/group_vars/all/apps.yml").read_text())
APPS = DESCRIBED["descriptions"]
HOSTS = {path.stem: yaml.safe_load(path.read_text())["apps"] for path in (HERE / "inventory/host_vars").glob("*.yml")}

# Shapes whose front page tells what the app itself sees.
TALKING = [name for name in APPS if name not in ("bare", "start-app", "environs")]


class Site:
    """One app on the server under test."""

    def __init__(self, host: Any, visitor: Visitor, name: str) -> None:
        if name not in HOSTS[visitor.name]:
            pytest.skip(f"{name} is not on this server")
        self.host, self.visitor, self.name = host, visitor, name

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def ask(self, method: str, path: str, *, domain: str = "", **options: Any) -> Answer:
        domain = domain or APPS[self.name]["domains"][0]
        return self.visitor.ask(method, f"https://{domain}{path}", verify=False, **options)

    def json(self, path: str) -> Any:
        answer = self.get(path)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)

    def sql(self, query: str) -> str:
        # As the app's own user: what it sees is what the app sees.
        return self.host.check_output(f"runuser -u {self.name} -- psql -d {self.name} -Atc {shlex.quote(query)}")

    def upload(self, content: str) -> str:
        body = f'--x\r\nContent-Disposition: form-data; name="picture"; filename="p.txt"\r\n\r\n{content}\r\n--x--\r\n'
        answer = self.ask("POST", "/upload/", body=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert answer.status == 200, answer.text
        return answer.text


@pytest.fixture
def site(host: Any, visitor: Visitor, request: pytest.FixtureRequest) -> Site:
    return Site(host, visitor, request.param)


def at(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("site", names, indirect=True)


# --- all of them ------------------------------------------------------------------------------------------------------


@at(*TALKING)
def test_the_app_sees_its_visitor_and_its_own_database(site: Site) -> None:
    seen = site.json("/")
    assert seen["scheme"] == "https" and seen["secure"]
    assert seen["url"] == f"https://{site.name}.example.com/"
    assert (seen.get("user"), seen.get("database")) == ((site.name, site.name) if site.name != "live" else (None, None))


@at(*TALKING)
def test_nginx_serves_its_static_files(site: Site) -> None:
    answer = site.get(site.json("/")["stylesheet"])
    assert answer.status == 200
    assert "color" in answer.text
    assert answer.headers["Content-Type"].startswith("text/css")


@at("album", "live")
def test_the_address_is_the_visitors_whatever_the_visitor_claims(site: Site) -> None:
    """From an address that only this visitor has; under WSGI and under ASGI."""
    lie = dict.fromkeys(("X-Real-IP", "X-Forwarded-For", "Forwarded", "Client-IP"), "203.0.113.9")
    script = f"""
import http.client, socket, ssl
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection("{site.name}.example.com", context=context)
plain = socket.create_connection(("127.0.0.1", 443), source_address=("127.0.0.77", 0))
connection.sock = context.wrap_socket(plain, server_hostname=connection.host)
connection.request("GET", "/", headers={lie | {"X-Forwarded-Proto": "http"}!r})
print(connection.getresponse().read().decode())
"""
    seen = json.loads(site.host.check_output(f"python3 -c {shlex.quote(script)}"))
    assert (seen["address"], seen["scheme"]) == ("127.0.0.77", "https")


# --- what startproject leaves -----------------------------------------------------------------------------------------


@at("bare")
def test_startproject_unchanged_is_live_on_postgresql(site: Site) -> None:
    login = site.get("/admin/login/")
    assert login.status == 200
    assert "Django administration" in login.text
    assert login.headers["Set-Cookie"].startswith("csrftoken=")
    assert site.sql("SELECT count(*) FROM auth_user") == "0"
    assert site.get("/static/admin/css/base.css").status == 200


@at("bare")
def test_startproject_unchanged_shows_visitors_nothing_of_its_insides(site: Site) -> None:
    answer = site.get("/nothing-here/")
    assert answer.status == 404
    assert "DEBUG" not in answer.text and "admin/" not in answer.text


@at("start-app")
def test_an_app_with_a_model_is_live_on_postgresql(site: Site) -> None:
    site.sql("INSERT INTO polls_question (question_text) VALUES ('What is up?')")
    assert site.get("/").text.endswith("questions in postgresql")
    assert not site.get("/").text.startswith("0 ")


# --- where things are -------------------------------------------------------------------------------------------------


@at("monorepo")
def test_requirements_with_hashes_bring_no_development_package(site: Site) -> None:
    names = site.host.check_output("ls /srv/monorepo/current/venv/lib/python3*/site-packages")
    assert "django" in names and "psycopg" in names
    assert "iniconfig" not in names


@at("layered")
def test_production_settings_and_the_user_model_are_used(site: Site) -> None:
    assert site.json("/")["settings"] == "config.settings.production"
    assert site.sql("SELECT count(*) FROM accounts_customer") == "0"


@at("layered")
def test_static_files_are_where_the_project_wants_them(site: Site) -> None:
    assert site.json("/")["stylesheet"] == "/assets/site.css"


@at("local-settings")
def test_placed_files_are_read_and_secret_ones_kept_from_others(site: Site) -> None:
    token = hashlib.sha256(b"token-of-the-local-settings").hexdigest()
    features = {"gift_wrapping": True, "host": "local-settings.example.com"}
    assert site.json("/local/") == {"token": token, "features": features}
    placed = site.host.file("/srv/local-settings/current/code/mysite/local_settings.py")
    assert (placed.user, placed.group, placed.mode & 0o027) == ("root", "local-settings", 0)


# --- dependencies and builds ------------------------------------------------------------------------------------------


@at("locked")
def test_the_lock_file_decides_what_is_installed(site: Site) -> None:
    installed = site.json("/installed/")["installed"]
    assert {"django", "psycopg", "tabulate", "termcolor"} <= set(installed)
    assert not {"iniconfig", "toml"} & set(installed)


@at("locked")
def test_builds_run_before_static_files_are_collected_and_compressors_after(site: Site) -> None:
    assert site.get("/static/CACHE/all.css").text == "h1{color:#abcdef;}\np{color:#fedcba;}\n"


# --- what settings do -------------------------------------------------------------------------------------------------


@at("environs")
def test_values_of_the_environment_arrive_unaltered(site: Site) -> None:
    described = APPS["environs"]["env"]
    expected = {name: str(value).replace("$$", "$") for name, value in described.items()}
    expected["ODD_KEY"] = DESCRIBED["secrets"]["environs"]["signing_key"]
    expected["ODD_PARTS"] = "environs has environs at /var/run/postgresql"
    assert site.json("/environment/") == expected


@at("environs")
def test_every_domain_is_served_and_the_old_one_redirects(site: Site) -> None:
    for domain in ("environs.example.com", "www.environs.example.com"):
        assert json.loads(site.get("/facts/", domain=domain).text)["url"] == f"https://{domain}/facts/"
    answer = site.get("/facts/", domain="old.environs.example.com")
    assert (answer.status, answer.headers["Location"]) == (308, "https://environs.example.com/facts/")


@at("environs")
def test_a_front_page_that_is_missing_is_no_obstacle(site: Site) -> None:
    assert site.get("/").status == 404
    assert site.json("/healthz") == {"healthy": True}


@at("environs")
def test_hashed_files_of_whitenoise_are_served_by_nginx_for_a_year(site: Site) -> None:
    stylesheet = site.json("/facts/")["stylesheet"]
    assert stylesheet != "/static/site.css"
    answer = site.get(stylesheet)
    assert answer.status == 200
    assert "max-age=31536000" in answer.headers["Cache-Control"]


@at("live")
def test_asgi_is_chosen_and_speaks_websocket_over_tls(site: Site) -> None:
    assert "uvicorn" in site.host.check_output("systemctl show -P ExecStart 'live-web@*.service'")
    with site.visitor.connect("live.example.com", tls=True, verify=False) as connection:
        connection.sendall(
            b"GET / HTTP/1.1\r\nHost: live.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        answer = b""
        while b"wss " not in answer and (more := connection.recv(4096)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"wss " in answer


# --- uploads and data -------------------------------------------------------------------------------------------------


@at("gallery")
def test_uploads_behind_a_login_are_never_served_by_nginx(site: Site) -> None:
    url = site.upload("a private picture")
    answer = site.get(url)
    assert (answer.status, answer.headers["Location"]) == (302, f"/login/?next={url}")
    assert "private" not in answer.text
    cookie = site.get("/login/").headers["Set-Cookie"].partition(";")[0]
    assert site.get(url, headers={"Cookie": cookie}).text == "a private picture"


@at("album")
def test_public_uploads_are_served_by_nginx(site: Site) -> None:
    url = site.upload("a public picture")
    assert url.startswith("/uploads/picture")
    answer = site.get(url)
    # No view of the project answers there, so it can only have been nginx.
    assert (answer.status, answer.text) == (200, "a public picture")


@at("album")
def test_data_inside_the_code_outlives_a_release_and_may_be_written(site: Site) -> None:
    diary = site.json("/diary/")
    assert diary["version"] == 2
    assert diary["data"].splitlines()[:4] == ["shipped with the code", "migrated", "first", "migrated"]
    assert site.ask("POST", "/note/").status == 200
    assert site.json("/diary/")["data"].splitlines()[-1] == "written by a visitor"


@at("album")
def test_first_commands_run_once_and_migrated_ones_in_every_deploy(site: Site) -> None:
    assert site.json("/diary/")["entries"] == ["migrated", "first", "migrated"]


@at("logger")
def test_the_log_file_is_kept_outside_the_releases(site: Site) -> None:
    assert site.get("/log/").status == 200
    assert "somebody came by" in site.host.file("/srv/logger/shared/data/logs/site.log").content_string
