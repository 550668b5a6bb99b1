# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release installs, and how: plans, then runs them through a runner.

PRIVATE to the collection: may change at any time.

No group of dependencies is installed unless the app names it, so that development tools stay at home. A project that is
a package itself is installed in place (editable): its templates and static files stay where they are. uv does that for
a project with a lock file; without one it is done when nothing else would make the code importable (a src directory).
"""

from __future__ import annotations

import dataclasses
import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._locate import Dependencies, requirement_lines
from ansible_collections.groundcrew.django.plugins.module_utils._python import Interpreter, python_environment
from ansible_collections.groundcrew.django.plugins.module_utils._runner import Runner
from ansible_collections.groundcrew.django.plugins.module_utils._servers import SERVERS

# Seconds for one command: packages without wheels are compiled on small servers.
TIMEOUT = 3600

WEBSOCKETS = "websockets>=13,<18"
PSYCOPG = "psycopg[binary]>=3.2,<4"
# Django before 4.2 does not know psycopg 3.
PSYCOPG2 = "psycopg2-binary>=2.9,<3"

# Build tools that ask git for the version, which a release does not have, and the variable that answers instead.
VERSION_TOOLS = {
    "setuptools-scm": "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{}",
    "hatch-vcs": "SETUPTOOLS_SCM_PRETEND_VERSION_FOR_{}",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
    "uv-dynamic-versioning": "UV_DYNAMIC_VERSIONING_BYPASS",
}


@dataclasses.dataclass(frozen=True)
class Command:
    """One program of the plan.

    :param title: an imperative sentence for the operator.
    :param cwd: absolute.
    :param env: variables beside those of every command.
    """

    title: str
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a build happens: absolute paths.

    :param uv: the program, from ``_python.ensure_uv``.
    :param code: the code's root; like ``venv`` and ``cache`` it exists and belongs to the app's user during the build.
    :param venv: empty at the beginning.
    :param network: variables for downloads, never secret; the same as in ``_python.ensure_uv``.
    """

    uv: str
    code: str
    venv: str
    cache: str
    network: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def python(self) -> str:
        """The Python of the venv."""
        return f"{self.venv}/bin/python"

    def environment(self) -> dict[str, str]:
        """Variables for uv."""
        return {
            "LC_ALL": "C.UTF-8",
            "GIT_TERMINAL_PROMPT": "0",
            "UV_CACHE_DIR": f"{self.cache}/uv",
            "UV_PROJECT_ENVIRONMENT": self.venv,
            # Hard links would leave the app's user a way into the venv, by the cache that is its own.
            "UV_LINK_MODE": "copy",
            # The app cannot write next to its code later.
            "UV_COMPILE_BYTECODE": "1",
            "UV_NO_PROGRESS": "1",
            **python_environment(),
            **self.network,
        }


def plan(
    place: Place,
    dependencies: Dependencies,
    interpreter: Interpreter,
    wanted: Mapping[str, Any],
    files: Sequence[str],
    read: Callable[[str], str],
    directory: str = "",
) -> list[Command]:
    """Everything that makes the venv, in order.

    :param wanted: the record's ``dependencies``: groups, extras and packages.
    :param files: ``_locate.list_files``; ``read``: ``_locate.reader``; ``directory``: ``_locate.locate``.
    """
    cwd = posixpath.join(place.code, dependencies.directory).rstrip("/")
    groups = [option for group in wanted.get("groups", ()) for option in ("--group", group)]
    extras = [option for extra in wanted.get("extras", ()) for option in ("--extra", extra)]
    pip = (place.uv, "pip", "install", "--python", place.python)
    venv = (
        place.uv,
        "venv",
        "--no-project",
        "--allow-existing",
        "--relocatable",
        "--python",
        interpreter.request,
        place.venv,
    )
    commands = [Command("Make the Python environment", venv, place.code)]
    title = f"Install the dependencies of {dependencies.reason}"
    project = _project(dependencies, files, read)

    if dependencies.kind == "uv":
        options = ("--locked", "--no-default-groups", "--python", interpreter.request)
        argv = (place.uv, "sync", *options, *groups, *extras)
        commands.append(Command(title, argv, cwd, _version_of(project)))
    elif dependencies.kind == "packages":
        commands += _packages(place, f"Install {', '.join(dependencies.packages)}", dependencies.packages)
    else:
        named = [posixpath.relpath(file, dependencies.directory or ".") for file in dependencies.files]
        takes_extras = dependencies.kind == "pylock" or any(name.endswith(".toml") for name in named)
        if (groups or extras) and not takes_extras:
            raise ReleaseError(
                f"dependencies.groups and .extras belong to a pyproject.toml, but {dependencies.reason} is installed.",
                cure="name further files by dependencies.files instead.",
            )
        hashes = ["--require-hashes"] if _has_hashes(dependencies, read) else []
        requirements = [option for name in named for option in ("-r", name)]
        commands.append(Command(title, (*pip, *hashes, *groups, *extras, *requirements), cwd, _version_of(project)))
        if dependencies.kind == "pyproject" and _only_importable_when_installed(
            dependencies, project, files, directory
        ):
            argv = (*pip, "--no-deps", "--editable", ".")
            commands.append(Command("Install the project itself", argv, cwd, _version_of(project)))
    return commands + _packages(place, "Install what dependencies.packages names", wanted.get("packages", ()))


def _packages(place: Place, title: str, requirements: Sequence[str]) -> list[Command]:
    if not requirements:
        return []
    argv = (place.uv, "pip", "install", "--python", place.python, "--", *requirements)
    return [Command(title, argv, place.code)]


def _project(dependencies: Dependencies, files: Sequence[str], read: Callable[[str], str]) -> dict[str, Any]:
    """The pyproject.toml where uv runs; empty for none."""
    file = posixpath.join(dependencies.directory, "pyproject.toml")
    return tomllib.loads(read(file)) if file in files else {}


def _version_of(project: Mapping[str, Any]) -> dict[str, str]:
    """A version for a project that would ask git for it."""
    name = re.sub(r"[-_.]+", "_", project.get("project", {}).get("name", "")).upper()
    required = [
        _normalized(re.split(r"[^\w.-]", text)[0]) for text in project.get("build-system", {}).get("requires", ())
    ]
    return {variable.format(name): "0" for tool, variable in VERSION_TOOLS.items() if tool in required}


def _has_hashes(dependencies: Dependencies, read: Callable[[str], str]) -> bool:
    """Whether a requirements file holds a checksum: then everything needs one, as with pip."""
    return dependencies.kind == "requirements" and any(
        "--hash=" in line
        for file in dependencies.files
        if not file.endswith((".toml", ".py", ".cfg"))
        for line in requirement_lines(file, read)
    )


def _only_importable_when_installed(
    dependencies: Dependencies, project: Mapping[str, Any], files: Sequence[str], directory: str
) -> bool:
    """Whether the code is a package in ``src``, away from manage.py, or one that manage.py itself is part of.

    Or says itself that it is to be installed, or not.
    """
    package = project.get("tool", {}).get("uv", {}).get("package")
    source = posixpath.join(dependencies.directory, "src/")
    inside = [file for file in files if file.startswith(source)]
    away = any(file.endswith(".py") for file in inside) and not any(file.endswith("manage.py") for file in inside)
    around = directory != dependencies.directory and posixpath.join(directory, "__init__.py") in files
    return bool(package if package is not None else "build-system" in project and (away or around))


def install(runner: Runner, place: Place, commands: Sequence[Command], environment_file: str = "") -> dict[str, str]:
    """Run the plan as the app's user and return what is installed then: normalized name to version.

    :param environment_file: of secrets that a build may need (credentials of a private index); see :class:`Runner`.
    """
    writable = [place.code, place.venv, place.cache]
    for command in commands:
        result = runner.run(
            command.argv,
            title=command.title,
            cwd=command.cwd,
            env={**place.environment(), **command.env},
            writable=writable,
            environment_file=environment_file,
            timeout=TIMEOUT,
            check=False,
        )
        if result.rc != 0:
            raise diagnose(result.stderr) or ReleaseError(f"{command.title}: this failed.", output=result.last_lines())
    listing = runner.run(
        [place.uv, "pip", "list", "--python", place.python, "--format", "json"],
        title="List what is installed",
        env=place.environment(),
        writable=writable,
        network=False,
    )
    return {_normalized(package["name"]): package["version"] for package in json.loads(listing.stdout)}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def missing(installed: Mapping[str, str], server: str, postgresql: bool) -> list[str]:
    """Requirements to add: the app server and a driver for PostgreSQL, when nothing has brought them.

    :param installed: what :func:`install` returned.
    :param server: the kind of app server, as in ``_servers.SERVERS``; empty while it is not known.
    """
    wanted = []
    if server and SERVERS[server].distribution not in installed:
        wanted.append(SERVERS[server].requirement)
    # The others bring their own.
    if server == "uvicorn" and not installed.keys() & {"websockets", "wsproto"}:
        wanted.append(WEBSOCKETS)
    if postgresql and not installed.keys() & {"psycopg", "psycopg2", "psycopg2-binary", "psycopg2cffi"}:
        django = [int(number) for number in re.findall(r"\d+", installed.get("django", "5.2"))[:2]]
        wanted.append(PSYCOPG2 if django < [4, 2] else PSYCOPG)
    return wanted


def add(place: Place, requirements: Sequence[str]) -> list[Command]:
    """The plan that adds ``requirements`` (from :func:`missing`) to the venv; empty for none."""
    return _packages(place, f"Add {', '.join(requirements)}", requirements)


def compile_code(runner: Runner, place: Place) -> None:
    """Compile the project's own code, which the app cannot do later; files that do not compile are left alone."""
    runner.run(
        [place.python, "-m", "compileall", "-q", "-x", r"/(node_modules|\.git|\.venv)/", place.code],
        title="Compile the code",
        writable=[place.code],
        network=False,
        timeout=TIMEOUT,
        check=False,
    )


# What a build says when something is not on the server, and the Debian packages that bring it.
BUILD_PACKAGES = (
    (r"No such file or directory: '[\w-]*(gcc|cc|g\+\+)'|command '[^']*(gcc|cc|g\+\+)' failed: No such", ""),
    (r"(gcc|cc|g\+\+): (command )?not found", ""),
    (r"Unknown compiler\(s\)|unable to execute '|linker `cc` not found|No CMAKE_C(XX)?_COMPILER could be found", ""),
    (r"Python\.h: No such file", ""),
    (r"Rust (compiler|toolchain)|(cargo|rustc)\b.{0,40}(not found|not installed|No such file)", "cargo"),
    (r"pg_config|libpq-fe\.h|postgres_ext\.h|\blibpq\b.{0,20}not found", "libpq-dev"),
    (r"mysql_config|pkg-config --exists (mysqlclient|mariadb)|mysql\.h", "default-libmysqlclient-dev pkg-config"),
    (r"\b(lber|ldap|sasl)\.h\b", "libldap-dev libsasl2-dev"),
    (r"xmlsec1?\b.{0,60}not found|xmlsec/\w+\.h|pkg-config.{0,60}xmlsec", "libxmlsec1-dev libxml2-dev pkg-config"),
    (r"libxml2 and libxslt development|libxml/\w+\.h|libxslt/\w+\.h|xslt-config", "libxml2-dev libxslt1-dev"),
    (r"\bffi\.h\b|\blibffi\b", "libffi-dev"),
    (r"openssl/\w+\.h|Could not find directory of OpenSSL|OpenSSL libraries|libcrypto\.pc", "libssl-dev pkg-config"),
    (r"library files could not be found for jpeg|jpeglib\.h|DependencyException: jpeg", "libjpeg-dev zlib1g-dev"),
    (r"library files could not be found for zlib|\bzlib\.h|DependencyException: zlib", "zlib1g-dev"),
    (r"Dependency \W?cairo|\bcairo\.h|No package 'cairo'", "libcairo2-dev pkg-config"),
    (r"Dependency \W?(girepository|gobject-introspection)", "libgirepository1.0-dev libcairo2-dev pkg-config"),
    (r"Dependency \W?pango|No package 'pango|pango/pango\.h", "libpango1.0-dev pkg-config"),
    (r"gdal-config|\bgdal\.h|ogr_api\.h|Could not find GDAL", "libgdal-dev"),
    (r"geos-config|geos_c\.h", "libgeos-dev"),
    (r"\bproj(_api)?\.h|proj executable not found", "libproj-dev proj-bin"),
    (r"curl-config|curl/curl\.h", "libcurl4-openssl-dev libssl-dev"),
    (r"krb5-config|gssapi(/gssapi)?\.h|krb5\.h", "libkrb5-dev"),
    (r"libmemcached/memcached\.h", "libmemcached-dev zlib1g-dev"),
    (r"\bsql(ext)?\.h", "unixodbc-dev"),
    (r"sybdb\.h|sqlfront\.h", "freetds-dev"),
    (r"librdkafka/rdkafka\.h", "librdkafka-dev"),
    (r"\byaml\.h", "libyaml-dev"),
    (r"snappy(-c)?\.h", "libsnappy-dev"),
    (r"\blzma\.h", "liblzma-dev"),
    (r"\bmagic\.h", "libmagic-dev"),
    (r"\bsqlite3\.h", "libsqlite3-dev"),
    (r"systemd/sd-\w+\.h|No package 'libsystemd'|Cannot find libsystemd", "libsystemd-dev pkg-config"),
    (r"\bgmp\.h", "libgmp-dev"),
    (r"swig.{0,30}(not found|No such file)|No such file or directory: 'swig", "swig"),
    (r"CMake must be installed|cmake.{0,20}not found|No such file or directory: 'cmake'", "cmake"),
    (r"pkg-config.{0,30}(not found|is required|not installed)|No such file or directory: 'pkg-config'", "pkg-config"),
)
# The same for packages that are known to need something, because a compiler that is missing hides what else is missing.
KNOWN_PACKAGES = {
    "borgbackup": "libacl1-dev liblz4-dev libssl-dev libxxhash-dev libzstd-dev pkg-config",
    "lxml": "libxml2-dev libxslt1-dev",
    "mysqlclient": "default-libmysqlclient-dev pkg-config",
    "pillow": "libjpeg-dev zlib1g-dev",
    "psycopg-c": "libpq-dev",
    "psycopg2": "libpq-dev",
    "pycairo": "libcairo2-dev pkg-config",
    "pycurl": "libcurl4-openssl-dev libssl-dev",
    "pygraphviz": "libgraphviz-dev pkg-config",
    "python-ldap": "libldap-dev libsasl2-dev",
    "xmlsec": "libxmlsec1-dev libxml2-dev pkg-config",
}
# Most libraries need them as well; Debian takes what is there already.
COMPILER = "build-essential python3-dev"

# What uv says, the message, and its cure.
SERVER_FAILURES = (
    (
        r"No space left on device|os error 28",
        "No space is left on the server's disk.",
        "free some, or remove old releases.",
    ),
    (
        r"error sending request|Failed to fetch|dns error|operation timed out|tcp connect error",
        "The server cannot reach the package index.",
        "check its network; HTTPS_PROXY and UV_DEFAULT_INDEX name another way.",
    ),
)
PROJECT_FAILURES = (
    (
        r"lockfile at .* needs to be updated|Unable to find lockfile",
        "uv.lock does not fit pyproject.toml.",
        "run uv lock, and commit uv.lock.",
    ),
    (
        r"Hash mismatch for `([^`]+)`",
        "What was downloaded for {0} is not what the project locked: its checksum differs.",
        "look into it before anything else; after a harmless reason, lock again.",
    ),
    (
        r"In `--require-hashes` mode.*found: (.+)",
        "The requirements hold checksums, but none for {0}.",
        "compile them all at once: uv pip compile --generate-hashes.",
    ),
    (
        r"(?:Extra `|Requested extra not found: |[Gg]roup [`'])([\w.-]+)",
        "dependencies names a group or extra that the project does not define: {0}.",
        "correct dependencies.groups or dependencies.extras.",
    ),
    (
        r"resolved to Python ([\d.]+), which is incompatible|current Python version \(([\d.]+)\) does not satisfy",
        "The project's packages do not work with Python {0}.",
        "set the key python to a version that they support.",
    ),
    (
        r"No interpreter found",
        "The Python that the release asks for is not on the server.",
        "set the key python to one that it has.",
    ),
    (
        r"No solution found when resolving",
        "The project's requirements cannot all be met.",
        "correct what names the dependencies; a lock file (uv lock) shows this before a deploy.",
    ),
    (
        r"Git operation failed",
        "A dependency that comes from a git repository cannot be fetched.",
        "let the server reach it without a password, or publish it as a package.",
    ),
    (
        r"40[13] (?:Unauthorized|Forbidden)|Missing credentials",
        "The package index does not let this server in.",
        "hand its credentials over by env with a secret: UV_INDEX_<NAME>_PASSWORD.",
    ),
)


def diagnose(output: str) -> ReleaseError | None:
    """Recognise a known failure in the output of uv or a build, and name its cure; None for an unknown one."""
    last = "\n".join(output.strip().splitlines()[-15:])
    built = re.search(r"Failed to (?:download and )?build `([^`]+)`|build backend returned an error", output)
    for pattern, message, cure in SERVER_FAILURES if built else PROJECT_FAILURES + SERVER_FAILURES:
        found = re.search(pattern, output)
        if found:
            return ReleaseError(message.format(next(filter(None, found.groups()), "")), cure=cure, output=last)
    return _diagnose_build(built[1] or "A package of the project", output, last) if built else None


def _diagnose_build(package: str, output: str, last: str) -> ReleaseError:
    """The error for a package that has to be compiled."""
    found = [packages for pattern, packages in BUILD_PACKAGES if re.search(pattern, output)]
    if found:
        known = KNOWN_PACKAGES.get(_normalized(package.partition("==")[0]), "")
        named = ", ".join(dict.fromkeys(" ".join([known, found[0], COMPILER]).split()))
        return ReleaseError(
            f"{package} has to be compiled, and something for that is not on the server.",
            cure=f"add to the app: packages: {{build: [{named}]}}",
            output=last,
        )
    return ReleaseError(
        f"{package} has to be compiled, and that failed.",
        cure="if a library is missing, add its Debian package (its name ends in -dev) to packages.build.",
        output=last,
    )
