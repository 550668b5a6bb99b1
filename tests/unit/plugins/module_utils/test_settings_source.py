# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a setting gets its value from, read from texts as projects write them."""

from __future__ import annotations

import textwrap
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import (
    ManageSettings,
    Source,
    classify,
    demanded_variables,
    read_manage,
    star_imports,
)


def one(text: str, name: str, **others: str):
    """The setting ``name`` of a module ``shop.settings`` with this text, beside other modules of its package."""
    texts = {"settings": text, **others}
    sources = [Source(f"shop.{key}", f"shop/{key}.py", textwrap.dedent(value)) for key, value in texts.items()]
    return classify("shop.settings", sources)[name]


STARTPROJECT = """
    from pathlib import Path
    BASE_DIR = Path(__file__).resolve().parent.parent
    SECRET_KEY = 'django-insecure-abc'
    DEBUG = True
    ALLOWED_HOSTS = []
    DATABASES = {'default': {'ENGINE': 'django.db.backends.sqlite3', 'NAME': BASE_DIR / 'db.sqlite3'}}
    STATIC_URL = 'static/'
"""


@pytest.mark.parametrize(
    ("name", "kind", "value"),
    [
        ("SECRET_KEY", "literal", "django-insecure-abc"),
        ("DEBUG", "literal", True),
        ("ALLOWED_HOSTS", "literal", []),
        ("DATABASES", "default", None),
        ("STATIC_ROOT", "absent", None),
    ],
)
def test_startproject_is_open_to_us(name: str, kind: str, value: t.Any):
    setting = one(STARTPROJECT, name)
    assert (setting.kind, setting.value) == (kind, value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("import os\nB = os.path.dirname(__file__)\nSTATIC_ROOT = os.path.join(B, 'static')", "STATIC_ROOT"),
        ("from pathlib import Path\nSTATIC_ROOT = str(Path(__file__).parent.joinpath('x'))", "STATIC_ROOT"),
        ("import environ\nr = environ.Path(__file__) - 2\nMEDIA_ROOT = r('media')", "MEDIA_ROOT"),
        ("import pathlib\nSTATIC_ROOT = pathlib.Path(__file__).resolve().parents[1] / 'x'", "STATIC_ROOT"),
        ("STATIC_ROOT = '/srv/' + 'static'", "STATIC_ROOT"),
        ("NAME = 'x'\nSTATIC_ROOT = f'/srv/{NAME}'", "STATIC_ROOT"),
        ("DEBUG: bool = True", "DEBUG"),
        ("DATABASES = {'default': {'ENGINE': 'e'}}\nDATABASES['default']['ATOMIC_REQUESTS'] = True", "DATABASES"),
        ("try:\n    from .local import *\nexcept ImportError:\n    pass\nDEBUG = True", "DEBUG"),
    ],
)
def test_what_only_the_text_decides_is_fixed(text: str, name: str):
    assert one(text, name).fixed


@pytest.mark.parametrize(
    ("text", "name", "variables"),
    [
        ("import os\nDEBUG = os.environ['D'] == '1'", "DEBUG", ["D"]),
        ("import os\nDEBUG = os.environ.get('DJ_DEBUG', 'on') == 'on'", "DEBUG", ["DJ_DEBUG"]),
        ("from os import environ as e, getenv\nDEBUG = bool(int(getenv('DEBUG', 1)))", "DEBUG", ["DEBUG"]),
        ("import environ\nenv = environ.Env(DEBUG=(bool, True))\nDEBUG = env('DEBUG')", "DEBUG", ["DEBUG"]),
        ("env = 1\nALLOWED_HOSTS = env.list('HOSTS', default=[])", "ALLOWED_HOSTS", ["HOSTS"]),
        ("env = environ.Env()\nSTATIC_ROOT = env.str('ROOT')", "STATIC_ROOT", ["ROOT"]),
        ("env = environ.Env()\nSTATIC_ROOT = env.path('ROOT')", "STATIC_ROOT", ["ROOT"]),
        ("DEBUG = str(os.environ.get('D'))", "DEBUG", ["D"]),
        ("from decouple import config, Csv\nALLOWED_HOSTS = config('HOSTS', cast=Csv())", "ALLOWED_HOSTS", ["HOSTS"]),
        ("from decouple import config\nSECRET_KEY = config('KEY')", "SECRET_KEY", ["KEY"]),
        ("def get_secret(n):\n    return n\nSECRET_KEY = get_secret('APP_KEY')", "SECRET_KEY", ["APP_KEY"]),
        ("import os\nDEBUG = 'PRODUCTION' not in os.environ", "DEBUG", ["PRODUCTION"]),
        ("import os\nif 'LIVE' in os.environ:\n    DEBUG = False\nelse:\n    DEBUG = True", "DEBUG", ["LIVE"]),
        ("import os\nDEBUG = False\nif os.getenv('DEV'):\n    DEBUG = True", "DEBUG", ["DEV"]),
        ("import os\nENV = os.getenv('STAGE')\nDEBUG = ENV != 'live'", "DEBUG", ["STAGE"]),
        ("import dj_database_url\nDATABASES = {'default': dj_database_url.config()}", "DATABASES", ["DATABASE_URL"]),
        ("import dj_database_url as d\nDATABASES = {'default': d.config(env='PG')}", "DATABASES", ["PG"]),
        ("DATABASES = {'default': env.db()}", "DATABASES", ["DATABASE_URL"]),
        ("DATABASES = {'default': {'E': 's'}}\nDATABASES['default'].update(env.db('X'))", "DATABASES", ["X"]),
        ("ALLOWED_HOSTS = ['a']\nALLOWED_HOSTS += env('MORE').split()", "ALLOWED_HOSTS", ["MORE"]),
        ("A, DEBUG = 1, env('D')", "DEBUG", ["D"]),
        ("from .other import DEBUG", "DEBUG", ["OTHER"]),
        ("from .other import *", "DEBUG", ["OTHER"]),
        ("import os\nDEBUG = getattr(os, 'NAME') and open('x').read()", "DEBUG", []),
    ],
)
def test_computed_values_name_their_variables(text: str, name: str, variables: list[str]):
    setting = one(text, name, other="import os\nDEBUG = os.environ.get('OTHER')")
    assert setting.kind == "computed"
    assert list(setting.variables) == variables


def test_last_assignment_wins_through_the_chain():
    setting = one("from .base import *\nDEBUG = True", "DEBUG", base="DEBUG = env('D')")
    assert (setting.kind, setting.where) == ("literal", "shop/settings.py:2")
    setting = one("DEBUG = True\nfrom .base import *", "DEBUG", base="DEBUG = env('D')")
    assert (setting.kind, setting.where) == ("computed", "shop/base.py:1")


def test_a_literal_in_a_base_module_is_found_where_it_stands():
    setting = one("from .base import *", "SECRET_KEY", base="X = 1\nSECRET_KEY = 'abc'")
    assert (setting.module, setting.where) == ("shop.base", "shop/base.py:2")


def test_split_settings_are_followed():
    setting = one("from split_settings.tools import include\ninclude('base.py')", "DEBUG", base="DEBUG = env('D')")
    assert setting.variables == ("D",)


def test_a_literal_in_split_settings_is_not_open_to_us():
    setting = one("from split_settings.tools import include\ninclude('base.py')", "DEBUG", base="DEBUG = True")
    assert (setting.kind, setting.where) == ("computed", "shop/base.py:1")


def test_database_keys_name_their_variables():
    text = """
        import os
        db = {"ENGINE": "x", "NAME": os.environ.get("DB_NAME", "hc"), "HOST": os.getenv("DB_HOST", "localhost")}
        DATABASES = {"default": db}
    """
    assert one(text, "DATABASES").keys == {"NAME": ("DB_NAME",), "HOST": ("DB_HOST",)}


def test_database_keys_of_a_parsed_file_are_told_apart_by_their_variables_names():
    text = """
        import os
        def build():
            return os.environ.get("SHOP_CONFIG_FILE")
        config = build()
        DATABASES = {"default": {"NAME": config.get("database", "name"), "HOST": config.get("database", "host")}}
    """
    names = ["SHOP_CONFIG_FILE", "SHOP_DB_NAME", "SHOP_DB_TYPE", "SHOP_DATABASE_HOST", "SHOP_MAIL_HOST", "DB"]
    reads = [{"name": name, "set": False, "path": "shop/config.py", "line": 1} for name in names]
    source = Source("shop.settings", "shop/settings.py", textwrap.dedent(text))
    keys = classify("shop.settings", [source], reads)["DATABASES"].keys
    assert keys == {"ENGINE": ("SHOP_DB_TYPE",), "NAME": ("SHOP_DB_NAME",), "HOST": ("SHOP_DATABASE_HOST",)}


@pytest.mark.parametrize(
    ("text", "random"),
    [
        ("from django.core.management.utils import get_random_secret_key as g\nSECRET_KEY = 'x'", False),
        ("from django.core.management import utils\nSECRET_KEY = utils.get_random_secret_key()", True),
        ("import secrets\nSECRET_KEY = secrets.token_urlsafe(50)", True),
        ("import os, random\ndef key():\n    return random.choice('ab')\nSECRET_KEY = os.getenv('K') or key()", True),
        ("import os\nSECRET_KEY = os.getenv('K')", False),
    ],
)
def test_a_random_key_is_seen(text: str, random: bool):
    assert one(text, "SECRET_KEY").random is random


def test_looked_up_variables_reach_through_helpers():
    text = "from .helpers import flag\nDEBUG = flag(\n    'debug',\n)\n"
    reads = [
        {"name": "APP_DEBUG", "set": False, "path": "shop/settings.py", "line": 3},
        {"name": "ELSE", "set": False, "path": "shop/settings.py", "line": 9},
    ]
    found = classify("shop.settings", [Source("shop.settings", "shop/settings.py", text)], reads)
    assert found["DEBUG"].variables == ("APP_DEBUG",)


def test_configurations_are_never_fixed():
    text = """
        class Common(Configuration):
            DEBUG = True
            SECRET_KEY = values.SecretValue()
            DATABASES = values.DatabaseURLValue()

        class Live(Common):
            ALLOWED_HOSTS = ["a"]
    """
    found = classify("shop.settings", [Source("shop.settings", "shop/settings.py", textwrap.dedent(text))], (), "Live")
    assert {name: found[name].kind for name in ("DEBUG", "ALLOWED_HOSTS")} == {
        "DEBUG": "computed",
        "ALLOWED_HOSTS": "computed",
    }
    assert found["SECRET_KEY"].variables == ("DJANGO_SECRET_KEY",)
    assert found["DATABASES"].variables == ("DATABASE_URL",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "def main():\n    os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')",
            ManageSettings("mysite.settings"),
        ),
        (
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'mysite.settings'",
            ManageSettings("mysite.settings", forced=True),
        ),
        (
            "os.environ['DJANGO_SETTINGS_MODULE'] = os.environ.get('DJANGO_SETTINGS_MODULE', 'a.b')",
            ManageSettings("a.b"),
        ),
        ("module = 'a.b'\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', module)", ManageSettings("a.b")),
        (
            "from os import environ\nm = os.getenv('STAGE') or 'a.b'\nenviron.setdefault('DJANGO_SETTINGS_MODULE', m)",
            ManageSettings("a.b"),
        ),
        (
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a')\n"
            "os.environ.setdefault('DJANGO_CONFIGURATION', 'Dev')",
            ManageSettings("a", configuration="Dev"),
        ),
        ("print('x'", ManageSettings()),
    ],
)
def test_read_manage(text: str, expected: t.Any):
    assert read_manage("import os\n" + text) == expected


def test_star_imports_name_only_the_project():
    sources = [
        Source("settings", "settings/__init__.py", "from .dev import *\nfrom os.path import *"),
        Source("settings.dev", "settings/dev.py", "from .base import *"),
        Source("settings.base", "settings/base.py", ""),
    ]
    assert star_imports("settings", sources) == ["settings.dev", "settings.base"]


@pytest.mark.parametrize(
    ("text", "variables", "off"),
    [
        ("import os\nos.makedirs(os.getenv('DATA'))\nDEBUG = os.getenv('D') == '1'", ("D",), "False"),
        ("import os\nDEBUG = os.getenv('ENV') not in ['production', 'staging']", ("ENV",), "production"),
        ("import os\nENV = os.getenv('ENV')\nDEBUG = ENV != 'live'", ("ENV",), "live"),
        ("import os\nDEBUG = os.getenv('ENV') == 'development'", ("ENV",), "production"),
        ("import os\nDEBUG = os.getenv('D', '').lower() in ('true', '1')", ("D",), "False"),
    ],
)
def test_what_turns_debug_off(text: str, variables: tuple[str, ...], off: str):
    debug = classify("settings", [Source("settings", "settings.py", text)])["DEBUG"]
    assert (debug.variables, debug.off) == (variables, off)


def test_a_key_of_a_database_is_decided_by_the_variable_that_is_called_like_it():
    text = "from decouple import config\nX = config('SHARDED')\nE = config('DB_ENGINE')\n"
    text += "DATABASES = {'default': {'ENGINE': 'shards' if X else E}}"
    databases = classify("settings", [Source("settings", "settings.py", text)])["DATABASES"]
    assert databases.keys == {"ENGINE": ("DB_ENGINE", "SHARDED")}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("A = env('A')\nB = env.email_url('B')\nC = [config('C')]\nprint(env('A'))", ["A", "B", "C"]),
        ("A = env('A', 'x')\nB = env.str('B', default='')\nC = env.get('C')\nD = settings('D')", []),
        ("import os\nA = os.getenv('A')\nB = os.environ['B']\nos.environ['C'] = 'x'\nD = config('lower')", ["B"]),
        ("if X:\n    A = env('A')\ndef f():\n    return env('B')", []),
        ("not python", []),
    ],
)
def test_variables_without_which_settings_fail(text: str, names: list[str]):
    assert demanded_variables(text) == names
