# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is refused, said, dumped and noted. Real databases are in the scenario `migrations`."""

from __future__ import annotations

import os
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _ledger, _migrations
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._migrations import Plan, Reverse
from ansible_collections.groundcrew.django.plugins.module_utils._migrations_judge import Migration, Operation

WISHES = {"allow_destructive": False, "dump": False, "lock_timeout": 5, "statement_timeout": 0}
LIMITS = {**WISHES, "lock_wait": 300, "statement_timeout": 60}
LEAN = Operation(
    "Remove field note from order", True, True, why="the column shop_order.note goes with all that is in it"
)
NEEDY = Operation("Add field x to order", False, True, why="it has to have a value")
CODE = Operation("Raw Python operation", reversible=False, why="it is the project's own", unknown=True)
QUIET = Operation("Add field y to order")


def plan(*operations: Operation, vendor: str = "postgresql", **more: t.Any) -> Plan:
    return Plan([Migration("shop", "0002_lean", operations)], database={"vendor": vendor}, **more)


def test_notes() -> None:
    assert plan(QUIET, LEAN, NEEDY, CODE, strangers=["shop.0009_x"]).notes() == [
        "Migrations to run: shop.0002_lean",
        "It loses data: shop.0002_lean, Remove field note from order: the column shop_order.note goes with all that is in it",
        "The running release cannot live with it: shop.0002_lean, Add field x to order: it has to have a value",
        "Not judged: shop.0002_lean, Raw Python operation: it is the project's own",
        "The database has migrations that this code does not: shop.0009_x; it was made for a newer version",
    ]
    assert Plan([]).notes() == []
    many = Plan([Migration("shop", f"{number:04}") for number in range(20)], fresh=True).notes()
    assert many[0].startswith("Migrations that make the database: shop.0000, ") and many[0].endswith(" and 8 more")


@pytest.mark.parametrize(
    ("found", "wishes", "refused"),
    [
        (plan(QUIET, NEEDY, CODE), {}, ""),
        (plan(LEAN), {}, "Migrations would lose data, and nothing has been migrated:\n- shop.0002_lean, Remove field"),
        (plan(LEAN), {"allow_destructive": True}, ""),
        (plan(LEAN), {"dump": True}, ""),
        (plan(LEAN, vendor="sqlite"), {"allow_destructive": True}, ""),
        (plan(LEAN, vendor="sqlite"), {"dump": True}, "only be made of PostgreSQL, and this database is sqlite"),
        (plan(LEAN, vendor="sqlite"), {"dump": True, "allow_destructive": True}, "only be made of PostgreSQL"),
        (plan(QUIET, vendor="sqlite"), {"dump": True}, ""),
    ],
)
def test_what_is_refused(found: Plan, wishes: dict[str, bool], refused: str) -> None:
    if not refused:
        _migrations.refuse(found, {**WISHES, **wishes})
        return
    with pytest.raises(ReleaseError) as caught:
        _migrations.refuse(found, {**WISHES, **wishes})
    assert refused in caught.value.message
    assert "allow_destructive: true" in caught.value.cure


def report(**facts: t.Any) -> dict[str, t.Any]:
    error = {"type": facts.pop("type", "OperationalError"), "message": facts.pop("message", "it was so\nDETAIL")}
    return {"error": error, "stage": "migrate", "done": {}, **facts}


IN_THE_WAY = ["process 7; of the role ada; holding shop_order"]


@pytest.mark.parametrize(
    ("facts", "message", "cure"),
    [
        (
            report(conflicts={"shop": ["0002_a", "0002_b"]}),
            "comes last (shop: 0002_a, 0002_b)",
            "makemigrations --merge",
        ),
        (report(holders=["process 7"]), "Somebody else has been migrating this database for 300 s: process 7.", "wait"),
        (report(unplanned=["shop.0003"]), "shop.0003 would have to run as well", "deploy again"),
        (
            report(type="InconsistentMigrationHistory"),
            "do not follow those that the database has had. it was so",
            "renamed",
        ),
        (report(type="NodeNotFoundError"), "is not in this code. it was so", ".gitignore"),
        (
            report(sqlstate="55P03", failed="shop.0002", atomic=True, retries=6, in_the_way=IN_THE_WAY),
            "The migration shop.0002 did not get a lock within 5 s, tried 7 times. Nothing of it is left in the database.\n"
            "Tables are now held by:\n- process 7; of the role ada; holding shop_order",
            "quieter time",
        ),
        (
            report(sqlstate="55P03", failed="shop.0002", atomic=False, done={"shop.0001": 0.1}),
            "tried once. It is not atomic, so what it did before that stays: look at it before the next deploy. Done before "
            "it, and staying so: shop.0001.",
            "lock_timeout",
        ),
        (report(sqlstate="40P01"), "Migrating did not get a lock", "lock_timeout"),
        (report(sqlstate="57014"), "Migrating had a statement that took longer than 60 s.", "statement_timeout"),
        (
            report(failed="shop.0002", atomic=True),
            "The migration shop.0002 failed: OperationalError: it was so. Nothing",
            "",
        ),
        (report(message=""), "Migrating failed: OperationalError.", ""),
        (
            report(message="x: No space left on device"),
            "Migrating failed: OperationalError: x: No space",
            "free some space",
        ),
        (report(stage="setup"), "The migrations cannot be read: OperationalError: it was so", ""),
    ],
)
def test_errors_are_explained(facts: dict[str, t.Any], message: str, cure: str) -> None:
    error = _migrations.explain(facts, LIMITS, "last lines")
    assert message in error.message
    assert cure in error.cure


@pytest.mark.parametrize(
    ("database", "command"),
    [
        (
            {"host": "", "port": "", "user": "shop", "name": "shop"},
            "runuser -u postgres -- pg_restore --clean --if-exists --create --exit-on-error --dbname=postgres < /x.dump",
        ),
        (
            {"host": "/var/run/postgresql", "port": "5433", "user": "shop", "name": "shop"},
            "runuser -u postgres -- pg_restore --clean --if-exists --create --exit-on-error --port=5433 --dbname=postgres"
            " < /x.dump",
        ),
        (
            {"host": "db.example.com", "port": "5432", "user": "writer", "name": "sales"},
            "pg_restore --clean --if-exists --no-owner --single-transaction --host=db.example.com --port=5432"
            " --username=writer --dbname=sales < /x.dump",
        ),
    ],
)
def test_the_command_that_restores(database: dict[str, str], command: str) -> None:
    assert _migrations.restore_command(database, "/x.dump") == command


def test_what_a_new_code_adds(tmp_path: Path) -> None:
    (tmp_path / "shop/migrations").mkdir(parents=True)
    (tmp_path / "shop/migrations/0001_initial.py").touch()
    files = [
        "shop/migrations/__init__.py",
        "shop/migrations/0002_price.py",
        "shop/migrations/0001_initial.py",
        "src/news/migrations/0001_initial.py",
        "shop/migrations/0003_data.json",
        "shop/0004_no.py",
    ]
    assert _migrations.planned(str(tmp_path), files) == ["shop.0002_price", "news.0001_initial"]


def past(**facts: t.Any) -> dict[str, t.Any]:
    return {"unknown": [], "reverses": [], "unreached": [], "recorded": [], "known": [], **facts}


STEP = {"app": "shop", "to": "0001_initial", "unapplied": ["shop.0002"], "irreversible": [], "more": []}


def test_ways_back() -> None:
    drop = {"kinds": ["RunSQL"], "described": "SQL", "reversible": True, "sql": ["DROP TABLE a"], "names": ["", "", ""]}
    unknown = [{"app": "shop", "name": "0002", "operations": [drop]}]
    (free,) = _migrations.reverses(past(reverses=[STEP], unknown=unknown), [], [])
    assert free == Reverse("shop", "0001_initial", ["shop.0002"], breaks=("shop.0002, SQL: it drops the table a",))
    assert str(free) == "migrate shop 0001_initial (unapplies shop.0002)"
    hard = {**STEP, "irreversible": ["shop.0002 (SQL)"], "more": ["news.0001"]}
    (blocked,) = _migrations.reverses(past(reverses=[hard]), [], [])
    assert (blocked.reversible, blocked.why) == (
        False,
        ("shop.0002 (SQL) is not reversible", "news.0001, which the older release needs, would go with it"),
    )
    beside, lost = _migrations.reverses(
        past(unreached=["shop.0002_b"], recorded=["shop.0003", "shop.0004"], known=["shop.0004"]),
        ["shop.0001"],
        ["shop.0001", "shop.0003", "shop.0004", "shop.0005_reversed"],
    )
    assert str(beside) == "shop.0002_b cannot be unapplied: shop.0002_b stands beside migrations that stay"
    assert str(lost).endswith("shop.0003 was applied by a release whose code is not live")
    with pytest.raises(ReleaseError, match="nothing has been changed:\n- shop.0002_b stands beside") as caught:
        _migrations.reverse(t.cast(t.Any, None), [free, beside])
    assert "new version" in caught.value.cure


class FakeRelease:
    """A release whose project answers what it is told to."""

    def __init__(self, tmp_path: Path) -> None:
        self.id = "r2"
        self.ledger = _ledger.Ledger(str(tmp_path / "releases.json"))
        self.ledger.entries = [_ledger.Entry("r1", "-", "-", "-", "ada"), _ledger.Entry("r2", "-", "-", "-", "ada")]
        self.app = types.SimpleNamespace(name="shop", ledger=self.ledger, record={"migrations": WISHES})

    def noted(self) -> list[str]:
        return _ledger.Ledger(str(self.ledger.path)).entries[1].migrations


def answers(monkeypatch: pytest.MonkeyPatch, found: Plan, migrate: t.Callable[[], dict[str, t.Any]]) -> None:
    monkeypatch.setattr(_migrations, "plan", lambda release, idle: found)
    monkeypatch.setattr(_migrations, "_ask", lambda *args, **more: migrate())


def test_the_ledger_knows_what_was_applied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = FakeRelease(tmp_path)

    def migrate() -> dict[str, t.Any]:
        assert release.noted() == ["shop.0002_lean"], "written before anything is done"
        return {"done": {"shop.0002_lean": 7.5}, "retries": 2, "waited": 3.5}

    answers(monkeypatch, plan(QUIET), migrate)
    assert _migrations.bring_up(t.cast(t.Any, release)) == [
        "Migrations to run: shop.0002_lean",
        "Waited 3.5 s for somebody else who migrated the same database",
        "Locks were held by others; the migrations began anew 2 times",
        "shop.0002_lean took 7.5 s",
    ]
    assert release.ledger.entries[1].migrations == ["shop.0002_lean"]


def test_the_ledger_knows_what_was_applied_before_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = FakeRelease(tmp_path)

    def fail() -> t.NoReturn:
        raise _migrations.Failure(ReleaseError("failed"), {"done": {"shop.0001": 1.0}})

    def vanish() -> t.NoReturn:
        raise ReleaseError("the process ended with status 137")

    answers(monkeypatch, plan(QUIET), fail)
    with pytest.raises(ReleaseError, match="failed"):
        _migrations.bring_up(t.cast(t.Any, release))
    assert release.ledger.entries[1].migrations == ["shop.0001"]
    answers(monkeypatch, plan(QUIET), vanish)
    with pytest.raises(ReleaseError, match="137"):
        _migrations.bring_up(t.cast(t.Any, release))
    assert release.ledger.entries[1].migrations == ["shop.0002_lean"], "nobody can tell, so all of them may be"
    answers(monkeypatch, plan(LEAN), fail)
    with pytest.raises(ReleaseError, match="lose data"):
        _migrations.bring_up(t.cast(t.Any, release))
    assert release.ledger.entries[1].migrations == []


def test_nothing_pending_is_no_second_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> t.NoReturn:
        raise AssertionError("asked again")

    answers(monkeypatch, Plan([], settled=True), never)
    assert _migrations.bring_up(t.cast(t.Any, FakeRelease(tmp_path))) == []


def test_what_earlier_releases_have_applied(tmp_path: Path) -> None:
    release = FakeRelease(tmp_path)
    release.ledger.entries[0].migrations = ["shop.0001", "shop.0002"]
    release.ledger.entries[1].migrations = ["shop.0002", "shop.0003"]
    assert _migrations.released(t.cast(t.Any, release)) == ["shop.0001", "shop.0002", "shop.0003"]
    assert _migrations.released(t.cast(t.Any, release), after="r1") == ["shop.0002", "shop.0003"]
    assert _migrations.released(t.cast(t.Any, release), after="r2") == []


@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        (b"PGDMP and more", None, ""),
        (b"", None, "no dump"),
        (b"PGDMP", ReleaseError("ended with status 1", output="could not write: No space left on device"), "dumped to"),
        (b"PGDMP", KeyboardInterrupt(), ""),
    ],
)
def test_a_dump_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bytes, error: BaseException | None, message: str
) -> None:
    monkeypatch.setattr(_migrations, "BACKUPS", str(tmp_path / "backups"))
    directory = tmp_path / "backups/shop"
    directory.mkdir(parents=True, mode=0o755)
    (directory / "r1.partial").touch()

    def ask(_release: t.Any, mode: str, _title: str, output: t.IO[bytes]) -> dict[str, t.Any]:
        assert mode == "dump"
        assert (directory / "r2.partial").stat().st_mode & 0o777 == 0o600
        output.write(written)
        output.flush()
        if error:
            raise error
        return {}

    monkeypatch.setattr(_migrations, "_ask", ask)
    database = {"host": "", "port": "", "user": "shop", "name": "shop", "vendor": "postgresql"}
    release = t.cast(t.Any, FakeRelease(tmp_path))
    if not message and not error:
        assert str(directory / "r2.dump") in _migrations.dump(release, database, "r2")
        assert os.listdir(directory) == ["r2.dump"]
        assert directory.stat().st_mode & 0o777 == 0o700
        return
    with pytest.raises((ReleaseError, KeyboardInterrupt), match=message or None):
        _migrations.dump(release, database, "r2")
    assert os.listdir(directory) == []
