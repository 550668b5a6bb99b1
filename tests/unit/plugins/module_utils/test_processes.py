# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What workers and schedules are for systemd."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._app_checks import app_records
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._processes import (
    WORKER_TEXT,
    Place,
    alone,
    find_celery,
    processes,
    schedule_units,
    worker_dropin,
)

PLACE = Place(
    app="shop",
    user="shop",
    release="r1",
    python="/venv/bin/python",
    directory="/srv/shop/releases/r1/code",
    home="/home",
    environment_file="/etc/groundcrew/shop/r1.env",
    environment={"PATH": "/venv/bin"},
    writable=["/srv/shop/shared/media"],
    tuning={"start_timeout": 30, "tasks_max": 512},
)
SHOP = {"name": "shop", "domains": ["shop.example.com"], "source": {"repo": "https://example.com/acme/shop.git"}}


def described(key: str, *entries: dict[str, t.Any]) -> t.Any:
    """Workers or schedules as they stand in the app's record."""
    return app_records([{**SHOP, key: list(entries)}])[0][key]


def exec_start(text: str) -> str:
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    return line.removeprefix("ExecStart=").replace('"', "")


@pytest.mark.parametrize(
    ("worker", "django_rq", "command"),
    [
        (
            {"kind": "celery", "app": "shop.celery"},
            False,
            "/venv/bin/python -m groundcrew_worker celery --app=shop.celery worker --loglevel=INFO "
            "--hostname=shop-celery@r1",
        ),
        (
            {"kind": "celery", "app": "a", "queues": ["x", "y"], "concurrency": 3, "arguments": ["--pool=threads"]},
            False,
            "/venv/bin/python -m groundcrew_worker celery --app=a worker --loglevel=INFO --hostname=shop-celery@r1 "
            "--queues=x,y --concurrency=3 --pool=threads",
        ),
        (
            {"kind": "celery-beat", "app": "a"},
            False,
            "/usr/bin/flock --no-fork /home/celerybeat.lock /venv/bin/python -m groundcrew_worker celery --app=a beat "
            "--loglevel=INFO --schedule=/home/celerybeat-schedule --pidfile=",
        ),
        ({"kind": "rq", "queues": ["a", "b"]}, True, "/venv/bin/python manage.py rqworker a b"),
        ({"kind": "rq", "queues": ["a"]}, False, "/venv/bin/python -m groundcrew_worker rq worker a"),
        ({"kind": "django-tasks"}, False, "/venv/bin/python manage.py db_worker"),
        (
            {"kind": "django-tasks", "queues": ["a", "b"], "arguments": ["--interval=5"]},
            False,
            "/venv/bin/python manage.py db_worker --queue-name=a,b --interval=5",
        ),
        ({"name": "q", "command": "python manage.py 'a b'"}, False, "/usr/bin/env python manage.py a b"),
    ],
)
def test_command(worker: dict[str, t.Any], django_rq: bool, command: str) -> None:
    (process,) = processes(described("workers", worker))
    assert exec_start(worker_dropin(process, dataclasses.replace(PLACE, django_rq=django_rq))) == command


@pytest.mark.parametrize(
    ("worker", "there", "absent"),
    [
        ({"kind": "celery", "app": "a"}, "Type=notify", "MemoryMax"),
        ({"kind": "celery", "app": "a", "memory_max": "300M"}, "MemoryMax=300M", "MemoryHigh"),
        ({"kind": "rq", "cpu_weight": 50}, "CPUWeight=50", "Type=notify"),
        ({"kind": "rq"}, "Type=exec", "CPUWeight"),
        ({"kind": "rq"}, "TasksMax=512", "TasksMax=None"),
        ({"kind": "rq", "tasks_max": 20}, "TasksMax=20", "TasksMax=512"),
        ({"kind": "rq", "stop_timeout": 7}, "TimeoutStopSec=7", "TimeoutStopSec=300"),
        ({"kind": "rq"}, "KillMode=mixed", "ProtectSystem=no"),
        ({"kind": "rq"}, "ProtectSystem=strict", "CapabilityBoundingSet=C"),
        ({"kind": "rq"}, "EnvironmentFile=/etc/groundcrew/shop/r1.env", "REDIS"),
    ],
)
def test_worker(worker: dict[str, t.Any], there: str, absent: str) -> None:
    (process,) = processes(described("workers", worker))
    text = worker_dropin(process, PLACE)
    assert there in text.splitlines()
    assert absent not in text


def test_several_processes_of_a_worker_have_numbers_and_names_of_their_own() -> None:
    found = processes(
        described("workers", {"kind": "celery", "app": "a", "count": 2}, {"kind": "celery-beat", "app": "a"})
    )
    assert [process.name for process in found] == ["celery:1", "celery:2", "celery-beat"]
    assert "--hostname=shop-celery-2@r1" in exec_start(worker_dropin(found[1], PLACE))


@pytest.mark.parametrize(
    ("worker", "locked"),
    [
        ({"kind": "rq"}, ""),
        ({"kind": "celery-beat", "app": "a", "name": "b"}, "celerybeat.lock"),
        ({"kind": "command", "name": "clock", "command": "python clock.py", "single": True}, "clock.lock"),
        ({"kind": "command", "name": "mail", "command": "python mail.py"}, ""),
    ],
)
def test_who_runs_alone_holds_a_lock(worker: dict[str, t.Any], locked: str) -> None:
    (process,) = processes(described("workers", worker))
    text = worker_dropin(process, PLACE)
    assert ("/usr/bin/flock" in text) is bool(locked)
    assert locked in text
    assert alone(process.worker) is bool(locked)


def test_what_starts_celery_is_a_program() -> None:
    compile(WORKER_TEXT, "groundcrew_worker.py", "exec")
    assert '"\\0"' in WORKER_TEXT


@pytest.mark.parametrize(
    ("more", "name", "there", "absent"),
    [
        ({}, "shop-schedule@nightly.timer", "OnCalendar=*-*-* 03:00", "RandomizedDelaySec=None"),
        ({}, "shop-schedule@nightly.timer", "Unit=shop-due@nightly.service", "[Service]"),
        ({}, "shop-schedule@nightly.timer", "Persistent=yes", "[Service]"),
        ({}, "shop-schedule@nightly.timer", "Before=shop-schedule@nightly.service", "After="),
        ({"random_delay": 60}, "shop-schedule@nightly.timer", "RandomizedDelaySec=60", ""),
        ({}, "shop-schedule@nightly.service", "Type=oneshot", "Restart="),
        ({"timeout": 9}, "shop-schedule@nightly.service", "TimeoutStartSec=9", ""),
        ({"memory_max": "1G"}, "shop-schedule@nightly.service", "MemoryMax=1G", ""),
        (
            {"command": "sync '50%' $"},
            "shop-schedule@nightly.service",
            'ExecStart="/venv/bin/python" "manage.py" "sync" "50%%" "$$"',
            "",
        ),
        ({"overlap": "queue"}, "shop-schedule@nightly.timer", "Unit=shop-schedule@nightly.service", "shop-due"),
    ],
)
def test_schedule(more: dict[str, t.Any], name: str, there: str, absent: str) -> None:
    plain = {"name": "nightly", "command": "clearsessions", "calendar": "*-*-* 03:00"}
    (schedule,) = described("schedules", {**plain, **more})
    files = schedule_units(schedule, PLACE, {"schedule": "shop-schedule", "due": "shop-due"})
    assert there in files[name].splitlines()
    assert not absent or absent not in files[name]
    assert len(files) == 2


MAKES = "app = Celery('shop')\n"


@pytest.mark.parametrize(
    ("files", "directory", "found"),
    [
        ({"shop/celery.py": MAKES}, "", "shop.celery"),
        ({"backend/shop/celery.py": MAKES}, "backend", "shop.celery"),
        ({"shop/celery_app.py": "from celery import Celery\ncelery_app: Celery = Celery()"}, "", "shop.celery_app"),
        ({"shop/celery.py": MAKES, "other/celery.py": MAKES}, "", "shop.celery"),
        ({"shop/celery.py": MAKES, "other/celery.py": "from celery import shared_task"}, "", "shop.celery"),
        ({"shop/core/celery.py": MAKES}, "", "shop.core.celery"),
    ],
)
def test_find_celery(files: dict[str, str], directory: str, found: str) -> None:
    assert find_celery([*files, "manage.py"], files.__getitem__, directory, "shop.settings") == found


@pytest.mark.parametrize(
    ("files", "why"),
    [({}, "no file celery.py makes one"), ({"a/celery.py": MAKES, "b/celery.py": MAKES}, "a.celery, b.celery")],
)
def test_what_cannot_be_found_is_asked_for(files: dict[str, str], why: str) -> None:
    with pytest.raises(ReleaseError, match=why) as caught:
        find_celery(list(files), files.__getitem__, "", "shop.settings")
    assert "app: config.celery" in caught.value.cure
