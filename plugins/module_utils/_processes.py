# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes that an app runs beside its web server: their commands and units. PRIVATE to the collection."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import typing as t
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._units import WRITTEN, limits, quote, service_section

# Laid beside the project: the programs start as their own command lines start them, except that systemd is told when
# Celery is ready, and that rq finds Django set up, once for all the processes that it forks.
WORKER_MODULE = "groundcrew_worker"
WORKER_TEXT = '''\
"""Written by groundcrew.django: starts Celery or rq, with the arguments that follow."""
import os
import socket
import sys


def ready(**_arguments):
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.connect(address.replace("@", "\\0", 1))
            systemd.sendall(b"READY=1")


program = sys.argv.pop(1)
if program == "celery":
    from celery.__main__ import main
    from celery.signals import beat_init, worker_ready

    beat_init.connect(ready, weak=False)
    worker_ready.connect(ready, weak=False)
else:
    import django
    from rq.cli import main

    django.setup()
if __name__ == "__main__":
    main()
'''

# Of a process that runs alone it stands in the drop-in.
LOCK = "/usr/bin/flock"

# Modules in which a project makes its Celery app.
_CELERY_FILES = ("celery.py", "celery_app.py")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the processes of one release run.

    :param release: its id.
    :param python: the interpreter of its venv.
    :param home: of the app's user.
    :param environment: variables beside the file.
    :param django_rq: the project has the package, and so the command ``rqworker``.
    :param tuning: what server.json of the app says.
    :param credentials: files of secrets by the variables that name them to the process.
    """

    app: str
    user: str
    release: str
    python: str
    directory: str
    home: str
    environment_file: str
    environment: Mapping[str, str]
    writable: Sequence[str]
    tuning: Mapping[str, t.Any]
    django_rq: bool = False
    credentials: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of a worker.

    :param name: the worker's, with a number behind it where it has several.
    """

    name: str
    worker: Mapping[str, t.Any]


def processes(workers: Sequence[Mapping[str, t.Any]]) -> list[Process]:
    """Every process of the workers."""
    return [
        Process(worker["name"] + (f":{number}" if worker["count"] > 1 else ""), worker)
        for worker in workers
        for number in range(1, worker["count"] + 1)
    ]


def alone(worker: Mapping[str, t.Any]) -> bool:
    """Whether only one process of it may run at a time, whatever its release."""
    return bool(worker["kind"] == "celery-beat" or worker.get("single"))


def _lock(name: str, place: Place) -> list[str]:
    """Holds a lock for as long as the process lives: a second one waits, however it was started."""
    return [LOCK, "--no-fork", f"{place.home}/{name}.lock"]


def _celery(process: Process, place: Place) -> list[str]:
    worker = process.worker
    argv = [place.python, "-m", WORKER_MODULE, "celery", f"--app={worker['app']}", "worker", "--loglevel=INFO"]
    argv.append(f"--hostname={place.app}-{process.name.replace(':', '-')}@{place.release}")
    if worker["queues"]:
        argv.append(f"--queues={','.join(worker['queues'])}")
    if worker["concurrency"]:
        argv.append(f"--concurrency={worker['concurrency']}")
    return argv + worker["arguments"]


def _beat(process: Process, place: Place) -> list[str]:
    worker = process.worker
    argv = [place.python, "-m", WORKER_MODULE, "celery", f"--app={worker['app']}", "beat", "--loglevel=INFO"]
    # Beat goes on where that of the release before has stopped.
    argv += [f"--schedule={place.home}/celerybeat-schedule", "--pidfile=", *worker["arguments"]]
    return [*_lock("celerybeat", place), *argv]


def _rq(process: Process, place: Place) -> list[str]:
    worker = process.worker
    program = ["manage.py", "rqworker"] if place.django_rq else ["-m", WORKER_MODULE, "rq", "worker"]
    return [place.python, *program, *worker["arguments"], *worker["queues"]]


def _django_tasks(process: Process, place: Place) -> list[str]:
    worker = process.worker
    queues = [f"--queue-name={','.join(worker['queues'])}"] if worker["queues"] else []
    return [place.python, "manage.py", "db_worker", *queues, *worker["arguments"]]


def _command(process: Process, place: Place) -> list[str]:
    lock = _lock(process.worker["name"], place) if alone(process.worker) else []
    # Only env looks for a program where the release's own PATH says.
    return [*lock, "/usr/bin/env", *shlex.split(process.worker["command"])]


KINDS: dict[str, Callable[[Process, Place], list[str]]] = {
    "celery": _celery,
    "celery-beat": _beat,
    "rq": _rq,
    "django-tasks": _django_tasks,
    "command": _command,
}


def tells(worker: Mapping[str, t.Any]) -> bool:
    """Whether the worker tells systemd when it is ready."""
    return worker["kind"] in ("celery", "celery-beat")


def _common(place: Place, wished: Mapping[str, t.Any], argv: Sequence[str], identifier: str) -> dict[str, str]:
    return {
        "ExecStart": " ".join(quote(part, variables=True) for part in argv),
        "WorkingDirectory": place.directory.replace("%", "%%"),
        "User": place.user,
        "Group": place.user,
        "EnvironmentFile": place.environment_file,
        "KillMode": "mixed",
        "SyslogIdentifier": identifier,
        "ReadWritePaths": " ".join(map(quote, place.writable)),
        **limits(wished, place.tuning),
    }


def worker_dropin(process: Process, place: Place) -> str:
    """The drop-in of ``<app>-worker@<release>:<name>.service``."""
    worker = process.worker
    service = {
        "Type": "notify" if tells(worker) else "exec",
        **_common(place, worker, KINDS[worker["kind"]](process, place), f"{place.app}-worker-{worker['name']}"),
        "TimeoutStartSec": str(place.tuning.get("start_timeout", 60)),
        # From the signal that lets it finish its tasks to the one that does not. For the end of a beat, a deploy waits.
        "TimeoutStopSec": str(min(worker["stop_timeout"], 30) if alone(worker) else worker["stop_timeout"]),
        "Restart": "always",
        "RestartSec": "3",
        # At the limit of memory the kernel ends one process; where it is a child, its parent has another.
        "OOMPolicy": "continue",
    }
    return WRITTEN + service_section(service, place.environment, place.tuning, place.credentials)


def schedule_units(schedule: Mapping[str, t.Any], place: Place, units: Mapping[str, str]) -> dict[str, str]:
    """The unit files of a schedule, by name; they change with every release, their names do not.

    :param units: what the names of the app's units begin with.
    """
    name = f"{units['schedule']}@{schedule['name']}"
    title = f"{place.app}: manage.py {schedule['command'].replace('%', '%%')}"
    argv = [place.python, "manage.py", *shlex.split(schedule["command"])]
    service = {
        "Type": "oneshot",
        **_common(place, schedule, argv, f"{place.app}-schedule-{schedule['name']}"),
        # What runs once has its limit as the time that it takes to start.
        "TimeoutStartSec": str(schedule["timeout"]),
        "TimeoutStopSec": "30",
    }
    after = "network.target postgresql.service redis-server@cache.service redis-server@queue.service"
    head = "# Written by groundcrew.django; the next deploy writes it anew.\n"
    # A timer itself makes up for what came due while its unit was at work. Where that is to be left out, it triggers
    # another unit, which the role app_server has written.
    triggered = f"{units['due']}@{schedule['name']}" if schedule["overlap"] == "skip" else name
    timer = {
        "OnCalendar": schedule["calendar"],
        "RandomizedDelaySec": str(schedule["random_delay"]),
        "AccuracySec": "1s",
        # What was missed while the server was down is made up for.
        "Persistent": "yes",
        "Unit": f"{triggered}.service",
    }
    return {
        f"{name}.service": f"{head}[Unit]\nDescription={title}\nAfter={after}\n\n"
        + service_section(service, place.environment, place.tuning, place.credentials),
        # systemd forgets how a unit ended that nothing loaded speaks of.
        f"{name}.timer": f"{head}[Unit]\nDescription={title}, when it is due\nBefore={name}.service\n\n[Timer]\n"
        + "".join(f"{key}={value}\n" for key, value in timer.items())
        + "\n[Install]\nWantedBy=timers.target\n",
    }


def find_celery(files: Sequence[str], read: Callable[[str], str], directory: str, settings: str) -> str:
    """The module in which the project makes its Celery app.

    :param files: of the project, relative to its root.
    :param directory: where manage.py is, relative to it as well.
    :param settings: the settings module; of several apps, the one beside it is meant.
    :raises ReleaseError: when that is not clear.
    """
    prefix = f"{directory}/" if directory not in ("", ".") else ""
    found = [
        file.removeprefix(prefix).removesuffix(".py").replace("/", ".")
        for file in sorted(files)
        if file.startswith(prefix)
        and os.path.basename(file) in _CELERY_FILES
        and re.search(r"=\s*(\w+\.)*Celery\(", read(file))
    ]
    package = settings.partition(".")[0]
    beside = [module for module in found if module.partition(".")[0] == package and module.count(".") == 1]
    chosen = beside if len(found) > 1 else found
    if len(chosen) != 1:
        what = f"several modules make one: {', '.join(found)}" if found else "no file celery.py makes one"
        raise ReleaseError(
            f"It is not clear what the Celery app of the project is: {what}.",
            "name its module as `app` of the worker, such as workers: [{kind: celery, app: config.celery}]",
        )
    return chosen[0]
