# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shape of an app's description, and the check of it. Pure. PRIVATE to the collection: may change at any time.

`SPEC` is written in the language of Ansible's argument specs: it equals the options of ``django_apps`` in
``roles/preflight/meta/argument_specs.yml`` without their descriptions (a test holds the two together). Ansible's own
check is not used for it, because it prints the value that it refuses, which may be a secret in the wrong place, and
knows neither a path nor a cure.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import re
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.groundcrew.django.plugins.module_utils._servers import SERVERS

Spec = dict[str, dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that is wrong, and what to do about it; never with the value of a secret.

    :param path: where, such as ``django_apps[1].domains[0]``.
    :param text: what, and the cure.
    """

    path: str
    text: str

    def __str__(self) -> str:
        """One line, as the operator reads it."""
        return f"{self.path}: {self.text}"


class AppError(ValueError):
    """Descriptions that cannot be used.

    :param problems: everything that is wrong with all of them.
    """

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def _strings(required: bool = False) -> dict[str, t.Any]:
    return {"type": "list", "elements": "str", **({"required": True} if required else {"default": []})}


_DATABASE: Spec = {
    "host": {"type": "str"},
    "port": {"type": "int", "default": 5432},
    "name": {"type": "str"},
    "user": {"type": "str"},
    "extensions": _strings(),
}

# Of one process, in the words of systemd.resource-control(5).
_LIMITS: Spec = {
    "memory_high": {"type": "str"},
    "memory_max": {"type": "str"},
    "cpu_weight": {"type": "int"},
    "tasks_max": {"type": "int"},
}

# A key in angle brackets stands for any name that the user chooses.
SPEC: Spec = {
    "name": {"type": "str", "required": True},
    "domains": _strings(required=True),
    "source": {
        "type": "dict",
        "required": True,
        "options": {
            "repo": {"type": "str"},
            "version": {"type": "str", "default": "HEAD"},
            "key": {"type": "str"},
            "submodules": {"type": "bool", "default": False},
            "path": {"type": "str"},
            "include": _strings(),
        },
    },
    "redirect_domains": _strings(),
    "static_domain": {"type": "str"},
    "media_domain": {"type": "str"},
    "directory": {"type": "str"},
    "settings": {"type": "str"},
    "python": {"type": "str"},
    "packages": {"type": "dict", "options": {"build": _strings(), "runtime": _strings()}},
    "dependencies": {
        "type": "dict",
        "options": {"files": _strings(), "groups": _strings(), "extras": _strings(), "packages": _strings()},
    },
    "commands": {
        "type": "dict",
        "options": {"build": _strings(), "static": _strings(), "migrated": _strings(), "first": _strings()},
    },
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "dest": {"type": "str", "required": True},
            "template": {"type": "str", "required": True},
            "secret": {"type": "bool", "default": False},
            "mode": {"type": "str", "default": "0640"},
        },
    },
    "migrations": {
        "type": "dict",
        "options": {
            "allow_destructive": {"type": "bool", "default": False},
            "dump": {"type": "bool", "default": False},
            "lock_timeout": {"type": "int", "default": 5},
            "statement_timeout": {"type": "int", "default": 0},
        },
    },
    "shared_paths": _strings(),
    "env": {"type": "dict", "options": {"<NAME>": {"type": "raw"}}},
    "secrets": {
        "type": "dict",
        "options": {"<name>": {"type": "dict", "options": {"generate": {"type": "int", "default": 64}}}},
    },
    "database": {"type": "raw", "options": _DATABASE},
    "databases": {"type": "dict", "options": {"<alias>": {"type": "dict", "options": _DATABASE}}},
    "redis": {
        "type": "raw",
        "options": {
            "listen": {"type": "str", "default": "tcp", "choices": ["tcp", "socket"]},
            "cache": {"type": "bool", "default": True},
            "queue": {"type": "bool", "default": False},
            "database": {"type": "int"},
        },
    },
    "media": {"type": "str", "default": "auto", "choices": ["auto", "public", "app", "internal", "none"]},
    "body_size": {"type": "str", "default": "10m"},
    "locations": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "str", "required": True},
            "rate": {"type": "str"},
            "redirect": {"type": "str"},
        },
    },
    "admin": {
        "type": "dict",
        "options": {
            "paths": {"type": "list", "elements": "str", "default": ["/admin/"]},
            "allow": _strings(),
        },
    },
    "login_paths": {
        "type": "list",
        "elements": "str",
        "default": ["/accounts/login/", "/accounts/password/reset/", "/accounts/password_reset/", "/login/"],
    },
    "server": {
        "type": "raw",
        "options": {
            "kind": {"type": "str", "default": "auto", "choices": ["auto", *SERVERS]},
            "entry": {"type": "str"},
            "workers": {"type": "int"},
            "threads": {"type": "int"},
            "timeout": {"type": "int", "default": 60},
            **_LIMITS,
        },
    },
    "workers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str"},
            "kind": {"type": "str", "choices": ["celery", "celery-beat", "rq", "django-tasks", "command"]},
            "app": {"type": "str"},
            "command": {"type": "str"},
            "count": {"type": "int", "default": 1},
            "queues": _strings(),
            "concurrency": {"type": "int"},
            "arguments": _strings(),
            "single": {"type": "bool", "default": False},
            "stop_timeout": {"type": "int", "default": 300},
            **_LIMITS,
        },
    },
    "procfile": {"type": "bool", "default": False},
    "schedules": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "command": {"type": "str", "required": True},
            "calendar": {"type": "str", "required": True},
            "overlap": {"type": "str", "default": "skip", "choices": ["skip", "queue"]},
            "random_delay": {"type": "int", "default": 0},
            "timeout": {"type": "int", "default": 3600},
            **_LIMITS,
        },
    },
    "sandbox": {
        "type": "dict",
        "options": {
            "writable_paths": _strings(),
            "memory_deny_write_execute": {"type": "bool", "default": True},
        },
    },
    "health": {
        "type": "raw",
        "options": {
            "path": {"type": "str", "default": "/"},
            "status": {"type": "list", "elements": "int", "default": []},
        },
    },
    "check": {
        "type": "dict",
        "options": {
            "fail_level": {
                "type": "str",
                "default": "WARNING",
                "choices": ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
            },
            "ignore": _strings(),
        },
    },
    "production_settings": {"type": "str", "default": "auto", "choices": ["auto", "never"]},
}

# The `raw` ones: besides a mapping, a word that stands for one of its keys, or true and false for on and off.
SHORT_FORMS = {"server": "kind", "health": "path"}
SWITCHES = ("database", "redis")
OFF_UNLESS_GIVEN = ("redis",)

# Foreseen, so refused by name instead of as a misspelling.
NOT_BUILT = {
    "backup": "backups of the database and of media",
    "path": "two apps under one domain",
    "processes": "further processes",
}

# Words for a secret in the name of a key or of a variable.
SECRET_WORD = re.compile(
    r"(^|_)(api)?(key|pass|passwd|pwd|passphrase|credentials?)($|_)|secret|token|password|apikey", re.I
)

_SAID = {"int": "a whole number", "bool": "true or false"}


def _kind(value: t.Any) -> str:
    """What a person calls the value's type; never the value, which may be a secret."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    for kind, word in ((str, "a string"), (Mapping, "a mapping"), ((list, tuple), "a list"), (type(None), "empty")):
        if isinstance(value, kind):
            return word
    return "a date" if hasattr(value, "isoformat") else f"a {type(value).__name__}"


class _Refused(Exception):
    """A value is wrong; the text says why."""


class Walk:
    """One look at a description: every value with defaults filled in, and every problem on the way.

    :param rules: what a value must look like, by its place in `SPEC`, such as ``domains[]`` for the entries of a list
        and ``env.<NAME>=`` for the names under ``env``; returns what is wrong.
    """

    def __init__(self, rules: Mapping[str, t.Callable[[t.Any], str]]) -> None:
        self.rules = rules
        self.problems: list[Problem] = []

    def refuse(self, path: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(Problem(path, text))

    def options(self, spec: Spec, value: Mapping[t.Any, t.Any], path: str, at: str = "") -> dict[str, t.Any]:
        """Check a mapping.

        :param at: where in `SPEC` this is, such as ``source.``; empty at the top.
        :returns: every key of the spec; what is wrong or absent has its default, so that one mistake is told once.
        """
        free = next((key for key in spec if key.startswith("<")), None)
        for key in value:
            if not isinstance(key, str):
                self.refuse(path, f"a key is {_kind(key)}: put it in quotes")
            elif free is None and key not in spec:
                self.refuse(f"{path}.{key}", _unknown(key, spec, at))
        if free is None:
            return {
                key: self._option(option, value.get(key), f"{path}.{key}", at + key) for key, option in spec.items()
            }
        found = {}
        for key, given in value.items():
            if isinstance(key, str):
                wrong = self.rules[f"{at}{free}="](key)
                if wrong:
                    self.refuse(f"{path}.{key}", wrong)
                else:
                    found[key] = self._option(spec[free], given, f"{path}.{key}", at + free)
        return found

    def _option(self, option: dict[str, t.Any], given: t.Any, path: str, at: str) -> t.Any:
        # "static_domain:" with nothing behind it is how YAML spells "not set".
        if given is not None:
            try:
                return self._value(option, given, path, at)
            except _Refused as wrong:
                self.refuse(path, str(wrong))
        elif option.get("required"):
            self.refuse(path, "is required")
        return _blank(option, at)

    def _value(self, option: dict[str, t.Any], value: t.Any, path: str, at: str) -> t.Any:
        kind = option["type"]
        if kind == "raw" and "options" not in option:
            return value
        if kind == "raw":
            if at in SHORT_FORMS and not isinstance(value, (Mapping, list, tuple)):
                value = {SHORT_FORMS[at]: value}
            elif at in SWITCHES and isinstance(value, bool):
                if not value:
                    return False
                value = {}
            kind = "dict"
        if kind == "dict":
            if isinstance(value, Mapping):
                return self.options(option["options"], value, path, f"{at}.")
            other = "true, false or " if at in SWITCHES else "a word or " if at in SHORT_FORMS else ""
            raise _Refused(f"expected {other}a mapping with {_keys(option['options'])}, found {_kind(value)}")
        if kind == "list":
            return self._list(option, value, path, at)
        found = _scalar(kind, value)
        if "choices" in option and found not in option["choices"]:
            raise _Refused(_no_choice(found, option["choices"]))
        wrong = self.rules[at](found) if at in self.rules else ""
        if wrong:
            raise _Refused(wrong)
        return found

    def _list(self, option: dict[str, t.Any], values: t.Any, path: str, at: str) -> list[t.Any]:
        if not isinstance(values, (list, tuple)):
            cure = "" if isinstance(values, Mapping) else ": put it in square brackets"
            raise _Refused(f"expected a list, found {_kind(values)}{cure}")
        found = []
        element = {"type": option["elements"], "options": option.get("options", {}), "required": True}
        for number, value in enumerate(values):
            here = f"{path}[{number}]"
            try:
                found.append(self._value(element, value, here, at if element["options"] else f"{at}[]"))
            except _Refused as wrong:
                self.refuse(here, str(wrong))
                found.append(_blank(element, at))  # the numbers of the others stay right
        return found


def _blank(option: dict[str, t.Any], at: str) -> t.Any:
    """What stands in for a value that is absent or wrong."""
    if at in OFF_UNLESS_GIVEN:
        return False
    if option["type"] != "list" and option.get("options"):
        options = option["options"].items()
        return {key: _blank(each, f"{at}.{key}") for key, each in options if not key.startswith("<")}
    if option.get("required"):
        return [] if option["type"] == "list" else ""
    return copy.copy(option.get("default"))


def _scalar(kind: str, value: t.Any) -> t.Any:
    if kind == "str":
        return _text(value)
    if kind == "bool" and isinstance(value, bool):
        return value
    # A template such as "{{ port }}" yields text on some versions of Ansible.
    if kind == "int" and not isinstance(value, bool) and re.fullmatch(r"-?[0-9]{1,18}", str(value)):
        return int(value)
    raise _Refused(f"expected {_SAID[kind]}, found {_kind(value)}")


def _text(value: t.Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise _Refused(f"YAML reads this as {str(value).lower()} (as it does yes, no, on and off): put it in quotes")
    if isinstance(value, (int, float)) or hasattr(value, "isoformat"):
        raise _Refused(f"YAML reads this as {_kind(value)}, {value}: put it in quotes, so that nothing of it is lost")
    raise _Refused(f"expected a string, found {_kind(value)}")


def _keys(spec: Spec) -> str:
    return ", ".join(f"`{key}`" for key in spec)


def _every_key(spec: Spec, at: str = "") -> Iterator[tuple[str, str]]:
    for key, option in spec.items():
        yield key, f"{at}{key}"
        yield from _every_key(option.get("options", {}), f"{at}{key}.")


def _unknown(key: str, spec: Spec, at: str) -> str:
    if not at and key in NOT_BUILT:
        return f"is reserved and not built yet: {NOT_BUILT[key]}"
    if SECRET_WORD.search(key):
        return "a secret has no place in django_apps: put it in django_app_secrets, under the app's name"
    close = difflib.get_close_matches(key, spec, n=1)
    # A key in the wrong place, such as `repo` beside `source`.
    elsewhere = [path for name, path in _every_key(SPEC) if name == key]
    guess = close or elsewhere[:1]
    meant = f"did you mean `{guess[0]}`? " if guess else ""
    return f"unknown key; {meant}Known here: {_keys(spec)}"


def _no_choice(text: str, choices: list[str]) -> str:
    close = difflib.get_close_matches(text, choices, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{shown(text)} is none of the choices; {meant}Choose from {', '.join(choices)}"


def shown(value: str) -> str:
    """A value in quotes, in one line, and not longer than helps."""
    return repr(str(value) if len(value) <= 80 else f"{value[:77]}...")
