# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges whether settings are fit for production, and says what to change. Pure. PRIVATE to the collection."""

from __future__ import annotations

import dataclasses
import os.path
import re
import typing as t
from collections.abc import Iterator, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._overlay import (
    SQLITE,
    agrees,
    covers,
    matches_record,
    within,
)
from ansible_collections.groundcrew.django.plugins.module_utils._settings_choice import Choice, looks_like_production
from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import Setting

_STAGES = {
    "manage": "manage.py failed before the settings {} were loaded",
    "settings": "The settings {} did not load",
    "setup": "Django did not start with the settings {}",
    "urls": "The project's URLs did not load with the settings {}",
    "checks": "Django's system checks did not run with the settings {}",
}
# Modules that Python has dropped, with the last version that has them.
_LEFT_PYTHON = {
    **dict.fromkeys(("asynchat", "asyncore", "distutils", "imp", "smtpd"), "3.11"),
    **dict.fromkeys(("cgi", "cgitb", "crypt", "imghdr", "pipes", "sndhdr", "telnetlib", "uu", "xdrlib"), "3.12"),
}
# What provides a module that a new environment has no more, though old projects take it for granted.
_PROVIDERS = {"pkg_resources": "setuptools<81"}
# How many names of variables a message holds at most.
_MOST_NAMES = 12


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing that has to change before the release may go live."""

    message: str
    cure: str


def explain_failure(report: Mapping[str, t.Any], module: str, code: str, demanded: Sequence[str] = ()) -> ReleaseError:
    """What to tell the operator when the settings did not load, or Django did not start with them.

    :param code: directory of the release's code.
    :param demanded: variables without which the file that failed would fail again further on.
    """
    error = report["error"]
    frames = error["frames"]
    said = error["message"].strip().splitlines()
    where = f" ({frames[-1]['path']}:{frames[-1]['line']})" if frames else ""
    message = (
        f"{_STAGES[report['stage']].format(module)}: {error['type']}: {said[0] if said else 'no reason given'}{where}"
    )
    trace = "\n".join([error["message"], *(f"{frame['path']}:{frame['line']}" for frame in frames)])
    return ReleaseError(f"{message}.", _cure_failure(report, code, demanded), trace)


def _cure_failure(report: Mapping[str, t.Any], code: str, demanded: Sequence[str]) -> str:
    error = report["error"]
    reads = [read for read in report["reads"] if not read["set"]]
    unset = list(dict.fromkeys(read["name"] for read in reads if read["own"]))
    last = error["frames"][-1] if error["frames"] else {}
    named = [read["name"] for read in reads if re.search(rf"\b{re.escape(read['name'])}\b", error["message"])]
    here = [
        read["name"]
        for read in reads
        if read["own"] and (read["path"], read["line"]) == (last.get("path"), last.get("line"))
    ]
    wanted = list(dict.fromkeys(named or here))
    path = _cure_path(report, code)
    if path:
        return path
    if report["stage"] in ("manage", "settings") and wanted:
        wanted = list(dict.fromkeys([*wanted, *demanded]))
        others = [name for name in unset if name not in wanted][:_MOST_NAMES]
        more = f" (looked up as well, and not set: {', '.join(others)})" if others else ""
        return "set `env: {" + ", ".join(f"{name}: ..." for name in wanted) + "}`" + more
    other = _cure_import(report)
    if other:
        return other
    if report["stage"] in ("manage", "settings") and unset:
        return f"set what is needed by `env`; looked up and not set: {', '.join(unset[:_MOST_NAMES])}"
    return "repair the project, or choose other `settings`"


def _cure_import(report: Mapping[str, t.Any]) -> str:
    """The cure when something is not there to be imported; empty for other failures."""
    error = report["error"]
    # "cannot import name 'ugettext_lazy' from 'django.utils.translation' (/srv/…/site-packages/…)"
    name = re.search(r"cannot import name .* from '([^']+)' \(\S*/site-packages/", error["message"])
    if re.search(r"cannot import name .* \(\S*/python3\.\d+/\w+\.py\)", error["message"]):
        return "this Python is too new for what is installed: set `python` to an older one, or lock newer packages"
    module = name[1] if name else error["module"]
    if not module:
        return ""
    package = module.partition(".")[0]
    if module in _LEFT_PYTHON:
        return f'{module} is no part of Python any more: set `python: "{_LEFT_PYTHON[module]}"`, the last that has it'
    if name or (module != package and package not in {known.partition(".")[0] for known in report["files"]}):
        return (
            f"the installed {package} is not the one that the project was written for: lock it, or name the version, "
            f'or the further package, that it means by `dependencies: {{packages: ["{package}<..."]}}`'
        )
    provider = _PROVIDERS.get(package, f"what provides {module}")
    return (
        f"add {provider} to the project's requirements or to `dependencies.packages`, name the extra or group that "
        "brings it (`dependencies.extras`, `dependencies.groups`), or choose other `settings`"
    )


def _cure_path(report: Mapping[str, t.Any], code: str) -> str:
    """The cure when the project does not find, or may not write, something in its code; empty for other failures."""
    message = report["error"]["message"]
    # "[Errno 30] Read-only file system: '/srv/shop/releases/1/code/data'"
    found = re.search(r"^\[Errno (2|13|30)\] .*?: b?'([^']+)'", message)
    if "Unable to configure handler" in message:
        paths = report["settings"].get("log_files", ())
    elif not found or not within(found[2], code):
        return ""
    elif found[1] == "2":
        return f"the code has no {os.path.relpath(found[2], code)}: place it by `files`"
    else:
        paths = [found[2]]
    directories = dict.fromkeys(_directory(path, code) for path in paths if within(path, code))
    for directory in directories:
        # What is shared does not change with a release any more.
        if any(within(file, directory) for file in report["files"].values()):
            return (
                f"an app may not write its own code, and {directory} holds some: have the settings name another place, "
                "by a file of your own in `files` or by `env`; `${paths.data}` is the app's"
            )
    return (
        "an app may not write its own code: log to standard error, or keep what it writes by "
        f"`shared_paths: [{', '.join(directories) or '...'}]`"
    )


def _directory(path: str, code: str) -> str:
    """The directory of a file, or a directory itself, as ``shared_paths`` names it."""
    relative = os.path.relpath(path, code)
    return (os.path.dirname(relative) or "logs") if os.path.splitext(relative)[1] else relative


class _Judge:
    """The values that a release would run with, beside where each comes from."""

    def __init__(
        self,
        found: Mapping[str, t.Any],
        settings: Mapping[str, Setting],
        record: Mapping[str, t.Any],
        supplied: Mapping[str, str],
        code: str,
    ) -> None:
        self.found = found
        self.settings = settings
        self.record = record
        self.supplied = supplied
        self.release = os.path.dirname(code)
        self.code = code
        self.kept = [os.path.join(code, path) for path in record["shared_paths"]]

    def at(self, name: str) -> str:
        """``SECRET_KEY (mysite/settings.py:23)``."""
        where = self.settings[name].where
        return f"{name} ({where})" if where else name

    def free(self, name: str, value: str) -> dict[str, str]:
        """The variable that decides a setting, with the value to give it; none when it is set already."""
        return {variable: value for variable in self.settings[name].variables[:1] if variable not in self.supplied}

    def change(self, name: str, values: Mapping[str, str], how: str = "") -> str:
        """How to change a value: by the variables it reads, else at its line."""
        setting = self.settings[name]
        if values:
            variables = ", ".join(f'{variable}: "{value}"' for variable, value in values.items())
            return f"set `env: {{{variables}}}`, which {setting.where} reads"
        unseen = setting.kind == "absent" and name in self.found["set"]
        if unseen or (setting.kind == "literal" and not agrees(setting, self.found)):
            return (
                "other code than these settings show decides here, such as a local_settings.py that they run: "
                "place one for this server by `files`"
            )
        if setting.where:
            reads = f" (it looks up {', '.join(setting.variables[:_MOST_NAMES])})" if setting.variables else ""
            return f"change {setting.where}{how}{reads}, or choose other `settings`"
        return f"set {setting.name} in the project's settings{how}"

    def debug(self, choice: Choice) -> Iterator[Problem]:
        """DEBUG must be off."""
        if not self.found["DEBUG"]:
            return
        setting = self.settings["DEBUG"]
        cure = self.change("DEBUG", self.free("DEBUG", setting.off))
        if setting.variables and not self.free("DEBUG", ""):
            name = setting.variables[0]
            held = f"{name}={self.supplied[name]!r}"
            cure = f'{setting.where} takes {held} for true: repair it, or set `env: {{{name}: ""}}`'
        others = [name for name in choice.candidates if looks_like_production(name)]
        if choice.by == "manage.py" and others:
            cure += f"; or name settings made for production: `settings: {others[0]}`"
        yield Problem(f"{self.at('DEBUG')} stays on", cure)

    def secret_key(self, same: bool) -> Iterator[Problem]:
        """SECRET_KEY must be a secret, and the same in every process."""
        key = self.found["SECRET_KEY"]
        if same and key["length"] and not key["insecure"]:
            return
        setting = self.settings["SECRET_KEY"]
        values = self.free("SECRET_KEY", "${secret.secret_key}")
        cure = self.change("SECRET_KEY", values, " so that it reads SECRET_KEY from the environment")
        if not same:
            why = "it is made at random when they are imported" if setting.random else "two processes do not agree"
            message = f"differs each time the settings are loaded: {why}, and sessions would end with each process"
        else:
            message = "is the one that startproject made for development" if key["length"] else "is empty"
        yield Problem(f"{self.at('SECRET_KEY')} {message}", cure)

    def hosts(self) -> Iterator[Problem]:
        """ALLOWED_HOSTS must hold every domain of the app."""
        domains = self.record["domains"]
        missing = [domain for domain in domains if not covers(self.found["ALLOWED_HOSTS"], domain)]
        if missing:
            cure = self.change("ALLOWED_HOSTS", self.free("ALLOWED_HOSTS", ",".join(domains)))
            message = f"{self.at('ALLOWED_HOSTS')} is {self.found['ALLOWED_HOSTS']}, without {', '.join(missing)}"
            yield Problem(message, cure)

    def databases(self) -> Iterator[Problem]:
        """Every database must outlive a release; those of the record must be the ones that are used."""
        described = {"default": self.record["database"], **self.record["databases"]}
        for alias, one in self.found["DATABASES"].items():
            wanted = described.get(alias)
            place = "database" if alias == "default" else f"databases.{alias}"
            label = f"{self.at('DATABASES')}: {alias!r} is"
            cure = self.change("DATABASES", self.by_key(place, one["engine"], wanted), " to read DATABASE_URL")
            if SQLITE in one["engine"]:
                lost = within(one["name"], self.release) and not any(within(one["name"], path) for path in self.kept)
                if lost and not wanted:
                    cure = "keep its directory by `shared_paths`, where the app may write and no release ends"
                if lost or wanted:
                    why = "lost with the release" if lost else "not the PostgreSQL database that the app was given"
                    yield Problem(f"{label} the SQLite file {one['name']}, {why}", cure)
            elif wanted and not matches_record(one, wanted):
                host, own = one["host"] or "the local socket", wanted["host"] or "the local socket"
                yield Problem(
                    f"{label} {one['engine'].rpartition('.')[2]} {one['name']!r} at {host}, "
                    f"and the app's description says PostgreSQL {wanted['name']!r} at {own}",
                    f"{cure}; or describe that database: `{place}: {{host: ..., name: ...}}`",
                )

    def by_key(self, place: str, engine: str, wanted: Mapping[str, t.Any] | None) -> dict[str, str]:
        """``{"DB_HOST": "${database.host}"}`` for the variables that the databases' dictionary reads."""
        setting = self.settings["DATABASES"]
        kind = {}
        if "postg" not in engine and "ENGINE" in setting.keys:
            variable = setting.keys["ENGINE"][0]
            kind = {variable: "django.db.backends.postgresql" if variable.endswith("ENGINE") else "postgresql"}
        # The local socket asks for no password, and every library knows its port.
        parts = ("NAME", "USER", "HOST") if wanted and wanted["local"] else ("NAME", "USER", "PASSWORD", "HOST", "PORT")
        keys = [key for key in parts if key in setting.keys]
        values = {setting.keys[key][0]: f"${{{place}.{key.lower()}}}" for key in keys}
        urls = {name: f"${{{place}.url}}" for name in setting.variables if name.endswith("URL")}
        if "postg" not in engine and not kind:
            # Names and hosts alone do not make PostgreSQL of it.
            values = {}
        return {name: value for name, value in ({**kind, **values} or urls).items() if name not in self.supplied}

    def static(self) -> Iterator[Problem]:
        """STATIC_ROOT must be set, and in the release."""
        root = self.found["STATIC_ROOT"]
        shared = any(within(root, path) for path in self.kept)
        if "django.contrib.staticfiles" not in self.found["INSTALLED_APPS"] or (
            within(root, self.release) and not shared
        ):
            return
        place = "in a shared path" if shared else "outside the release"
        message = f"is {root}, {place}" if root else "is not set, so static files cannot be collected"
        cure = self.change("STATIC_ROOT", self.free("STATIC_ROOT", self.supplied.get("STATIC_ROOT", "")))
        yield Problem(f"{self.at('STATIC_ROOT')} {message}", cure)

    def warnings(self) -> Iterator[str]:
        """What works and should be known."""
        if "*" in self.found["ALLOWED_HOSTS"]:
            yield f"{self.at('ALLOWED_HOSTS')} allows every host; nginx drops unknown ones all the same."
        if self.found["compresses_late"]:
            yield (
                "django-compressor writes static files while it answers, which the app may not: pages that use it will "
                "fail until COMPRESS_OFFLINE is True in the settings and the description has "
                "`commands: {static: [python manage.py compress]}`."
            )
        for path in self.found["log_files"]:
            if within(path, self.code) and not any(within(path, one) for one in self.kept):
                yield (
                    f"LOGGING writes to {path}, where the app may not write while it serves: "
                    f"log to standard error, or keep the directory by `shared_paths: [{_directory(path, self.code)}]`."
                )


def judge_settings(
    found: Mapping[str, t.Any],
    settings: Mapping[str, Setting],
    record: Mapping[str, t.Any],
    choice: Choice,
    supplied: Mapping[str, str],
    *,
    code: str,
    same_key: bool,
) -> list[str]:
    """Judge the values that the release would run with, what is laid over included.

    :param found: ``settings`` of the probe's report.
    :param settings: where each value comes from.
    :param supplied: the app's composed environment.
    :param same_key: whether two processes saw the same SECRET_KEY.
    :returns: warnings.
    :raises ReleaseError: with everything that is unfit for production, all at once.
    """
    judge = _Judge(found, settings, record, supplied, code)
    problems = [
        *judge.debug(choice),
        *judge.secret_key(same_key),
        *judge.hosts(),
        *judge.databases(),
        *judge.static(),
    ]
    if not problems:
        return list(judge.warnings())
    never = record["production_settings"] == "never" and any(settings[name].fixed for name in settings)
    hint = ["let groundcrew lay production values over: `production_settings: auto`"] if never else []
    cures = list(dict.fromkeys([*(problem.cure for problem in problems), *hint]))
    if len(problems) == 1:
        raise ReleaseError(f"In the settings {choice.module}, {problems[0].message}.", "; or ".join(cures))
    raise ReleaseError(
        "\n* ".join([f"The settings {choice.module} are not fit for production:", *(one.message for one in problems)]),
        "\n* ".join(["", *cures]),
    )
