# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose an entry of the journal is, how entries are asked for, and how they look."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _journal
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

APPS = ["shop", "shop-two", "blog"]
ID = "20261122-145017-1a2b3c4d"


@pytest.mark.parametrize(
    ("unit", "app", "found"),
    [
        (f"shop-web@{ID}.service", "shop", ("web", ID)),
        (f"shop-web@{ID}.socket", "shop", ("web", ID)),
        ("shop-web.service", "shop", ("web", "")),
        ("shop-deploy.service", "shop", ("deploy", "")),
        (f"shop-mail-queue@{ID}.service", "shop", ("mail-queue", ID)),
        ("shop-nightly.timer", "shop", ("nightly", "")),
        ("shop-step@4711-3-migrate-the-database.service", "shop", ("step", "4711-3-migrate-the-database")),
        (f"shop-two-web@{ID}.service", "shop-two", ("web", ID)),
        # Somebody else's
        (f"shop-two-web@{ID}.service", "shop", ("", "")),
        (f"shop-web@{ID}.service", "shop-two", ("", "")),
        (f"shopping-web@{ID}.service", "shop", ("", "")),
        ("shop.service", "shop", ("", "")),
        ("shop-.service", "shop", ("", "")),
        ("system-shop\\x2dweb.slice", "shop", ("", "")),
        ("shop-web.slice", "shop", ("", "")),
        ("nginx.service", "shop", ("", "")),
        ("", "shop", ("", "")),
        (f"shop-worker@{ID}:mail.service", "shop", ("mail", ID)),
        (f"shop-worker@{ID}:mail:2.service", "shop", ("mail", ID)),
        ("shop-schedule@nightly.timer", "shop", ("nightly", "")),
        ("shop-schedule@nightly:queue.service", "shop", ("nightly", "")),
    ],
)
def test_whose_a_unit_is(unit: str, app: str, found: tuple[str, str]) -> None:
    assert _journal.process_of(unit, app, APPS) == found


def test_without_another_app_the_longer_name_is_a_process() -> None:
    assert _journal.process_of(f"shop-two-web@{ID}.service", "shop", ["shop"]) == ("two-web", ID)


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [("", ["deploy", "mail", "web"]), ("mail", ["mail"]), ("manage", ["manage"]), ("step", ["step"])],
)
def test_helpers_are_shown_by_their_names_alone(wanted: str, shown: list[str]) -> None:
    assert _journal.chosen(wanted, {"web", "deploy", "mail", "manage", "step"}, "shop") == shown


def test_a_process_that_is_not_there_is_told() -> None:
    with pytest.raises(ReleaseError) as raised:
        _journal.chosen("ma*l", {"web", "deploy", "mail", "manage"}, "shop")
    assert "shop has no process 'ma*l'" in str(raised.value)
    assert raised.value.cure == "name one of: deploy, mail, web, manage"


@pytest.mark.parametrize(
    ("wish", "options"),
    [
        ({}, ["--reverse", "--lines=100"]),
        ({"since": "1 hour ago", "lines": 5}, ["--since=1 hour ago", "--reverse", "--lines=5"]),
        ({"grep": "-x y"}, ["--grep=-x y", "--reverse", "--lines=100"]),
        ({"cursor": "s=1", "since": "today", "grep": "x"}, ["--grep=x", "--cursor=s=1"]),
    ],
)
def test_how_entries_are_asked_for(wish: dict[str, Any], options: list[str]) -> None:
    argv = _journal.command("shop", ["deploy", "web"], _journal.Wish(**wish))
    units = [word for word in argv if word.startswith("--unit=")]
    assert units == [
        *("--unit=shop-deploy.service", "--unit=shop-deploy@*"),
        *("--unit=shop-worker@*:deploy.service", "--unit=shop-worker@*:deploy:*"),
        *("--unit=shop-schedule@deploy.*", "--unit=shop-schedule@deploy:*"),
        *("--unit=shop-web.service", "--unit=shop-web@*"),
        *("--unit=shop-worker@*:web.service", "--unit=shop-worker@*:web:*"),
        *("--unit=shop-schedule@web.*", "--unit=shop-schedule@web:*"),
    ]
    assert argv[argv.index(units[-1]) + 1 :] == options
    # Nothing of a wish is a word of its own, which could be another option.
    assert all(word.startswith("--") for word in argv[1:])


def said(message: Any, cursor: str = "c1", **more: Any) -> dict[str, Any]:
    fields = {"_SYSTEMD_UNIT": f"shop-web@{ID}.service", **more}
    return {"__CURSOR": cursor, "__REALTIME_TIMESTAMP": "1795657559950534", "MESSAGE": message, **fields}


@pytest.mark.parametrize(
    ("found", "of", "text"),
    [
        (said("hello"), ("web", ID), "hello"),
        (said([104, 105, 255]), ("web", ID), "hi\ufffd"),
        (said(["a", "b"]), ("web", ID), "a\nb"),
        (said(None), ("web", ID), ""),
        (said("Started.", _SYSTEMD_UNIT="init.scope", UNIT="shop-web.service"), ("web", ""), "Started."),
        (said("x", _SYSTEMD_UNIT=None, COREDUMP_UNIT=f"shop-web@{ID}.service"), ("web", ID), "x"),
    ],
)
def test_an_entry(found: dict[str, Any], of: tuple[str, str], text: str) -> None:
    entry = _journal.entry(found, "shop", APPS)
    assert entry == {"time": "2026-11-26T01:45:59.950Z", "process": of[0], "instance": of[1], "text": text}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("hello", "hello"),
        ("one\ntwo\n\tthree\n", "one\n    two\n    \tthree"),
        ("\x1b[2J\x1b]0;owned\x07 \r\x00 \u202e é 漢", "\\x1b[2J\\x1b]0;owned\\x07 \\r\\x00 \\u202e é 漢"),
        ("", ""),
    ],
)
def test_how_an_entry_looks(text: str, shown: str) -> None:
    entry = {"time": "2026-11-26T01:45:59.950Z", "process": "web", "instance": ID, "text": text}
    assert _journal.display(entry, 6) == f"2026-11-26T01:45:59.950Z  web     {ID}  {shown}"


def test_several_servers_are_told_apart() -> None:
    entry = {"time": "T", "process": "deploy", "instance": "", "text": "done"}
    assert _journal.display(entry, 6, "a.example.com").split() == ["a.example.com", "T", "deploy", "-", "done"]


class Journalctl:
    """Answers as the program would, and remembers what it was asked."""

    def __init__(self, *entries: dict[str, Any]) -> None:
        self.entries = entries
        self.asked: list[list[str]] = []

    def __call__(self, argv: Sequence[str]) -> str:
        self.asked.append(list(argv))
        if "--field=_SYSTEMD_UNIT" in argv:
            return f"shop-web@{ID}.service\nshop-two-mail@{ID}.service\nnginx.service\n"
        if "--field=UNIT" in argv:
            return f"shop-queue@{ID}.service\n"
        if "--lines=1" in argv:
            return json.dumps(said("newest of all", "c9")) + "\n"
        newest_first = list(reversed(self.entries)) if "--reverse" in argv else self.entries
        return "".join(json.dumps(entry) + "\n" for entry in newest_first)


def test_processes_are_those_that_have_said_something() -> None:
    assert _journal.Journal("shop", APPS, Journalctl()).processes() == {"deploy", "web", "queue"}


def test_entries_come_in_their_order_with_the_last_ones_cursor() -> None:
    journal = _journal.Journal("shop", APPS, Journalctl(said("a", "c1"), said("b", "c2")))
    entries, cursor = journal.read(_journal.Wish())
    assert ([entry["text"] for entry in entries], cursor) == (["a", "b"], "c2")


def test_what_is_followed_is_not_shown_twice_and_nothing_is_passed_over() -> None:
    journal = _journal.Journal("shop", APPS, Journalctl(said("a", "c1"), said("b", "c2")))
    entries, cursor = journal.read(_journal.Wish(cursor="c1"))
    assert ([entry["text"] for entry in entries], cursor) == (["b"], "c2")
    # The cursor may be another unit's entry, which is not among those that are found.
    entries, cursor = journal.read(_journal.Wish(cursor="c0"))
    assert len(entries) == 2


def test_where_nothing_was_said_the_journals_end_is_where_to_go_on() -> None:
    journal = _journal.Journal("shop", APPS, Journalctl())
    assert journal.read(_journal.Wish()) == ([], "c9")
    assert journal.read(_journal.Wish(cursor="c3")) == ([], "c3")


@pytest.mark.parametrize(
    ("script", "cure"),
    [
        ("echo 'Failed to parse timestamp: x' >&2; exit 1", "write since as"),
        ("echo 'Bad pattern \"(\": missing' >&2; exit 1", "mend the regular expression in grep"),
        ("echo 'No journal' >&2; exit 1", ""),
    ],
)
def test_what_journalctl_refuses_is_told(script: str, cure: str) -> None:
    with pytest.raises(ReleaseError, match="journalctl refuses") as raised:
        _journal.run(["sh", "-c", script])
    assert raised.value.cure.startswith(cure)
    assert bool(raised.value.cure) == bool(cure)


def test_finding_nothing_is_no_error() -> None:
    assert _journal.run(["false"]) == ""
