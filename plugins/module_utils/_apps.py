# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The app record: every name, path and port that follows from an app's description. Pure. PRIVATE to the collection.

Nothing else in the collection builds such a name; roles and modules take it from the record.
"""

from __future__ import annotations

import posixpath
import re
import typing as t
import zlib
from collections.abc import Mapping

# Redis has no databases by name, so an app's number follows from its name; the role configures this many.
# It is never 0, where every connection begins and no fence stands.
REDIS_DATABASES = 1024
REDIS_PORTS = {"cache": 6379, "queue": 6380}

# Made on the server unless the vault gives them: the app's key, the former ones that are still valid after a rotation
# (there may be none), and its password when it uses Redis.
BUILT_IN_SECRETS = ("secret_key", "secret_key_fallbacks", "redis_password")

_SECRET = re.compile(r"\$(?:\$|\{secret(?:_file)?\.([a-z][a-z0-9_]{0,63})\})")

Record = dict[str, t.Any]


def record(app: Mapping[str, t.Any]) -> Record:
    """The complete record of one app.

    :param app: a description with every key of `_app_spec.SPEC` in it, as `_app_spec.Walk` leaves it.
    """
    name = app["name"]
    root = f"/srv/{name}"
    config = f"/etc/groundcrew/{name}"
    database = _database(app["database"], name, name) if app["database"] is not False else None
    databases = {alias: _database(further, name, f"{name}_{alias}") for alias, further in app["databases"].items()}
    redis = _redis(app["redis"], _queues(app), name, f"{config}/secrets") if app["redis"] is not False else {}
    return {
        "name": name,
        "domains": app["domains"],
        "redirect_domains": app["redirect_domains"],
        "static_domain": app["static_domain"],
        "media_domain": app["media_domain"],
        "user": name,
        "group": name,
        "paths": {
            "root": root,
            "releases": f"{root}/releases",
            "current": f"{root}/current",
            "shared": f"{root}/shared",
            "media": f"{root}/shared/media",
            "static": f"{root}/shared/static",
            "public": f"{root}/shared/public",
            "data": f"{root}/shared/data",
            "socket": f"{root}/current/run/web.sock",
            "config": config,
            "secrets": f"{config}/secrets",
            "state": f"/var/lib/groundcrew/{name}",
            "cache": f"/var/cache/groundcrew/{name}",
            "tls": f"/etc/groundcrew/tls/{name}",
            # There while the app is closed for maintenance; the role nginx keeps it.
            "maintenance": f"/etc/nginx/maintenance/{name}.answer.conf",
        },
        "units": {
            "web": f"{name}-web",
            "boot": f"{name}-web.service",
            # No name of an app holds the sign that follows, so no unit of another app begins like these.
            "worker": f"{name}-worker",
            "schedule": f"{name}-schedule",
            "due": f"{name}-due",
        },
        "source": {
            "kind": "repo" if app["source"]["repo"] else "path",
            **app["source"],
            "repo": app["source"]["repo"] or "",
            "key": app["source"]["key"] or "",
            "path": app["source"]["path"] or "",
        },
        "directory": posixpath.normpath(app["directory"]) if app["directory"] else "",
        "settings": app["settings"] or "",
        "python": app["python"] or "",
        "packages": _packages(app, database),
        "dependencies": app["dependencies"],
        "commands": app["commands"],
        "files": app["files"],
        "migrations": app["migrations"],
        "shared_paths": [path.removeprefix("./").rstrip("/") for path in app["shared_paths"]],
        "env": app["env"],
        "secrets": app["secrets"],
        "given_secrets": _given_secrets(app, database, databases),
        "database": database,
        "databases": databases,
        "redis": redis,
        "media": app["media"],
        "body_size": app["body_size"].lower(),
        "locations": app["locations"],
        "admin": app["admin"],
        "login_paths": app["login_paths"],
        "server": {**app["server"], "entry": app["server"]["entry"] or ""},
        "workers": app["workers"],
        "procfile": app["procfile"],
        "schedules": app["schedules"],
        "sandbox": app["sandbox"],
        "health": app["health"],
        "check": app["check"],
        "production_settings": app["production_settings"],
    }


def _packages(app: Mapping[str, t.Any], database: Mapping[str, t.Any] | None) -> dict[str, list[str]]:
    """Debian packages; pg_dump comes with the server where that is here."""
    found: dict[str, list[str]] = app["packages"]
    if not app["migrations"]["dump"] or (database and database["local"]):
        return found
    return {**found, "runtime": sorted({*found["runtime"], "postgresql-client"})}


def _database(described: Mapping[str, t.Any], app: str, default_name: str) -> dict[str, t.Any]:
    return {
        "kind": "postgresql",
        "local": not described["host"],
        "host": described["host"] or "",
        "port": described["port"],
        "name": described["name"] or default_name,
        "user": described["user"] or app,
        "extensions": described["extensions"],
    }


def redis_socket(instance: str) -> str:
    """The unix socket of a Redis instance."""
    return f"/run/redis-{instance}/redis.sock"


def _queues(app: Mapping[str, t.Any]) -> bool:
    """Whether tasks may wait in Redis, which then must never evict one."""
    return app["procfile"] or any(worker["kind"] in ("celery", "celery-beat", "rq") for worker in app["workers"])


def _redis(described: Mapping[str, t.Any], queues: bool, name: str, secrets: str) -> dict[str, t.Any]:
    instances = [instance for instance in REDIS_PORTS if described[instance] or (queues and instance == "queue")]
    number = described["database"]
    return {
        "listen": described["listen"],
        "database": 1 + zlib.crc32(name.encode()) % (REDIS_DATABASES - 1) if number is None else number,
        "instances": instances,
        **{
            instance: {"host": "127.0.0.1", "port": REDIS_PORTS[instance], "socket": redis_socket(instance)}
            for instance in instances
        },
        "user": name,
        "password_file": f"{secrets}/redis_password",
    }


def _given_secrets(
    app: Mapping[str, t.Any],
    database: Mapping[str, t.Any] | None,
    databases: Mapping[str, Mapping[str, t.Any]],
) -> list[str]:
    """The secrets that the app uses and no server can make up."""
    found = [name for value in app["env"].values() for name in _SECRET.findall(value)]
    if database and not database["local"]:
        found.append("database_password")
    found += [f"database_password_{alias}" for alias, further in databases.items() if not further["local"]]
    if app["source"]["key"]:
        found.append(app["source"]["key"])
    made = {"", *app["secrets"], *BUILT_IN_SECRETS}
    return sorted(set(found) - made)
