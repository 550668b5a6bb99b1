# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges systemd's calendar expressions without systemd. Pure. PRIVATE to the collection: may change at any time.

What is accepted here, systemd accepts (systemd.time(7)), but for time zones, which only a server knows. Not the other
way round: two-digit years, `@` with seconds since 1970 and a few old spellings are left out, since nobody who writes a
schedule means them.
"""

from __future__ import annotations

import re

SHORT_FORMS = ("minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "semiannually", "yearly", "annually")
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_CRON = re.compile(r"[\d*/,-]+( [\w*/,-]+){4}")
_ZONE = re.compile(r"UTC|[A-Z][A-Za-z0-9_+-]*(/[A-Z][A-Za-z0-9_+-]*)*")
_COMPONENT = re.compile(r"(?P<first>\d+(\.\d{1,6})?)(\.\.(?P<last>\d+(\.\d{1,6})?))?(/(?P<step>\d+(\.\d{1,6})?))?")


class _Wrong(Exception):
    """A part of the expression is none; the text says why."""


def problem(expression: str) -> str:
    """What is wrong with a calendar expression; empty when systemd takes it."""
    if _CRON.fullmatch(expression):
        return "is written for cron: systemd says `*-*-* 03:00` for every night and `*:0/5` for every five minutes"
    try:
        _judge(expression.split(" "))
    except _Wrong as wrong:
        return str(wrong)
    return ""


def _judge(words: list[str]) -> None:
    if "" in words:
        raise _Wrong("needs single spaces between its parts, such as in `Mon..Fri 08:00`")
    # A time zone comes last, and is no time, date or day by itself.
    if len(words) > 1 and _ZONE.fullmatch(words[-1]) and not _is_days(words[-1]):
        words = words[:-1]
    if words[0].lower() in SHORT_FORMS:
        if len(words) > 1:
            raise _Wrong(f"{words[0]} stands alone, or before a time zone")
        return
    rest = list(words)
    if rest and re.match(r"[A-Za-z,]", rest[0]):
        _days(rest.pop(0))
    if rest and ":" not in rest[0]:
        _date(rest.pop(0))
    if rest:
        _time(rest.pop(0))
    if rest:
        raise _Wrong(f"`{rest[0]}` is too much: an expression is days, a date, a time and a time zone, in this order")


def _is_days(word: str) -> bool:
    try:
        _days(word)
    except _Wrong:
        return False
    return True


def _days(word: str) -> None:
    for part in word.split(","):
        numbers = [_day(name, word) for name in part.split("..")]
        if len(numbers) > 2 or numbers != sorted(numbers):
            raise _Wrong(f"`{part}` goes backwards: a range of days is such as Mon..Fri")


def _day(name: str, word: str) -> int:
    for number, full in enumerate(DAYS):
        if name.lower() in (full, full[:3]):
            return number
    raise _Wrong(f"`{word}` is neither days such as Mon..Fri nor one of {', '.join(SHORT_FORMS)}")


def _date(word: str) -> None:
    from_end = "~" in word
    parts = re.split(r"[-~]", word)
    if word.count("~") > 1 or (from_end and "-" in word.split("~")[1]) or not 2 <= len(parts) <= 3:
        raise _Wrong(f"`{word}` is no date such as *-*-01, and no time, which has a colon")
    # From the end of a month no more days are counted than every month has.
    limits = [(1970, 2199), (1, 12), (1, 28 if from_end else 31)][-len(parts) :]
    for part, (low, high) in zip(parts, limits, strict=True):
        _component(part, low, high, f"the date `{word}`", from_end=from_end and high == 28)


def _time(word: str) -> None:
    parts = word.split(":")
    if not 2 <= len(parts) <= 3:
        raise _Wrong(f"`{word}` is no time such as 03:00")
    for part, high in zip(parts, (23, 59, 59), strict=False):
        _component(part, 0, high, f"the time `{word}`", fraction=high == 59 and len(parts) == 3 and part is parts[2])


def _component(text: str, low: int, high: int, where: str, *, fraction: bool = False, from_end: bool = False) -> None:
    """One place of a date or time: ``*``, or a list of numbers, ranges and repetitions; the latter lead to the end."""
    if text == "*":
        return
    for part in text.split(","):
        match = _COMPONENT.fullmatch(part)
        if not match or (not fraction and "." in part.replace("..", "")):
            raise _Wrong(f"`{part}` has no meaning in {where}")
        first, last, step = (float(match[name]) if match[name] else None for name in ("first", "last", "step"))
        for number in (first, last):
            if number is not None and not low <= number < high + 1:
                raise _Wrong(f"`{part}` in {where} is not between {low} and {high}")
        start = first or 0.0
        if last is not None and last < start:
            raise _Wrong(f"`{part}` in {where} goes backwards")
        if step is not None and (
            step == 0
            # What has an end of its own leads there, anything else to the end of the month, the year, the hour ...
            or (start + step > last if last is not None else start - step < low if from_end else start + step > high)
        ):
            raise _Wrong(f"`{part}` in {where} never comes to its repetition")
