# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges what migrations do: to the data, and to the release that is running. Pure. PRIVATE to the collection.

The facts come from `_migrations_script`: of every operation its class and its models' tables before and after it. Most
is judged by what changes in the tables, whatever class brings it about.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

Facts = Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation of a migration.

    :param described: as Django describes it, such as "Remove field note from order".
    :param destructive: data is lost that nobody can bring back but from a dump.
    :param breaks_running: the release that is running cannot live with what is there afterwards.
    :param unknown: it runs SQL or Python of the project's, of which nobody can say that beforehand.
    :param why: the reasons for any of it, as one sentence without its stop; empty when there is nothing to say.
    """

    described: str
    destructive: bool = False
    breaks_running: bool = False
    reversible: bool = True
    why: str = ""
    unknown: bool = False


@dataclasses.dataclass(frozen=True)
class Migration:
    """A migration and what it does, apart from changes of Django's state only."""

    app: str
    name: str
    operations: Sequence[Operation] = ()

    @property
    def label(self) -> str:
        """As Django prints it: ``shop.0002_price``."""
        return f"{self.app}.{self.name}"


@dataclasses.dataclass(frozen=True)
class Effect:
    """One thing that an operation does to the database."""

    why: str
    destructive: bool = False
    breaks_running: bool = False


# Operations that are judged by what becomes of the tables.
STRUCTURAL = {
    "CreateModel",
    "DeleteModel",
    "RenameModel",
    "AlterModelTable",
    "AddField",
    "RemoveField",
    "AlterField",
    "RenameField",
    "AlterUniqueTogether",
    "AlterOrderWithRespectTo",
}
# Operations after which every row is there and every query still works.
HARMLESS = {
    "AddIndex",
    "RemoveIndex",
    "RenameIndex",
    "AlterIndexTogether",
    "RemoveConstraint",
    "AlterConstraint",
    "ValidateConstraint",
    "AlterModelOptions",
    "AlterModelManagers",
    "AlterModelTableComment",
    "CreateExtension",
    "CreateCollation",
    "RemoveCollation",
}


class Made:
    """What the plan itself has made so far: nobody's data is in it, and no running release knows it."""

    def __init__(self) -> None:
        self.tables: set[str] = set()
        self.columns: set[tuple[str, str]] = set()

    def rename_table(self, old: str, new: str) -> None:
        """Follow a table to its new name."""
        if old in self.tables:
            self.tables.add(new)
        self.columns |= {(new, column) for table, column in self.columns if table == old}


def judge(facts: Sequence[Facts], fresh: bool) -> list[Migration]:
    """What each migration of a plan does.

    :param fresh: there is no table at all yet, so that nothing can be lost or broken.
    """
    made = Made()
    return [
        Migration(
            migration["app"], migration["name"], [_operation(fact, made, fresh) for fact in migration["operations"]]
        )
        for migration in facts
    ]


def _operation(fact: Facts, made: Made, fresh: bool) -> Operation:
    effects, unknown = _effects(fact, made)
    if fresh:
        effects, unknown = [], False
    reasons = [effect.why for effect in effects]
    if unknown and not effects:
        reasons.append("it is the project's own, and what it does cannot be told beforehand")
    return Operation(
        fact["described"],
        destructive=any(effect.destructive for effect in effects),
        breaks_running=any(effect.breaks_running for effect in effects),
        reversible=fact["reversible"],
        why="; ".join(reasons),
        unknown=unknown,
    )


def _effects(fact: Facts, made: Made) -> tuple[list[Effect], bool]:
    """The effects of an operation, and whether there may be others."""
    kind = next((kind for kind in fact["kinds"] if kind in STRUCTURAL | HARMLESS | _OTHERS.keys()), "")
    if kind in _OTHERS:
        return _OTHERS[kind](fact, made)
    if kind in HARMLESS:
        return [], False
    return list(_changes(fact, kind, made)), not kind


# --- tables and columns ----------------------------------------------------------------------------------------------


def _changes(fact: Facts, kind: str, made: Made) -> Iterator[Effect]:
    before, after = fact["before"], fact["after"]
    names = {model: _new_name(fact, kind, model) for model in before}
    for model, was in before.items():
        now = after.get(names[model])
        if now is not None:
            yield from _changed(fact, kind, model, was, now, made)
        elif was["table"] not in made.tables:
            yield Effect(f"the table {was['table']} goes with all that is in it", True, True)
    for model, now in after.items():
        if model not in names.values():
            made.tables.add(now["table"])


def _new_name(fact: Facts, kind: str, model: str) -> str:
    """What a model is called afterwards; tables of many-to-many relations are models named after both sides."""
    of, old, new = (name.lower() for name in fact["names"])
    if kind == "RenameModel" and (model == old or model.startswith(f"{old}_")):
        found = new + model.removeprefix(old)
        return found if found in fact["after"] else model
    if kind == "RenameField" and model == f"{of}_{old}":
        return f"{of}_{new}"
    return model


def _changed(fact: Facts, kind: str, model: str, was: Facts, now: Facts, made: Made) -> Iterator[Effect]:
    table = now["table"]
    own = was["table"] in made.tables
    if was["table"] != table:
        made.rename_table(was["table"], table)
        if not own:
            yield Effect(f"the table {was['table']} becomes {table}", breaks_running=True)
    if own:
        return
    fields = {name: _new_field(fact, kind, model, name, now) for name in was["fields"]}
    for name, column in was["fields"].items():
        changed = now["fields"].get(fields[name])
        if changed:
            yield from _column(table, column, changed, made)
        elif (table, column["column"]) not in made.columns:
            # What is in a generated column follows from the others.
            lost = "" if column["generated"] else " with all that is in it"
            yield Effect(f"the column {table}.{column['column']} goes{lost}", bool(lost), True)
    for name, column in now["fields"].items():
        if name not in fields.values():
            made.columns.add((table, column["column"]))
            if _demanded(column):
                yield Effect(_DEMANDED.format(table=table, **column), breaks_running=True)
    if kind == "AlterUniqueTogether":
        for together in now["unique_together"]:
            if together not in was["unique_together"]:
                yield Effect(f"{', '.join(together)} of {table} must be unique together", breaks_running=True)


def _new_field(fact: Facts, kind: str, model: str, field: str, now: Facts) -> str:
    of, old, new = fact["names"]
    if kind == "RenameField" and model == of.lower() and field == old:
        return str(new)
    if kind == "RenameModel" and field not in now["fields"]:
        # The columns of a many-to-many relation: after the model, and "from_" and "to_" it where it leads to itself.
        return re.sub(rf"^(from_|to_|){re.escape(old.lower())}$", rf"\g<1>{new.lower()}", field)
    return field


_DEMANDED = "the running release gives the new column {table}.{column} no value, and it has to have one"


def _demanded(column: Facts) -> bool:
    """Whether a row cannot be written by somebody who does not know the column."""
    return not (column["null"] or column["db_default"] or column["generated"])


def _column(table: str, was: Facts, now: Facts, made: Made) -> Iterator[Effect]:
    name = f"{table}.{now['column']}"
    if (table, was["column"]) in made.columns:
        made.columns.add((table, now["column"]))
        if _demanded(now) and not _demanded(was):
            yield Effect(_DEMANDED.format(table=table, **now), breaks_running=True)
        return
    if was["column"] != now["column"]:
        yield Effect(f"the column {table}.{was['column']} becomes {now['column']}", breaks_running=True)
    if not holds_all(was["type"], now["type"]):
        changed = f"the type of {name} changes from {was['type']} to {now['type']}"
        yield Effect(f"{changed}, which may not hold all that is there", True, True)
    elif not same_family(was["type"], now["type"]):
        yield Effect(f"the type of {name} changes from {was['type']} to {now['type']}", breaks_running=True)
    if was["null"] and not now["null"]:
        yield Effect(f"{name} may not be empty any more", breaks_running=True)
    elif _demanded(now) and not _demanded(was):
        yield Effect(f"{name} has no default in the database any more", breaks_running=True)
    if now["unique"] and not was["unique"]:
        yield Effect(f"{name} must be unique", breaks_running=True)
    if now["check"] and now["check"].replace(now["column"], was["column"]) != was["check"]:
        yield Effect(f"{name} must meet a new condition", breaks_running=True)
    if now["references"] and not was["references"]:
        yield Effect(f"{name} must refer to what is there", breaks_running=True)


# --- types -----------------------------------------------------------------------------------------------------------

_SERIAL = {"serial": "integer", "bigserial": "bigint", "smallserial": "smallint"}
_INTEGERS = ("smallint", "integer", "bigint")
_TEXTS = ("text", "citext")
# Characters that the longest value takes as text.
_WIDTH = {"smallint": 6, "integer": 11, "bigint": 20, "boolean": 5, "uuid": 36, "date": 13}
# Types that hold all of another one's values.
_WIDER = {
    "smallint": {"real", "double precision"},
    "integer": {"double precision"},
    "real": {"double precision"},
    "boolean": {"smallint", "integer", "bigint"},
    "date": {"timestamp with time zone", "timestamp without time zone"},
}
_FAMILIES = (_INTEGERS, (*_TEXTS, "varchar", "char"), ("real", "double precision"))
_DIGITS = {"smallint": 5, "integer": 10, "bigint": 19}


def _type(text: str) -> tuple[str, list[int]]:
    """A type and the numbers behind it: ``varchar(20)`` is ("varchar", [20])."""
    match = re.fullmatch(r"([^()]*)(?:\(([\d, ]+)\)(.*))?", text.strip().lower())
    if not match:
        return text.lower(), []
    name = match[1].strip() + (match[3] or "")
    return _SERIAL.get(name, name), [int(number) for number in re.findall(r"\d+", match[2] or "")]


def _elements(old: str, new: str) -> tuple[str, str]:
    """The types of the elements, if both are arrays; otherwise the types themselves."""
    found = [re.fullmatch(r"(.*)\[\d*\]", kind) for kind in (old, new)]
    return (found[0][1], found[1][1]) if found[0] and found[1] else (old, new)


def holds_all(old: str, new: str) -> bool:
    """Whether a column of the type ``new`` can hold everything that one of the type ``old`` can."""
    old, new = _elements(old, new)
    (was, sizes), (now, new_sizes) = _type(old), _type(new)
    if (was, sizes) == (now, new_sizes) or now in _TEXTS:
        return True
    if now == "varchar":
        room = new_sizes[0] if new_sizes else None
        needed = sizes[0] if was in ("varchar", "char") and sizes else _WIDTH.get(was)
        return room is None or (needed is not None and needed <= room)
    if was in _INTEGERS and now in _INTEGERS:
        return _INTEGERS.index(was) <= _INTEGERS.index(now)
    if now == "numeric" and (was in _DIGITS or was == "numeric"):
        if not new_sizes:
            return True
        places = sum(new_sizes[1:])
        whole = new_sizes[0] - places
        if was in _DIGITS:
            return whole >= _DIGITS[was]
        return bool(sizes) and whole >= sizes[0] - sum(sizes[1:]) and places >= sum(sizes[1:])
    return now in _WIDER.get(was, set())


def same_family(old: str, new: str) -> bool:
    """Whether a program that expects the type ``old`` gets on with ``new``: the same, only wider."""
    was, now = (_type(kind)[0] for kind in _elements(old, new))
    return was == now or any(was in family and now in family for family in _FAMILIES)


# --- operations of other kinds ---------------------------------------------------------------------------------------


def _constraint(fact: Facts, made: Made) -> tuple[list[Effect], bool]:
    if not fact["table"] or fact["table"] in made.tables:
        return [], False
    return [Effect(f"the rows of {fact['table']} must meet a new constraint", breaks_running=True)], False


def _python(fact: Facts, made: Made) -> tuple[list[Effect], bool]:
    del made
    return [], not fact["noop"]


_NAME = r'((?:"[^"]+"|[\w.])+)'
_LOSES = [
    (re.compile(pattern, re.I), why, breaks)
    for pattern, why, breaks in (
        (rf"\bDROP\s+TABLE\s+(?:IF\s+EXISTS\s+)?{_NAME}", "it drops the table {0}", True),
        (rf"\bDROP\s+(?:SCHEMA|DATABASE)\s+(?:IF\s+EXISTS\s+)?{_NAME}", "it drops {0} with all that is in it", True),
        (
            rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}\b[^;]*?\bDROP\s+"
            r"(?!CONSTRAINT\b|DEFAULT\b|NOT\b|EXPRESSION\b|IDENTITY\b)(?:COLUMN\s+)?",
            "it drops a column of {0}",
            True,
        ),
        (
            rf"\bALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}\b[^;]*?\bALTER\s+"
            r"(?:COLUMN\s+)?(?:\"[^\"]+\"|\w+)\s+(?:SET\s+DATA\s+)?TYPE\b",
            "it changes the type of a column of {0}",
            True,
        ),
        (rf"\bTRUNCATE\s+(?!ON\b|OR\b)(?:TABLE\s+)?(?:ONLY\s+)?{_NAME}", "it empties the table {0}", False),
        (rf"\bDELETE\s+FROM\s+(?:ONLY\s+)?{_NAME}", "it deletes rows of {0}", False),
        (r"\bDROP\s+(EXTENSION|TYPE|DOMAIN)\b[^;]*\bCASCADE\b", "it drops whatever depends on the {0}", True),
    )
]
# Strings, comments and the bodies of functions, which are not run when a function is made; that of DO is.
_ASIDE = re.compile(
    r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|(?P<do>\bDO\s+(?:LANGUAGE\s+\w+\s+)?)?(?P<mark>\$\w*\$)(?P<body>.*?)(?P=mark)",
    re.S | re.I,
)


def statements(sql: str) -> str:
    """SQL without what only looks like it."""
    return _ASIDE.sub(lambda match: statements(match["body"]) if match["do"] else " ", sql)


def _sql(fact: Facts, made: Made) -> tuple[list[Effect], bool]:
    text = ";\n".join(statements(one) for one in fact["sql"])
    effects = []
    for pattern, why, breaks in _LOSES:
        names = dict.fromkeys(match[1].replace('"', "") for match in pattern.finditer(text))
        there = [name for name in names if name.rpartition(".")[2] not in made.tables]
        effects += [Effect(why.format(name), True, breaks) for name in there]
    return effects, bool(text.strip(" \n\t;"))


_OTHERS: dict[str, t.Callable[[Facts, Made], tuple[list[Effect], bool]]] = {
    "AddConstraint": _constraint,
    "RunPython": _python,
    "RunSQL": _sql,
}
