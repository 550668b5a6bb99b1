"""What makes projects: writing files, and the tools that their authors would call."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from testbed import controller
from testbed.system import CACHE

from tests.projects.texts import DJANGO, Files

# Equal contents have to be equal commits, whoever generates them and whenever.
AUTHOR = {"NAME": "Ada", "EMAIL": "ada@example.com", "DATE": "2026-01-01T12:00:00Z"}


def write(root: Path, files: Files) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")


def uv(*argv: str | Path, cwd: Path, stdin: str | None = None) -> str:
    """Run uv as `make` has installed it, with the registry that pip uses here."""
    environment = {"UV_SYSTEM_CERTS": "true", "PYTHONDONTWRITEBYTECODE": "1", **os.environ}
    environment.pop("VIRTUAL_ENV", None)
    if index := controller.pip_settings().get("index-url"):
        environment.setdefault("UV_DEFAULT_INDEX", index)
    program = CACHE / "uv" / "bin" / "uv"
    command = [program, "--quiet", *argv]
    done = subprocess.run(command, cwd=cwd, env=environment, input=stdin, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


@functools.cache
def _python() -> Path:
    """A Python that has Django, of a version that every supported server can run."""
    place = CACHE / "projects" / ".venv"
    uv("venv", "--clear", place, cwd=place.parent)
    uv("pip", "install", "--python", place, DJANGO, "psycopg[binary]", cwd=place.parent)
    return place / "bin" / "python"


def django_admin(*argv: str | Path, cwd: Path) -> None:
    subprocess.run([_python(), "-B", "-m", "django", *argv], cwd=cwd, check=True)


def make_migrations(root: Path, app: str) -> None:
    """Write the first migration of an app, for which no database is asked."""
    supplied = {"SECRET_KEY": "-", "ALLOWED_HOSTS": "-", "STATIC_ROOT": "-", "PGDATABASE": "-"}
    argv: list[str | Path] = [_python(), "-B", "-W", "ignore", "manage.py", "makemigrations", app, "--verbosity=0"]
    subprocess.run(argv, cwd=root, env={**os.environ, **supplied}, check=True)


def hashed(*requirements: str) -> str:
    """Exact versions of the requirements and of what they need, with the hashes of their files."""
    argv = ["pip", "compile", "--universal", "--python-version=3.11", "--generate-hashes", "--no-header", "-"]
    return uv(*argv, cwd=CACHE, stdin="\n".join(requirements))


def git(root: Path, *argv: str) -> str:
    environment = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in AUTHOR.items()}
    environment |= {"GIT_CONFIG_GLOBAL": os.devnull, "PATH": os.environ["PATH"]}
    done = subprocess.run(["git", *argv], cwd=root, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


def commit(root: Path, message: str, branch: str = "main") -> str:
    """Commit everything in a directory, which becomes a repository the first time; returns the commit."""
    if not (root / ".git").exists():
        git(root, "init", "--quiet", f"--initial-branch={branch}")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", f"--message={message}")
    return git(root, "rev-parse", "HEAD")


def branches(destination: Path, name: str, main: Files, versions: Mapping[str, Callable[[], Files]]) -> None:
    """Write `NAME.tar`, a bare repository with a branch per version of a project.

    :param versions: from a branch to what differs there; settings say `VERSION = "main"`, and there the branch's name.
    """
    destination.mkdir(parents=True, exist_ok=True)
    settings = f"{name}/settings.py"
    with tempfile.TemporaryDirectory() as folder:
        root, bare = Path(folder, name), Path(folder, f"{name}.git")
        root.mkdir()
        git(root, "init", "--quiet", "--initial-branch=main")
        write(root, main)
        git(root, "add", "--all")
        git(root, "commit", "--quiet", f"--message=Open the {name}")
        for version, differences in versions.items():
            git(root, "switch", "--quiet", "--create", version, "main")
            files = differences()
            text = files.get(settings, main[settings]).replace('VERSION = "main"', f'VERSION = "{version}"')
            write(root, {**files, settings: text})
            git(root, "add", "--all")
            git(root, "commit", "--quiet", f"--message=Make it {version}")
        git(root, "clone", "--quiet", "--bare", "--no-hardlinks", str(root), str(bare))
        # Scenarios side by side write the same file; what one of them unpacks is always whole.
        whole = destination / f"{name}.{os.getpid()}"
        with tarfile.open(whole, "w") as tar:
            tar.add(bare, bare.name)
        whole.replace(destination / f"{name}.tar")
