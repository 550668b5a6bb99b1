# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is decided from settings: the module, static files, uploads, the app server, and whether they are fit."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._settings import (
    Media,
    choose_server,
    decide_media,
    decide_static,
    url_path,
    why_no_fallbacks,
)
from ansible_collections.groundcrew.django.plugins.module_utils._settings_choice import (
    Choice,
    choose_settings,
    looks_like_development,
    settings_candidates,
)
from ansible_collections.groundcrew.django.plugins.module_utils._settings_judge import explain_failure, judge_settings
from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import NAMES, Setting

CODE = "/srv/shop/releases/1/code"
POSTGRESQL = {
    "engine": "django.db.backends.postgresql",
    "name": "shop",
    "host": "",
    "port": "",
    "user": "shop",
    "has_password": False,
}


def record(**changes: t.Any):
    return {
        "name": "shop",
        "domains": ["shop.example.com"],
        "static_domain": None,
        "media_domain": None,
        "shared_paths": [],
        "media": "auto",
        "production_settings": "auto",
        "database": {"local": True, "host": "", "name": "shop", "user": "shop", "port": 5432},
        "databases": {},
        "paths": {
            "media": "/srv/shop/shared/media",
            "data": "/srv/shop/shared/data",
            "shared": "/srv/shop/shared",
        },
        **changes,
    }


def found(**changes: t.Any):
    return {
        "DEBUG": False,
        "SECRET_KEY": {"sha256": "1", "length": 60, "distinct": 30, "insecure": False},
        "ALLOWED_HOSTS": ["shop.example.com"],
        "DATABASES": {"default": POSTGRESQL},
        "STATIC_URL": "/static/",
        "STATIC_ROOT": "/srv/shop/releases/1/static",
        "MEDIA_URL": "/media/",
        "MEDIA_ROOT": f"{CODE}/media",
        "FILES": "django.core.files.storage.FileSystemStorage",
        "INSTALLED_APPS": ["django.contrib.staticfiles"],
        "ROOT_URLCONF": "shop.urls",
        "ASGI_APPLICATION": "",
        "wsgi": "shop.wsgi:application",
        "asgi": "shop.asgi:application",
        "compresses_late": False,
        "log_files": [],
        "set": [],
        **changes,
    }


def manage(default: str) -> str:
    return f"import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', '{default}')\n"


FILES = [
    "manage.py",
    "config/settings/__init__.py",
    "config/settings/base.py",
    "config/settings/local.py",
    "config/settings/production.py",
    "config/urls.py",
    "shop/models.py",
]


@pytest.mark.parametrize(
    ("wanted", "environment", "default", "module", "by"),
    [
        ("a.b", {"DJANGO_SETTINGS_MODULE": "c.d"}, "config.settings.local", "a.b", "key"),
        ("", {"DJANGO_SETTINGS_MODULE": "c.d"}, "config.settings.local", "c.d", "environment"),
        ("", {}, "config.settings", "config.settings", "manage.py"),
        ("", {}, "devshop.settings", "devshop.settings", "manage.py"),
    ],
)
def test_the_key_wins_then_the_environment(
    wanted: str, environment: dict[str, t.Any], default: str, module: str, by: str
):
    choice = choose_settings(wanted, environment, manage(default), FILES)
    assert (choice.module, choice.by) == (module, by)


@pytest.mark.parametrize("default", ["config.settings.local", "config.settings.dev", "config.settings_development"])
def test_a_development_default_stops_and_lists_what_there_is(default: str):
    with pytest.raises(ReleaseError, match="developer's machine") as caught:
        choose_settings("", {}, manage(default), FILES)
    assert "`settings: config.settings.production`" in caught.value.cure


def test_the_most_likely_candidate_comes_first():
    files = [f"config/settings/{name}.py" for name in ("dev", "docker", "production", "staging")]
    with pytest.raises(ReleaseError) as caught:
        choose_settings("", {}, manage("config.settings.dev"), files)
    assert caught.value.cure.startswith("name the settings to use: `settings: config.settings.production`")
    assert "config.settings.docker" in caught.value.cure


def test_a_development_default_without_others_may_be_taken_on_purpose():
    with pytest.raises(ReleaseError) as caught:
        choose_settings("", {}, manage("mysite.settings.dev"), ["manage.py", "mysite/settings/dev.py"])
    assert "`settings: mysite.settings.dev` takes these" in caught.value.cure


def test_manage_that_overrules_everything_is_refused():
    text = "import os\nos.environ['DJANGO_SETTINGS_MODULE'] = 'a.settings'\n"
    with pytest.raises(ReleaseError, match=r"b\.settings would never be used"):
        choose_settings("b.settings", {}, text, [])
    assert choose_settings("a.settings", {}, text, []).module == "a.settings"


@pytest.mark.parametrize(
    ("files", "package", "cure"),
    [
        (["a/settings.py"], "", "name them: `settings: a.settings`"),
        (["a/local_settings.py", "a/settings.py"], "", "name them: `settings: a.settings`"),
        (["a/tests/settings.py", "a/web/settings/__init__.py"], "", "name them: `settings: a.web.settings`"),
        (["a/b/settings.py", "z/settings.py"], "", "`settings: z.settings` (found: z.settings, a.b.settings)"),
        (["__init__.py", "settings.py"], "shop", "name them: `settings: shop.settings`"),
        ([], "", "name them: `settings: package.settings`"),
    ],
)
def test_manage_without_settings_asks_for_the_key(files: list[str], package: str, cure: str):
    with pytest.raises(ReleaseError) as caught:
        choose_settings("", {}, "print('hello')", ["manage.py", *files], package=package)
    assert caught.value.cure.endswith(cure)


def test_a_manage_py_that_leaves_it_to_others_is_helped_by_the_entry_points():
    indirect = "from a import main\nmain()"
    agreed = [manage("a.settings"), "print('hello')", manage("a.settings")]
    assert choose_settings("", {}, indirect, [], agreed).module == "a.settings"
    with pytest.raises(ReleaseError, match="does not say"):
        choose_settings("", {}, indirect, [], [manage("a.settings"), manage("b.settings")])
    assert choose_settings("", {}, manage("own.settings"), [], agreed).module == "own.settings"


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("test_project.settings", False),
        ("config.settings.test", True),
        ("mysite.settings_local", True),
        ("config.settings.latest", False),
        ("local_settings", True),
        ("config.settings.production", False),
    ],
)
def test_looks_like_development(module: str, expected: t.Any):
    assert looks_like_development(module) is expected


def test_candidates_leave_out_what_is_no_settings():
    files = [
        "mysite/settings.py",
        "mysite/settings_prod.py",
        "mysite/local_settings.py",
        "mysite/urls.py",
        "a/settings.py",
    ]
    assert settings_candidates(files, "mysite.settings") == ["mysite.settings_prod"]
    assert settings_candidates(FILES, "config.settings.local") == ["config.settings.production"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/static/", "/static/"),
        ("static/", "/static/"),
        ("/", None),
        ("", None),
        ("/a/b", "/a/b/"),
        ("https://shop.example.com/static/", "/static/"),
        ("//shop.example.com/s/", "/s/"),
        ("https://static.example.com/", "/"),
        ("https://static.example.com/x/", "/x/"),
        ("https://bucket.s3.amazonaws.com/static/", None),
        ("/../etc/", None),
    ],
)
def test_url_path(url: str, expected: t.Any):
    assert url_path(url, ["shop.example.com"], "static.example.com") == expected


def test_static_files_need_the_app_and_a_root():
    assert decide_static(found(), record()).collect
    assert not decide_static(found(INSTALLED_APPS=[]), record()).collect
    foreign = decide_static(found(STATIC_URL="https://cdn.example.net/"), record())
    assert (foreign.collect, foreign.url_path) == (True, None)


SHARED = "/srv/shop/shared/media"


@pytest.mark.parametrize(
    ("changes", "view", "keys", "expected"),
    [
        ({}, "none", {}, Media("public", "/media/", SHARED, f"{CODE}/media")),
        ({"MEDIA_ROOT": SHARED}, "none", {}, Media("public", "/media/", SHARED, "")),
        ({}, "serve", {}, Media("public", "/media/", SHARED, f"{CODE}/media")),
        ({}, "view", {}, Media("app", None, SHARED, f"{CODE}/media")),
        ({"MEDIA_URL": "/"}, "none", {}, Media("app", None, SHARED, f"{CODE}/media")),
        ({"MEDIA_ROOT": ""}, "none", {}, Media("none", None, "", "")),
        ({"FILES": "storages.backends.s3.S3Storage"}, "none", {}, Media("none", None, SHARED, f"{CODE}/media")),
        ({}, "none", {"media": "app"}, Media("app", None, SHARED, f"{CODE}/media")),
        ({}, "none", {"media": "none"}, Media("none", None, SHARED, f"{CODE}/media")),
        ({}, "view", {"media": "public"}, Media("public", "/media/", SHARED, f"{CODE}/media")),
        ({}, "view", {"media": "internal"}, Media("internal", "/media/", SHARED, f"{CODE}/media")),
        (
            {"MEDIA_ROOT": f"{CODE}/data/media"},
            "none",
            {"shared_paths": ["data"]},
            Media("public", "/media/", "/srv/shop/shared/data/data/media", ""),
        ),
        ({"MEDIA_ROOT": "/var/media"}, "none", {}, Media("app", None, "/var/media", "")),
        ({"MEDIA_ROOT": CODE}, "none", {}, Media("none", None, "", "")),
    ],
)
def test_media(changes: dict[str, t.Any], view: str, keys: dict[str, t.Any], expected: t.Any):
    report = {"settings": found(**changes), "urls": {"media": view, "media_view": "shop.views.guarded"}}
    media, warnings = decide_media(report, record(**keys), code=CODE, cwd=CODE)
    assert media == expected
    guarded = view == "view" and "media" not in keys
    elsewhere = changes.get("MEDIA_ROOT") in ("/var/media", CODE)
    assert len(warnings) == (1 if guarded or elsewhere else 0)


def test_public_media_needs_a_path():
    with pytest.raises(ReleaseError, match="needs a MEDIA_URL"):
        decide_media({"settings": found(MEDIA_URL="/"), "urls": {}}, record(media="public"), code=CODE, cwd=CODE)


AUTO = {"kind": "auto", "entry": ""}


@pytest.mark.parametrize(
    ("changes", "server", "expected"),
    [
        ({}, AUTO, ("gunicorn", "wsgi", "shop.wsgi:application")),
        ({"ASGI_APPLICATION": "shop.asgi.application"}, AUTO, ("uvicorn", "asgi", "shop.asgi:application")),
        ({"INSTALLED_APPS": ["daphne"]}, AUTO, ("uvicorn", "asgi", "shop.asgi:application")),
        ({"wsgi": ""}, AUTO, ("uvicorn", "asgi", "shop.asgi:application")),
        ({"ASGI_APPLICATION": "shop.routing.app", "asgi": ""}, AUTO, ("gunicorn", "wsgi", "shop.wsgi:application")),
        ({}, {"kind": "uvicorn", "entry": ""}, ("uvicorn", "asgi", "shop.asgi:application")),
        ({}, {"kind": "auto", "entry": "x.asgi:app"}, ("uvicorn", "asgi", "x.asgi:app")),
        ({}, {"kind": "uwsgi", "entry": ""}, ("uwsgi", "wsgi", "shop.wsgi:application")),
        ({"INSTALLED_APPS": ["channels"]}, {"kind": "uwsgi", "entry": ""}, ("uwsgi", "wsgi", "shop.wsgi:application")),
        ({}, {"kind": "daphne", "entry": ""}, ("daphne", "asgi", "shop.asgi:application")),
        ({}, {"kind": "granian", "entry": ""}, ("granian", "wsgi", "shop.wsgi:application")),
        ({"ASGI_APPLICATION": "x.y"}, {"kind": "granian", "entry": ""}, ("granian", "asgi", "shop.asgi:application")),
        ({}, {"kind": "granian", "entry": "x.asgi:app"}, ("granian", "asgi", "x.asgi:app")),
        ({}, {"kind": "granian", "entry": "x.web:app"}, ("granian", "wsgi", "x.web:app")),
        ({}, {"kind": "gunicorn", "entry": "x.web"}, ("gunicorn", "wsgi", "x.web:application")),
    ],
)
def test_server(changes: dict[str, t.Any], server: dict[str, t.Any], expected: t.Any):
    assert choose_server(found(**changes), server) == expected


def test_server_without_an_application():
    with pytest.raises(ReleaseError, match="no application for uvicorn"):
        choose_server(found(asgi=""), {"kind": "uvicorn", "entry": ""})


# --- judging ---------------------------------------------------------------------------------------------------------


def judged(
    changes: dict[str, t.Any],
    settings: t.Any = (),
    supplied: t.Any = (),
    keys: t.Any = (),
    choice: t.Any = None,
    same_key: bool = True,
):
    """Message and cure, or the warnings."""
    all_settings = {name: Setting(name) for name in NAMES} | {one.name: one for one in settings}
    try:
        return judge_settings(
            found(**changes),
            all_settings,
            record(**dict(keys)),
            choice or Choice("shop.settings", "key"),
            dict(supplied),
            code=CODE,
            same_key=same_key,
        )
    except ReleaseError as error:
        return error.message, error.cure


def computed(name: str, *variables: str, **more: t.Any):
    return Setting(name, "computed", "shop.settings", "shop/settings.py", 7, variables=variables, **more)


SQLITE = {**POSTGRESQL, "engine": "django.db.backends.sqlite3", "name": f"{CODE}/db.sqlite3"}
TCP = {**POSTGRESQL, "host": "localhost"}


@pytest.mark.parametrize(
    ("changes", "setting", "message", "cure"),
    [
        ({"DEBUG": True}, computed("DEBUG", "DJ_DEBUG"), "DEBUG (shop/settings.py:7) stays on", 'DJ_DEBUG: "False"'),
        ({"DEBUG": True}, computed("DEBUG"), "stays on", "change shop/settings.py:7"),
        ({"DEBUG": True}, computed("DEBUG", "DEBUG"), "stays on", "takes DEBUG='False' for true"),
        (
            {"ALLOWED_HOSTS": ["localhost"]},
            computed("ALLOWED_HOSTS", "HOSTS"),
            "without shop.example.com",
            'HOSTS: "shop.example.com"',
        ),
        (
            {"SECRET_KEY": {"sha256": "", "length": 60, "distinct": 9, "insecure": True}},
            computed("SECRET_KEY", "KEY"),
            "startproject made",
            'KEY: "${secret.secret_key}"',
        ),
        (
            {"DATABASES": {"default": SQLITE}},
            computed("DATABASES", "DB_URL"),
            "lost with the release",
            'DB_URL: "${database.url}"',
        ),
        (
            {"DATABASES": {"default": SQLITE}},
            computed("DATABASES", "DB_TYPE", keys={"ENGINE": ("DB_TYPE",), "NAME": ("DB_NAME",)}),
            "lost with the release",
            'DB_TYPE: "postgresql", DB_NAME: "${database.name}"',
        ),
        (
            {"DATABASES": {"default": TCP}},
            computed("DATABASES", "DB_HOST", "DB_NAME", keys={"HOST": ("DB_HOST",), "NAME": ("DB_NAME",)}),
            "'shop' at localhost",
            'DB_NAME: "${database.name}", DB_HOST: "${database.host}"',
        ),
        (
            {"DATABASES": {"default": SQLITE}},
            computed("DATABASES", "DATA", keys={"NAME": ("DATA",)}),
            "lost with the release",
            "change shop/settings.py:7 to read DATABASE_URL (it looks up DATA)",
        ),
        (
            {"ALLOWED_HOSTS": []},
            computed("ALLOWED_HOSTS", "DEBUG", "DATA"),
            "without shop.example.com",
            "change shop/settings.py:7 (it looks up DEBUG, DATA)",
        ),
        ({"DEBUG": True}, computed("DEBUG", "ENV", off="production"), "stays on", 'set `env: {ENV: "production"}`'),
        ({"STATIC_ROOT": "/var/www"}, computed("STATIC_ROOT", "ROOT"), "outside the release", "ROOT: "),
        ({"STATIC_ROOT": ""}, Setting("STATIC_ROOT"), "is not set", "set STATIC_ROOT in the project's settings"),
        # Settings that run a local_settings.py say one thing, and another is found.
        (
            {"DEBUG": True},
            Setting("DEBUG", "literal", "shop.settings", "shop/settings.py", 7, value=False),
            "DEBUG (shop/settings.py:7) stays on",
            "place one for this server by `files`",
        ),
        (
            {"DEBUG": True, "set": ["DEBUG"]},
            Setting("DEBUG"),
            "DEBUG stays on",
            "place one for this server by `files`",
        ),
    ],
)
def test_what_is_unfit_names_its_place_and_its_cure(
    changes: dict[str, t.Any], setting: Setting, message: str, cure: str
):
    said = judged(changes, [setting], {"DEBUG": "False"})
    assert message in said[0]
    assert cure in said[1]


def test_static_files_in_a_shared_path_would_be_those_of_every_release():
    said = judged({"STATIC_ROOT": f"{CODE}/data/static"}, [], keys={"shared_paths": ["data"]})
    assert "in a shared path" in said[0]


def test_the_local_database_is_asked_for_no_password():
    keys = {"NAME": ("DB_NAME",), "PASSWORD": ("DB_PASS",), "PORT": ("DB_PORT",)}
    local = judged({"DATABASES": {"default": TCP}}, [computed("DATABASES", *keys, keys=keys)])[1]
    assert "DB_NAME" in local and "DB_PASS" not in local and "DB_PORT" not in local
    elsewhere = {"local": False, "host": "db.example.com", "name": "shop", "user": "shop", "port": 5432}
    said = judged(
        {"DATABASES": {"default": TCP}}, [computed("DATABASES", *keys, keys=keys)], keys={"database": elsewhere}
    )
    assert 'DB_PASS: "${database.password}"' in said[1]


def test_fit_settings_have_nothing_to_say():
    assert judged({}) == []


def test_everything_is_told_at_once():
    message, cure = judged(
        {"DEBUG": True, "ALLOWED_HOSTS": []}, [computed("DEBUG", "D"), computed("ALLOWED_HOSTS", "A")]
    )
    assert "DEBUG" in message and "ALLOWED_HOSTS" in message
    assert "D:" in cure and "A:" in cure


def test_debug_in_manage_pys_settings_lists_the_others():
    choice = Choice("config.settings", "manage.py", ("config.settings.production", "config.settings.test"))
    said = judged({"DEBUG": True}, [computed("DEBUG")], choice=choice)
    assert "`settings: config.settings.production`" in said[1]


def test_a_random_key_is_named_as_such():
    message, cure = judged({}, [computed("SECRET_KEY", "DJANGO_KEY", random=True)], same_key=False)
    assert "at random" in message
    assert "DJANGO_KEY" in cure


def test_every_host_is_a_warning():
    assert "nginx drops unknown ones" in judged({"ALLOWED_HOSTS": ["*"]})[0]


@pytest.mark.parametrize("host", ["shop.example.com", ".example.com", "*", "SHOP.example.com"])
def test_hosts_that_cover_the_domain(host: str):
    assert isinstance(judged({"ALLOWED_HOSTS": [host]}), list)


def test_files_that_are_compressed_while_the_app_serves_are_a_warning():
    assert "commands: {static: [python manage.py compress]}" in judged({"compresses_late": True})[0]


def test_a_log_file_in_the_release_is_a_warning_unless_it_is_kept():
    changes = {"log_files": [f"{CODE}/logs/app.log", "/var/log/x.log"]}
    assert len(judged(changes)) == 1
    assert judged(changes, keys={"shared_paths": ["logs"]}) == []


def test_sqlite_in_a_shared_path_is_kept_without_a_database():
    database = {"default": {**SQLITE, "name": f"{CODE}/data/db.sqlite3"}}
    keys = {"database": None, "shared_paths": ["data"]}
    assert judged({"DATABASES": database}, keys=keys) == []
    assert "shared_paths" in judged({"DATABASES": {"default": SQLITE}}, keys={"database": None})[1]


def test_never_says_what_would_help():
    written = Setting("DEBUG", "literal", "shop.settings", "shop/settings.py", 3, True)
    assert "production_settings: auto" in judged({"DEBUG": True}, [written], keys={"production_settings": "never"})[1]


def failure(
    stage: str = "settings",
    kind: str = "KeyError",
    message: str = "'DB_PASSWORD'",
    reads: t.Any = (),
    module: str | None = None,
    settings: t.Any = None,
):
    frames = [{"path": "shop/settings.py", "line": 12}]
    error = {"type": kind, "message": message, "frames": frames, "module": module}
    said = [{"name": name, "set": False, "path": "shop/settings.py", "line": line, "own": True} for name, line in reads]
    # What a library looks up while line 12 imports it.
    said += [{"name": "LIBRARY_TRACE", "set": False, "path": "shop/settings.py", "line": 12, "own": False}]
    files = {"shop": "shop/__init__.py", "shop.local": "shop/local/__init__.py"}
    report = {"stage": stage, "error": error, "reads": said, "files": files, "settings": settings or {}}
    return explain_failure(report, "shop.settings", CODE)


@pytest.mark.parametrize(
    ("arguments", "message", "cure"),
    [
        (
            {"reads": [("DB_HOST", 9), ("DB_PASSWORD", 12)]},
            "shop.settings did not load: KeyError: 'DB_PASSWORD' (shop/settings.py:12)",
            "set `env: {DB_PASSWORD: ...}` (looked up as well, and not set: DB_HOST)",
        ),
        (
            {"kind": "ValueError", "message": "empty", "reads": [("PORT", 12)]},
            "ValueError: empty",
            "set `env: {PORT: ...}`",
        ),
        (
            {"kind": "ModuleNotFoundError", "message": "No module named 'storages'", "module": "storages"},
            "No module named 'storages'",
            "add what provides storages",
        ),
        (
            {"kind": "ModuleNotFoundError", "message": "No module named 'pkg_resources'", "module": "pkg_resources"},
            "No module named 'pkg_resources'",
            "add setuptools<81 to",
        ),
        (
            {"kind": "ModuleNotFoundError", "message": "No module named 'cgi'", "module": "cgi", "reads": [("A", 1)]},
            "No module named 'cgi'",
            'cgi is no part of Python any more: set `python: "3.12"`',
        ),
        (
            {"kind": "ModuleNotFoundError", "message": "No module named 'shop.extra'", "module": "shop.extra"},
            "No module named 'shop.extra'",
            "add what provides shop.extra",
        ),
        (
            {"kind": "ModuleNotFoundError", "message": "No module named 'django.urls.x'", "module": "django.urls.x"},
            "No module named 'django.urls.x'",
            "the installed django is not the one",
        ),
        (
            {
                "kind": "ImportError",
                "message": "cannot import name 'ugettext' from 'django.utils' (/venv/lib/site-packages/django/x.py)",
                "reads": [("A", 1)],
            },
            "cannot import name 'ugettext'",
            '`dependencies: {packages: ["django<..."]}`',
        ),
        (
            {
                "kind": "ImportError",
                "message": "cannot import name 'getargspec' from 'inspect' (/usr/lib/python3.11/inspect.py)",
            },
            "cannot import name 'getargspec'",
            "set `python` to an older one",
        ),
        (
            {"message": "'LIBRARY_TRACE'", "reads": [("A", 1)]},
            "KeyError: 'LIBRARY_TRACE'",
            "set `env: {LIBRARY_TRACE: ...}` (looked up as well, and not set: A)",
        ),
        (
            {"stage": "setup", "kind": "ValueError", "message": "Unable to configure handler 'file'"},
            "Django did not start",
            "shared_paths: [...]",
        ),
        (
            {
                "stage": "setup",
                "kind": "ValueError",
                "message": "Unable to configure handler 'file'",
                "settings": {"log_files": [f"{CODE}/var/logs/a.log", f"{CODE}/var/logs/b.log", "/var/log/x.log"]},
            },
            "Django did not start",
            "shared_paths: [var/logs]",
        ),
        (
            {"kind": "OSError", "message": f"[Errno 30] Read-only file system: '{CODE}/src/data'", "reads": [("A", 1)]},
            "OSError: [Errno 30] Read-only file system",
            "shared_paths: [src/data]",
        ),
        (
            {"kind": "OSError", "message": f"[Errno 30] Read-only file system: b'{CODE}/shop/local/key.lock'"},
            "OSError: [Errno 30] Read-only file system",
            "and shop/local holds some: have the settings name another place",
        ),
        (
            {"kind": "FileNotFoundError", "message": f"[Errno 2] No such file or directory: '{CODE}/etc/shop.json'"},
            "No such file",
            "the code has no etc/shop.json: place it by `files`",
        ),
        (
            {"kind": "FileNotFoundError", "message": "[Errno 2] No such file or directory: '/etc/shop.json'"},
            "No such file",
            "repair the project",
        ),
        ({"kind": "TypeError", "message": "x", "reads": [("A", 1)]}, "TypeError", "looked up and not set: A"),
        ({"kind": "TypeError", "message": ""}, "no reason given", "repair the project"),
    ],
)
def test_failures_are_explained(arguments: dict[str, t.Any], message: str, cure: str):
    error = failure(**arguments)
    assert message in error.message
    assert cure in error.cure


ABSENT = Setting("SECRET_KEY_FALLBACKS")
WRITTEN = Setting("SECRET_KEY_FALLBACKS", "literal", "a", "a.py", 3, [])
COMPUTED = Setting("SECRET_KEY_FALLBACKS", "computed", "a", "a.py", 3, variables=("OLD_KEYS",))
ELSEWHERE = Setting("SECRET_KEY_FALLBACKS", "computed", "a", "a.py", 3)


@pytest.mark.parametrize(
    ("setting", "changes", "why"),
    [
        (ABSENT, {}, ""),
        (WRITTEN, {}, ""),
        (ABSENT, {"reads": ["SECRET_KEY_FALLBACKS"], "configuration": "Production"}, ""),
        (COMPUTED, {"reads": ["SECRET_KEY_FALLBACKS"]}, ""),
        (COMPUTED, {"env": {"OLD_KEYS": "${secret.secret_key_fallbacks}"}}, ""),
        (COMPUTED, {}, 'this is missing: `env: {OLD_KEYS: "${secret.secret_key_fallbacks}"}`'),
        (ELSEWHERE, {}, "do not read SECRET_KEY_FALLBACKS from the environment at a.py:3"),
        (ABSENT, {"configuration": "Production"}, "do not read SECRET_KEY_FALLBACKS"),
        (ABSENT, {"production": "never"}, "do not read SECRET_KEY_FALLBACKS"),
        (ABSENT, {"set": ["SECRET_KEY_FALLBACKS"]}, "do not read SECRET_KEY_FALLBACKS"),
        (ABSENT, {"env": {"SECRET_KEY_FALLBACKS": "x"}}, "values of its own"),
        (ABSENT, {"django": "4.0.10"}, "Django 4.0.10 knows no SECRET_KEY_FALLBACKS"),
        (ABSENT, {"django": "4.1rc1"}, ""),
        (ABSENT, {"django": "5.2.9"}, ""),
    ],
)
def test_why_a_former_key_would_not_stay_valid(setting: Setting, changes: dict[str, t.Any], why: str) -> None:
    described = record(env=changes.get("env", {}), production_settings=changes.get("production", "auto"))
    said = why_no_fallbacks(
        setting,
        {"set": changes.get("set", [])},
        changes.get("reads", []),
        described,
        changes.get("configuration", ""),
        changes.get("django", "5.2"),
    )
    assert why in said
    assert bool(why) is bool(said)
