# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What protects an app's releases, its secrets and the operator from one another."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _ledger, _live
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._release import App, Release, failing


@pytest.fixture
def app(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> App:
    """An app below a directory of the test's, without systemd: "live" is live, "half" is being built."""
    paths = {name: str(tmp_path / name) for name in ("releases", "current", "state", "cache", "config", "secrets")}
    for name in ("state", "config", "secrets", "releases/live/groundcrew", "releases/half/groundcrew"):
        (tmp_path / name).mkdir(parents=True)
    _live.switch(paths["current"], "live")
    monkeypatch.setattr(_live.Instance, "remove", lambda self: None)
    app = App(
        {
            "name": "shop",
            "user": "shop",
            "paths": paths,
            "units": {"web": "shop-web", "worker": "shop-worker", "schedule": "shop-schedule"},
        }
    )
    app.ledger.entries = [
        _ledger.Entry(name, "", "", "", "", state=state)
        for name, state in (("live", _ledger.GOOD), ("half", "building"))
    ]
    return app


@pytest.mark.parametrize(
    ("text", "secret"), [("hunter2", "hunter2"), ("hunter2\n", "hunter2"), ("-----BEGIN\nMC4C\n", "-----BEGIN\nMC4C\n")]
)
def test_only_the_newline_behind_a_single_line_is_no_part_of_a_secret(text: str, secret: str, app: App) -> None:
    pathlib.Path(app.paths["secrets"], "pepper").write_text(text)
    assert app.secrets == {"pepper": secret}


def test_the_live_release_is_never_removed(app: App) -> None:
    with pytest.raises(ReleaseError, match="is live"):
        Release(app, "live").remove()
    assert os.path.isdir(f"{app.paths['releases']}/live")


def test_a_failure_leaves_nothing_and_says_what_still_serves(app: App) -> None:
    with pytest.raises(ReleaseError, match="release live is still serving"), failing(app, Release(app, "half")):
        raise OSError(28, "No space left on device")
    assert os.listdir(app.paths["releases"]) == ["live"]
    found = app.ledger.find("half")
    assert found
    assert found.state == _ledger.FAILED


def test_a_failure_after_the_switch_leaves_alone_what_is_live(app: App) -> None:
    with pytest.raises(ReleaseError, match=r"No space.* Release live is live"), failing(app, Release(app, "live")):
        raise OSError(28, "No space left on device")
    assert "live" in os.listdir(app.paths["releases"])


def test_a_failure_that_nobody_foresaw_is_told_with_its_place(app: App) -> None:
    with pytest.raises(ReleaseError, match="did not foresee") as caught, failing(app, Release(app, "half")):
        raise KeyError("pid")
    assert "KeyError: 'pid'" in caught.value.output
    assert os.listdir(app.paths["releases"]) == ["live"]


def test_a_failure_is_told_even_when_the_ledger_cannot_be_written(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: _ledger.Ledger) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_ledger.Ledger, "save", full)
    with pytest.raises(ReleaseError, match="uv is unhappy"), failing(app, Release(app, "half")):
        raise ReleaseError("uv is unhappy.")
    assert os.listdir(app.paths["releases"]) == ["live"]


@pytest.mark.parametrize(
    ("environment", "name", "ends"),
    [
        ({"PYTHONPATH": "/srv/shop/lib"}, "PYTHONPATH", "/code:/srv/shop/lib"),
        ({"PATH": "/opt/node/bin"}, "PATH", "/bin:/opt/node/bin"),
        ({"PYTHONPATH": ""}, "PYTHONPATH", ""),
    ],
)
def test_search_paths_of_the_app_stand_behind_those_of_the_release(
    environment: dict[str, str], name: str, ends: str, app: App
) -> None:
    release = Release(app, "half")
    release.remember(directory="")
    written: dict[str, t.Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fchown", lambda *arguments: None)
        release.write_environment(environment)
    for line in pathlib.Path(release.environment_file).read_text().splitlines():
        key, _equals, value = line.partition("=")
        written[key] = value.strip('"')
    assert written[name].endswith(ends)
    assert not ends or written[name].startswith(release.path_variables[name])


def test_secrets_are_known_in_every_spelling_that_an_error_may_have(app: App) -> None:
    secrets = pathlib.Path(app.paths["secrets"])
    (secrets / "key").write_text("-----BEGIN KEY-----\nbGluZSBvbmUgb2YgaXQ\nend\n")
    (secrets / "password").write_text('p"/w\\x')
    values = app.secret_values()
    assert {"bGluZSBvbmUgb2YgaXQ", "-----BEGIN KEY-----\\nbGluZSBvbmUgb2YgaXQ\\nend"} <= values
    assert {'p"/w\\x', "p%22%2Fw%5Cx", 'p\\"/w\\\\x'} <= values
    assert "end" not in values
