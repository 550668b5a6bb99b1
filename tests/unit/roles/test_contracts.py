"""The contract of every role: its defaults and its argument spec say the same, and only of what is its own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from worktree import ROOT

from ansible_collections.groundcrew.django.plugins.module_utils._app_spec import SPEC

ROLES = sorted(path.parent.parent for path in ROOT.glob("roles/*/meta/argument_specs.yml"))
# The one description that every role may read; it belongs to preflight's spec alone.
SHARED = {"django_apps", "django_app_secrets"}

by_name = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


@cache
def load(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def specs(role: Path) -> dict[str, Any]:
    return load(role / "meta" / "argument_specs.yml")["argument_specs"]


def inputs(role: Path) -> dict[str, Any]:
    """The role's own inputs, of all its entry points."""
    found: dict[str, Any] = {}
    for entry in specs(role).values():
        found |= entry.get("options", {})
    return {name: option for name, option in found.items() if name not in SHARED}


def options(role: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option with its path, suboptions included."""

    def walk(found: dict[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, option in found.items():
            yield f"{prefix}{name}", option
            yield from walk(option.get("options", {}), f"{prefix}{name}.")

    for name, entry in specs(role).items():
        yield from walk(entry.get("options", {}), f"{name}: ")


def defaults(role: Path) -> dict[str, Any]:
    return load(role / "defaults" / "main.yml")


def test_every_role_has_a_spec() -> None:
    assert [path.name for path in ROLES] == sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


@by_name
def test_defaults_and_spec_have_the_same_keys_and_values(role: Path) -> None:
    specified = {name: option["default"] for name, option in inputs(role).items() if "default" in option}
    assert specified == defaults(role)
    # Equal is not enough: to Python, True is 1.
    assert yaml.safe_dump(specified) == yaml.safe_dump(defaults(role))


@by_name
def test_an_input_without_a_default_is_required_and_the_other_way_round(role: Path) -> None:
    for name, option in inputs(role).items():
        assert ("default" in option) != option.get("required", False), name


@by_name
def test_every_option_is_described_and_typed(role: Path) -> None:
    for name, option in options(role):
        assert option.get("description"), f"{name} has no description"
        assert option.get("type"), f"{name} has no type"
        assert (option["type"] == "list") == ("elements" in option), f"{name}: a list, and only a list, has elements"
        # A failing spec prints the value though it is a secret, and core 2.18 fails at an inline !vault within a mapping.
        assert not option.get("no_log") or (option["type"] == "str" and "choices" not in option), f"{name}: no_log"
        if "choices" in option and "default" in option:
            assert option["default"] in option["choices"], name
        if option.get("required"):
            assert "default" not in option, f"{name} is required and has a default"


@by_name
def test_every_entry_point_is_described(role: Path) -> None:
    for name, entry in specs(role).items():
        assert entry.get("short_description"), name
        assert entry.get("description"), name
        tasks = role / "tasks" / f"{name}.yml"
        assert tasks.is_file(), f"{name} has no tasks"


@by_name
def test_names_carry_the_prefix_of_their_role(role: Path) -> None:
    for name in inputs(role):
        assert name.startswith(f"{role.name}_"), name
    for path in role.glob("vars/*.yml"):
        for name in load(path):
            assert name.startswith(f"__{role.name}_"), f"{path.name}: {name}"


@by_name
def test_only_preflight_describes_the_apps(role: Path) -> None:
    named = {name for entry in specs(role).values() for name in entry.get("options", {})}
    assert (named & SHARED) == (SHARED if role.name == "preflight" else set())


def test_the_spec_of_the_apps_is_the_one_that_is_checked() -> None:
    def bare(found: dict[str, Any]) -> dict[str, Any]:
        kept = {
            name: {key: value for key, value in option.items() if key not in ("description", "example", "options")}
            for name, option in found.items()
        }
        for name, option in found.items():
            if "options" in option:
                kept[name]["options"] = bare(option["options"])
        return kept

    described = specs(ROOT / "roles" / "preflight")["main"]["options"]["django_apps"]["options"]
    assert bare(described) == SPEC
