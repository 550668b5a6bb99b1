# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release installs: plans as tables, and small projects with uv itself."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _dependencies, _locate
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._locate import Dependencies
from ansible_collections.groundcrew.django.plugins.module_utils._python import Interpreter
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Result
from ansible_collections.groundcrew.django.plugins.module_utils._servers import SERVERS

PLACE = _dependencies.Place("uv", "/code", "/venv", "/cache")
SERVER = Interpreter("/usr/bin/python3", False, "test")
PIP = "uv pip install --python /venv/bin/python"
SYNC = "uv sync --locked --no-default-groups --python /usr/bin/python3"
PROJECT = '[project]\nname = "my.shop"\nversion = "1"\ndependencies = ["django"]\n'
PACKAGE = PROJECT + '[build-system]\nrequires = ["hatchling"]\n'


@pytest.mark.parametrize(
    ("dependencies", "wanted", "files", "cwd", "commands"),
    [
        (Dependencies("uv", files=("uv.lock",)), {}, {}, "/code", [SYNC]),
        (
            Dependencies("uv", "backend", ("uv.lock",)),
            {"groups": ["web", "prod"], "extras": ["asgi"], "packages": ["sentry-sdk>=2"]},
            {},
            "/code/backend",
            [f"{SYNC} --group web --group prod --extra asgi", f"{PIP} -- sentry-sdk>=2"],
        ),
        (Dependencies("pylock", files=("pylock.toml",)), {}, {}, "/code", [f"{PIP} -r pylock.toml"]),
        (
            Dependencies("requirements", files=("requirements/prod.txt", "a.txt")),
            {},
            {"requirements/prod.txt": "-r base.txt", "requirements/base.txt": "django", "a.txt": ""},
            "/code",
            [f"{PIP} -r requirements/prod.txt -r a.txt"],
        ),
        (
            Dependencies("requirements", "backend", ("backend/a.txt",)),
            {},
            {"backend/a.txt": "-r ../base.txt", "base.txt": "django==5.2 \\\n    --hash=sha256:00"},
            "/code/backend",
            [f"{PIP} --require-hashes -r a.txt"],
        ),
        (
            Dependencies("pyproject", files=("pyproject.toml",)),
            {"groups": ["prod"], "extras": ["asgi"]},
            {"pyproject.toml": PROJECT},
            "/code",
            [f"{PIP} --group prod --extra asgi -r pyproject.toml"],
        ),
        # The project itself is installed only where its code would not be found otherwise.
        (Dependencies("pyproject", files=("pyproject.toml",)), {}, {"pyproject.toml": PACKAGE, "shop/a.py": ""}, "/code", [f"{PIP} -r pyproject.toml"]),
        (Dependencies("pyproject", files=("pyproject.toml",)), {}, {"pyproject.toml": PACKAGE, "src/manage.py": "", "src/a.py": ""}, "/code", [f"{PIP} -r pyproject.toml"]),
        (Dependencies("pyproject", files=("pyproject.toml",)), {}, {"pyproject.toml": PROJECT, "src/shop/a.py": ""}, "/code", [f"{PIP} -r pyproject.toml"]),
        (Dependencies("pyproject", files=("pyproject.toml",)), {}, {"pyproject.toml": PACKAGE, "src/shop/a.py": ""}, "/code", [f"{PIP} -r pyproject.toml", f"{PIP} --no-deps --editable ."]),
        (Dependencies("pyproject", files=("pyproject.toml",)), {}, {"pyproject.toml": PROJECT + "[tool.uv]\npackage = true\n"}, "/code", [f"{PIP} -r pyproject.toml", f"{PIP} --no-deps --editable ."]),
        (Dependencies("packages", packages=("Django~=5.2.1",)), {}, {}, "/code", [f"{PIP} -- Django~=5.2.1"]),
        (Dependencies("packages"), {"packages": ["mezzanine"]}, {}, "/code", [f"{PIP} -- mezzanine"]),
        (Dependencies("pyproject", files=("setup.py",)), {}, {}, "/code", [f"{PIP} -r setup.py"]),
    ],
)  # fmt: skip
def test_plan(
    dependencies: Dependencies, wanted: dict[str, Any], files: dict[str, str], cwd: str, commands: list[str]
) -> None:
    plan = _dependencies.plan(PLACE, dependencies, SERVER, wanted, sorted(files), files.__getitem__)
    assert (
        " ".join(plan[0].argv) == "uv venv --no-project --allow-existing --relocatable --python /usr/bin/python3 /venv"
    )
    assert [" ".join(command.argv) for command in plan[1:]] == commands
    assert plan[1].cwd == cwd


@pytest.mark.parametrize(
    ("files", "directory", "installed"),
    [
        ({"shop/manage.py", "shop/__init__.py"}, "shop", True),
        ({"src/shop/manage.py", "src/shop/__init__.py"}, "src/shop", True),
        ({"site/manage.py", "site/shop/__init__.py"}, "site", False),
        ({"manage.py", "__init__.py"}, "", False),
    ],
)
def test_a_package_that_holds_manage_py_is_installed(files: set[str], directory: str, installed: bool) -> None:
    dependencies = Dependencies("pyproject", files=("pyproject.toml",))
    texts = {**dict.fromkeys(files, ""), "pyproject.toml": PACKAGE}
    plan = _dependencies.plan(PLACE, dependencies, SERVER, {}, sorted(texts), texts.__getitem__, directory)
    assert ("--editable" in plan[-1].argv) == installed


@pytest.mark.parametrize(
    ("requires", "env"),
    [
        ('"setuptools>=70", "setuptools-scm[toml]>=8"', {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_SHOP": "0"}),
        ('"hatchling", "hatch_vcs"', {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_MY_SHOP": "0"}),
        ('"hatchling"', {}),
    ],
)
def test_a_version_that_git_would_know(requires: str, env: dict[str, str]) -> None:
    files = {"pyproject.toml": f"{PROJECT}[build-system]\nrequires = [{requires}]\n"}
    plan = _dependencies.plan(
        PLACE, Dependencies("uv", files=("uv.lock",)), SERVER, {}, sorted(files), files.__getitem__
    )
    assert plan[1].env == env


def test_groups_without_a_pyproject() -> None:
    dependencies = Dependencies("requirements", files=("a.txt",), reason="a.txt")
    with pytest.raises(ReleaseError, match=r"belong to a pyproject\.toml, but a\.txt is installed"):
        _dependencies.plan(PLACE, dependencies, SERVER, {"groups": ["prod"]}, ["a.txt"], {"a.txt": ""}.__getitem__)


@pytest.mark.parametrize(
    ("installed", "server", "postgresql", "missing"),
    [
        ({}, "gunicorn", True, [SERVERS["gunicorn"].requirement, _dependencies.PSYCOPG]),
        ({"gunicorn": "20.1.0", "psycopg2-binary": "2.9"}, "gunicorn", True, []),
        ({"gunicorn": "23.0.0", "psycopg": "3.2"}, "gunicorn", True, []),
        ({"gunicorn": "23.0.0"}, "gunicorn", False, []),
        ({"gunicorn": "23.0.0"}, "uvicorn", False, [SERVERS["uvicorn"].requirement, _dependencies.WEBSOCKETS]),
        ({"uvicorn": "0.34.0"}, "uvicorn", False, [_dependencies.WEBSOCKETS]),
        ({"uvicorn": "0.34.0", "wsproto": "1.2"}, "uvicorn", False, []),
        ({}, "granian", False, ["granian>=2.6,<3"]),
        ({}, "hypercorn", False, ["hypercorn>=0.17,<1"]),
        ({}, "daphne", False, ["daphne>=4.1,<5"]),
        # Its own name has no wheels.
        ({"uwsgi": "2.0.30"}, "uwsgi", False, ["pyuwsgi>=2.0.28,<2.1"]),
        ({"pyuwsgi": "2.0.30"}, "uwsgi", False, []),
        ({}, "", False, []),
        ({"gunicorn": "23.0.0", "django": "4.1.13"}, "gunicorn", True, [_dependencies.PSYCOPG2]),
        ({"gunicorn": "23.0.0", "django": "4.2.1"}, "gunicorn", True, [_dependencies.PSYCOPG]),
        ({"gunicorn": "23.0.0", "django": "5.2"}, "gunicorn", True, [_dependencies.PSYCOPG]),
    ],
)
def test_missing(installed: dict[str, str], server: str, postgresql: bool, missing: list[str]) -> None:
    assert _dependencies.missing(installed, server, postgresql) == missing


def test_add() -> None:
    assert _dependencies.add(PLACE, []) == []
    (command,) = _dependencies.add(PLACE, ["gunicorn>=23", "psycopg[binary]"])
    assert " ".join(command.argv) == f"{PIP} -- gunicorn>=23 psycopg[binary]"
    assert command.title == "Add gunicorn>=23, psycopg[binary]"


BUILD = (
    "error: Failed to build `{}`\n  cause: Call to `setuptools.build_meta.build_wheel` failed (exit status: 1)\n\n{}\n"
)


@pytest.mark.parametrize(
    ("said", "packages"),
    [
        ("Error: pg_config executable not found.", "libpq-dev"),
        ("fatal error: libpq-fe.h: No such file or directory", "libpq-dev"),
        ("Could not find crypto lib/headers, please ensure libcrypto.pc is in PKG_CONFIG_PATH.", "libssl-dev"),
        ("error: [Errno 2] No such file or directory: 'gcc'", "build-essential"),
        ("error: command 'x86_64-linux-gnu-gcc' failed: No such file or directory", "build-essential"),
        ("meson.build:1:0: ERROR: Unknown compiler(s): [['cc'], ['gcc']]", "build-essential"),
        ("foo.c:2:10: fatal error: Python.h: No such file or directory\ncompilation terminated.", "build-essential, python3-dev"),
        ("/bin/sh: 1: mysql_config: not found", "default-libmysqlclient-dev, pkg-config"),
        ("Trying pkg-config --exists mysqlclient\nCommand returned non-zero exit status 1", "default-libmysqlclient-dev"),
        ("Modules/common.h:15:10: fatal error: lber.h: No such file or directory", "libldap-dev, libsasl2-dev"),
        ("Package xmlsec1 was not found in the pkg-config search path.", "libxmlsec1-dev"),
        ("Error: Please make sure the libxml2 and libxslt development packages are installed.", "libxml2-dev, libxslt1-dev"),
        ("c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory", "libffi-dev"),
        ("The headers or library files could not be found for jpeg,", "libjpeg-dev"),
        ("The headers or library files could not be found for zlib,", "zlib1g-dev"),
        ('../cairo/meson.build:31:12: ERROR: Dependency "cairo" not found (tried pkg-config and cmake)', "libcairo2-dev"),
        ("gdal_config_error: [Errno 2] No such file or directory: 'gdal-config'", "libgdal-dev"),
        ("error: can't find Rust compiler", "cargo"),
        ("fatal error: libmemcached/memcached.h: No such file", "libmemcached-dev"),
        ("Could not run curl-config: [Errno 2] No such file or directory: 'curl-config'", "libcurl4-openssl-dev"),
        ("src/pyodbc.h:56:10: fatal error: sql.h: No such file or directory", "unixodbc-dev"),
        ("error: [Errno 2] No such file or directory: 'swig'", "swig"),
    ],
)  # fmt: skip
def test_a_build_that_misses_something(said: str, packages: str) -> None:
    error = _dependencies.diagnose(BUILD.format("thing==1.0", said))
    assert error is not None
    assert error.message == "thing==1.0 has to be compiled, and something for that is not on the server."
    assert f"packages: {{build: [{packages}" in error.cure
    assert "build-essential, python3-dev" in error.cure
    assert said in error.output


def test_a_missing_compiler_does_not_hide_what_a_known_package_needs_besides() -> None:
    error = _dependencies.diagnose(
        BUILD.format("psycopg2==2.9", "error: command 'gcc' failed: No such file or directory")
    )
    assert error is not None
    assert "packages: {build: [libpq-dev, build-essential, python3-dev]}" in error.cure


@pytest.mark.parametrize(
    ("said", "message", "cure"),
    [
        (BUILD.format("thing==1.0", "KeyError: 'x'"), "thing==1.0 has to be compiled, and that failed", "ends in -dev"),
        (BUILD.format("thing==1.0", "OSError: [Errno 28] No space left on device"), "No space is left", "free some"),
        (BUILD.format("thing==1.0", "error sending request for url (https://pypi.org/simple/setuptools/)"), "cannot reach", ""),
        ("error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.", "does not fit pyproject", "uv lock"),
        ("  cause: Hash mismatch for `six==1.0`\n\n  Expected:", "downloaded for six==1.0", "look into it"),
        ("error: In `--require-hashes` mode, all requirements must have their versions pinned with `==`, but found: django", "none for django", "generate-hashes"),
        ("error: Extra `nope` is not defined in the `optional-dependencies` table for `shop`", "not define: nope", "dependencies.extras"),
        ("error: Requested extra not found: nope", "not define: nope", "dependencies.extras"),
        ("error: Group `nope` is not defined in the project's `dependency-groups` table", "not define: nope", "dependencies.groups"),
        ("error: The dependency group 'nope' was not found in the project: pyproject.toml", "not define: nope", "dependencies.groups"),
        ("error: The requested interpreter resolved to Python 3.11.2, which is incompatible with", "with Python 3.11.2", "key python"),
        ("error: No solution found when resolving dependencies\n  cause: Because the current Python version (3.11.2) does not satisfy Python>=3.12", "with Python 3.11.2", "key python"),
        ("error: No solution found when resolving dependencies\n  cause: Because there is no version of django==99", "cannot all be met", "uv lock"),
        ("error: No interpreter found for Python 3.13 in managed installations", "is not on the server", "key python"),
        ("error: Git operation failed\n  fatal: Could not resolve host", "git repository cannot be fetched", "without a password"),
        ("error: Failed to fetch: `https://example.com/simple/a/`\n  cause: HTTP status client error (401 Unauthorized)", "does not let", "PASSWORD"),
        ("error: Failed to fetch: http://127.0.0.1:9/simple/six/\n  cause: tcp connect error", "cannot reach", "UV_DEFAULT_INDEX"),
    ],
)  # fmt: skip
def test_other_failures(said: str, message: str, cure: str) -> None:
    error = _dependencies.diagnose(f"Using Python 3.11.2\n{said}\n")
    assert error is not None
    assert message in error.message
    assert cure in error.cure


def test_an_unknown_failure(local_runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _dependencies.diagnose("error: a cosmic ray") is None

    def run(_argv: list[str], **_options: Any) -> Result:
        return Result(2, "", "error: a cosmic ray")

    monkeypatch.setattr(local_runner, "run", run)
    with pytest.raises(ReleaseError, match=r"(?s)Install a: this failed.*a cosmic ray"):
        _dependencies.install(local_runner, PLACE, [_dependencies.Command("Install a", ("uv",), "/")])


# From here on with uv itself.

Build = Callable[..., dict[str, str]]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name in ("code", "venv"):
        (tmp_path / name).mkdir()
    return tmp_path / "code"


@pytest.fixture
def place(code: Path, uv: str, network: dict[str, str]) -> _dependencies.Place:
    return _dependencies.Place(uv, str(code), str(code.parent / "venv"), str(Path(uv).parents[1] / "cache"), network)


@pytest.fixture
def build(place: _dependencies.Place, code: Path, local_runner: Any) -> Build:
    def build(files: dict[str, str], directory: str = "", **wanted: list[str]) -> dict[str, str]:
        for name, text in files.items():
            (code / name).parent.mkdir(parents=True, exist_ok=True)
            (code / name).write_text(text)
        listing, read = _locate.list_files(place.code), _locate.reader(place.code)
        found = _locate.dependencies(listing, directory, (), read)
        plan = _dependencies.plan(place, found, SERVER, wanted, listing, read)
        return _dependencies.install(local_runner, place, plan)

    return build


def python(place: _dependencies.Place, script: str, cwd: str = "/") -> str:
    return subprocess.run(
        [place.python, "-c", script], cwd=cwd, capture_output=True, text=True, check=True
    ).stdout.strip()


LOCKED = """
[project]
name = "shop"
version = "1"
requires-python = ">=3.11"
dependencies = ["six"]
[project.optional-dependencies]
asgi = ["sniffio"]
[dependency-groups]
dev = ["iniconfig"]
prod = ["toml"]
"""


def test_a_locked_project(build: Build, place: _dependencies.Place, code: Path) -> None:
    (code / "pyproject.toml").write_text(LOCKED)
    (code / ".python-version").write_text("3.11.99\n")
    subprocess.run(
        [place.uv, "lock", "-q", "-p", "/usr/bin/python3"], cwd=code, env={**os.environ, **place.network}, check=True
    )
    assert build({}).keys() == {"six"}
    assert list(Path(place.venv).rglob("six*.pyc"))
    assert build({}, extras=["asgi"], groups=["prod"], packages=["colorama"]).keys() == {
        "six",
        "sniffio",
        "toml",
        "colorama",
    }
    with pytest.raises(ReleaseError, match="does not define: nope"):
        build({}, groups=["nope"])
    (code / "pyproject.toml").write_text(LOCKED.replace('"six"', '"six", "pluggy"'))
    with pytest.raises(ReleaseError, match=r"uv\.lock does not fit pyproject\.toml"):
        build({})


def test_requirements(build: Build, place: _dependencies.Place, local_runner: Any) -> None:
    files = {"requirements/production.txt": "-r base.txt\nsniffio\n", "requirements/base.txt": "six==1.16.0\n"}
    assert build(files) == {"six": "1.16.0", "sniffio": build({})["sniffio"]}
    added = _dependencies.install(local_runner, place, _dependencies.add(place, ["toml"]))
    assert added.keys() == {"six", "sniffio", "toml"}


def test_requirements_with_checksums(build: Build) -> None:
    right = "six==1.16.0 --hash=sha256:8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254\n"
    assert build({"requirements.txt": right}) == {"six": "1.16.0"}
    with pytest.raises(ReleaseError, match="none for sniffio"):
        build({"requirements.txt": f"{right}sniffio\n"})
    with pytest.raises(ReleaseError, match="its checksum differs"):
        build({"requirements.txt": "toml==0.10.2 --hash=sha256:" + "0" * 64})


def test_a_package_in_src(build: Build, place: _dependencies.Place, code: Path) -> None:
    project = (
        LOCKED
        + '[build-system]\nrequires = ["setuptools>=77", "setuptools-scm"]\nbuild-backend = "setuptools.build_meta"\n'
    )
    project = project.replace('version = "1"', 'dynamic = ["version"]')
    found = build(
        {"pyproject.toml": project, "src/shop/__init__.py": "", "src/shop/templates/a.html": "", "manage.py": ""}
    )
    assert found.keys() == {"six", "shop"}
    assert python(place, "import shop; print(shop.__file__)") == str(code / "src/shop/__init__.py")


def test_what_startproject_made(build: Build, place: _dependencies.Place, local_runner: Any, code: Path) -> None:
    settings = "# Generated by 'django-admin startproject' using Django 5.2.1.\n"
    found = build({"shop/settings.py": settings, "shop/broken.py": "def ("})
    assert found["django"].startswith("5.2.")
    _dependencies.compile_code(local_runner, place)
    assert [path.name.split(".")[0] for path in code.rglob("*.pyc")] == ["settings"]


def test_a_package_that_needs_a_library(build: Build) -> None:
    setup = "import sys\nfrom setuptools import setup\nsys.exit('Error: pg_config executable not found.')\n"
    with pytest.raises(
        ReleaseError, match=r"has to be compiled.*\n.*build: \[libpq-dev, build-essential, python3-dev\]"
    ):
        build({"driver/setup.py": setup, "requirements.txt": "-e ./driver\n"})


def test_an_index_that_does_not_answer(build: Build, place: _dependencies.Place, local_runner: Any) -> None:
    build({"requirements.txt": ""})
    network = {**place.network, "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0"}
    elsewhere = dataclasses.replace(place, network=network)
    with pytest.raises(ReleaseError, match="cannot reach the package index"):
        _dependencies.install(local_runner, elsewhere, _dependencies.add(elsewhere, ["zope-event"]))


def test_the_cache_is_no_way_into_the_venv(build: Build, place: _dependencies.Place) -> None:
    build({"requirements.txt": "six==1.16.0\n"})
    assert {path.stat().st_nlink for path in Path(place.venv).rglob("six.py")} == {1}
