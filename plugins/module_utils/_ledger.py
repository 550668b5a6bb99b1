# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: what has been released, and what became of it. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
import typing as t
from collections.abc import Collection, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

BUILDING = "building"
GOOD = "good"
FAILED = "failed"
ROLLED_BACK = "rolled back"
# Its environment holds a secret that is none any more.
OUTDATED = "outdated"

# Entries kept after their release's files have gone: enough to see who deployed what in the last months.
KEPT_ENTRIES = 200


@dataclasses.dataclass
class Entry:
    """One release.

    :param fingerprint: hash of all that went into the release; the same inputs need no second release.
    :param why: the reason that the operator gave, if any.
    :param state: "building", "good", "failed", "rolled back" or "outdated".
    :param times: from event ("begun", "live", "failed", "abandoned", "rolled back", "outdated") to its time,
        UTC in ISO 8601.
    :param durations: seconds that each step took.
    :param migrations: what the release has applied to the database, as "app.0001_initial".
    """

    id: str
    revision: str
    described: str
    fingerprint: str
    who: str
    why: str = ""
    state: str = BUILDING
    times: dict[str, str] = dataclasses.field(default_factory=dict)
    durations: dict[str, float] = dataclasses.field(default_factory=dict)
    migrations: list[str] = dataclasses.field(default_factory=list)


def now() -> str:
    """The time as the ledger writes it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Ledger:
    """The entries of one app, oldest first.

    :param released: whether something of the app is live, which a file that has been lost cannot tell any more.
    :raises ReleaseError: when the file is there and is no ledger.
    """

    def __init__(self, path: str, released: bool = False) -> None:
        self.path = pathlib.Path(path)
        try:
            found: dict[str, t.Any] = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}
            self.entries = [Entry(**entry) for entry in found.get("releases", [])]
            # Whether `commands.first` have run; they belong to the database and so outlive every release.
            self.first_done: bool = found.get("first_done", released)
        except (ValueError, TypeError, AttributeError) as error:
            raise ReleaseError(
                f"The ledger {path} is damaged: {error}.",
                "put a copy of it back, or remove it: what is live stays live, and a new history begins",
            ) from error

    def find(self, release: str) -> Entry | None:
        """The entry of a release id."""
        return next((entry for entry in reversed(self.entries) if entry.id == release), None)

    def mark(self, entry: Entry, state: str, event: str) -> None:
        """Note what became of a release, and write it down."""
        entry.state = state
        entry.times[event] = now()
        self.save()

    def restore(self, entry: Entry) -> None:
        """Take back that a release was left for an earlier one."""
        entry.state = GOOD
        entry.times.pop("rolled back", None)
        self.save()

    def save(self) -> None:
        """Replace the file in one step."""
        del self.entries[:-KEPT_ENTRIES]
        text = json.dumps(
            {"releases": [dataclasses.asdict(entry) for entry in self.entries], "first_done": self.first_done}, indent=1
        )
        new = self.path.with_suffix(".new")
        with open(new, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self.path)


def ways_back(entries: Sequence[Entry], present: Collection[str], current: str) -> list[str]:
    """The releases that a rollback may lead to, the best first: good ones that are still there.

    Those from before the live one come first, the youngest of them first; it is what "the previous one" means.

    :param present: ids with a directory.
    :param current: the live one.
    """
    ids = [entry.id for entry in entries]
    at = ids.index(current) if current in ids else len(ids)
    good = [
        (place > at, -place, entry.id)
        for place, entry in enumerate(entries)
        if entry.state == GOOD and entry.id in present and entry.id != current
    ]
    return [release for _later, _place, release in sorted(good)]


def previous(entries: Sequence[Entry], present: Collection[str], current: str) -> str:
    """The good release before the live one; empty where there is none."""
    ids = [entry.id for entry in entries]
    at = ids.index(current) if current in ids else len(ids)
    return next((release for release in ways_back(entries, present, current) if ids.index(release) < at), "")


def surplus(
    entries: Sequence[Entry], present: Sequence[str], current: str, keep: int, running: Collection[str] = ()
) -> list[str]:
    """The release directories that may go.

    :param present: ids with a directory, in any order.
    :param current: the live one, which always stays, as does the good one before it.
    :param keep: how many good releases stay, the live one among them; failed and rolled back ones never count.
    :param running: ids with a process that still serves its last visitors; they go with a later deploy.
    """
    good = [entry.id for entry in entries if entry.state == GOOD and entry.id in present and entry.id != current]
    kept = {current, previous(entries, present, current), *running, *good[max(len(good) - max(keep - 1, 0), 0) :]}
    return [release for release in sorted(present) if release not in kept]
