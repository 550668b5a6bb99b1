"""What `release_info` says of apps, for the tests of those who read it."""

from __future__ import annotations

from typing import Any

NEVER_DEPLOYED: dict[str, Any] = {
    "name": "new",
    "release": "",
    "described": "",
    "revision": "",
    "since": "",
    "who": "",
    "service": "",
    "health": "",
    "healthy": None,
    "previous": [],
    "at_work": "",
    "draining": [],
    "workers": [],
    "schedules": [],
    "maintenance": False,
    "pending_migrations": None,
    "certificate": None,
    "problems": [],
}
