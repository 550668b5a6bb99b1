"""Run molecule scenarios side by side: tools/scenarios.py [NAME...] (without, all that CI has the time for)"""

from __future__ import annotations

import os
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
# These begin first, so that none of them runs on alone in the end.
LONGEST = ("deploys", "hardening", "processes", "projects", "secrets", "default", "migrations", "nginx")
# Seconds in which each of all has to begin: CI ends after 90 minutes, of which lint, sanity and unit tests take about
# ten, and each of those that are not among the longest at most ten.
LATEST = 65 * 60
# An emulated machine takes an hour, too long for every change.
BY_NAME = ("machine",)


@dataclass(frozen=True)
class Outcome:
    name: str
    passed: bool
    seconds: float
    log: Path
    ran: bool = True

    @property
    def verdict(self) -> str:
        return ("passed" if self.passed else "FAILED") if self.ran else "LEFT OUT, there was no time"


def names() -> list[str]:
    return sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))


def by_default() -> list[str]:
    return [name for name in names() if name not in BY_NAME]


def in_order(chosen: list[str]) -> list[str]:
    order = {name: number for number, name in enumerate(LONGEST)}
    return sorted(chosen, key=lambda name: order.get(name, len(order)))


def side_by_side() -> int:
    """As many as there are cores: deploys under load slow each other down more than waiting saves."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // MEMORY_EACH))


def run(name: str, beside: str) -> Outcome:
    """Run a scenario.

    :param beside: "all", or "some" that were asked for by name; then the longest ones do all that they can.
    """
    log = LOGS / f"{name}.log"
    started = time.monotonic()
    # molecule keeps its state per scenario; a run that was killed must not make the next one skip a step.
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(CACHE / "collections"),
        "MOLECULE_GLOB": "molecule/*/molecule.yml",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GROUNDCREW_SCENARIOS": beside,
        "PY_COLORS": "0",
        "ANSIBLE_FORCE_COLOR": "0",
    }
    with log.open("w") as output:
        for step in (["reset"], ["test", "--destroy=always"]):
            argv = [str(Path(sys.executable).parent / "molecule"), *step, "--scenario-name", name]
            status = subprocess.run(
                argv, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
    outcome = Outcome(name, status == 0, time.monotonic() - started, log)
    print(f"{outcome.verdict}  {name}  {outcome.seconds:.0f} s", flush=True)
    return outcome


def main(wanted: list[str]) -> int:
    known = names()
    if unknown := set(wanted) - set(known):
        print(f"no scenario {', '.join(sorted(unknown))}; there are: {', '.join(known)}")
        return 2
    chosen = in_order(wanted or by_default())
    latest = time.monotonic() + LATEST
    LOGS.mkdir(parents=True, exist_ok=True)
    engine.ensure()
    for distro in image.DISTROS:
        image.server(distro)
    print(
        f"running {len(chosen)} scenarios, {side_by_side()} side by side; logs in {LOGS.relative_to(ROOT)}", flush=True
    )

    def run_in_time(name: str) -> Outcome:
        if wanted or time.monotonic() < latest:
            return run(name, "some" if wanted else "all")
        return Outcome(name, passed=True, seconds=0, log=LOGS / f"{name}.log", ran=False)

    with ThreadPoolExecutor(side_by_side()) as pool:
        outcomes = list(pool.map(run_in_time, chosen))
    failed = [outcome for outcome in outcomes if not outcome.passed]
    for outcome in failed:
        tail = outcome.log.read_text(errors="replace").splitlines()[-80:]
        print(f"\n--- {outcome.name}: the end of {outcome.log.relative_to(ROOT)}", *tail, sep="\n")
    rows = [(each.name, each.verdict, f"{each.seconds:.0f} s") for each in outcomes]
    print("", columns([("SCENARIO", "RESULT", "TIME"), *rows]), sep="\n")
    left_out = [each.name for each in outcomes if not each.ran]
    print(f"{len(outcomes) - len(failed) - len(left_out)} passed, {len(failed)} failed")
    if left_out:
        print(f"to run what was left out: make molecule SCENARIO='{' '.join(left_out)}'")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except TestbedError as error:
        sys.exit(f"scenarios: {error}")
