# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which names are laid over, and what the module that does it makes of a project's settings (without Django)."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import textwrap
import typing as t
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._overlay import (
    covers,
    matches_record,
    plan_overlay,
    render_overlay,
    within,
)
from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import Source, classify

CODE = "/srv/shop/releases/1/code"
STATIC = "/srv/shop/releases/1/static"
RECORD: dict[str, t.Any] = {
    "name": "shop",
    "domains": ["shop.example.com"],
    "production_settings": "auto",
    "files": [],
    "shared_paths": [],
    "database": {"local": True, "host": "", "name": "shop", "user": "shop", "port": 5432},
}
KEY = "django-insecure-abc"
SQLITE = {"engine": "django.db.backends.sqlite3", "name": f"{CODE}/db.sqlite3", "host": ""}
STARTPROJECT = f"""
    from pathlib import Path
    BASE_DIR = Path(__file__).resolve().parent.parent
    SECRET_KEY = "{KEY}"
    DEBUG = True
    ALLOWED_HOSTS = []
    DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE_DIR / "db.sqlite3"}}}}
"""


def found(**changes: object) -> dict[str, object]:
    """What the probe says of a project that startproject made."""
    return {
        "DEBUG": True,
        "SECRET_KEY": {"sha256": hashlib.sha256(KEY.encode()).hexdigest(), "length": len(KEY)},
        "ALLOWED_HOSTS": [],
        "DATABASES": {"default": SQLITE},
        "STATIC_ROOT": "",
        "MEDIA_ROOT": "",
        "INSTALLED_APPS": ["django.contrib.staticfiles"],
        "set": ["DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASES"],
        **changes,
    }


def plan(text: str = STARTPROJECT, keys: dict[str, object] | None = None, fallbacks: bool = False, **changes: object):
    """Names that are laid over."""
    source = Source("mysite.settings", "mysite/settings.py", textwrap.dedent(text))
    record = {**RECORD, **(keys or {})}
    settings = classify("mysite.settings", [source])
    return plan_overlay(settings, found(**changes), record, code=CODE, static=STATIC, fallbacks=fallbacks)


def names(*arguments: t.Any, **keywords: t.Any) -> list[str]:
    return [one.name for one in plan(*arguments, **keywords)]


ALL = ["DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASES", "STATIC_ROOT"]


@pytest.mark.parametrize(
    ("line", "there", "laid"),
    [
        ("", [], True),
        ("SECRET_KEY_FALLBACKS = []", [], True),
        ('SECRET_KEY_FALLBACKS = env.list("OLD_KEYS")', [], False),
        # Set by code that the text does not show.
        ("", ["SECRET_KEY_FALLBACKS"], False),
    ],
)
def test_former_keys_are_laid_over_where_the_project_does_not_set_them(line: str, there: list[str], laid: bool):
    text = f"{textwrap.dedent(STARTPROJECT)}\n{line}\n"
    more: dict[str, t.Any] = {"SECRET_KEY_FALLBACKS": [], "set": ["DEBUG", "SECRET_KEY", *there]}
    assert ("SECRET_KEY_FALLBACKS" in names(text, fallbacks=True, **more)) is laid
    assert "SECRET_KEY_FALLBACKS" not in names(text, **more)


def test_startproject_is_laid_over_completely():
    assert names() == ALL


def test_never_means_never():
    assert names(keys={"production_settings": "never"}) == []


def test_static_files_do_not_stay_in_a_shared_path():
    text = STARTPROJECT + "    STATIC_ROOT = BASE_DIR / 'data/static'\n"
    assert "STATIC_ROOT" not in names(text, STATIC_ROOT=f"{CODE}/data/static")
    assert "STATIC_ROOT" in names(text, {"shared_paths": ["data"]}, STATIC_ROOT=f"{CODE}/data/static")


def test_what_the_operator_has_placed_stays_but_for_static_files():
    """A local_settings.py that ``files`` brings is written for this very server."""
    placed = {"files": [{"dest": "mysite/settings.py"}]}
    assert names(keys=placed) == ["STATIC_ROOT"]
    assert names(keys={"files": [{"dest": "mysite/other.py"}]}) == ALL


def postgresql(host: str, engine: str = "django.db.backends.postgresql") -> dict[str, dict[str, str]]:
    return {"default": {"engine": engine, "name": "hc", "host": host}}


def literal_database(host: str, engine: str = "django.db.backends.postgresql") -> str:
    return STARTPROJECT + f'    DATABASES = {{"default": {{"ENGINE": "{engine}", "NAME": "hc", "HOST": "{host}"}}}}\n'


@pytest.mark.parametrize(
    ("text", "changes", "missing"),
    [
        (STARTPROJECT + "    DEBUG = bool(os.environ['D'])\n", {}, "DEBUG"),
        (STARTPROJECT.replace("True", "False"), {"DEBUG": False}, "DEBUG"),
        # What runs is not what is written: the text was misread, so hands off.
        (STARTPROJECT.replace("True", "False"), {}, "DEBUG"),
        (STARTPROJECT, {"SECRET_KEY": {"sha256": "other"}}, "SECRET_KEY"),
        (STARTPROJECT, {"ALLOWED_HOSTS": ["a"]}, "ALLOWED_HOSTS"),
        (STARTPROJECT.replace("[]", "['*']"), {"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS"),
        (STARTPROJECT.replace("[]", "['.example.com']"), {"ALLOWED_HOSTS": [".example.com"]}, "ALLOWED_HOSTS"),
        (STARTPROJECT + "    DATABASES = {'default': env.db()}\n", {}, "DATABASES"),
        (literal_database("db.example.com"), {"DATABASES": postgresql("db.example.com")}, "DATABASES"),
        (
            literal_database("localhost", "django.db.backends.mysql"),
            {"DATABASES": postgresql("localhost", "django.db.backends.mysql")},
            "DATABASES",
        ),
        (STARTPROJECT + "    STATIC_ROOT = BASE_DIR / 'static'\n", {"STATIC_ROOT": f"{CODE}/static"}, "STATIC_ROOT"),
        (STARTPROJECT + "    STATIC_ROOT = env('ROOT')\n", {"STATIC_ROOT": "/var/www"}, "STATIC_ROOT"),
        (STARTPROJECT, {"INSTALLED_APPS": []}, "STATIC_ROOT"),
        # Set, and not where this reading has looked: not absent.
        (STARTPROJECT, {"set": ["STATIC_ROOT"]}, "STATIC_ROOT"),
    ],
)
def test_what_is_not_ours_to_change_stays(text: str, changes: dict[str, t.Any], missing: str):
    assert names(text, **changes) == [name for name in ALL if name != missing]


def test_a_literal_database_of_this_server_is_the_apps_own():
    laid = plan(literal_database("localhost"), DATABASES=postgresql("localhost"))
    assert [one.was for one in laid if one.name == "DATABASES"] == ["postgresql hc"]


def test_no_database_described_none_laid_over():
    assert "DATABASES" not in names(keys={"database": None})


def test_static_files_outside_the_release_come_into_it():
    laid = plan(STARTPROJECT + "    STATIC_ROOT = '/var/www'\n", STATIC_ROOT="/var/www", set=[*ALL])
    assert [(one.was, one.now) for one in laid if one.name == "STATIC_ROOT"] == [("/var/www", STATIC)]


def test_what_is_shown_holds_no_key():
    shown = json.dumps([one.shown() for one in plan()])
    assert KEY not in shown
    assert "mysite/settings.py:4" in shown


@pytest.mark.parametrize(
    ("allowed", "host", "expected"),
    [
        (["*"], "a.b", True),
        ([".b"], "a.b", True),
        ([".b"], "b", True),
        (["A.b"], "a.B", True),
        (["b"], "a.b", False),
        ([], "a", False),
    ],
)
def test_covers(allowed: list[str], host: str, expected: t.Any):
    assert covers(allowed, host) is expected


@pytest.mark.parametrize(
    ("path", "expected"), [("/a/b", True), ("/a/b/c", True), ("/a/bc", False), ("/a/b/../c", False), ("", False)]
)
def test_within(path: str, expected: t.Any):
    assert within(path, "/a/b/") is expected


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ({"engine": "django.db.backends.postgresql", "host": "", "name": "shop"}, True),
        ({"engine": "django.contrib.gis.db.backends.postgis", "host": "/run/postgresql", "name": "shop"}, True),
        ({"engine": "django.db.backends.postgresql", "host": "localhost", "name": "shop"}, False),
        ({"engine": "django.db.backends.postgresql", "host": "", "name": "other"}, False),
        ({"engine": "django.db.backends.mysql", "host": "", "name": "shop"}, False),
    ],
)
def test_matches_record(database: dict[str, t.Any], expected: t.Any):
    assert matches_record(database, RECORD["database"]) is expected


# --- the module itself -----------------------------------------------------------------------------------------------

URL = "postgres://shop:p%40ss@db.example.com:5433/shop?sslmode=require"
READ = """
import json
import groundcrew_settings as settings
print(json.dumps({name: getattr(settings, name) for name in dir(settings) if name.isupper()}, default=str))
"""


def run(
    tmp_path: Path,
    text: str,
    package: str = "",
    program: str = READ,
    engine: str = "django.db.backends.sqlite3",
    **changes: t.Any,
):
    """The settings that come out when ``text`` is laid over."""
    (tmp_path / "mysite").mkdir()
    (tmp_path / "mysite/__init__.py").write_text(package)
    (tmp_path / "mysite/settings.py").write_text(textwrap.dedent(text))
    laid = plan(text, **changes)
    overlay = render_overlay(laid, "mysite.settings", app="shop", static=STATIC, domains=["a.b"], engine=engine)
    assert KEY not in overlay
    (tmp_path / "groundcrew_settings.py").write_text(overlay)
    environment = {"SECRET_KEY": "the real one", "SECRET_KEY_FALLBACKS": "old,older", "DATABASE_URL": URL}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_former_keys_come_from_the_environment(tmp_path: Path):
    result = run(tmp_path, STARTPROJECT, fallbacks=True, SECRET_KEY_FALLBACKS=[])
    assert result["SECRET_KEY_FALLBACKS"] == ["old", "older"]


def test_derived_values_follow(tmp_path: Path):
    derived = """
    TEMPLATE_DEBUG = DEBUG
    SIGNING = {"KEY": SECRET_KEY}
    APPS = ["shop"]
    if DEBUG:
        APPS += ["debug_toolbar"]
    """
    result = run(tmp_path, STARTPROJECT + derived)
    assert result["DEBUG"] is False
    assert result["TEMPLATE_DEBUG"] is False
    assert result["SIGNING"] == {"KEY": "the real one"}
    assert result["APPS"] == ["shop"]
    assert result["ALLOWED_HOSTS"] == ["a.b"]
    assert result["STATIC_ROOT"] == STATIC


def test_the_database_comes_from_the_url_and_keeps_its_options(tmp_path: Path):
    text = STARTPROJECT + '    DATABASES["default"]["ATOMIC_REQUESTS"] = True\n'
    text = text.replace('"NAME"', '"CONN_MAX_AGE": 60, "NAME"')
    assert run(tmp_path, text)["DATABASES"]["default"] == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "USER": "shop",
        "PASSWORD": "p@ss",
        "HOST": "db.example.com",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
        "CONN_MAX_AGE": 60,
        "ATOMIC_REQUESTS": True,
    }


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("django.contrib.gis.db.backends.spatialite", "django.contrib.gis.db.backends.postgis"),
        ("django_prometheus.db.backends.postgresql", "django_prometheus.db.backends.postgresql"),
        ("", "django.db.backends.postgresql"),
    ],
)
def test_engines_find_their_like(tmp_path: Path, engine: str, expected: t.Any):
    assert run(tmp_path, STARTPROJECT, engine=engine)["DATABASES"]["default"]["ENGINE"] == expected


def test_code_that_imports_its_settings_directly_sees_the_same(tmp_path: Path):
    program = "import groundcrew_settings, json, mysite.settings as s; print(json.dumps([s.DEBUG, s.SECRET_KEY]))"
    assert run(tmp_path, STARTPROJECT, program=program) == [False, "the real one"]


def test_settings_that_a_package_imports_too_early_are_laid_over_all_the_same(tmp_path: Path):
    program = "import mysite\n" + READ
    assert run(tmp_path, STARTPROJECT, package="from . import settings\n", program=program)["DEBUG"] is False


def test_stale_bytecode_is_not_believed(tmp_path: Path):
    program = "import compileall\ncompileall.compile_dir('mysite', quiet=1)\n"
    assert run(tmp_path, STARTPROJECT, program=program + READ)["DEBUG"] is False


def test_two_statements_on_one_line_are_told_apart(tmp_path: Path):
    result = run(tmp_path, STARTPROJECT.replace("DEBUG = True", "DEBUG = True; OTHER = True"))
    assert (result["DEBUG"], result["OTHER"]) == (False, True)
