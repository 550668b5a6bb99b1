# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which Python an app gets, and how uv comes to the server."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _python
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError

BOOKWORM = ("/usr/bin/python3", "3.11.2")


@pytest.mark.parametrize(
    ("version", "specifiers", "result"),
    [
        ("3.11.2", "", True),
        ("3.11.2", ">=3.11", True),
        ("3.11.2", ">=3.11.3", False),
        ("3.11.2", ">=3.10,<3.12", True),
        ("3.11.2", ">=3.10, <3.11", False),
        ("3.11.2", "<4", True),
        ("3.11.2", "<=3.11", False),
        ("3.11.0", "<=3.11", True),
        ("3.11.2", ">3.11", True),
        ("3.11.2", "~=3.10", True),
        ("3.11.2", "~=3.10.1", False),
        ("3.11.2", "~=3.11.1", True),
        ("3.11.2", "==3.11.*", True),
        ("3.11.2", "==3.11", False),
        ("3.12.0", "!=3.12.*", False),
        ("3.11.2", ">=3.8, !=3.9.7", True),
        ("3.13.0rc1", ">=3.13", True),
        ("3.9.1", ">=3.10", False),
    ],
)
def test_specifiers(version: str, specifiers: str, result: bool) -> None:
    assert _python.satisfies(version, specifiers) is result


@pytest.mark.parametrize(
    ("wanted", "version_file", "requires", "request_", "managed"),
    [
        ("", "", "", "/usr/bin/python3", False),
        ("", "", ">=3.11", "/usr/bin/python3", False),
        ("", "", ">=3.12", "3.13", True),
        ("", "", ">=3.12,<3.13", "3.12", True),
        ("", "", ">=3.14", "3.14", True),
        ("", "", "<3.11", "3.10", True),
        ("", "3.11.9\n", ">=3.11", "/usr/bin/python3", False),
        ("", "3.12\n", ">=3.11", "3.12", True),
        ("", "# ours\ncpython-3.12.4 # newest\n", "", "3.12", True),
        ("", "shop-env\n", ">=3.11", "/usr/bin/python3", False),
        ("", "3.10\n", ">=3.12", "3.13", True),
        ("3.11", "3.12", ">=3.12", "/usr/bin/python3", False),
        ("3.11.2", "", "", "/usr/bin/python3", False),
        ("3.11.9", "", "", "3.11.9", True),
        ("3.1", "", "", "3.1", True),
        ("3.13", "3.12", "", "3.13", True),
        ("/usr/local/bin/python3.12", "", "", "/usr/local/bin/python3.12", False),
    ],
)
def test_choice(wanted: str, version_file: str, requires: str, request_: str, managed: bool) -> None:
    found = _python.choose(wanted, version_file, requires, BOOKWORM)
    assert (found.request, found.managed) == (request_, managed)
    assert found.reason


@pytest.mark.parametrize(
    ("wanted", "requires"), [("three", ""), ("pypy", ""), ("", "newest"), ("", ">=4"), ("", "^3.11")]
)
def test_no_choice(wanted: str, requires: str) -> None:
    with pytest.raises(ReleaseError, match="python"):
        _python.choose(wanted, "", requires, BOOKWORM)


def test_the_servers_own_python() -> None:
    path, version = _python.server_python()
    assert os.path.exists(path)
    assert _python.satisfies(version, ">=3.9")


def test_uv(uv: str) -> None:
    said = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith(f"uv {_python.UV_VERSION}")
    place = Path(uv).parents[1]
    assert not (place / "left-by-a-killed-run").exists()
    assert [path.name for path in place.parent.iterdir() if path.is_dir()] == [place.name]
    before = os.stat(uv).st_mtime_ns
    assert _python.ensure_uv({"PIP_INDEX_URL": "http://127.0.0.1:9/"}, str(place.parent)) == uv
    assert os.stat(uv).st_mtime_ns == before


def test_uv_without_an_index(tmp_path: Path) -> None:
    unreachable = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "0",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }
    with pytest.raises(ReleaseError, match=f"uv {_python.UV_VERSION} cannot be installed"):
        _python.ensure_uv(unreachable, str(tmp_path))
    assert not (tmp_path / f"uv-{_python.UV_VERSION}").exists()


def test_a_wheel_with_another_checksum(
    tmp_path: Path, network: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_python, "UV_HASHES", ["0" * 64])
    with pytest.raises(ReleaseError, match=r"(?s)cannot be installed.*[Hh]ash"):
        _python.ensure_uv(network, str(tmp_path))


def test_a_python_that_cannot_be_downloaded(uv: str, tmp_path: Path, network: dict[str, str]) -> None:
    mirror = {**network, "UV_PYTHON_INSTALL_MIRROR": "http://127.0.0.1:9", "UV_HTTP_RETRIES": "0"}
    interpreter = _python.choose("3.8", "", "", BOOKWORM)
    with pytest.raises(
        ReleaseError, match=r"Python 3\.8 \(the key python\) is not on the server .*\n.*set the key python"
    ):
        _python.ensure_python(uv, interpreter, mirror, str(tmp_path))


def test_a_python_that_is_there(uv: str, tmp_path: Path) -> None:
    path, version = _python.server_python()
    _python.ensure_python(uv, _python.Interpreter(version.rpartition(".")[0], True, "test"), {}, str(tmp_path))
    _python.ensure_python(uv, _python.Interpreter(path, False, "test"), {}, str(tmp_path))
    assert not (tmp_path / "python").exists()
    with pytest.raises(ReleaseError, match="is not there: /nonexistent/python"):
        _python.ensure_python(uv, _python.choose("/nonexistent/python", "", "", BOOKWORM), {}, str(tmp_path))
