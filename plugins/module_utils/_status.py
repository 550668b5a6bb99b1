# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to know of an app on its server. PRIVATE to the collection: may change at any time.

Whoever asks does so because something may be wrong, so no question that cannot be answered keeps back the other
answers: it becomes a problem that is told beside them.
"""

from __future__ import annotations

import http.client
import os
import re
import ssl
import subprocess
import time
import typing as t
from collections.abc import Callable

from ansible_collections.groundcrew.django.plugins.module_utils import _background, _ledger, _live, _migrations
from ansible_collections.groundcrew.django.plugins.module_utils._carrier import Carrier
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release, health_question

DAY = 24 * 3600

Answer = t.TypeVar("Answer")


class Problems(list[str]):
    """Collects what could not be found out."""

    def attempt(self, what: str, question: Callable[[], Answer]) -> Answer | None:
        """The answer to a question; None when there is none."""
        try:
            return question()
        except ReleaseError as error:
            # Its last lines are for who deploys; here one says what to look at.
            said = [line.strip() for line in error.output.strip().splitlines()[-1:]]
            cure = [f"To cure it: {error.cure}"] if error.cure else []
            self.tell(what, " ".join([error.message, *said, *cure]))
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            self.tell(what, str(error) or type(error).__name__)
        return None

    def tell(self, what: str, problem: str) -> None:
        """Note a problem, once though it may have kept several answers back."""
        if not any(known.endswith(f": {problem}") for known in self):
            self.append(f"{what}: {problem}")


def describe(app: App) -> dict[str, t.Any]:
    """Everything about one app, deployed or not."""
    problems = Problems()
    live = app.live
    release = Release(app, live) if live else None
    health: tuple[str, bool | None] = ("", None)
    if release:
        health = problems.attempt("health", lambda: ask(release)) or ("unknown", False)
    entries = problems.attempt("history", lambda: app.ledger.entries) or []
    entry = next((entry for entry in reversed(entries) if entry.id == live), None)
    background = problems.attempt("processes", lambda: _background.told(app, release)) if release else None
    present = problems.attempt("releases", lambda: os.listdir(app.paths["releases"])) if live else None
    return {
        "name": app.name,
        "release": live,
        "described": entry.described if entry else "",
        "revision": entry.revision if entry else "",
        "since": entry.times.get("live", "") if entry else "",
        "who": entry.who if entry else "",
        "service": _live.systemctl("is-active", app.instance(live).service, check=False) if live else "",
        "health": health[0],
        "healthy": health[1],
        "previous": _ledger.ways_back(entries, present or [], live) if live else [],
        "at_work": Carrier(app.name).at_work(),
        "draining": problems.attempt("draining", lambda: draining(app)) or [],
        **(background or {"workers": [], "schedules": []}),
        "maintenance": os.path.exists(app.paths["maintenance"]),
        "pending_migrations": problems.attempt("migrations", lambda: pending(release)) if release else None,
        "certificate": problems.attempt("certificate", lambda: certificate(app.paths["tls"])),
        "problems": list(problems),
    }


def ask(release: Release) -> tuple[str, bool]:
    """Status of the health page, and whether it is a healthy one."""
    question, wanted = health_question(release), release.facts["health"]["status"]
    try:
        status, _body = question()
    except (OSError, http.client.HTTPException):
        return "no answer", False
    return str(status), _live.healthy(status, wanted)


def draining(app: App) -> list[str]:
    """The releases that serve their last visitors."""
    pattern = app.instance("*").drain
    before, _star, after = pattern.partition("*")
    listed = _live.systemctl("list-units", "--plain", "--no-legend", "--state=active,activating,deactivating", pattern)
    return sorted(line.split()[0].removeprefix(before).removesuffix(after) for line in listed.splitlines())


def pending(release: Release) -> list[str] | None:
    """Migrations of the release that its database has not seen; None where there is no database."""
    if not release.facts.get("database"):
        return None
    return [f"{migration.app}.{migration.name}" for migration in _migrations.plan(release).pending]


def certificate(directory: str) -> dict[str, t.Any] | None:
    """What nginx shows to visitors; None before there is any."""
    path = f"{directory}/fullchain.pem"
    if not os.path.exists(path):
        return None
    argv = ["openssl", "x509", "-noout", "-enddate", "-issuer", "-subject", "-in", path]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        raise ReleaseError(f"{path} is no certificate.", "run the playbook groundcrew.django.site", done.stderr)
    return read_certificate(done.stdout, time.time())


def read_certificate(told: str, now: float) -> dict[str, t.Any]:
    """From openssl's words to days and kind.

    :param now: seconds since 1970.
    """
    found = dict(re.findall(r"^(notAfter|issuer|subject)=(.*)$", told, re.MULTILINE))
    # Days that are over count as -1, -2 ..., so that 0 is the last one.
    days = int((ssl.cert_time_to_seconds(found["notAfter"]) - now) // DAY)
    return {"days": days, "self_signed": found["issuer"] == found["subject"]}
