# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of every kind of operation: facts from real projects with two versions of Django, and tables."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import types
import typing as t
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _migrations
from ansible_collections.groundcrew.django.plugins.module_utils._migrations_judge import (
    Made,
    _sql,
    holds_all,
    judge,
    same_family,
)
from ansible_collections.groundcrew.django.plugins.module_utils._migrations_script import MIGRATIONS_SCRIPT
from ansible_collections.groundcrew.django.plugins.module_utils._release import Release

MIGRATION = """
from django.contrib.postgres.operations import AddIndexConcurrently, CITextExtension
from django.db import migrations, models
from django.db.migrations import *
from django.db.models import *


class Strange(migrations.operations.base.Operation):
    reversible = False

    def state_forwards(self, app_label, state):
        pass

    def describe(self):
        return "Do something strange"


def fill(apps, editor):
    raise AssertionError("only planned")


class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [{operations}]
"""

# What every app of the project below has before its own case.
FIRST = """
CreateModel("Tag", [("id", BigAutoField(primary_key=True)), ("word", CharField(max_length=20, unique=True))]),
CreateModel("Item", [
    ("id", BigAutoField(primary_key=True)),
    ("name", CharField(max_length=50)),
    ("note", TextField(null=True)),
    ("count", IntegerField(default=0)),
    ("owner", ForeignKey("Tag", SET_NULL, null=True, related_name="+")),
    ("tags", ManyToManyField("Tag")),
    ("friends", ManyToManyField("self")),
], options={"unique_together": {("name", "count")}}),
AddIndex("Item", Index(fields=["count"], name="%(app)s_i")),
AddConstraint("Item", UniqueConstraint(fields=["note"], name="%(app)s_c")),
CreateModel("Old", [("id", BigAutoField(primary_key=True)), ("text", TextField())]),
CreateModel("View", [("id", BigAutoField(primary_key=True)), ("text", TextField())], options={"managed": False}),
"""
NEW = 'CreateModel("New", [("id", BigAutoField(primary_key=True)), ("text", TextField(null=True))])'

LOST, BROKEN, UNKNOWN = "loses data", "breaks the running release", "unknown"

# What is done, in which operations, and what is said about it: flags and why, for each operation that is not quiet.
CASES: list[tuple[str, str, list[tuple[str, str]]]] = [
    ("new model", NEW, []),
    ("model goes", 'DeleteModel("Old")', [(f"{LOST}, {BROKEN}", "the table APP_old goes with all that is in it")]),
    (
        "model is renamed",
        'RenameModel("Item", "Article")',
        [
            (
                BROKEN,
                "the table APP_item_tags becomes APP_article_tags; the column APP_article_tags.item_id becomes "
                "article_id; the table APP_item_friends becomes APP_article_friends; the column "
                "APP_article_friends.from_item_id becomes from_article_id; the column "
                "APP_article_friends.to_item_id becomes to_article_id; the table APP_item becomes APP_article",
            )
        ],
    ),
    (
        "table is renamed",
        'AlterModelTable("old", "archive")',
        [(BROKEN, "the table APP_old becomes archive")],
    ),
    ("new column", 'AddField("item", "x", IntegerField(null=True))', []),
    (
        "new column that needs a value",
        'AddField("item", "x", IntegerField(default=0))',
        [(BROKEN, "the running release gives the new column APP_item.x no value, and it has to have one")],
    ),
    ("new relation to many", 'AddField("item", "more", ManyToManyField("Old"))', []),
    (
        "column goes",
        'RemoveField("item", "note")',
        [(f"{LOST}, {BROKEN}", "the column APP_item.note goes with all that is in it")],
    ),
    (
        "foreign key goes",
        'RemoveField("item", "owner")',
        [(f"{LOST}, {BROKEN}", "the column APP_item.owner_id goes with all that is in it")],
    ),
    (
        "relation to many goes",
        'RemoveField("item", "tags")',
        [(f"{LOST}, {BROKEN}", "the table APP_item_tags goes with all that is in it")],
    ),
    (
        "column is renamed",
        'RenameField("item", "note", "remark")',
        [(BROKEN, "the column APP_item.note becomes remark")],
    ),
    (
        "relation to many is renamed",
        'RenameField("item", "tags", "words")',
        [(BROKEN, "the table APP_item_tags becomes APP_item_words")],
    ),
    (
        "only the field is renamed",
        'AlterField("item", "note", TextField(null=True, db_column="note", help_text="x"))',
        [],
    ),
    (
        "another name of the column",
        'AlterField("item", "note", TextField(null=True, db_column="remark"))',
        [(BROKEN, "the column APP_item.note becomes remark")],
    ),
    ("longer", 'AlterField("item", "name", CharField(max_length=80))', []),
    ("without a limit", 'AlterField("item", "name", TextField())', []),
    (
        "shorter",
        'AlterField("item", "name", CharField(max_length=20))',
        [
            (
                f"{LOST}, {BROKEN}",
                "the type of APP_item.name changes from varchar(50) to varchar(20), which may not hold all that is there",
            )
        ],
    ),
    ("larger numbers", 'AlterField("item", "count", BigIntegerField(default=0))', []),
    (
        "numbers as text",
        'AlterField("item", "count", TextField())',
        [(BROKEN, "the type of APP_item.count changes from integer to text")],
    ),
    (
        "text as numbers",
        'AlterField("item", "note", IntegerField(null=True))',
        [
            (
                f"{LOST}, {BROKEN}",
                "the type of APP_item.note changes from text to integer, which may not hold all that is there",
            )
        ],
    ),
    (
        "not empty any more",
        'AlterField("item", "note", TextField(default=""))',
        [(BROKEN, "APP_item.note may not be empty any more")],
    ),
    ("may be empty", 'AlterField("item", "name", CharField(max_length=50, null=True))', []),
    (
        "unique",
        'AlterField("item", "name", CharField(max_length=50, unique=True))',
        [(BROKEN, "APP_item.name must be unique")],
    ),
    ("not unique any more", 'AlterField("tag", "word", CharField(max_length=20))', []),
    (
        "key without and with a constraint",
        'AlterField("item", "owner", ForeignKey("Tag", SET_NULL, null=True, db_constraint=False, related_name="+")),'
        'AlterField("item", "owner", ForeignKey("Tag", SET_NULL, null=True, related_name="+"))',
        [(BROKEN, "APP_item.owner_id must refer to what is there")],
    ),
    (
        "unique together",
        'AlterUniqueTogether("item", {("name", "count"), ("name", "note")})',
        [(BROKEN, "name, note of APP_item must be unique together")],
    ),
    ("not unique together any more", 'AlterUniqueTogether("item", set())', []),
    (
        "order",
        'AlterOrderWithRespectTo("item", "owner")',
        [(BROKEN, "the running release gives the new column APP_item._order no value, and it has to have one")],
    ),
    ("index", 'AddIndex("item", Index(fields=["name"], name="APP_j"))', []),
    ("index beside the traffic", 'AddIndexConcurrently("item", Index(fields=["name"], name="APP_j"))', []),
    ("no index", 'RemoveIndex("item", "APP_i")', []),
    ("index of another name", 'RenameIndex("item", "APP_j", old_name="APP_i")', []),
    (
        "constraint",
        'AddConstraint("item", UniqueConstraint(fields=["name"], name="APP_d"))',
        [(BROKEN, "the rows of APP_item must meet a new constraint")],
    ),
    ("no constraint", 'RemoveConstraint("item", "APP_c")', []),
    ("options", 'AlterModelOptions("item", {"verbose_name": "thing"})', []),
    ("managers", 'AlterModelManagers("item", [])', []),
    ("comment", 'AlterModelTableComment("item", "things")', []),
    ("extension", "CITextExtension()", []),
    ("not managed any more", 'AlterModelOptions("old", {"managed": False}), DeleteModel("old")', []),
    ("field of an unmanaged model", 'RemoveField("view", "text"), DeleteModel("view")', []),
    ("SQL", 'RunSQL("UPDATE APP_item SET count = 1")', [(UNKNOWN, "it is the project's own")]),
    ("no SQL", "RunSQL(RunSQL.noop, RunSQL.noop)", []),
    (
        "SQL that drops",
        'RunSQL(["SELECT 1", ("DROP TABLE APP_old", None)])',
        [(f"{LOST}, {BROKEN}", "it drops the table APP_old")],
    ),
    ("Python", "RunPython(fill)", [(UNKNOWN, "it is the project's own")]),
    ("no Python", "RunPython(RunPython.noop)", []),
    ("strange", "Strange()", [(UNKNOWN, "it is the project's own")]),
    ("state only", 'SeparateDatabaseAndState(state_operations=[RemoveField("item", "note")])', []),
    (
        "database only",
        'SeparateDatabaseAndState(database_operations=[RemoveField("item", "note")])',
        [(f"{LOST}, {BROKEN}", "the column APP_item.note goes with all that is in it")],
    ),
    (
        "taken over and then changed",
        'SeparateDatabaseAndState(state_operations=[CreateModel("Taken", [("id", BigAutoField(primary_key=True)),'
        ' ("note", TextField(null=True))], options={"db_table": "APP_item"})]), RemoveField("taken", "note")',
        [(f"{LOST}, {BROKEN}", "the column APP_item.note goes with all that is in it")],
    ),
    (
        "made by the plan itself",
        f'{NEW}, AddField("new", "x", IntegerField(default=0)), AddConstraint("new", UniqueConstraint(fields=["x"],'
        ' name="APP_e")), AlterField("new", "text", TextField()), RenameModel("New", "Newer"), RemoveField("newer", "x"),'
        ' DeleteModel("Newer")',
        [],
    ),
    (
        "added and removed by the plan itself",
        'AddField("item", "x", IntegerField(null=True)), RenameField("item", "x", "y"), RemoveField("item", "y")',
        [],
    ),
    (
        "added in the three usual steps",
        'AddField("item", "x", IntegerField(null=True)), RunPython(fill), AlterField("item", "x", IntegerField())',
        [
            (UNKNOWN, "it is the project's own"),
            (BROKEN, "the running release gives the new column APP_item.x no value, and it has to have one"),
        ],
    ),
    (
        "SQL about what the plan has made",
        f'{NEW}, RunSQL("DROP TABLE APP_new; TRUNCATE \\"APP_new\\"")',
        [(UNKNOWN, "it is the project's own")],
    ),
]
CASES_5 = [
    ("default of the database", 'AddField("item", "x", IntegerField(db_default=3))', []),
    (
        "no default of the database any more",
        'AlterField("item", "count", IntegerField(db_default=3)), AlterField("item", "count", IntegerField(default=3))',
        [(BROKEN, "APP_item.count has no default in the database any more")],
    ),
    (
        "generated",
        'AddField("old", "x", GeneratedField(expression=F("id"), output_field=BigIntegerField(), db_persist=True))',
        [],
    ),
]


class Project:
    """A project on SQLite with one app per case, as much of a release as planning asks for."""

    run = Release.run

    def __init__(self, root: Path, python: Path, runner: t.Any, cases: t.Sequence[tuple[str, str, t.Any]]) -> None:
        shutil.copytree(python.parents[1] / "project", root / "code")
        self.code = str(root / "code")
        self.directory, self.beside, self.static = self.code, str(root), str(root)
        self.python, self.environment_file, self.id = str(python), "", "r2"
        self.path_variables = {"DJANGO_SETTINGS_MODULE": "mysite.settings"}
        wishes = {"allow_destructive": False, "dump": False, "lock_timeout": 5, "statement_timeout": 0}
        self.app = types.SimpleNamespace(
            name="shop",
            home=str(root),
            runner=runner,
            paths={"cache": str(root)},
            writable=[],
            record={"migrations": wishes},
            ledger=types.SimpleNamespace(entries=[], find=lambda release: None),
        )
        self.apps = {f"a{number:02}": case for number, case in enumerate(cases)}
        with (root / "code/mysite/settings.py").open("a") as settings:
            settings.write(
                f"\nINSTALLED_APPS += {list(self.apps)}\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
            )
        for app in self.apps:
            (root / "code" / app / "migrations").mkdir(parents=True)
            for name in ("__init__.py", "migrations/__init__.py"):
                (root / "code" / app / name).touch()
            self.write(app, "0001_initial", FIRST % {"app": app}, [])
        argv = [self.python, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(argv, cwd=self.code, check=True, env={"PATH": os.environ["PATH"]})
        for app, (_name, operations, _said) in self.apps.items():
            self.write(app, "0002_case", operations.replace("APP", app), [(app, "0001_initial")])

    def write(self, app: str, name: str, operations: str, dependencies: list[tuple[str, str]]) -> None:
        text = MIGRATION.format(operations=operations, dependencies=dependencies)
        Path(self.code, app, "migrations", f"{name}.py").write_text(text)


@pytest.mark.parametrize("version", ["4.2", "5.2"])
def test_every_kind_of_operation(version: str, tmp_path: Path, djangos: dict[str, Path], local_runner: t.Any) -> None:
    cases = CASES + (CASES_5 if version == "5.2" else [])
    project = Project(tmp_path, djangos[version], local_runner, cases)
    plan = _migrations.plan(t.cast(t.Any, project))
    assert sorted(plan.names) == [f"{app}.0002_case" for app in project.apps]
    said = {}
    for migration in plan.pending:
        said[project.apps[migration.app][0]] = [
            (flags(one), one.why.replace(migration.app, "APP")) for one in migration.operations if flags(one)
        ]
    expected = {name: expectation for name, _operations, expectation in cases}
    assert said.keys() == expected.keys()
    for name, found in said.items():
        assert [one[0] for one in found] == [one[0] for one in expected[name]], (name, found)
        for (_flags, why), (_expected, part) in zip(found, expected[name], strict=True):
            assert why == part or (part == "it is the project's own" and why.startswith(part)), name
    if version == "5.2":
        reversible = {m.app: [one.reversible for one in m.operations] for m in plan.pending}
        by_name = {case[0]: reversible[app] for app, case in project.apps.items()}
        assert (by_name["Python"], by_name["strange"], by_name["column goes"]) == ([False], [False], [True])


def flags(one: t.Any) -> str:
    found = [LOST] * one.destructive + [BROKEN] * one.breaks_running
    return ", ".join(found) or UNKNOWN * one.unknown


def test_nothing_can_be_lost_where_nothing_is() -> None:
    facts = {"kinds": ["RunSQL"], "described": "Raw SQL operation", "reversible": False, "sql": ["DROP TABLE a"]}
    plan = [{"app": "shop", "name": "0001_initial", "operations": [facts]}]
    (here,) = judge(plan, fresh=False)[0].operations
    (there,) = judge(plan, fresh=True)[0].operations
    assert (here.destructive, there.destructive, there.unknown, there.why) == (True, False, False, "")


@pytest.mark.parametrize(
    ("old", "new", "holds", "same"),
    [
        ("integer", "integer", True, True),
        ("serial", "integer", True, True),
        ("integer", "bigint", True, True),
        ("bigint", "integer", False, True),
        ("smallint", "bigserial", True, True),
        ("varchar(20)", "varchar(20)", True, True),
        ("varchar(20)", "varchar(30)", True, True),
        ("varchar(30)", "varchar(20)", False, True),
        ("varchar(30)", "varchar", True, True),
        ("varchar", "varchar(30)", False, True),
        ("varchar(30)", "text", True, True),
        ("text", "varchar(30)", False, True),
        ("text", "citext", True, True),
        ("citext", "text", True, True),
        ("char(32)", "varchar(32)", True, True),
        ("uuid", "varchar(36)", True, False),
        ("uuid", "varchar(32)", False, False),
        ("varchar(36)", "uuid", False, False),
        ("integer", "varchar(11)", True, False),
        ("bigint", "varchar(11)", False, False),
        ("integer", "text", True, False),
        ("numeric(8, 2)", "numeric(10, 2)", True, True),
        ("numeric(8, 2)", "numeric(10, 4)", True, True),
        ("numeric(8, 2)", "numeric(8, 4)", False, True),
        ("numeric(8, 2)", "numeric(10, 1)", False, True),
        ("numeric(8, 2)", "numeric", True, True),
        ("numeric", "numeric(8, 2)", False, True),
        ("integer", "numeric(12, 2)", True, False),
        ("integer", "numeric(10, 2)", False, False),
        ("numeric(8, 2)", "integer", False, False),
        ("numeric(8, 2)", "double precision", False, False),
        ("integer", "double precision", True, False),
        ("bigint", "double precision", False, False),
        ("double precision", "real", False, True),
        ("boolean", "integer", True, False),
        ("integer", "boolean", False, False),
        ("date", "timestamp with time zone", True, False),
        ("timestamp with time zone", "date", False, False),
        ("jsonb", "text", True, False),
        ("text", "jsonb", False, False),
        ("varchar(5)[]", "varchar(9)[]", True, True),
        ("varchar(9)[]", "varchar(5)[]", False, True),
        ("integer[3]", "bigint[3]", True, True),
        ("integer", "integer[]", False, False),
        ("geometry(POINT,4326)", "geometry(POINT,4326)", True, True),
        ("geometry(POINT,4326)", "geometry(POLYGON,4326)", False, False),
    ],
)
def test_types(old: str, new: str, holds: bool, same: bool) -> None:
    assert holds_all(old, new) is holds
    assert same_family(old, new) is same


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("DROP TABLE shop_item", ["it drops the table shop_item"]),
        ("drop table if exists shop.item cascade;", ["it drops the table shop.item"]),
        ('DROP TABLE "Old Things"', ["it drops the table Old Things"]),
        ("DROP SCHEMA old CASCADE", ["it drops old with all that is in it"]),
        ("ALTER TABLE shop_item DROP COLUMN note", ["it drops a column of shop_item"]),
        ("ALTER TABLE ONLY shop_item ADD x int, DROP note", ["it drops a column of shop_item"]),
        ("ALTER TABLE shop_item DROP CONSTRAINT c", []),
        ("ALTER TABLE shop_item ALTER COLUMN x DROP NOT NULL", []),
        ("ALTER TABLE shop_item ALTER x DROP DEFAULT", []),
        ("ALTER TABLE shop_item ALTER COLUMN x TYPE integer", ["it changes the type of a column of shop_item"]),
        ('ALTER TABLE a ALTER "the x" SET DATA TYPE int', ["it changes the type of a column of a"]),
        ("ALTER TYPE mood ADD VALUE 'sad'", []),
        ("ALTER TABLE a ADD COLUMN type text", []),
        ("TRUNCATE shop_item", ["it empties the table shop_item"]),
        ("TRUNCATE TABLE ONLY shop_item CASCADE", ["it empties the table shop_item"]),
        ("GRANT SELECT, TRUNCATE ON shop_item TO report", []),
        ("CREATE TRIGGER t AFTER TRUNCATE OR DELETE ON a EXECUTE FUNCTION f()", []),
        ("DELETE FROM shop_item WHERE count < 3", ["it deletes rows of shop_item"]),
        ("ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE", []),
        ("DROP EXTENSION citext CASCADE", ["it drops whatever depends on the EXTENSION"]),
        ("DROP EXTENSION citext", []),
        ("DROP INDEX i; DROP VIEW v; DROP FUNCTION f()", []),
        (
            "-- DROP TABLE a\nSELECT 'DROP TABLE b', 'it''s -- no comment' /* DROP TABLE c */; DROP TABLE d",
            ["it drops the table d"],
        ),
        ("CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN DELETE FROM a; END $$ LANGUAGE plpgsql", []),
        ("DO $x$ BEGIN DELETE FROM a; EXECUTE 'DROP TABLE b'; END $x$", ["it deletes rows of a"]),
        ("UPDATE a SET b = 1; INSERT INTO a VALUES (1)", []),
    ],
)
def test_sql(sql: str, said: list[str]) -> None:
    effects, unknown = _sql({"sql": [sql]}, Made())
    assert [effect.why for effect in effects] == said
    assert all(effect.destructive for effect in effects)
    assert unknown


def test_the_script_is_written_for_the_oldest_python_of_django_4() -> None:
    ast.parse(MIGRATIONS_SCRIPT, feature_version=(3, 8))
