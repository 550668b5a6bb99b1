# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which messages of ``check --deploy`` stop a deploy."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._checks import describe, judge


def message(identifier: str, level: int = 30, **more: t.Any):
    return {"id": identifier, "level": level, "msg": "Something.", "hint": "", "obj": "", "silenced": False, **more}


@pytest.mark.parametrize(
    ("identifier", "level", "fail_level", "place"),
    [
        ("security.W018", 30, "WARNING", "failed"),
        ("security.W009", 30, "WARNING", "failed"),
        ("security.W020", 30, "WARNING", "failed"),
        ("security.W025", 30, "WARNING", "failed"),
        ("models.E001", 40, "WARNING", "failed"),
        ("security.W004", 30, "WARNING", "answered_by_nginx"),
        ("security.W008", 30, "WARNING", "answered_by_nginx"),
        ("security.W012", 30, "WARNING", "answered_by_nginx"),
        ("security.W016", 30, "WARNING", "answered_by_nginx"),
        ("models.W042", 30, "WARNING", "shown"),
        ("security.W019", 30, "WARNING", "shown"),
        ("security.W018", 30, "ERROR", "shown"),
        ("models.E001", 40, "CRITICAL", "shown"),
        ("models.E001", 50, "CRITICAL", "failed"),
        ("models.W042", 30, "INFO", "failed"),
        ("x.D001", 10, "INFO", "shown"),
        ("security.W004", 30, "DEBUG", "answered_by_nginx"),
    ],
)
def test_each_message_has_one_place(identifier: str, level: int, fail_level: str, place: str):
    judgement = judge([message(identifier, level)], fail_level)
    found = {name: [one["id"] for one in getattr(judgement, name)] for name in ("failed", "answered_by_nginx", "shown")}
    assert found == {"failed": [], "answered_by_nginx": [], "shown": [], place: [identifier]}


def test_ignored_and_silenced_ones_are_gone():
    judgement = judge([message("security.W018"), message("a.E1", 40, silenced=True)], ignore=["security.W018"])
    assert not (judgement.failed or judgement.shown or judgement.answered_by_nginx)


def test_a_message_is_one_line():
    text = describe(message("a.E1", hint="Do\nthis.", obj="shop.Item"))
    assert text == "shop.Item: a.E1: Something. (Do this.)"
