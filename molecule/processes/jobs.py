"""The app that works in the background: what its operator types, what it has done, and what root sees of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from testbed import server
from visitor import Visitor

# Seconds that anything on a server may take; on an emulated one a worker alone needs minutes to start.
PATIENCE, PATIENCE_WITH_MACHINES = 150, 900


class Jobs:
    """The jobs on one server."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.visitor = Visitor(name)
        self.url = f"https://jobs.{name}.test"
        self.change: dict[str, Any] = {}

    # --- the operator

    def play(self, playbook: str, *, fails: bool = False, dry: bool = False, **variables: Any) -> str:
        """Run a playbook on the jobs alone; returns all that the operator saw."""
        only = "{{ django_apps | groundcrew.django.app_records | selectattr('name', 'eq', 'jobs') }}"
        extra = {"app_deploy_apps": only, "jobs_change": self.change, **variables}
        argv = ["ansible-playbook", f"groundcrew.django.{playbook}", f"--limit={self.name}"]
        inventory = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "inventory")
        argv += [f"--inventory={inventory}", f"--extra-vars={json.dumps(extra)}", *(["--check"] if dry else [])]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert bool(done.returncode) == fails, done.stdout
        return done.stdout

    def deploy(self, version: str, **more: Any) -> str:
        return self.play("deploy", jobs_version=version, **more)

    def status(self) -> dict[str, Any]:
        """What the playbook status says of the jobs."""
        said = self.play("status", status_format="json")
        (line,) = (line for line in said.splitlines() if line.lstrip().startswith('{"'))
        (found,) = json.loads(line)["apps"]
        return dict(found)

    # --- the visitors

    def get(self, path: str) -> Any:
        return json.loads(self.visitor.get(f"{self.url}/{path}").text)

    def add(self, kind: str, count: int, low: float, high: float, first: int = 0) -> None:
        """Queue tasks that take from low to high seconds, with numbers from the first on."""
        self.get(f"add/{kind}/?count={count}&low={low}&high={high}&first={first}")

    def runs(self, kind: str) -> list[dict[str, Any]]:
        """What tasks of a kind have noted: their number, their release, and whether they have ended."""
        found: list[dict[str, Any]] = self.get(f"runs/{kind}/")["runs"]
        return found

    def done(self, kind: str) -> Counter[int]:
        """How often each number was begun, once all that was begun has ended."""
        return Counter(run["number"] for run in self.wait_for(lambda: self.runs(kind), ended))

    # --- root

    def root(self, script: str, stdin: str = "", *, check: bool = True) -> str:
        return server.root(self.name, script, stdin, check=check)

    def forget(self) -> None:
        """Forget what tasks have noted so far."""
        self.root("cd / && runuser -u postgres -- psql --quiet --dbname=jobs --command='TRUNCATE jobs_run'")

    def current(self) -> str:
        return self.root("basename $(readlink /srv/jobs/current)")

    def workers(self) -> dict[str, str]:
        """Main process by service, of all workers that run."""
        script = (
            "for unit in $(systemctl list-units --plain --no-legend --state=active,activating,deactivating 'jobs-worker@*'"
            " | cut -d' ' -f1);"
            " do echo $unit $(systemctl show --value --property=MainPID $unit); done"
        )
        return dict(line.split() for line in self.root(script).splitlines())

    def beats(self) -> int:
        """How many processes send what Celery's schedule says."""
        return len(self.root("pgrep -u jobs -f 'groundcrew_worker celery.* beat '", check=False).splitlines())

    def tidy(self) -> bool:
        """Whether the live release's workers are all that run."""
        return {re.split("[@:]", name)[1] for name in self.workers()} == {self.current()}

    def security(self) -> dict[str, float]:
        """The exposure of every unit of the app, as systemd counts it."""
        script = (
            "for unit in $(systemctl list-units --all --plain --no-legend 'jobs-*.service' | cut -d' ' -f1);"
            " do echo $unit $(systemd-analyze security --no-pager $unit | tail -1); done"
        )
        lines = [line.split() for line in self.root(script).splitlines()]
        return {line[0]: float(line[line.index(f"{line[0]}:") + 1]) for line in lines}

    def wait_for(self, look: Callable[[], Any], right: Callable[[Any], bool] = bool) -> Any:
        end = time.monotonic() + (PATIENCE_WITH_MACHINES if server.is_vm(self.name) else PATIENCE)
        while not right(seen := look()):
            assert time.monotonic() < end, seen
            time.sleep(1)
        return seen


def ended(runs: list[dict[str, Any]]) -> bool:
    return bool(runs) and all(run["ended"] for run in runs)
