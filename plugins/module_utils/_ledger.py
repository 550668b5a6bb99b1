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

# Entries kept after their release's files have gone: enough to see who deployed what in the last months.
KEPT_ENTRIES = 200


@dataclasses.dataclass
class Entry:
    """One release.

    :param fingerprint: hash of all that went into the release; the same inputs need no second release.
    :param state: "building", "good" or "failed".
    :param times: from event ("begun", "live", "failed") to its time, UTC in ISO 8601.
    """

    id: str
    revision: str
    described: str
    fingerprint: str
    who: str
    state: str = BUILDING
    times: dict[str, str] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)


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


def surplus(
    entries: Sequence[Entry], present: Sequence[str], current: str, keep: int, running: Collection[str] = ()
) -> list[str]:
    """The release directories that may go.

    :param present: ids with a directory, in any order.
    :param current: the live one, which always stays.
    :param keep: how many good releases stay, the live one among them; failed ones never count.
    :param running: ids with a process that still serves its last visitors; they go with a later deploy.
    """
    good = [entry.id for entry in entries if entry.state == GOOD and entry.id in present and entry.id != current]
    kept = {current, *running, *good[max(len(good) - max(keep - 1, 0), 0) :]}
    return [release for release in sorted(present) if release not in kept]
