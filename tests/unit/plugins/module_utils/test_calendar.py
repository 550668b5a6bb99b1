# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calendar expressions, with the verdicts of systemd itself where it is there."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._calendar import SHORT_FORMS, problem

GOOD = [
    *SHORT_FORMS,
    "Daily",
    "weekly Europe/Berlin",
    "*-*-* 03:00",
    "03:00",
    "3:5",
    "Mon..Fri 08:00",
    "Mon,Wed *-*-* 12:00:00",
    "Mon..Tue,Thu..Fri 3:00",
    "Monday 8:00",
    "Sat,Sun",
    "wed..SAT,tue 2012-10-15 1:2:3",
    "Mon *-*~07/1",
    "*-*-1,15 04:00",
    "*-*-1..7/2,9 3:00",
    "*-*~1..3",
    "*-5~28/27",
    "05-03",
    "05~03",
    "*:0/5",
    "*:*:*",
    "*:00/5:30",
    "*:10..20/3",
    "0/5:00",
    "00:00:00/2.5",
    "12:30:10.5",
    "08:00 Europe/Berlin",
    "Mon *-*-* *:*:* UTC",
    "3:00 Etc/GMT+1",
]
BAD = [
    ("", "needs single spaces"),
    ("0 3 * * *", "is written for cron"),
    ("*/5 * * * *", "is written for cron"),
    ("8", "`8` is no date such as"),
    ("3 AM", "`3` is no date"),
    ("25:00", "`25` in the time `25:00` is not between 0 and 23"),
    ("24:00", "is not between 0 and 23"),
    ("12:60", "`60` in the time `12:60` is not between 0 and 59"),
    ("3:00pm", "`00pm` has no meaning in the time"),
    ("2026-13-01", "`13` in the date `2026-13-01` is not between 1 and 12"),
    ("*-*-32", "is not between 1 and 31"),
    ("*-*~31", "is not between 1 and 28"),
    ("*:20..10", "`20..10` in the time `*:20..10` goes backwards"),
    ("*:0/0", "never comes to its repetition"),
    ("*-5~5/5", "never comes to its repetition"),
    ("23/5:00", "never comes to its repetition"),
    ("*/2:00", "`*/2` has no meaning"),
    ("*,3:00", "`*` has no meaning"),
    ("12:30.5", "`30.5` has no meaning"),
    ("Fri..Mon", "goes backwards"),
    ("Mon,,Tue", "is neither days"),
    ("secondly", "is neither days such as Mon..Fri nor one of minutely"),
    ("Mon Tue", "is no date"),
    ("daily 03:00", "daily stands alone"),
    ("2026-1-1 3:00 4:00", "`4:00` is too much"),
    ("3:00 +02:00", "is too much"),
    ("1:2:3:4", "is no time such as 03:00"),
    ("*-*-*-* 3:00", "is no date"),
    ("UTC", "is neither days"),
]


@pytest.mark.parametrize("expression", GOOD)
def test_good(expression: str) -> None:
    assert problem(expression) == ""


@pytest.mark.parametrize(("expression", "text"), BAD)
def test_bad(expression: str, text: str) -> None:
    assert text in problem(expression)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not here to be asked")
@pytest.mark.parametrize(
    ("expression", "good"), [*((each, True) for each in GOOD), *((each, False) for each, _why in BAD)]
)
def test_systemd_says_the_same(expression: str, good: bool) -> None:
    argv = ["systemd-analyze", "calendar", expression]
    assert (subprocess.run(argv, capture_output=True, check=False).returncode == 0) is good
