"""The table of `status`, as the person who asked for it sees it."""

from __future__ import annotations

from typing import Any

import jinja2
from worktree import ROOT

from ansible_collections.groundcrew.django.tests.unit.statuses import NEVER_DEPLOYED

SHOP: dict[str, Any] = {
    **NEVER_DEPLOYED,
    "name": "shop",
    "release": "20261122-145017-1a2b3c4d",
    "described": "main at 1a2b3c4d",
    "since": "2026-11-22T14:51:02Z",
    "who": "alice@laptop",
    "service": "active",
    "health": "200",
    "healthy": True,
    "previous": ["r2", "r1"],
    "pending_migrations": [],
    "certificate": {"days": 61, "self_signed": False},
}
ILL: dict[str, Any] = {
    **SHOP,
    "name": "live-guestbook",
    "service": "failed",
    "health": "no answer",
    "healthy": False,
    "previous": [],
    "at_work": "live-guestbook: deploy by bob",
    "draining": ["r0"],
    "workers": [
        {"name": "celery", "release": "20261122-145017-1a2b3c4d", "state": "active", "restarts": 3},
        {"name": "celery", "release": "r0", "state": "deactivating", "restarts": 0},
    ],
    "schedules": [
        {"name": "nightly", "result": "failed (exit-code, status 1)", "last": "Sun 03:00", "next": "Mon 03:00"},
        {"name": "report", "result": "not run yet", "last": "", "next": "never"},
    ],
    "maintenance": True,
    "pending_migrations": ["shop.0002_price", "shop.0003_colour"],
    "certificate": {"days": 3650, "self_signed": True},
    "problems": ["history: The ledger is damaged."],
}

TABLE = """\
vps.example.com
APP             RELEASE                   SINCE                 BY            HEALTH             MIGRATIONS   CERTIFICATE             MAINTENANCE
shop            20261122-145017-1a2b3c4d  2026-11-22T14:51:02Z  alice@laptop  ok (200)           all applied  61 days                 off
    version: main at 1a2b3c4d
    a rollback can go to: r2, r1
live-guestbook  20261122-145017-1a2b3c4d  2026-11-22T14:51:02Z  alice@laptop  FAILS (no answer)  2 PENDING    3650 days, SELF-SIGNED  ON
    version: main at 1a2b3c4d
    service: failed
    at work: live-guestbook: deploy by bob
    pending: shop.0002_price, shop.0003_colour
    still serving its last visitors: r0
    worker celery: active, started again 3 times by itself
    worker celery: finishes its tasks (r0)
    schedule nightly: failed (exit-code, status 1), last Sun 03:00, next Mon 03:00
    schedule report: not run yet, next never
    problem: history: The ledger is damaged.
new             none yet                  -                     -             -                  -            -                       off
"""


def table(*apps: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "roles/app_deploy/templates"),
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.get_template("status.txt.j2")
    return template.render(inventory_hostname="vps.example.com", __app_deploy_status={"apps": apps})


def test_the_table() -> None:
    assert table(SHOP, ILL, NEVER_DEPLOYED) == TABLE


def test_a_server_without_apps() -> None:
    assert table().splitlines()[0] == "vps.example.com"
