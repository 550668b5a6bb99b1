# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cuts of the app records: what each role is told, and no more. Pure. PRIVATE to the collection."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._apps import REDIS_PORTS, Record, redis_socket

Slice = list[dict[str, t.Any]]

# Seconds that nginx waits longer than the app server, so that the app's own answer to a slow request wins.
_PATIENCE = 5

# The packages of every role, as in its defaults (a test holds the two together): one apt transaction installs them all.
PACKAGES = {
    "app_deploy": ["acl", "brotli", "ca-certificates", "git", "libpq5", "openssh-client", "python3-venv"],
    "certbot": ["certbot"],
    "nginx": ["nginx", "libnginx-mod-http-brotli-static", "python3-cryptography"],
    "postgresql": ["postgresql", "python3-psycopg2"],
    "redis": ["redis-server"],
}


def _local_databases(record: Record) -> list[dict[str, t.Any]]:
    every = [record["database"], *record["databases"].values()]
    return [database for database in every if database and database["local"]]


def postgresql_users(records: Sequence[Record]) -> Slice:
    """The login roles on this server, without a password: they come by peer authentication."""
    return [{"name": record["user"]} for record in records if _local_databases(record)]


def postgresql_databases(records: Sequence[Record]) -> Slice:
    """The databases on this server."""
    return [
        {"name": database["name"], "owner": database["user"], "extensions": database["extensions"]}
        for record in records
        for database in _local_databases(record)
    ]


def redis_instances(records: Sequence[Record], secrets: Mapping[str, t.Any]) -> Slice:
    """The Redis instances that an app uses, each with its users."""
    found = []
    for instance, port in REDIS_PORTS.items():
        users = []
        for record in records:
            if instance not in record["redis"].get("instances", []):
                continue
            user = {
                "name": record["redis"]["user"],
                "password_file": record["redis"]["password_file"],
                # Django unpickles what its cache holds, so nobody else may write there.
                "databases": [record["redis"]["database"]],
            }
            password = (secrets.get(record["name"]) or {}).get("redis_password")
            users.append(user | ({"password": password, "keep_former": True} if password else {}))
        if users:
            found.append({"name": instance, "port": port, "socket": redis_socket(instance), "users": users})
    return found


def nginx_sites(records: Sequence[Record]) -> Slice:
    """One web site per app."""
    return [
        {
            "name": record["name"],
            **{key: record[key] for key in ("domains", "redirect_domains", "static_domain", "media_domain")},
            "root": record["paths"]["root"],
            "upstream": record["paths"]["socket"],
            "certificate": record["paths"]["tls"],
            **{key: record[key] for key in ("media", "body_size", "locations", "login_paths", "group")},
            "admin_paths": record["admin"]["paths"],
            "admin_allow": record["admin"]["allow"],
            "timeout": record["server"]["timeout"] + _PATIENCE,
        }
        for record in records
    ]


def certbot_certificates(records: Sequence[Record]) -> Slice:
    """One certificate per app, for every host name it has."""
    return [
        {
            "name": record["name"],
            "domains": [
                *record["domains"],
                *record["redirect_domains"],
                *(host for host in (record["static_domain"], record["media_domain"]) if host),
            ],
            "directory": record["paths"]["tls"],
        }
        for record in records
    ]


def host_users(records: Sequence[Record]) -> Slice:
    """The system users."""
    return [{"name": record["user"], "home": f"{record['paths']['state']}/home"} for record in records]


def host_packages(records: Sequence[Record]) -> list[str]:
    """Every Debian package that the site needs on this server; without any app, none."""
    unused = set() if records else set(PACKAGES)
    if not any(_local_databases(record) for record in records):
        unused.add("postgresql")
    if not any(record["redis"] for record in records):
        unused.add("redis")
    found = {package for role, packages in PACKAGES.items() if role not in unused for package in packages}
    for record in records:
        found.update(record["packages"]["build"], record["packages"]["runtime"])
    return sorted(found)
