# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses a Python for an app and has uv, both on the server. PRIVATE to the collection: may change at any time.

Root installs uv and the interpreters that it manages, so that no app can write to what another one runs. Both are
checked against checksums before anything of them runs: uv against those below, interpreters against those in uv.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

ROOT = "/opt/groundcrew"
SERVER_PYTHON = "/usr/bin/python3"
# Versions that an open specifier may mean, the one with the most ready-made packages first.
KNOWN = ("3.13", "3.12", "3.14", "3.11", "3.10", "3.9")

UV_VERSION = "0.13.9"
# Checksums of its wheels for Linux, as PyPI lists them.
UV_HASHES = """
    16963d19594e18d746a70c7fce82237bde4f2cac4cfcf0ca2b84796fe9d0c6e9
    2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25
    5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe
    56ec37616c00220032fc7b8c9d0ef51367fd0d70d9cd6ddd841660f949f84fed
    6b0c7b9f47a5d011939d61e324d3fe18a8bc155d8dd53add738709a92f290a7c
    6d5114bba238adddacb32fb11904f2b3ff4e988f8e9ff0d8d3b5e9822cf836b8
    7ec1e1dd9b6cb335c301afdf877989df384227313981850755a59561f75e4ab8
    a2ee66fe8b6608e1482ab1bde5799da04705c1cb40324c7f66054ecf46ae6e40
    a6e845f387e4ed55bb59342957a9179e24a631fcc7668bda3426ae1cef8ed4b9
    c5dbdb7c8737cd183a9dce95b39cfd1f3d54ec2a27a1bb58f160293f9ba2c805
    d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19
    db5c8df7145c21ffea9c0f74e38823bac3af60cbadf0e26b8633f08627b17bab
    ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375
""".split()


@dataclasses.dataclass(frozen=True)
class Interpreter:
    """The Python of a release.

    :param request: what uv is given: a path, or a version such as ``3.13``.
    :param managed: uv has to bring it, unless the server has one beside its own.
    :param reason: for the operator.
    """

    request: str
    managed: bool
    reason: str


def server_python() -> tuple[str, str]:
    """Path and version (``3.11.2``) of the server's own Python."""
    script = "import platform; print(platform.python_version())"
    done = subprocess.run([SERVER_PYTHON, "-c", script], capture_output=True, text=True, check=True)
    return SERVER_PYTHON, done.stdout.strip()


def choose(wanted: str, version_file: str, requires: str, server: tuple[str, str]) -> Interpreter:
    """Decide which Python an app gets.

    :param wanted: the key ``python``: a version, a path, or empty.
    :param version_file: text of ``.python-version``, or empty.
    :param requires: specifiers of the project (``Dependencies.requires_python``), or empty.
    :param server: :func:`server_python`.
    """
    path, version = server
    if wanted.startswith("/"):
        return Interpreter(wanted, False, "the key python")
    if wanted:
        if not re.fullmatch(r"\d+\.\d+(\.\d+)?", wanted):
            raise ReleaseError(
                f"python is neither a version nor a path: {wanted!r}.",
                cure='write python: "3.13", or the path of a program.',
            )
        own = version == wanted or version.startswith(f"{wanted}.")
        return Interpreter(path if own else wanted, not own, "the key python")
    pinned = _pinned(version_file)
    if pinned and satisfies(f"{pinned}.99", requires):
        # The last number of a developer's version says little: it is whatever was newest on that machine.
        own = version.startswith(f"{pinned}.")
        return Interpreter(path if own else pinned, not own, f".python-version ({pinned})")
    if satisfies(version, requires):
        return Interpreter(path, False, f"the server's own Python {version}" + (f" ({requires})" if requires else ""))
    for known in KNOWN:
        if satisfies(f"{known}.99", requires):
            return Interpreter(known, True, f"the project asks for Python {requires}, the server's own is {version}")
    raise ReleaseError(
        f"The project asks for Python {requires}, which is none that is known.", cure="set the key python."
    )


def _pinned(text: str) -> str:
    """Major and minor version in a ``.python-version``; empty for something else, such as a name of pyenv's."""
    for line in text.splitlines():
        found = re.fullmatch(r"\s*(?:c?python-?)?(3\.\d+)(?:\.\d+)?\s*(?:#.*)?", line)
        if found:
            return found[1]
    return ""


def satisfies(version: str, specifiers: str) -> bool:
    """Whether a version is one that specifiers such as ``>=3.11,<4`` allow."""
    have = _release(version)
    for clause in filter(None, (clause.strip() for clause in specifiers.split(","))):
        found = re.fullmatch(r"(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?(?:(?:a|b|rc|\.dev)\d+)?", clause)
        if not found:
            raise ReleaseError(
                f"The project asks for a Python in a way that is not understood: {specifiers}", cure="set python."
            )
        operator, text, star = found[1], found[2], bool(found[3])
        want = _release(text)
        prefix = have[: len(want)] == want
        width = max(len(have), len(want))
        compared = [*have, *[0] * (width - len(have))], [*want, *[0] * (width - len(want))]
        matches = {
            "==": prefix if star else compared[0] == compared[1],
            "!=": not prefix if star else compared[0] != compared[1],
            "~=": compared[0] >= compared[1] and have[: len(want) - 1] == want[:-1],
            ">=": compared[0] >= compared[1],
            "<=": compared[0] <= compared[1],
            ">": compared[0] > compared[1],
            "<": compared[0] < compared[1],
        }
        if not matches[operator]:
            return False
    return True


def _release(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", re.split(r"[a-z+]", version)[0])]


def ensure_uv(network: Mapping[str, str], root: str = ROOT) -> str:
    """Have the pinned uv in ``<root>/uv-<version>`` (as root) and return the path of its program.

    :param network: variables for downloads, such as HTTPS_PROXY, PIP_INDEX_URL or UV_DEFAULT_INDEX.
    """
    place = f"{root}/uv-{UV_VERSION}"
    program = f"{place}/bin/uv"
    if os.path.exists(program):
        return program
    with _locked(root):
        if os.path.exists(program):
            return program
        # Made elsewhere and renamed when complete: a run that is killed leaves nothing that looks like a uv.
        new = f"{root}/.uv-{UV_VERSION}.new"
        shutil.rmtree(new, ignore_errors=True)
        venv = [SERVER_PYTHON, "-m", "venv", new]
        _run(venv, network, "A Python environment for uv cannot be made.", "apt install python3-venv")
        requirements = f"{new}/uv.txt"
        with open(requirements, "w") as file:
            file.write(" ".join([f"uv=={UV_VERSION}", *(f"--hash=sha256:{digest}" for digest in UV_HASHES)]) + "\n")
        pip = [f"{new}/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary=:all:"]
        _run(
            [*pip, "-r", requirements],
            {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_CACHE_DIR": "1", **network},
            f"uv {UV_VERSION} cannot be installed.",
            "let the server reach a package index; PIP_INDEX_URL, HTTPS_PROXY or /etc/pip.conf name another way.",
        )
        os.rename(new, place)
    return program


def ensure_python(uv: str, interpreter: Interpreter, network: Mapping[str, str], root: str = ROOT) -> None:
    """Have a managed interpreter in ``<root>/python`` (as root, so that no app can write to it).

    One that is not managed only has to be there.
    """
    if not interpreter.managed:
        if not os.path.exists(interpreter.request):
            raise ReleaseError(
                f"The Python that the key python names is not there: {interpreter.request}", cure="install it."
            )
        return
    environment = {**network, **python_environment(root)}
    find = [uv, "python", "find", "--quiet", "--no-project", interpreter.request]
    if subprocess.run(find, env=_environment(environment), cwd="/", capture_output=True, check=False).returncode == 0:
        return
    with _locked(root):
        _run(
            [uv, "python", "install", "--no-progress", "--no-bin", interpreter.request],
            {**environment, "UV_PYTHON_DOWNLOADS": "manual"},
            f"Python {interpreter.request} ({interpreter.reason}) is not on the server and cannot be downloaded.",
            "set the key python to one that the server has, or UV_PYTHON_INSTALL_MIRROR to a place that it can reach.",
        )


def python_environment(root: str = ROOT) -> dict[str, str]:
    """How uv finds interpreters: those of the server first, then ours; it downloads none by itself."""
    return {
        "UV_PYTHON_INSTALL_DIR": f"{root}/python",
        "UV_PYTHON_PREFERENCE": "system",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_SYSTEM_CERTS": "1",
    }


@contextlib.contextmanager
def _locked(root: str) -> Iterator[None]:
    """Let one deploy at a time change ``root``; the lock ends with the process that holds it."""
    os.makedirs(root, mode=0o755, exist_ok=True)
    with open(f"{root}/.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": os.path.expanduser("~"), "LC_ALL": "C.UTF-8", **extra}


def _run(argv: list[str], extra: Mapping[str, str], message: str, cure: str) -> None:
    """Run a program of our own as root; readable for all, because every app's user runs what it installs."""
    done = subprocess.run(
        argv,
        env=_environment(extra),
        cwd="/",
        umask=0o022,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise ReleaseError(message, cure=cure, output="\n".join((done.stdout + done.stderr).strip().splitlines()[-12:]))
