# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chooses the settings module of a project. Pure. PRIVATE to the collection: may change at any time."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import read_manage

_DEVELOPMENT = {
    "dev",
    "devel",
    "develop",
    "development",
    "local",
    "localhost",
    "test",
    "tests",
    "testing",
    "ci",
    "debug",
}
_PRODUCTION = {"prod", "production", "live", "deploy", "deployment", "server"}
# Files beside settings that are no settings to choose.
_PARTS = {"base", "common", "components", "default", "defaults", "shared", "local_settings", "__init__"}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A settings module, and who chose it: ``key``, ``environment`` or ``manage.py``."""

    module: str
    by: str
    candidates: tuple[str, ...] = ()


def _words(module: str) -> set[str]:
    """The words of a module's name; its first part is only the project's name."""
    parts = module.split(".")
    return {word for part in parts[1:] or parts for word in re.split(r"[^a-z]+", part.lower())}


def looks_like_development(module: str) -> bool:
    """Whether a settings module is named for a developer's machine."""
    return bool(_words(module) & _DEVELOPMENT)


def looks_like_production(module: str) -> bool:
    """Whether a settings module is named for the machine that people visit."""
    return bool(_words(module) & _PRODUCTION)


def settings_candidates(files: Sequence[str], near: str) -> list[str]:
    """Settings modules of the same package as ``near``, ``near`` not included.

    :param files: paths relative to the directory of manage.py.
    """
    package = near.split(".")[0]
    found = []
    for path in files:
        parts = path.removesuffix(".py").split("/")
        if not path.endswith(".py") or parts[0] != package or "tests" in parts or "migrations" in parts:
            continue
        named = "settings" in parts[-1] or any("settings" in part or part in ("config", "conf") for part in parts[1:-1])
        inside = parts[:-1] == near.split(".")[:-1] and len(parts) > 2
        if (named or inside) and parts[-1] not in _PARTS:
            found.append(".".join(parts))
    return sorted(set(found) - {near})


def choose_settings(
    wanted: str,
    environment: Mapping[str, str],
    manage_py: str,
    files: Sequence[str],
    entries: Sequence[str] = (),
    package: str = "",
) -> Choice:
    """Choose the settings module: the app's key, else its environment, else manage.py's default.

    :param wanted: the key ``settings``; empty for none.
    :param environment: the app's composed environment.
    :param manage_py: the text of manage.py.
    :param files: paths relative to the directory of manage.py.
    :param entries: the texts of wsgi.py and asgi.py, for a manage.py that leaves it all to another module.
    :param package: name of the package that manage.py stands in itself; empty for none.
    :raises ReleaseError: when none is named, the default looks like development, or manage.py overrules the choice.
    """
    manage = read_manage(manage_py)
    named = wanted or environment.get("DJANGO_SETTINGS_MODULE", "")
    if named:
        if manage.forced and manage.default != named:
            raise ReleaseError(
                f"manage.py sets DJANGO_SETTINGS_MODULE to {manage.default}, so {named} would never be used.",
                'write os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...) in manage.py',
            )
        return Choice(named, "key" if wanted else "environment", tuple(settings_candidates(files, named)))
    default = manage.default
    if not default:
        others = {read_manage(text).default for text in entries} - {""}
        default = others.pop() if len(others) == 1 else ""
    if not default:
        raise ReleaseError("manage.py does not say which settings it uses.", _name_one(files, package))
    candidates = settings_candidates(files, default)
    if looks_like_development(default):
        raise ReleaseError(
            f"manage.py's own settings, {default}, look like those of a developer's machine.",
            choose_one_of(candidates, default),
        )
    return Choice(default, "manage.py", tuple(candidates))


def _name_one(files: Sequence[str], package: str) -> str:
    """A cure: the settings among the files, those nearest to manage.py first."""
    paths = [path for path in files if re.search(r"(^|/)settings(\.py|/__init__\.py)$", path) and "test" not in path]
    modules = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in paths]
    found = [f"{package}.{module}".lstrip(".") for module in sorted(modules, key=lambda module: module.count("."))]
    more = f" (found: {', '.join(found)})" if len(found) > 1 else ""
    return f"name them: `settings: {found[0] if found else 'package.settings'}`{more}"


def choose_one_of(candidates: Sequence[str], default: str) -> str:
    """A cure: the settings that were found, or the default taken on purpose."""
    others = sorted((name for name in candidates if not looks_like_development(name)), key=looks_like_production)[::-1]
    if not others:
        return f"name the settings to use; `settings: {default}` takes these, as no others were found beside them"
    more = f" (found: {', '.join(others)})" if len(others) > 1 else ""
    return f"name the settings to use: `settings: {others[0]}`{more}"
