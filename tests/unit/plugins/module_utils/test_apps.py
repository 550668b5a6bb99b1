"""The app record and its slices: their values, and what must hold for every pair of apps."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from worktree import ROOT

from ansible_collections.groundcrew.django.plugins.module_utils import _app_slices as slices
from ansible_collections.groundcrew.django.plugins.module_utils._app_checks import app_problems, app_records
from ansible_collections.groundcrew.django.plugins.module_utils._app_spec import SPEC, AppError
from ansible_collections.groundcrew.django.plugins.module_utils._environment import compose

SHOP = {"name": "shop", "domains": ["shop.example.com"], "source": {"repo": "https://example.com/acme/shop.git"}}

# The description of docs/app.md's introduction with every key in it.
FULL = yaml.safe_load("""
name: shop
domains: [shop.example.com, api.shop.example.com]
source: {repo: "git@example.com:acme/shop.git", version: main, key: deploy_key, submodules: true}
redirect_domains: [www.shop.example.com]
static_domain: static.shop.example.com
media_domain: media.shop.example.com
directory: ./backend/
settings: config.settings.production
python: "3.13"
packages: {build: [libpq-dev], runtime: [libmagic1]}
dependencies: {files: [requirements/production.txt], groups: [production], extras: [s3], packages: ["gevent>=24"]}
commands:
  build: ["npm ci", "npm run build"]
  static: ["python manage.py compress"]
  migrated: ["python manage.py sync_roles"]
  first: ["python manage.py loaddata initial"]
files: [{dest: config/local.json, template: shop/local.json.j2, secret: true}]
migrations: {dump: true, lock_timeout: 2}
shared_paths: [data/, ./uploads]
env: {DB_NAME: "${database.name}", PEPPER: "${secret.pepper}", SMTP: "${secret.smtp}", DEBUG_TOOLBAR: false, PORT: 25}
secrets: {pepper: {generate: 32}}
database: {extensions: [citext]}
databases: {archive: {}, legacy: {host: db.example.com, user: reader, name: old}}
redis: {listen: socket, queue: true, database: 7}
media: public
body_size: 10M
locations: [{path: /feeds/, rate: 5r/s}, {path: /legacy/, redirect: "https://old.example.com/"}]
admin: {paths: [/cms/, /django-admin/], allow: [203.0.113.7, "2001:db8::/48"]}
login_paths: [/konto/anmelden/]
server: {kind: gunicorn, entry: "config.wsgi:application", workers: "4", threads: 2, timeout: 30}
workers: [{kind: celery, app: config.celery, count: "2", queues: [mail], concurrency: 4, memory_max: 300M}]
procfile: true
schedules: [{name: nightly, command: clearsessions, calendar: "*-*-* 03:00", random_delay: 60}]
sandbox: {writable_paths: [/srv/exports], memory_deny_write_execute: false}
health: {path: /healthz, status: [200]}
check: {fail_level: ERROR, ignore: [security.W004]}
production_settings: never
""")
FULL_SECRETS = {"shop": {"deploy_key": "k", "smtp": "s", "database_password_legacy": "p"}}

UNLIMITED = dict.fromkeys(("memory_high", "memory_max", "cpu_weight", "tasks_max"))


def record(**changes: Any) -> dict[str, Any]:
    (found,) = app_records([{**SHOP, **changes}])
    return found


def test_the_full_description_uses_every_key() -> None:
    assert FULL.keys() == SPEC.keys()


def test_the_full_record() -> None:
    assert app_records([FULL], FULL_SECRETS) == [
        {
            "name": "shop",
            "domains": ["shop.example.com", "api.shop.example.com"],
            "redirect_domains": ["www.shop.example.com"],
            "static_domain": "static.shop.example.com",
            "media_domain": "media.shop.example.com",
            "user": "shop",
            "group": "shop",
            "paths": {
                "root": "/srv/shop",
                "releases": "/srv/shop/releases",
                "current": "/srv/shop/current",
                "shared": "/srv/shop/shared",
                "media": "/srv/shop/shared/media",
                "static": "/srv/shop/shared/static",
                "public": "/srv/shop/shared/public",
                "data": "/srv/shop/shared/data",
                "socket": "/srv/shop/current/run/web.sock",
                "config": "/etc/groundcrew/shop",
                "secrets": "/etc/groundcrew/shop/secrets",
                "state": "/var/lib/groundcrew/shop",
                "cache": "/var/cache/groundcrew/shop",
                "tls": "/etc/groundcrew/tls/shop",
                "maintenance": "/etc/nginx/maintenance/shop.answer.conf",
            },
            "units": {
                "web": "shop-web",
                "boot": "shop-web.service",
                "worker": "shop-worker",
                "schedule": "shop-schedule",
                "due": "shop-due",
            },
            "source": {
                "kind": "repo",
                "repo": "git@example.com:acme/shop.git",
                "version": "main",
                "key": "deploy_key",
                "submodules": True,
                "path": "",
                "include": [],
            },
            "directory": "backend",
            "settings": "config.settings.production",
            "python": "3.13",
            "packages": {"build": ["libpq-dev"], "runtime": ["libmagic1"]},
            "dependencies": {
                "files": ["requirements/production.txt"],
                "groups": ["production"],
                "extras": ["s3"],
                "packages": ["gevent>=24"],
            },
            "commands": FULL["commands"],
            "files": [
                {"dest": "config/local.json", "template": "shop/local.json.j2", "secret": True, "mode": "0640"},
            ],
            "migrations": {"allow_destructive": False, "dump": True, "lock_timeout": 2, "statement_timeout": 0},
            "shared_paths": ["data", "uploads"],
            "env": {
                "DB_NAME": "${database.name}",
                "PEPPER": "${secret.pepper}",
                "SMTP": "${secret.smtp}",
                "DEBUG_TOOLBAR": "False",
                "PORT": "25",
            },
            "secrets": {"pepper": {"generate": 32}},
            "given_secrets": ["database_password_legacy", "deploy_key", "smtp"],
            "database": {
                "kind": "postgresql",
                "local": True,
                "host": "",
                "port": 5432,
                "name": "shop",
                "user": "shop",
                "extensions": ["citext"],
            },
            "databases": {
                "archive": {
                    "kind": "postgresql",
                    "local": True,
                    "host": "",
                    "port": 5432,
                    "name": "shop_archive",
                    "user": "shop",
                    "extensions": [],
                },
                "legacy": {
                    "kind": "postgresql",
                    "local": False,
                    "host": "db.example.com",
                    "port": 5432,
                    "name": "old",
                    "user": "reader",
                    "extensions": [],
                },
            },
            "redis": {
                "listen": "socket",
                "database": 7,
                "instances": ["cache", "queue"],
                "cache": {"host": "127.0.0.1", "port": 6379, "socket": "/run/redis-cache/redis.sock"},
                "queue": {"host": "127.0.0.1", "port": 6380, "socket": "/run/redis-queue/redis.sock"},
                "user": "shop",
                "password_file": "/etc/groundcrew/shop/secrets/redis_password",
            },
            "media": "public",
            "body_size": "10m",
            "locations": [
                {"path": "/feeds/", "rate": "5r/s", "redirect": None},
                {"path": "/legacy/", "rate": None, "redirect": "https://old.example.com/"},
            ],
            "admin": {"paths": ["/cms/", "/django-admin/"], "allow": ["203.0.113.7", "2001:db8::/48"]},
            "login_paths": ["/konto/anmelden/"],
            "server": {
                "kind": "gunicorn",
                "entry": "config.wsgi:application",
                "workers": 4,
                "threads": 2,
                "timeout": 30,
                **UNLIMITED,
            },
            "workers": [
                {
                    "name": "celery",
                    "kind": "celery",
                    "app": "config.celery",
                    "command": None,
                    "count": 2,
                    "queues": ["mail"],
                    "concurrency": 4,
                    "single": False,
                    "arguments": [],
                    "stop_timeout": 300,
                    **UNLIMITED,
                    "memory_max": "300M",
                }
            ],
            "procfile": True,
            "schedules": [
                {
                    "name": "nightly",
                    "command": "clearsessions",
                    "calendar": "*-*-* 03:00",
                    "overlap": "skip",
                    "random_delay": 60,
                    "timeout": 3600,
                    **UNLIMITED,
                }
            ],
            "sandbox": {"writable_paths": ["/srv/exports"], "memory_deny_write_execute": False},
            "health": {"path": "/healthz", "status": [200]},
            "check": {"fail_level": "ERROR", "ignore": ["security.W004"]},
            "production_settings": "never",
        }
    ]


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"redis": True, "workers": [{"kind": "celery"}]}, "redis", record(redis={"queue": True})["redis"]),
        ({"redis": True, "workers": [{"kind": "rq"}]}, "redis", record(redis={"queue": True})["redis"]),
        ({"redis": True, "workers": [{"kind": "django-tasks"}]}, "redis", record(redis=True)["redis"]),
        ({"redis": True, "procfile": True}, "redis", record(redis={"queue": True})["redis"]),
        ({"workers": [{"kind": "celery"}]}, "redis", {}),
        (
            {"workers": [{"name": "q", "command": "python manage.py qcluster"}]},
            "workers",
            record(workers=[{"name": "q", "kind": "command", "command": "python manage.py qcluster"}])["workers"],
        ),
        ({}, "redis", {}),
        ({"redis": False}, "redis", {}),
        ({"database": False}, "database", None),
        ({"database": None}, "database", record()["database"]),
        ({"database": {}}, "database", record()["database"]),
        ({"redis": {}}, "redis", record(redis=True)["redis"]),
        ({"server": "uvicorn"}, "server", {**record()["server"], "kind": "uvicorn"}),
        ({"server": {"kind": "uvicorn"}}, "server", record(server="uvicorn")["server"]),
        (
            {},
            "server",
            {"kind": "auto", "entry": "", "workers": None, "threads": None, "timeout": 60, **UNLIMITED},
        ),
        ({"health": "/up"}, "health", {"path": "/up", "status": []}),
        # The root chosen on purpose is not the same as nothing chosen.
        ({"directory": "."}, "directory", "."),
        ({"directory": "./.site/"}, "directory", ".site"),
        ({}, "directory", ""),
        ({}, "source", {**record()["source"], "kind": "repo", "version": "HEAD", "key": ""}),
        (
            {"source": {"path": "../shop"}},
            "source",
            {**record()["source"], "kind": "path", "repo": "", "path": "../shop"},
        ),
        ({"secrets": {"pepper": None}}, "secrets", {"pepper": {"generate": 64}}),
        ({"env": {"A": "$${secret.a} ${secret.b}"}}, "given_secrets", ["b"]),
        ({"database": {"host": "db"}}, "given_secrets", ["database_password"]),
        (
            {},
            "migrations",
            {"allow_destructive": False, "dump": False, "lock_timeout": 5, "statement_timeout": 0},
        ),
        # pg_dump comes with the server, where that is here.
        ({"migrations": {"dump": True}}, "packages", {"build": [], "runtime": []}),
        (
            {"migrations": {"dump": True}, "database": {"host": "db"}, "packages": {"runtime": ["libmagic1"]}},
            "packages",
            {"build": [], "runtime": ["libmagic1", "postgresql-client"]},
        ),
        (
            {"migrations": {"dump": True}, "database": False},
            "packages",
            {"build": [], "runtime": ["postgresql-client"]},
        ),
    ],
)
def test_short_forms_and_defaults(changes: dict[str, Any], key: str, expected: object) -> None:
    assert record(**changes)[key] == expected


def test_a_record_shares_no_list_with_another() -> None:
    first, second = app_records([SHOP, {**SHOP, "name": "blog", "domains": ["blog.example.com"]}])
    first["commands"]["build"].append("x")
    first["shared_paths"].append("x")
    assert second["commands"]["build"] == second["shared_paths"] == []


def test_the_environment_of_a_full_record_can_be_composed() -> None:
    secrets = {"secret_key": "k", "pepper": "p", "smtp": "s", "redis_password": "r", "database_password_legacy": "d"}
    environment = compose(app_records([FULL], FULL_SECRETS)[0], secrets, "20260131-abc")
    assert environment["DB_NAME"] == "shop"
    assert environment["PEPPER"] == "p"
    assert environment["DEBUG_TOOLBAR"] == "False"


# --- slices

BLOG = {
    "name": "blog",
    "domains": ["blog.example.com"],
    "source": {"path": "blog"},
    "database": False,
    "redis": True,
    "packages": {"runtime": ["libmagic1", "ffmpeg"]},
}
BOTH = app_records([FULL, BLOG], FULL_SECRETS)


def test_postgresql_is_told_of_local_databases_only() -> None:
    assert slices.postgresql_users(BOTH) == [{"name": "shop"}]
    assert slices.postgresql_databases(BOTH) == [
        {"name": "shop", "owner": "shop", "extensions": ["citext"]},
        {"name": "shop_archive", "owner": "shop", "extensions": []},
    ]
    elsewhere = [record(database={"host": "db"})]
    assert slices.postgresql_users(elsewhere) == slices.postgresql_databases(elsewhere) == []


def test_redis_is_told_of_its_users() -> None:
    shop = {"name": "shop", "password_file": "/etc/groundcrew/shop/secrets/redis_password", "databases": [7]}
    number = BOTH[1]["redis"]["database"]
    blog = {"name": "blog", "password_file": "/etc/groundcrew/blog/secrets/redis_password", "databases": [number]}
    cache = {"name": "cache", "port": 6379, "socket": "/run/redis-cache/redis.sock", "users": [shop, blog]}
    queue = {"name": "queue", "port": 6380, "socket": "/run/redis-queue/redis.sock", "users": [shop]}
    assert slices.redis_instances(BOTH, {}) == [cache, queue]
    assert slices.redis_instances(BOTH, {"shop": {"redis_password": "x"}, "blog": None}) == [
        {**cache, "users": [{**shop, "password": "x", "keep_former": True}, blog]},
        {**queue, "users": [{**shop, "password": "x", "keep_former": True}]},
    ]
    assert slices.redis_instances([record()], {}) == []


def test_nginx_is_told_of_its_sites() -> None:
    assert slices.nginx_sites(BOTH)[0] == {
        "name": "shop",
        "domains": ["shop.example.com", "api.shop.example.com"],
        "redirect_domains": ["www.shop.example.com"],
        "static_domain": "static.shop.example.com",
        "media_domain": "media.shop.example.com",
        "root": "/srv/shop",
        "upstream": "/srv/shop/current/run/web.sock",
        "certificate": "/etc/groundcrew/tls/shop",
        "media": "public",
        "body_size": "10m",
        "timeout": 35,
        "locations": BOTH[0]["locations"],
        "admin_paths": ["/cms/", "/django-admin/"],
        "admin_allow": ["203.0.113.7", "2001:db8::/48"],
        "login_paths": ["/konto/anmelden/"],
        "group": "shop",
    }


def test_where_visitors_log_in_is_known_without_a_word() -> None:
    (site,) = slices.nginx_sites([record()])
    assert site["admin_paths"] == ["/admin/"]
    assert site["admin_allow"] == []
    assert {"/accounts/login/", "/login/"} <= set(site["login_paths"])
    (site,) = slices.nginx_sites([record(admin={"paths": []}, login_paths=[])])
    assert site["admin_paths"] == site["login_paths"] == []


def test_a_certificate_names_every_host() -> None:
    assert slices.certbot_certificates(BOTH) == [
        {
            "name": "shop",
            "domains": [
                "shop.example.com",
                "api.shop.example.com",
                "www.shop.example.com",
                "static.shop.example.com",
                "media.shop.example.com",
            ],
            "directory": "/etc/groundcrew/tls/shop",
        },
        {"name": "blog", "domains": ["blog.example.com"], "directory": "/etc/groundcrew/tls/blog"},
    ]


def test_the_host_is_told_of_users_and_packages() -> None:
    assert slices.host_users(BOTH) == [
        {"name": "shop", "home": "/var/lib/groundcrew/shop/home"},
        {"name": "blog", "home": "/var/lib/groundcrew/blog/home"},
    ]
    packages = slices.host_packages(BOTH)
    assert packages == sorted(set(packages))
    assert {"ffmpeg", "libmagic1", "libpq-dev", "nginx", "redis-server"} <= set(packages)
    assert "redis-server" not in slices.host_packages([record()])


# Which slice asks for a role's packages; the others are always installed.
WANTED_BY: dict[str, dict[str, Any]] = {"postgresql": {"database": {}}, "redis": {"database": False, "redis": True}}


@pytest.mark.parametrize("role", sorted(path.parent.parent.name for path in ROOT.glob("roles/*/defaults/main.yml")))
def test_one_transaction_installs_the_packages_of_every_role(role: str) -> None:
    defaults = yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
    packages = defaults.get(f"{role}_packages", [])
    if role == "host":
        return  # its packages are this very list
    assert sorted(slices.PACKAGES.get(role, [])) == sorted(packages)
    with_it = slices.host_packages([record(**WANTED_BY.get(role, {}))])
    assert set(packages) <= set(with_it)
    if role in WANTED_BY and packages:
        assert not set(packages) & set(slices.host_packages([record(database=False)]))


# --- what holds for every app

names = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True).filter(
    lambda name: not app_problems([{**SHOP, "name": name}], {})
)
RELEASE = "r" * 40


@settings(deadline=None, database=None)  # a busy machine is no failure, and the tree is left clean
@given(names)
def test_names_fit_where_they_are_used(name: str) -> None:
    found = record(name=name, databases={"a": {}}, redis=True)
    socket = found["paths"]["socket"].replace("/current/", f"/releases/{RELEASE}/")
    assert len(socket) <= 107
    assert len(found["user"]) <= 32
    assert len(f"{found['units']['web']}@{RELEASE}.service") <= 255
    assert all(len(database["name"]) <= 63 for database in slices.postgresql_databases([found]))
    assert 0 < found["redis"]["database"] < 1024


def identities(found: dict[str, Any]) -> set[str]:
    """Every name that must be one app's alone."""
    return {
        f"user {found['user']}",
        *found["paths"].values(),
        *(f"unit {unit}" for unit in found["units"].values()),
        found["redis"]["password_file"],
        f"database {found['database']['name']}",
        *(f"database {database['name']}" for database in found["databases"].values()),
    }


@settings(deadline=None, database=None)  # a busy machine is no failure, and the tree is left clean
@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_apps_share_nothing(chosen: list[str]) -> None:
    apps = [
        {**SHOP, "name": name, "domains": [f"h{number}.example.com"], "databases": {"web": {}, "a_b": {}}}
        for number, name in enumerate(chosen, 1)
    ]
    found = app_records([{**app, "redis": {"database": number}} for number, app in enumerate(apps, 1)])
    for one, other in itertools.combinations(found, 2):
        assert not identities(one) & identities(other)
        trees = [
            {record_["paths"][key] for key in ("root", "config", "state", "cache", "tls")} for record_ in (one, other)
        ]
        # No tree of one app lies within a tree of another, so that the rights on a tree are its app's alone.
        assert not any(f"{inner}/".startswith(f"{outer}/") for inner, outer in itertools.product(*trees))
        assert not any(f"{inner}/".startswith(f"{outer}/") for outer, inner in itertools.product(*trees))


keys = st.sampled_from([*SPEC, *(key for option in SPEC.values() for key in option.get("options", {})), "x", "", 5])
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["shop", "${", "a.b"])
)
anything = st.recursive(
    leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(keys, below, max_size=5), max_leaves=20
)


@settings(deadline=None, database=None)  # a busy machine is no failure, and the tree is left clean
@given(anything, anything)
def test_no_description_whatever_breaks_the_check(apps: object, secrets: object) -> None:
    problems = app_problems(apps, secrets)
    assert all("\n" not in problem for problem in problems)


@settings(deadline=None, database=None)  # a busy machine is no failure, and the tree is left clean
@given(st.dictionaries(keys, anything, max_size=8), st.dictionaries(st.sampled_from(["shop", "x"]), anything))
def test_no_app_whatever_breaks_the_check(changes: dict[Any, Any], secrets: dict[str, Any]) -> None:
    try:
        app_records([{**SHOP, **changes}], secrets)
    except AppError as error:
        assert error.problems
