# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of the lines of a Procfile."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._procfile import read, workers


def test_read() -> None:
    text = "web: gunicorn shop.wsgi\n\n# clock: no\nworker:   celery -A shop worker  \nnothing\n"
    assert read(text) == {"web": "gunicorn shop.wsgi", "worker": "celery -A shop worker"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("worker: celery -A shop worker -l info", {"kind": "celery", "app": "shop", "arguments": ["-l", "info"]}),
        ("worker: celery --app=shop worker", {"kind": "celery", "app": "shop", "arguments": []}),
        ("worker: python -m celery -A shop worker", {"kind": "celery", "app": "shop"}),
        ("beat: celery -A shop beat -l info -s /tmp/x", {"kind": "celery-beat", "app": "shop", "arguments": []}),
        (
            "clock: celery -A shop beat -S django",
            {"kind": "celery-beat", "name": "clock", "arguments": ["--scheduler=django"]},
        ),
        ("rq_worker: python manage.py rqworker high", {"kind": "command", "name": "rq-worker", "count": 1}),
        ("mail: QUEUE=mail python manage.py send", {"command": "QUEUE=mail python manage.py send"}),
        ("mail: run --queue 'a|b'", {"command": "run --queue 'a|b'"}),
        ("mail: run ${THREADS:-4}", {"command": "/bin/sh -c 'exec env run ${THREADS:-4}'"}),
        ("mail: N=1 run $QUEUE", {"command": "/bin/sh -c 'exec env N=1 run $QUEUE'"}),
        ("mail: run '$5'", {"command": "run '$5'", "single": False}),
        ("clock: python clock.py", {"kind": "command", "single": True}),
        ("beat: celery -A shop beat -Sdjango", {"arguments": ["--scheduler=django"], "single": False}),
        ("flower: celery -A shop flower", {"kind": "command", "command": "celery -A shop flower"}),
    ],
)
def test_taken(line: str, expected: dict[str, t.Any]) -> None:
    (worker,), (note,) = workers(line, [])
    assert expected.items() <= worker.items()
    assert note == f"Procfile: {line.partition(':')[0]} is a worker of kind {worker['kind']}."


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("web: python manage.py runserver 0.0.0.0:$PORT", "the app has its web server already"),
        ("release: python manage.py migrate", "a deploy migrates by itself"),
        ("mail: cd backend && run", "only a shell can run it"),
        ("mail: run | tee log", "only a shell can run it"),
        ("mail: run 'it", "its quotes do not match"),
        ("all: celery -A shop worker -B", "it runs a beat within a worker"),
        ("clock: newrelic-admin run-program celery -A shop beat", "it seems to run a Celery beat"),
        ("all: celery -A shop worker -EB", "it runs a beat within a worker"),
        ("clock: celery -q -A shop beat", "it seems to run a Celery beat"),
        ("clock: celery -A shop beat -l $LOG", "it is a Celery beat with variables"),
        ("all: newrelic-admin run-program celery -A shop worker -B", "it seems to run a Celery beat"),
        ("work: rq worker -u $REDIS_URL high", "its broker's address would stand in the process list"),
        ("work: celery -b redis://:word@host -A shop worker", "its broker's address would stand"),
        ("""work: run "it's" && rm "don't\"""", "only a shell can run it"),
        ("deploy: run", "'deploy' is what another process of every app is called"),
        ("known: run", "there is a worker of this name"),
        ("beat: celery -A shop beat", "it is a second Celery beat"),
        ("1: run", "'1' is no valid name"),
    ],
)
def test_left(line: str, why: str) -> None:
    found, (note,) = workers(line, [{"name": "known", "kind": "celery-beat"}])
    assert not found
    assert note.startswith(f"Procfile: {line.partition(':')[0]} is not taken: {why}")
