# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which settings of a project are laid over, and the module that does it. Pure. PRIVATE to the collection.

A value is replaced where the project assigns it, while its settings are imported, so that what the project derives from
it (``if DEBUG:``, ``SIGNING_KEY = SECRET_KEY``) follows. Nothing of the project's code is written to.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os.path
import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import Setting

MODULE = "groundcrew_settings"

# On these hosts a literal database can only mean this server's own PostgreSQL, which is the one that the app was given.
LOCAL_HOSTS = ("", "localhost", "127.0.0.1", "::1")
SQLITE = "sqlite3"


@dataclasses.dataclass(frozen=True)
class Laid:
    """One name that is laid over, in words that may be shown: no secret is in them.

    :param setting: what the project says; its ``kind`` decides whether the value is replaced in place or added.
    """

    setting: Setting
    was: str
    now: str
    why: str

    @property
    def name(self) -> str:
        """Name of the setting."""
        return self.setting.name

    def shown(self) -> dict[str, str]:
        """For the result of a module."""
        return {"name": self.name, "was": self.was, "now": self.now, "why": self.why, "where": self.setting.where}


# PostgreSQL's own fields ask for their app, which a project written for SQLite has no reason to name.
POSTGRES_CHECK = "postgres.E005"
POSTGRES_APP = Laid(
    Setting("INSTALLED_APPS"),
    "without django.contrib.postgres",
    "the same with it",
    "what uses fields of PostgreSQL asks for it, now that the database is one",
)


def covers(allowed: Sequence[str], host: str) -> bool:
    """Whether Django, with these ALLOWED_HOSTS, answers requests for this host."""
    host = host.lower()
    for pattern in (one.lower() for one in allowed):
        if pattern in ("*", host) or (pattern.startswith(".") and (host.endswith(pattern) or host == pattern[1:])):
            return True
    return False


def within(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or below it; without looking at the disk."""
    directory = os.path.normpath(directory)
    return bool(path) and os.path.commonpath([os.path.normpath(path), directory]) == directory


def matches_record(database: Mapping[str, t.Any], record: Mapping[str, t.Any]) -> bool:
    """Whether a database of the probe is the one that the app's record describes."""
    socket = not database["host"] or database["host"].startswith("/")
    reached = socket if record["local"] else database["host"] == record["host"]
    return "postg" in database["engine"] and reached and database["name"] == record["name"]


def plan_overlay(
    settings: Mapping[str, Setting],
    found: Mapping[str, t.Any],
    record: Mapping[str, t.Any],
    *,
    code: str,
    static: str,
    fallbacks: bool = False,
) -> list[Laid]:
    """Choose what is laid over; everything else stays as the project has it.

    :param settings: :func:`classify`'s answer.
    :param found: ``settings`` of the probe's report, loaded without anything laid over.
    :param record: the app's record.
    :param code: directory of the release's code.
    :param static: directory of the release's static files.
    :param fallbacks: whether the environment has former keys that are still valid.
    """
    if record["production_settings"] == "never":
        return []
    laid: list[Laid] = []
    placed = {os.path.normpath(file["dest"]) for file in record["files"]}

    def open_to_us(name: str) -> Setting | None:
        """The setting, when text and running agree that it is written down or absent."""
        setting = settings[name]
        if setting.path in placed and name != "STATIC_ROOT":
            # The operator has written it, for this server.
            return None
        if setting.kind == "absent":
            return None if name in found["set"] else setting
        return setting if setting.fixed and agrees(setting, found) else None

    debug = open_to_us("DEBUG")
    if debug and found["DEBUG"]:
        laid.append(Laid(debug, "True", "False", "Django shows its insides to every visitor while DEBUG is on"))
    key = open_to_us("SECRET_KEY")
    if key:
        was = "a key written down in the code" if key.fixed else "not set"
        laid.append(Laid(key, was, "SECRET_KEY of the app's environment", "a key in a repository is no secret"))
    former = open_to_us("SECRET_KEY_FALLBACKS") if fallbacks else None
    if former:
        was = "written down in the code" if former.fixed else "not set"
        why = "what was signed with the former key stays valid"
        laid.append(Laid(former, was, "SECRET_KEY_FALLBACKS of the app's environment", why))
    hosts = open_to_us("ALLOWED_HOSTS")
    if hosts and not all(covers(found["ALLOWED_HOSTS"], domain) for domain in record["domains"]):
        now = list(dict.fromkeys([*found["ALLOWED_HOSTS"], *record["domains"]]))
        laid.append(Laid(hosts, str(found["ALLOWED_HOSTS"]), str(now), "Django refuses requests for the app's domains"))
    databases = open_to_us("DATABASES")
    default = found["DATABASES"].get("default") or {"engine": "", "name": "", "host": ""}
    wanted = record["database"]
    if databases and wanted and not matches_record(default, wanted):
        file = SQLITE in default["engine"] or not default["engine"] or default["engine"].endswith(".dummy")
        own = "postg" in default["engine"] and default["host"] in LOCAL_HOSTS and wanted["local"]
        if file or own:
            was = f"{default['engine'].rpartition('.')[2]} {default['name']}" if default["engine"] else "not set"
            why = "a file in a release is lost with it" if file else "PostgreSQL here holds the app's own database"
            laid.append(Laid(databases, was, f"the PostgreSQL database {wanted['name']}, from DATABASE_URL", why))
    root = open_to_us("STATIC_ROOT")
    kept = [os.path.join(code, path) for path in record["shared_paths"]]
    elsewhere = not within(found["STATIC_ROOT"], code) or any(within(found["STATIC_ROOT"], path) for path in kept)
    if root and "django.contrib.staticfiles" in found["INSTALLED_APPS"] and elsewhere:
        why = "static files belong to their release" if found["STATIC_ROOT"] else "collectstatic needs a place"
        laid.append(Laid(root, found["STATIC_ROOT"] or "not set", static, why))
    return laid


def agrees(setting: Setting, found: Mapping[str, t.Any]) -> bool:
    """Whether the running value is the one in the text: another one says that the text was misread."""
    if setting.kind != "literal":
        return True
    value = setting.value
    if setting.name == "DEBUG":
        return bool(value) is found["DEBUG"]
    if setting.name == "SECRET_KEY":
        key = value if isinstance(value, bytes) else str(value).encode()
        return hashlib.sha256(key).hexdigest() == found["SECRET_KEY"]["sha256"]
    if setting.name == "ALLOWED_HOSTS":
        return isinstance(value, (list, tuple, set)) and sorted(map(str, value)) == sorted(found["ALLOWED_HOSTS"])
    if setting.name == "DATABASES":
        engine = value.get("default", {}).get("ENGINE") if isinstance(value, dict) else None
        return not found["DATABASES"].get("default") or engine == found["DATABASES"]["default"]["engine"]
    return bool(value) is bool(found[setting.name])


_TEMPLATE = '''\
"""Production settings of {app}, laid over {module} by groundcrew.django.

Written by the deploy of this release. What is replaced, and nothing else:
{summary}
Secret values come from the environment; none is in this file.
"""

import ast
import importlib
import os
import sys
import urllib.parse
from importlib.machinery import PathFinder, SourceFileLoader


def _database(old):
    """The project's own options stay; what says which database comes from DATABASE_URL."""
    url = urllib.parse.urlsplit(os.environ["DATABASE_URL"])
    options = dict(urllib.parse.parse_qsl(url.query))
    host = options.pop("host", "") or urllib.parse.unquote(url.hostname or "")
    default = {{key: value for key, value in ((old or {{}}).get("default") or {{}}).items() if key in _KEPT}}
    default.update(
        ENGINE=_ENGINE,
        NAME=urllib.parse.unquote(url.path[1:]),
        USER=urllib.parse.unquote(url.username or ""),
        PASSWORD=urllib.parse.unquote(url.password or ""),
        HOST=host,
        PORT=str(url.port or ""),
        OPTIONS=options,
    )
    return {{**(old or {{}}), "default": default}}


_ENGINE = {engine!r}
_KEPT = ("ATOMIC_REQUESTS", "AUTOCOMMIT", "CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "DISABLE_SERVER_SIDE_CURSORS")
_VALUES = {{
{values}}}
# Where the project writes a value down: module -> line -> name.
_PLACES = {places!r}


_done = set()


def _lay(name, old):
    _done.add(name)
    return _VALUES[name](old)


class _Loader(SourceFileLoader):
    """Hands each written-down value to _lay() as the module that writes it is imported."""

    def get_code(self, fullname):
        places = _PLACES[fullname]
        tree = ast.parse(self.get_data(self.path), self.path)
        for node in ast.walk(tree):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            name = getattr(target, "id", None)
            if isinstance(node, (ast.Assign, ast.AnnAssign)) and name and places.get(node.lineno) == name:
                call = ast.parse('__import__("{ours}")._lay()', mode="eval").body
                call.args = [ast.Constant(name), node.value]
                node.value = ast.copy_location(call, node.value)
                ast.fix_missing_locations(node)
        return compile(tree, self.path, "exec", dont_inherit=True)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in _PLACES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        spec.loader = _Loader(name, spec.origin)
        return spec


sys.meta_path.insert(0, _Finder)
_project = importlib.import_module({module!r})
globals().update({{name: value for name, value in vars(_project).items() if name.isupper()}})
# What is not written down anywhere, and whatever was imported before this module could watch.
globals().update({{name: _lay(name, globals().get(name)) for name in _VALUES if name not in _done}})
'''


def render_overlay(
    laid: Sequence[Laid], module: str, *, app: str, static: str, domains: Sequence[str], engine: str
) -> str:
    """The text of ``groundcrew_settings.py``, to be put beside the project and named by DJANGO_SETTINGS_MODULE.

    :param module: the project's settings module.
    :param engine: backend of the database that is laid over: one for maps and one for PostgreSQL find their like.
    """
    if "postg" not in engine:
        engine = "django.contrib.gis.db.backends.postgis" if ".gis." in engine else "django.db.backends.postgresql"
    values = {
        "DEBUG": "lambda old: False",
        "SECRET_KEY": 'lambda old: os.environ["SECRET_KEY"]',
        "SECRET_KEY_FALLBACKS": 'lambda old: os.environ["SECRET_KEY_FALLBACKS"].split(",")',
        "ALLOWED_HOSTS": f"lambda old: list(dict.fromkeys([*(old or []), *{list(domains)!r}]))",
        "DATABASES": "_database",
        "STATIC_ROOT": f"lambda old: {static!r}",
        "INSTALLED_APPS": 'lambda old: [*old, "django.contrib.postgres"]',
    }
    places: dict[str, dict[int, str]] = {}
    for one in laid:
        if one.setting.fixed:
            places.setdefault(one.setting.module, {})[one.setting.line] = one.name
    return _TEMPLATE.format(
        app=app,
        module=module,
        ours=MODULE,
        engine=engine,
        summary="\n".join(f"* {one.name}" for one in laid),
        values="".join(f'    "{one.name}": {values[one.name]},\n' for one in laid),
        places=places,
    )
