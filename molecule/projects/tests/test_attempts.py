"""Deploys that must be refused, and what mends them.

What was said and left behind was noted when they were attempted.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

HERE = Path(__file__).resolve().parents[1]
ATTEMPTS = yaml.safe_load((HERE / "vars/attempts.yml").read_text())["attempts"]
REFUSED = [attempt for attempt in ATTEMPTS if not attempt.get("lives")]
LIVE = [attempt for attempt in ATTEMPTS if attempt.get("lives")]

pytestmark = pytest.mark.usefixtures("bookworm")


@pytest.fixture
def bookworm(host: Any) -> None:
    if host.backend.get_hostname() != "projects-bookworm":
        pytest.skip("attempted on one server")


@pytest.fixture
def outcome(attempt: dict[str, Any]) -> dict[str, Any]:
    outcomes = json.loads((Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "outcomes.json").read_text())
    return outcomes[attempt["name"]]


def table(attempts: list[dict[str, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attempt", attempts, ids=lambda attempt: attempt["name"].replace(" ", "-"))


@table(REFUSED)
def test_it_says_why_and_what_to_do(attempt: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert outcome["said"]
    for words in attempt["says"]:
        assert re.search(words, outcome["said"]), outcome["said"]


@table(REFUSED)
def test_what_was_there_is_still_there_and_nothing_else(attempt: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert outcome["after"] == outcome["before"]


@table(REFUSED)
def test_visitors_see_the_old_release_or_the_holding_page(attempt: dict[str, Any], outcome: dict[str, Any]) -> None:
    after = outcome["after"]
    if after["current"]:
        assert after["status"] == 200
        assert json.loads(after["page"])["database"] == attempt["app"]
    else:
        assert after["status"] == 503
        assert not after["releases"] + after["environments"] + after["dropins"] + after["units"]


@table(LIVE)
def test_what_is_mended_goes_live(attempt: dict[str, Any], outcome: dict[str, Any]) -> None:
    assert not outcome["said"]
    assert outcome["after"]["current"] not in ("", outcome["before"]["current"])
    assert outcome["after"]["status"] == 200
