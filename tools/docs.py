"""Writes docs/app.md from the argument spec of the role preflight; with --check only says whether it is current."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from worktree import ROOT

SPEC = ROOT / "roles" / "preflight" / "meta" / "argument_specs.yml"
PAGE = ROOT / "docs" / "app.md"

INTRODUCTION = """\
<!-- Made by `make docs` from roles/preflight/meta/argument_specs.yml. Change that file instead. -->

# The description of an app

Apps are described once, in the inventory, as a list. Three keys are needed; everything else is found out from the
project itself, or has a default that suits most.

```yaml
django_apps:
  - name: shop
    domains: [shop.example.com]
    source: {repo: "https://example.com/acme/shop.git", version: main}
```

A value is never guessed: where a project leaves open what has to be known, the deploy stops and names the key to set.
Whatever is wrong with a description is told before any server is contacted, everything at once, each with its place and
its cure. `inventories/example/` holds a whole inventory to copy.
"""

WORDS = {
    "str": "string",
    "int": "whole number",
    "bool": "true or false",
    "dict": "mapping",
    "raw": "mapping, or a short form",
    "list": "list",
}


def option_type(option: Mapping[str, Any]) -> str:
    """What a person calls an option's type."""
    if "choices" in option:
        return " or ".join(f"`{choice}`" for choice in option["choices"])
    if option["type"] == "list":
        return f"list of {WORDS[option['elements']]}s"
    if option["type"] == "raw" and "options" not in option:
        return "string, whole number, true or false"
    return WORDS[option["type"]]


def inline(value: object) -> str:
    """A value as YAML in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def prose(text: str) -> str:
    """Ansible's markup as Markdown's."""

    def link(match: re.Match[str]) -> str:
        name = match.group(1)
        path = name.removeprefix("django_apps.")
        if path == name:
            return f"[`{name}`](#secrets-of-the-apps)" if name == "django_app_secrets" else f"`{name}`"
        return f"[`{path}`](#{path.split('.')[0]})"

    text = re.sub(r"O\(([^)]*)\)", link, text)
    return re.sub(r"[CV]\(([^()]*(?:\([^()]*\)[^()]*)*)\)", r"`\1`", text)


def paragraphs(option: Mapping[str, Any]) -> list[str]:
    described = option["description"]
    return [prose(text) for text in ([described] if isinstance(described, str) else described)]


def necessity(option: Mapping[str, Any]) -> str:
    if option.get("required"):
        return "required"
    if "default" not in option:
        return ""
    return f"default `{inline(option['default'])}`"


def rows(options: Mapping[str, Any]) -> Iterable[str]:
    yield "| key | type | | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, option in options.items():
        meaning = " ".join(paragraphs(option))
        if "example" in option:
            meaning += f" Example: `{inline({name: option['example']})[1:-1]}`"
        cells = [f"`{name}`", option_type(option), necessity(option), meaning]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def example(name: str, value: object) -> str:
    """The key as it stands in a description."""
    if not isinstance(value, Mapping):
        return f"{name}: {inline(value)}"
    return "\n".join([f"{name}:", *(f"  {key}: {inline(each)}" for key, each in value.items())])


def sections(options: Mapping[str, Any]) -> Iterable[str]:
    known: list[Any] = []
    for name, option in options.items():
        yield f"### {name}\n"
        yield ", ".join(filter(None, [option_type(option), necessity(option)])) + "\n"
        yield "\n\n".join(paragraphs(option)) + "\n"
        if "example" in option:
            yield f"```yaml\n{example(name, option['example'])}\n```\n"
        below = option.get("options", {})
        # A mapping whose keys the user chooses says in its own words what they hold.
        free = next((each for key, each in below.items() if key.startswith("<")), None)
        if free:
            yield f"`{next(iter(below))}`: " + " ".join(paragraphs(free)) + "\n"
            below = free.get("options", {})
        if below and below not in known:
            yield "\n".join(rows(below)) + "\n"
        known.append(below)


def page() -> str:
    """The whole page."""
    options = yaml.safe_load(SPEC.read_text())["argument_specs"]["main"]["options"]
    secrets = options["django_app_secrets"]
    parts = [
        INTRODUCTION,
        "## Keys\n",
        *sections(options["django_apps"]["options"]),
        "## Secrets of the apps\n",
        "\n\n".join(paragraphs(secrets)) + "\n",
        f"```yaml\n{example('django_app_secrets', secrets['example'])}\n```\n",
    ]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail when the page is not current")
    wanted = page()
    if not parser.parse_args().check:
        PAGE.write_text(wanted)
        return 0
    if PAGE.exists() and PAGE.read_text() == wanted:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not current: run `make docs`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
