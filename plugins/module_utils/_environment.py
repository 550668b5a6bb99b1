# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of a release: composed, filled in, and written for systemd. Pure. PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import re
import typing as t
import urllib.parse
from collections.abc import Mapping

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

# Debian's PostgreSQL listens here; libpq takes a directory for a host.
POSTGRESQL_SOCKET = "/var/run/postgresql"

# "$$" is a literal dollar; "${name}" a value of the app's record.
_PLACEHOLDER = re.compile(r"\$(?:\$|\{([^}]*)\})")

# A variable with this value, and nothing beside it, holds the path of a file with the secret.
CREDENTIAL = re.compile(r"\$\{secret_file\.([a-z][a-z0-9_]{0,63})\}\Z")

# systemd drops a variable with any other control character, with no more than a line in the journal, and refuses a
# whole file that holds half of a character or one that Unicode will never assign (env_value_is_valid() in its
# src/basic/env-util.c, unichar_is_valid() in src/basic/utf8.c).
_FORBIDDEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(17))
    + "]"
)


def _url(scheme: str, user: str, password: str, host: str, port: int | str, path: str) -> str:
    credentials = urllib.parse.quote(user, safe="")
    if password:
        credentials += ":" + urllib.parse.quote(password, safe="")
    where = f"{host}:{port}" if host else ""
    return f"{scheme}://{credentials}@{where}/{urllib.parse.quote(path, safe='')}"


def database_values(database: Mapping[str, t.Any], password: str) -> dict[str, str]:
    """The values under ``${database.…}`` for one database of a record.

    :param password: not used for a local one, where the socket's peer authentication needs none.
    """
    local = bool(database["local"])
    if local:
        password = ""
    return {
        "name": database["name"],
        "user": database["user"],
        "host": POSTGRESQL_SOCKET if local else database["host"],
        "port": str(database["port"]),
        "password": password,
        # dj-database-url and django-environ both read an empty host as the unix socket.
        "url": _url(
            "postgres",
            database["user"],
            password,
            "" if local else database["host"],
            database["port"],
            database["name"],
        ),
    }


def redis_values(redis: Mapping[str, t.Any], instance: str, password: str) -> dict[str, str]:
    """The values under ``${redis.cache.…}`` or ``${redis.queue.…}``."""
    where = redis[instance]
    number = str(redis["database"])
    if redis["listen"] == "socket":
        credentials = f"{urllib.parse.quote(redis['user'], safe='')}:{urllib.parse.quote(password, safe='')}"
        url = f"unix://{credentials}@{where['socket']}?db={number}"
    else:
        url = _url("redis", redis["user"], password, where["host"], where["port"], number)
    return {
        "host": where["host"],
        "port": str(where["port"]),
        "socket": where["socket"],
        "database": number,
        "user": redis["user"],
        "password": password,
        "url": url,
    }


def placeholder_values(record: Mapping[str, t.Any], secrets: Mapping[str, str], release: str) -> dict[str, str]:
    """Every name that ``${…}`` may hold in the app's ``env``, with its value.

    :param secrets: all secrets of the app by name, generated ones included.
    :param release: the id of the release.
    """
    values = {
        "name": record["name"],
        "domain": record["domains"][0],
        "release": release,
        "paths.media": record["paths"]["media"],
        "paths.data": record["paths"]["data"],
        "paths.static": f"{record['paths']['releases']}/{release}/static",
    }
    if record["database"]:
        found = database_values(record["database"], secrets.get("database_password", ""))
        values.update({f"database.{key}": value for key, value in found.items()})
    for alias, database in record["databases"].items():
        found = database_values(
            database, secrets.get(f"database_password_{alias}", secrets.get("database_password", ""))
        )
        values.update({f"databases.{alias}.{key}": value for key, value in found.items()})
    if record["redis"]:
        for instance in record["redis"]["instances"]:
            found = redis_values(record["redis"], instance, secrets.get("redis_password", ""))
            values.update({f"redis.{instance}.{key}": value for key, value in found.items()})
        # A queue must never lose an entry, so the one URL names the instance that evicts nothing if there is one.
        main = "queue" if "queue" in record["redis"]["instances"] else "cache"
        values["redis.url"] = values[f"redis.{main}.url"]
    # Only a rotation makes some.
    values["secret.secret_key_fallbacks"] = ""
    values.update({f"secret.{name}": value for name, value in secrets.items()})
    return values


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Fill the placeholders of one value in.

    :raises ReleaseError: for a name that the record does not have.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return "$"
        if name not in values:
            known = ", ".join(sorted(values))
            raise ReleaseError(f"${{{name}}} names nothing that this app has.", f"use one of: {known}")
        return values[name]

    return _PLACEHOLDER.sub(replace, text)


def smoke_token(secrets: Mapping[str, str], release: str) -> str:
    """What the deploy's own visit shows to the app, so that it says which release it is; nobody else knows it."""
    return hashlib.sha256(f"smoke test {release} {secrets['secret_key']}".encode()).hexdigest()


def compose(record: Mapping[str, t.Any], secrets: Mapping[str, str], release: str) -> dict[str, str]:
    """The whole environment of a release; what the user sets under ``env`` wins over what we supply."""
    values = placeholder_values(record, secrets, release)
    hosts = [*record["domains"]]
    environment = {
        "DEBUG": "False",
        "SECRET_KEY": secrets["secret_key"],
        "ALLOWED_HOSTS": ",".join(hosts),
        "CSRF_TRUSTED_ORIGINS": ",".join(f"https://{host}" for host in hosts),
        "STATIC_ROOT": values["paths.static"],
        "MEDIA_ROOT": values["paths.media"],
        "GROUNDCREW_RELEASE": release,
        "GROUNDCREW_SMOKE": smoke_token(secrets, release),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
    }
    if secrets.get("secret_key_fallbacks"):
        environment["SECRET_KEY_FALLBACKS"] = secrets["secret_key_fallbacks"]
    database = record["database"]
    if database:
        environment["DATABASE_URL"] = values["database.url"]
        environment["PGHOST"] = values["database.host"]
        environment["PGUSER"] = values["database.user"]
        environment["PGDATABASE"] = values["database.name"]
        if not database["local"]:
            environment["PGPORT"] = values["database.port"]
            environment["PGPASSWORD"] = values["database.password"]
    if record["redis"]:
        environment["REDIS_URL"] = values["redis.url"]
        if record["procfile"] or any(worker["kind"] == "rq" for worker in record["workers"]):
            # rq's own program reads this one; as an argument, the password would stand in the process list.
            environment["RQ_REDIS_URL"] = values["redis.url"]
    for key, value in record["env"].items():
        text = "" if value is None else str(value)
        if CREDENTIAL.match(text):
            # Where it is differs from unit to unit, so a file that all of them load cannot say it.
            environment.pop(key, None)
        else:
            environment[key] = substitute(text, values)
    return environment


def credentials(record: Mapping[str, t.Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """The secrets that processes get as files, by the variables that name these.

    :raises ReleaseError: for a secret that the app does not have.
    """
    found = {}
    for key, value in record["env"].items():
        match = CREDENTIAL.match(str(value))
        if match and match[1] not in secrets:
            raise ReleaseError(f"env.{key} wants a secret that this app does not have: {match[1]}.")
        if match:
            found[key] = secrets[match[1]]
    return found


def render(environment: Mapping[str, str]) -> str:
    """The text of an ``EnvironmentFile=`` that systemd reads back unaltered.

    Inside double quotes systemd.exec(5) takes everything literally, line ends included, apart from
    a backslash before one of ``"``, ``\\``, ````` and ``$``.

    :raises ReleaseError: for a character that systemd does not take.
    """
    lines = []
    for name, value in environment.items():
        found = _FORBIDDEN.search(value)
        if found:
            raise ReleaseError(
                f"env.{name} holds the character {found.group(0)!r}, which systemd accepts in no variable.",
                "remove it (a file with Windows line ends is the usual cause), or place the value by `files`",
            )
        escaped = re.sub(r'(["\\`$])', r"\\\1", value)
        lines.append(f'{name}="{escaped}"\n')
    return "".join(lines)
