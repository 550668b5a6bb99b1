# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back to an earlier release. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.groundcrew.django.plugins.module_utils import _background, _ledger, _migrations
from ansible_collections.groundcrew.django.plugins.module_utils._deploy import clear_unfinished
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._go_live import (
    converge_live,
    heal,
    settle,
    start,
    switch,
)
from ansible_collections.groundcrew.django.plugins.module_utils._release import (
    App,
    Options,
    Release,
    still_serving,
    told,
)


def choose(entries: t.Sequence[_ledger.Entry], present: t.Collection[str], live: str, wanted: str) -> str:
    """Id of the release to go back to. Pure.

    :param wanted: its id; empty for the good one before the live one.
    :raises ReleaseError: when there is none, or it is not to be trusted.
    """
    ways = _ledger.ways_back(entries, present, live)
    offer = (
        f"go back to one of these by -e release=ID: {', '.join(ways)}" if ways else "deploy the version that you want"
    )
    if not live:
        raise ReleaseError("Nothing is live yet, so there is no way back.", "deploy first")
    if wanted == live:
        raise ReleaseError(f"{wanted} is what is live.", offer)
    chosen = wanted or _ledger.previous(entries, present, live)
    if not chosen:
        rotated = any(entry.state == _ledger.OUTDATED for entry in entries)
        why = ": those from before the rotation of a secret are no way back" if rotated else ""
        raise ReleaseError(f"There is no good release before {live} on this server{why}.", offer)
    if chosen not in ways:
        known = next((entry for entry in reversed(entries) if entry.id == chosen), None)
        what = "was never here" if not known else f"is {known.state}" if known.state != _ledger.GOOD else "was pruned"
        if known and known.state == _ledger.OUTDATED:
            what = f"({known.described}) is from before the rotation of a secret"
            offer = f"deploy its version with the secrets of today: `source: {{version: {known.revision}}}`"
        raise ReleaseError(f"Release {chosen} {what}, so it is no way back.", offer)
    return chosen


def plan(app: App, options: Options) -> tuple[Release, list[_migrations.Reverse]]:
    """Where to go back to, and what has to be unapplied for it.

    :raises ReleaseError: when the way is not free.
    """
    present = os.listdir(app.paths["releases"])
    target = Release(app, choose(app.ledger.entries, present, app.live, options.release))
    if not os.path.exists(target.environment_file) or not app.instance(target.id).dropin.exists():
        raise ReleaseError(
            f"Release {target.id} is not complete on this server any more.", "deploy the version you want"
        )
    reverses = _migrations.moved_past(target, Release(app, app.live)) if target.facts["database"] else []
    if reverses and not options.rollback_migrations:
        commands = "\n".join(f"  {reverse}" for reverse in reverses)
        raise ReleaseError(
            f"The database has moved past release {target.id}. For it, this would have to be run with the live code:\n"
            f"{commands}\n{app.name} was not rolled back; {still_serving(app)}",
            "have it run before the switch by -e rollback_migrations=true, if nobody needs what the migrations added, "
            "or deploy a version that fits the database",
        )
    return target, reverses


def look(app: App, options: Options) -> dict[str, t.Any]:
    """Find out where a rollback would lead, and change nothing."""
    target, reverses = plan(app, options)
    notes = [f"Would run first: {reverse}" for reverse in reverses]
    summary = f"{app.name}: would go back from {app.live} to {target.id}."
    return {"changed": True, "release": target.id, "summary": summary, "notes": notes}


def change_places(app: App, target: Release, options: Options) -> None:
    """Switch to a release that is up and healthy, and note which one was left for it.

    The note comes first: whoever finds it beside a release that is live knows that the switch did not happen.
    """
    left = app.ledger.find(app.live)
    if left:
        app.ledger.mark(left, _ledger.ROLLED_BACK, "rolled back")
    try:
        switch(app, target, options)
    except BaseException:
        if left:
            app.ledger.restore(left)
        raise


def roll_back(app: App, options: Options, progress: t.Any) -> str:
    """Go back to an earlier release, through the same gate as a deploy."""
    tidied = clear_unfinished(app)
    healed = heal(app, options)
    if tidied or healed:
        converge_live(app)
    left = app.live
    target, reverses = plan(app, options)
    notes = [healed] if healed else []
    if reverses:
        notes += _migrations.reverse(Release(app, left), reverses)
    try:
        with told():
            start(app, target, options)
            change_places(app, target, options)
    except ReleaseError as error:
        app.instance(target.id).stop()
        _background.give_back(app, Release(app, app.live), target)
        if reverses:
            # What serves on needs the database as it was.
            again = Release(app, left)
            _migrations.apply(again, _migrations.plan(again), {**app.record["migrations"], "allow_destructive": True})
        error.message += f" {app.name} was not rolled back; {still_serving(app)}"
        raise
    back = app.ledger.find(target.id)
    if back:
        app.ledger.mark(back, _ledger.GOOD, "live")
    settle(app, options)
    summary = f"{app.name}: went back from {left} to {target.id}."
    progress.tell(
        step="rolled_back", result={"changed": True, "release": target.id, "summary": summary, "notes": notes}
    )
    return target.id
