"""The checks of `make lint`, `make sanity` and `make unit`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from testbed import controller
from testbed.system import CACHE, ROOT, write
from worktree import collections

# The versions of pip that the supported releases of ansible-test pin, as its cache spells them.
SANITY_PIP = ("24_2",)


def bin_of(core: str) -> Path:
    return CACHE / f"venv-{core}" / "bin"


def check(title: str, *argv: str | Path, cwd: Path = ROOT, environment: dict[str, str] | None = None) -> bool:
    print(f"--- {title}", flush=True)
    return subprocess.run(argv, cwd=cwd, env={**os.environ, **(environment or {})}, check=False).returncode == 0


def lint() -> bool:
    """Every linter, though an earlier one may have failed: one run shows everything."""
    tools = bin_of("2.19")
    work_tree = collections()
    # ansible-lint looks for the commands of Ansible on the path.
    environment = {"PATH": f"{tools}:{os.environ['PATH']}", "ANSIBLE_COLLECTIONS_PATH": str(work_tree)}
    plugins = work_tree / "ansible_collections/groundcrew/django/plugins"
    results = [
        check("ruff check", tools / "ruff", "check"),
        check("ruff format", tools / "ruff", "format", "--check"),
        check("mypy", tools / "mypy", plugins, *_typed()),
        check("yamllint", tools / "yamllint", "--strict", "."),
        check(
            "ansible-lint", tools / "ansible-lint", "--config-file", ".config/ansible-lint.yml", environment=environment
        ),
    ]
    return all(results)


def _typed() -> list[str]:
    """Our Python outside plugins/."""
    return [name for name in ("benchmarks", "tools", "tests", "molecule") if any((ROOT / name).rglob("*.py"))]


def sanity(*cores: str) -> bool:
    return False not in [_sanity(core) for core in cores]


def _sanity(core: str) -> bool:
    """Judge what is shipped: the built collection, in a copy, because ansible-test leaves its output there."""
    copy = CACHE / f"sanity-{core}" / "ansible_collections" / "groundcrew" / "django"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(CACHE / "collections/ansible_collections/groundcrew/django", copy)
    write(copy / "tests/config.yml", (ROOT / "tests/config.yml").read_text())
    # Without a repository of its own it would ask ours, which ignores the whole of .cache.
    subprocess.run(["git", "init", "--quiet"], cwd=copy, check=True)
    # Only the Python of this environment: others may be on the path as mere wrappers that do not run.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return check(
        f"ansible-test sanity, core {core}",
        *(bin_of(core) / "ansible-test", "sanity", "--color", "no", "--python", python),
        cwd=copy,
        environment={"HOME": str(_sanity_home())},
    )


def _sanity_home() -> Path:
    """ansible-test keeps its environments at home, and hands no variable of pip's to them."""
    home = CACHE / "sanity-home"
    write(home / ".config/pip/pip.conf", (controller.pip_conf() or "[global]\n") + "quiet = 1\n")
    for version in SANITY_PIP:
        write(home / f".ansible/test/cache/get_pip_{version}.py", (ROOT / "tools/get_pip.py").read_text())
    return home


def unit(*cores: str) -> bool:
    return False not in [
        check(f"unit tests, core {core}", bin_of(core) / "pytest", "--numprocesses=auto") for core in cores
    ]


if __name__ == "__main__":
    checks: dict[str, Callable[..., bool]] = {"lint": lint, "sanity": sanity, "unit": unit}
    sys.exit(not checks[sys.argv[1]](*sys.argv[2:]))
