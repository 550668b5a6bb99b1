# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the smoke test takes for the new release; the visit itself is made on real servers."""

from __future__ import annotations

import pathlib
import typing as t

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils import _smoke
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._smoke import Answer

RECORD = {"domains": ["shop.example.com", "www.shop.example.com"], "static_domain": None}
FACTS = {"health": {"path": "/healthz", "status": []}, "static_url": "/static/"}
PAGE = Answer(200, "r2", b"ok")
SHEET = Answer(200, "", b"body{}")


@pytest.fixture
def static(tmp_path: pathlib.Path) -> str:
    (tmp_path / "css").mkdir()
    (tmp_path / "css/with space.css").write_text("body{}")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / ".hidden.css").write_text("hidden")
    return str(tmp_path)


def ask(
    answers: t.Mapping[str, Answer | Exception], static: str, monkeypatch: pytest.MonkeyPatch, **facts: t.Any
) -> list[tuple[str, str]]:
    """Run the test against a server that knows only these pages; returns what it was asked for."""
    asked = []

    def visit(host: str, path: str, headers: t.Mapping[str, str]) -> Answer:
        asked.append((host, path))
        found = answers.get(path, Answer(404, "", b""))
        if isinstance(found, Exception):
            raise found
        assert path != "/healthz" or headers == {"X-Groundcrew-Smoke": "token"}
        return found

    monkeypatch.setattr(_smoke, "visit", visit)
    monkeypatch.setattr(_smoke, "PAUSE", 0)
    _smoke.test("r2", {**FACTS, **facts}, RECORD, static, "token")
    return asked


def test_a_page_and_a_style_sheet_of_the_release_are_asked_for(static: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ask({"/healthz": PAGE, "/static/css/with%20space.css": SHEET}, static, monkeypatch)
    assert asked == [("shop.example.com", "/healthz"), ("shop.example.com", "/static/css/with%20space.css")]


def test_static_files_that_are_elsewhere_are_not_asked_for(static: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask({"/healthz": PAGE}, static, monkeypatch, static_url=None) == [("shop.example.com", "/healthz")]


@pytest.mark.parametrize(
    ("page", "sheet", "words"),
    [
        (Answer(502, "", b""), SHEET, "status 502"),
        (Answer(200, "r1", b"ok"), SHEET, "is answered by release r1"),
        (Answer(200, "", b"welcome to nginx"), SHEET, "something else, or a page of nginx's"),
        (ConnectionRefusedError(111, "refused"), SHEET, "nginx does not answer for shop.example.com"),
        (PAGE, Answer(404, "", b""), "the static file /static/css/with%20space.css comes with status 404"),
        (PAGE, Answer(200, "", b"of another release"), "comes with status 200 and 18 bytes"),
    ],
)
def test_whatever_is_not_the_release_is_told(
    page: Answer | Exception, sheet: Answer, words: str, static: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ReleaseError, match="healthy by itself, but not for visitors") as caught:
        ask({"/healthz": page, "/static/css/with%20space.css": sheet}, static, monkeypatch)
    assert words in caught.value.message


def test_one_bad_moment_is_no_failure(static: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([Answer(502, "", b""), PAGE, SHEET])
    monkeypatch.setattr(_smoke, "visit", lambda host, path, headers: next(moments))
    monkeypatch.setattr(_smoke, "PAUSE", 0)
    _smoke.test("r2", FACTS, RECORD, static, "token")
