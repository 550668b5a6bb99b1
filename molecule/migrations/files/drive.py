"""Does with migrations what a deploy and a rollback do, and prints what came of it: drive.py < ORDERS

The orders are a JSON list of lists, each a name below and its arguments.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import sys
from typing import Any

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from ansible_collections.groundcrew.django.plugins.module_utils import _environment, _ledger, _migrations
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release

KNOWN = json.loads((HERE / "app.json").read_text())
SECRETS = {"secret_key": "a-key-that-nobody-else-has-0123456789-0123456789", "database_password": KNOWN["password"]}


def app(wishes: dict[str, Any] | None = None) -> App:
    record = KNOWN["record"]
    return App({**record, "migrations": {**record["migrations"], **(wishes or {})}})


def add(release: str, files: dict[str, str]) -> None:
    """A release whose code is these files."""
    new = Release(app(), release)
    shutil.rmtree(new.root, ignore_errors=True)
    new.make()
    for name, text in files.items():
        path = pathlib.Path(new.code, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.rmdir(new.venv)
    os.symlink("/srv/shop/venv", new.venv)
    for path in (pathlib.Path(new.code), *pathlib.Path(new.code).rglob("*")):
        shutil.chown(path, "shop", "shop")
    new.remember(directory="")
    new.write_environment(
        {**_environment.compose(new.app.record, SECRETS, release), "DJANGO_SETTINGS_MODULE": "settings"}
    )


def forget() -> None:
    """No releases, and no ledger."""
    for path in pathlib.Path("/srv/shop/releases").iterdir():
        shutil.rmtree(path)
    pathlib.Path("/var/lib/groundcrew/shop/releases.json").unlink(missing_ok=True)


def note(release: str, migrations: list[str]) -> None:
    """An entry of the ledger."""
    ledger = app().ledger
    ledger.entries.append(_ledger.Entry(release, "-", "-", "-", "ada", migrations=migrations))
    ledger.save()


def plan(release: str, idle: bool = False) -> dict[str, Any]:
    found = _migrations.plan(Release(app(), release), idle)
    chosen = [
        (name, one.destructive, one.breaks_running, one.unknown, one.why)
        for name, one in found.operations()
        if one.destructive or one.breaks_running or one.unknown
    ]
    return {"names": found.names, "notes": found.notes(), "judged": chosen, "settled": found.settled}


def apply(release: str, wishes: dict[str, Any], limits: dict[str, Any] | None = None) -> dict[str, Any]:
    for name, value in (limits or {}).items():
        setattr(_migrations, name, value)
    chosen = Release(app(wishes), release)
    found = _migrations.plan(chosen)
    try:
        notes = _migrations.apply(chosen, found, chosen.app.record["migrations"])
    except ReleaseError as error:
        return {"error": error.message, "cure": error.cure, "output": error.output, "applied": found.applied}
    return {"notes": notes, "applied": found.applied}


def deploy(release: str, wishes: dict[str, Any]) -> dict[str, Any]:
    """As the step of a deploy does it; returns what the ledger then says on the disk."""
    note(release, [])
    chosen = Release(app(wishes), release)
    try:
        notes = _migrations.bring_up(chosen)
    except ReleaseError as error:
        notes = [error.message]
    chosen.app.ledger.save()
    entry = app().ledger.find(release)
    return {"notes": notes, "migrations": entry.migrations if entry else None}


def past(target: str, live: str) -> list[dict[str, Any]]:
    return [
        {"line": str(one), "app": one.app, "to": one.to, "unapplied": one.unapplied, "breaks": list(one.breaks)}
        for one in _migrations.moved_past(Release(app(), target), Release(app(), live))
    ]


def reverse(target: str, live: str, wishes: dict[str, Any]) -> list[str]:
    chosen = Release(app(wishes), live)
    return _migrations.reverse(chosen, _migrations.moved_past(Release(app(), target), chosen))


def main() -> None:
    results = []
    for name, *arguments in json.load(sys.stdin):
        try:
            results.append(globals()[name](*arguments))
        except ReleaseError as error:
            results.append({"error": error.message, "cure": error.cure, "output": error.output})
    sys.stdout.write(json.dumps(results))


main()
