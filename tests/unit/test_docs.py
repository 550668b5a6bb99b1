"""docs/app.md says what the argument spec says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from worktree import ROOT

import docs


def test_the_page_is_current() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "tools" / "docs.py", "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_a_page_that_is_not_current_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "INTRODUCTION", "something else")
    monkeypatch.setattr(sys, "argv", ["docs.py", "--check"])
    assert docs.main() == 1


def test_every_key_is_on_the_page_and_no_markup_is_left() -> None:
    options = yaml.safe_load(docs.SPEC.read_text())["argument_specs"]["main"]["options"]["django_apps"]["options"]

    def names(found: dict[str, Any]) -> Iterator[str]:
        for name, option in found.items():
            yield name
            yield from names(option.get("options", {}))

    page = docs.PAGE.read_text()
    assert all(f"### {name}\n" in page for name in options)
    assert all(f"`{name}`" in page or f"### {name}\n" in page for name in names(options))
    assert not [line for line in page.splitlines() if any(mark in line for mark in ("C(", "V(", "O(", "P("))]
