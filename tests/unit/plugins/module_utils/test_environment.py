# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of a release."""

from __future__ import annotations

import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.groundcrew.django.plugins.module_utils._environment import compose, render, substitute
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError


def parse(text: str) -> dict[str, str]:
    """Read an environment file as systemd.exec(5) describes it: double quotes, and a backslash before ``"\\`$``."""
    found: dict[str, str] = {}
    rest = text
    while rest:
        name, rest = rest.split('="', 1)
        value = ""
        position = 0
        while rest[position] != '"':
            if rest[position] == "\\" and rest[position + 1] in '"\\`$':
                position += 1
            value += rest[position]
            position += 1
        found[name] = value
        rest = rest[position + 2 :]
    return found


NEVER_ASSIGNED = [chr(c) for c in (*range(0xFDD0, 0xFDF0), *(p << 16 | n for p in range(17) for n in (0xFFFE, 0xFFFF)))]
VALUES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[*map(chr, range(32)), "\x7f", *NEVER_ASSIGNED])
)
LINES = st.lists(VALUES).map("\n".join)


@given(st.dictionaries(st.from_regex(r"\A[A-Z_][A-Z0-9_]*\Z"), LINES))
def test_every_value_arrives_unaltered(environment: dict[str, str]) -> None:
    assert parse(render(environment)) == environment


@pytest.mark.parametrize("value", ["a\rb", "\x00", "bell\a", "\x1b[0m", "\ufffe", "\U0010ffff", "\ud800"])
def test_a_value_that_systemd_would_drop_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ReleaseError, match=r"env\.PEM holds the character") as caught:
        render({"PEM": "secret" + value})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("${a}", "1"),
        ("x${a}y${b.c}", "x1y2"),
        ("$$", "$"),
        ("$${a}", "${a}"),
        ("$$${a}", "$1"),
        ("$HOME 5$", "$HOME 5$"),
        ('{"json": "${b.c}"}', '{"json": "2"}'),
    ],
)
def test_substitute(text: str, result: str) -> None:
    assert substitute(text, {"a": "1", "b.c": "2"}) == result


def test_an_unknown_placeholder_lists_the_known_ones() -> None:
    with pytest.raises(ReleaseError, match=r"\$\{nope\}") as caught:
        substitute("${nope}", {"a": "1"})
    assert "use one of: a" in str(caught.value)


def test_what_is_put_in_is_not_looked_at_again() -> None:
    assert substitute("${a}", {"a": "${b}$$", "b": "2"}) == "${b}$$"


def record(**changes: t.Any) -> dict[str, t.Any]:
    base: dict[str, t.Any] = {
        "name": "shop",
        "domains": ["shop.example.com", "api.example.com"],
        "paths": {"media": "/srv/shop/shared/media", "data": "/srv/shop/shared/data", "releases": "/srv/shop/releases"},
        "database": {"local": True, "host": "", "port": 5432, "name": "shop", "user": "shop"},
        "databases": {},
        "redis": {},
        "workers": [],
        "procfile": False,
        "env": {},
    }
    return {**base, **changes}


REDIS = {
    "listen": "tcp",
    "user": "shop",
    "database": 7,
    "cache": {"host": "127.0.0.1", "port": 6379, "socket": "/run/redis-cache/redis.sock"},
    "queue": {"host": "127.0.0.1", "port": 6380, "socket": "/run/redis-queue/redis.sock"},
}
REMOTE = {"local": False, "host": "db.internal", "port": 5433, "name": "shop db", "user": "shop"}
SECRETS = {"secret_key": "k", "redis_password": "p/w", "database_password": "d@b", "pepper": "hot"}


@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({}, "SECRET_KEY", "k"),
        ({}, "DEBUG", "False"),
        ({}, "ALLOWED_HOSTS", "shop.example.com,api.example.com"),
        ({}, "CSRF_TRUSTED_ORIGINS", "https://shop.example.com,https://api.example.com"),
        ({}, "DATABASE_URL", "postgres://shop@/shop"),
        ({}, "PGHOST", "/var/run/postgresql"),
        ({}, "PGPASSWORD", None),
        ({}, "REDIS_URL", None),
        ({}, "STATIC_ROOT", "/srv/shop/releases/r1/static"),
        ({"database": REMOTE}, "DATABASE_URL", "postgres://shop:d%40b@db.internal:5433/shop%20db"),
        ({"database": REMOTE}, "PGPASSWORD", "d@b"),
        ({"database": None}, "DATABASE_URL", None),
        ({"redis": {**REDIS, "instances": ["cache"]}}, "REDIS_URL", "redis://shop:p%2Fw@127.0.0.1:6379/7"),
        ({"redis": {**REDIS, "instances": ["cache", "queue"]}}, "REDIS_URL", "redis://shop:p%2Fw@127.0.0.1:6380/7"),
        (
            {"redis": {**REDIS, "instances": ["cache"], "listen": "socket"}},
            "REDIS_URL",
            "unix://shop:p%2Fw@/run/redis-cache/redis.sock?db=7",
        ),
        ({"redis": {**REDIS, "instances": ["queue"]}}, "RQ_REDIS_URL", None),
        (
            {"redis": {**REDIS, "instances": ["queue"]}, "workers": [{"kind": "rq"}]},
            "RQ_REDIS_URL",
            "redis://shop:p%2Fw@127.0.0.1:6380/7",
        ),
        ({"workers": [{"kind": "rq"}]}, "RQ_REDIS_URL", None),
        ({"env": {"DEBUG": True}}, "DEBUG", "True"),
        ({"env": {"EMPTY": None}}, "EMPTY", ""),
        ({"env": {"PEPPER": "${secret.pepper}"}}, "PEPPER", "hot"),
        ({"env": {"DB": "${database.host}:${database.name}"}}, "DB", "/var/run/postgresql:shop"),
        ({"databases": {"logs": REMOTE}, "env": {"L": "${databases.logs.host}"}}, "L", "db.internal"),
    ],
)
def test_compose(changes: dict[str, t.Any], name: str, value: str | None) -> None:
    assert compose(record(**changes), SECRETS, "r1").get(name) == value
