"""Run molecule scenarios side by side: tools/scenarios.py [NAME...] (without, all that CI runs)

GROUNDCREW_DEADLINE, in seconds since 1970, is when everything has to be over: what still runs then is ended, and has
failed. Those of LAST, for which a slow machine has no time, are told as not run instead.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from testbed import engine, image
from testbed.system import CACHE, ROOT, TestbedError, columns

LOGS = CACHE / "logs"
# A server with a database and an app takes about a gibibyte while a package of its compiles.
MEMORY_EACH = 3 * 2**30
# What each took among all others on two slow cores; the longest begin first, so that none runs on alone in the end.
SECONDS = {
    "deploys": 1900,
    "default": 890,
    "migrations": 590,
    "config_set": 560,
    "nginx": 460,
    "newest_core": 410,
    "postgresql": 400,
    "certbot": 300,
    "redis": 270,
    "consumer": 100,
    "hardening": 2000,
    "processes": 1660,
    "projects": 1500,
    "secrets": 1000,
}
SECONDS_OF_A_NEW_ONE = 500
# These wait for all others: two cores are not enough for attackers beside the visitors of `deploys`. Where a machine
# has no time for them, the others still tell whether the whole site, every role and every deploy work.
LAST = ("hardening", "processes", "projects", "secrets")
# An emulated machine takes an hour and a half, too long for every change.
BY_NAME = ("machine",)
PASSED, FAILED, TOO_LATE = "passed", "FAILED", "FAILED, not over at the deadline"
LEFT_OUT, BROKEN_OFF = "LEFT OUT, there was no time", "BROKEN OFF at the deadline"
NOT_RUN = (LEFT_OUT, BROKEN_OFF)
# A test of pytest's, or a server of Ansible's.
FAILURE = re.compile(r" (FAILED|ERROR) +\[ *\d+%\]$|\b(failed|unreachable)=[1-9]", re.MULTILINE)
LINES_OF_A_FAILURE = 12
LONGEST_LINE = 500


@dataclass(frozen=True)
class Outcome:
    name: str
    verdict: str
    seconds: float
    log: Path


def names() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))


def by_default() -> list[str]:
    return [name for name in names() if name not in BY_NAME]


def seconds_of(name: str) -> int:
    return SECONDS.get(name, SECONDS_OF_A_NEW_ONE)


def in_order(chosen: list[str]) -> list[str]:
    return sorted(chosen, key=lambda name: (name in LAST, -seconds_of(name)))


def side_by_side() -> int:
    """As many as there are cores: deploys under load slow each other down more than waiting saves."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // MEMORY_EACH))


def pace(outcomes: list[Outcome]) -> float:
    """How many times longer than on the machine of SECONDS those took that are over; at least 1."""
    over = [outcome for outcome in outcomes if outcome.verdict == PASSED]
    return max(1.0, sum(each.seconds for each in over) / max(1, sum(seconds_of(each.name) for each in over)))


def run(name: str, beside: str, deadline: float | None, before: list[Outcome]) -> Outcome:
    """Run a scenario.

    :param beside: "all", or "some" that were asked for by name; then the longest ones do all that they can.
    :param deadline: in seconds since 1970; None if there is no hurry.
    :param before: those that are over; this one is added.
    """
    log = LOGS / f"{name}.log"
    started = time.time()
    if deadline and name in LAST and started + seconds_of(name) * pace(before) > deadline:
        return Outcome(name, LEFT_OUT, 0, log)
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CACHE / "collections"),
        "MOLECULE_GLOB": "molecule/*/molecule.yml",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GROUNDCREW_SCENARIOS": beside,
        # Where time is short one failure tells enough.
        "PYTEST_ADDOPTS": f"{os.environ.get('PYTEST_ADDOPTS', '')} {'--exitfirst' if deadline else ''}",
        "PY_COLORS": "0",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    with log.open("w") as output:

        def molecule(step: str, *options: str, end: float | None = None) -> str:
            argv = [str(Path(sys.executable).parent / "molecule"), step, *options, "--scenario-name", name]
            # Where there is no deadline, who types Ctrl-C ends all of it.
            with subprocess.Popen(
                argv, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=bool(end)
            ) as process:
                try:
                    return FAILED if process.wait(end and max(0, end - time.time())) else PASSED
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
                    return BROKEN_OFF if name in LAST and not FAILURE.search(log.read_text()) else TOO_LATE

        # molecule keeps its state per scenario; a run that was killed must not make the next one skip a step.
        molecule("reset")
        verdict = molecule("test", "--destroy=always", end=deadline)
        if verdict in (TOO_LATE, BROKEN_OFF):
            # Its servers would go on.
            molecule("destroy")
    outcome = Outcome(name, verdict, time.time() - started, log)
    before.append(outcome)
    print(f"{outcome.verdict}  {name}  {outcome.seconds:.0f} s", flush=True)
    return outcome


def why(log: Path) -> list[str]:
    """The lines of a log that tell of a failure, cut short; the last ones where none does.

    CI keeps a few thousand characters of what is printed, and after a failure the log goes on: servers are removed.
    """
    lines = log.read_text(errors="replace").splitlines()
    telling = [line for line in lines if re.match(r"fatal: |failed: |\[ERROR\]|ERROR|FAILED |CRITICAL|E   ", line)]
    return [line[:LONGEST_LINE] for line in (telling or lines)[-LINES_OF_A_FAILURE:]]


def main(wanted: list[str]) -> int:
    known = names()
    if unknown := set(wanted) - set(known):
        print(f"no scenario {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        return 2
    chosen = in_order(wanted or by_default())
    deadline = float(os.environ.get("GROUNDCREW_DEADLINE", 0)) or None
    LOGS.mkdir(parents=True, exist_ok=True)
    engine.ensure()
    for distro in image.DISTROS:
        image.installed(distro)
    print(
        f"running {len(chosen)} scenarios, {side_by_side()} side by side; logs in {LOGS.relative_to(ROOT)}", flush=True
    )
    with ThreadPoolExecutor(side_by_side()) as pool:
        over: list[Outcome] = []
        outcomes = list(pool.map(lambda name: run(name, "some" if wanted else "all", deadline, over), chosen))
    failed = [outcome for outcome in outcomes if outcome.verdict in (FAILED, TOO_LATE)]
    rows = [(each.name, each.verdict, f"{each.seconds:.0f} s") for each in outcomes]
    print("", columns([("SCENARIO", "RESULT", "TIME"), *rows]), sep="\n")
    not_run = [each.name for each in outcomes if each.verdict in NOT_RUN]
    print(f"{len(outcomes) - len(failed) - len(not_run)} passed, {len(failed)} failed, {len(not_run)} not run")
    for outcome in failed:
        print(f"\n--- {outcome.name}, from {outcome.log.relative_to(ROOT)}:", *why(outcome.log), sep="\n")
    if not_run:
        print(f"to run the rest: make molecule SCENARIO='{' '.join(not_run)}'")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestbedError as error:
        sys.exit(f"scenarios: {error}")
