"""Deploys of what cannot go live: each is refused, says why, and leaves everything as it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import turns
from accidents import disk_of_the_database_full, disk_of_the_releases_full, repository_gone, table_in_use
from shop import Shop, says, unharmed, went_live


@dataclass(frozen=True)
class Broken:
    """A deploy that has to fail.

    :param words: what the operator has to read, as regular expressions.
    :param noted: whether it got far enough to have a line in the ledger.
    :param tried: whether visitors got it for a moment.
    :param accident: what is wrong with the server meanwhile.
    """

    promise: str
    version: str
    words: list[str]
    change: dict[str, Any] = field(default_factory=dict)
    noted: bool = True
    tried: bool = False
    accident: Callable[[Shop], AbstractContextManager[None]] | None = None


CASES = [
    Broken("unknown revision", "good-99", ["good-99", "good-9"], noted=False),
    Broken("repository gone", "good-99", ["cannot be reached"], noted=False, accident=repository_gone),
    Broken("syntax error in settings", "syntax-error", ["SyntaxError", r"shop/settings\.py"]),
    Broken("missing dependency", "missing-dependency", ["markdown", r"shop/urls\.py"]),
    Broken("dependency conflict", "dependency-conflict", ["asgiref"]),
    Broken("deployment check", "check-error", [r"shop\.E001", "The till is open"]),
    Broken("failing migration", "failing-migration", ["division by zero"]),
    Broken(
        "migration blocked by a lock",
        "note",
        ["did not get a lock within 1 s", "a report"],
        change={"migrations": {"lock_timeout": 1}},
        accident=table_in_use,
    ),
    Broken(
        "static file missing from the manifest", "missing-static", [r"Missing staticfiles manifest entry.*gone\.css"]
    ),
    Broken("process exits at start", "exits", ["the till is empty"]),
    Broken("process hangs at start", "hangs", ["does not answer / as it should within 6 s"]),
    Broken("health answers 500", "unhealthy", ["status 500", "sold out"]),
    Broken("health answers slowly", "slow-health", ["does not answer / as it should within 6 s"]),
    Broken(
        "smoke test fails after the switch",
        "huge-header",
        ["not for visitors", r"holding page \(503\)"],
        change={"health": "/healthz"},
        tried=True,
    ),
    Broken("disk full while building", "with-toml", ["No space is left"], accident=disk_of_the_releases_full),
    Broken("disk full while migrating", "big-migration", ["No space left"], accident=disk_of_the_database_full),
]


def harms_nobody(shop: Shop, case: Broken) -> None:
    before, version = shop.settled(), shop.version
    with shop.nobody_notices() as windows, case.accident(shop) if case.accident else nullcontext():
        said = shop.refused(case.version, case.change, app_deploy_health_timeout=6)
    for words in case.words:
        assert says(words, said), said
    if case.noted:
        assert says(f"release {before.current} is still serving", said), said
    assert windows[0].versions == [version, *([case.version] if case.tried else [])]
    unharmed(before, shop.settled(), noted=case.noted)
    if turns.AMONG_ALL and not (case.tried or case.accident):
        # The next one that goes live shows it for all before it.
        return

    following = shop.another()
    with shop.nobody_notices() as windows:
        shop.deploy(following)
    went_live(shop, following, before, windows[0])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.promise.replace(" ", "-")) for case in CASES])
def test_a_broken_deploy_harms_nobody(shop: Shop, case: Broken) -> None:
    harms_nobody(shop, case)


@pytest.mark.debian_12
def test_a_broken_deploy_harms_nobody_on_debian_12(shop: Shop) -> None:
    harms_nobody(shop, next(case for case in CASES if case.version == "unhealthy"))
