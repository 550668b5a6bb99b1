# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges the messages of ``check --deploy``. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Iterable, Mapping, Sequence

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}

# What nginx does in front of the app: it sends HSTS, redirects plain HTTP, and so no cookie travels without TLS.
ANSWERED_BY_NGINX = {
    "security.W004": "nginx sends Strict-Transport-Security",
    "security.W005": "nginx sends Strict-Transport-Security",
    "security.W021": "nginx sends Strict-Transport-Security",
    "security.W008": "nginx redirects plain HTTP",
    "security.W010": "nginx redirects plain HTTP and sends Strict-Transport-Security",
    "security.W011": "nginx redirects plain HTTP and sends Strict-Transport-Security",
    "security.W012": "nginx redirects plain HTTP and sends Strict-Transport-Security",
    "security.W016": "nginx redirects plain HTTP and sends Strict-Transport-Security",
}

# Warnings that nothing in front of the app can make good: the key, DEBUG, the hosts, a fallback key.
FATAL_WARNINGS = ("security.W009", "security.W018", "security.W020", "security.W025")


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Each message of the checks stands in exactly one of these; silenced and ignored ones in none."""

    failed: list[dict[str, t.Any]]
    answered_by_nginx: list[dict[str, t.Any]]
    shown: list[dict[str, t.Any]]


def judge(
    messages: Iterable[Mapping[str, t.Any]], fail_level: str = "WARNING", ignore: Sequence[str] = ()
) -> Judgement:
    """Sort the messages of a probe's ``checks``.

    :param fail_level: ``WARNING``: errors fail, and the warnings that nothing in front of the app can make good.
        ``ERROR`` or ``CRITICAL``: only messages of that level fail. ``INFO`` or ``DEBUG``: every message of that
        level fails unless nginx answers for it.
    :param ignore: ids that do not count.
    """
    judgement = Judgement([], [], [])
    least = LEVELS[fail_level]
    for message in messages:
        if message["silenced"] or message["id"] in ignore:
            continue
        answer = ANSWERED_BY_NGINX.get(message["id"])
        fatal = message["level"] >= LEVELS["ERROR"] or message["id"] in FATAL_WARNINGS or least < LEVELS["WARNING"]
        if answer:
            judgement.answered_by_nginx.append({**message, "answer": answer})
        elif message["level"] >= least and fatal:
            judgement.failed.append(dict(message))
        else:
            judgement.shown.append(dict(message))
    return judgement


def describe(message: Mapping[str, t.Any]) -> str:
    """One message as Django's own command shows it, in one line."""
    obj = f"{message['obj']}: " if message["obj"] else ""
    hint = f" ({message['hint']})" if message["hint"] else ""
    return f"{obj}{message['id']}: {message['msg']}{hint}".replace("\n", " ")
