# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From descriptions to records, or to everything that is wrong with them. Pure. PRIVATE to the collection."""

from __future__ import annotations

import difflib
import re
import typing as t
from collections.abc import Iterator, Mapping

from ansible_collections.groundcrew.django.plugins.module_utils import _app_rules as rules
from ansible_collections.groundcrew.django.plugins.module_utils._app_spec import SPEC, AppError, Problem, Walk, shown
from ansible_collections.groundcrew.django.plugins.module_utils._apps import BUILT_IN_SECRETS, Record, record
from ansible_collections.groundcrew.django.plugins.module_utils._environment import placeholder_values
from ansible_collections.groundcrew.django.plugins.module_utils._servers import SERVERS, named_interface, serving

Secrets = Mapping[str, t.Any]
_Placed = list[tuple[str, Record]]

# What `_environment.substitute` reads, and besides it a dollar sign that it would leave alone.
_PLACEHOLDER = re.compile(r"\$(?:(\$)|\{([^}]*)\})?")
# systemd takes no other control character in a variable than tab and line feed.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FOUR_LINES = '{name: shop, domains: [shop.example.com], source: {repo: "https://example.com/acme/shop.git"}}'


def app_records(apps: t.Any, secrets: t.Any = None) -> list[Record]:
    """The record of every app.

    :param apps: the value of ``django_apps``.
    :param secrets: the value of ``django_app_secrets``; without it, what it must hold is not checked.
    :raises AppError: with everything that is wrong.
    """
    walk = Walk(rules.RULES)
    placed: _Placed = []
    if not isinstance(apps, (list, tuple)):
        walk.refuse("django_apps", f"expected a list of apps, such as [{_FOUR_LINES}]")
        apps = []
    for number, app in enumerate(apps):
        path = f"django_apps[{number}]"
        if isinstance(app, Mapping):
            placed.append((path, _one(walk, app, path)))
        else:
            walk.refuse(path, f"expected an app, such as {_FOUR_LINES}")
    problems = walk.problems + list(_clashes(placed))
    if secrets is not None:
        described = {str(app.get("name")) for app in apps if isinstance(app, Mapping)}
        problems += _vault(placed, described, secrets)
    if problems:
        raise AppError(problems)
    return [found for _path, found in placed]


def app_problems(apps: t.Any, secrets: t.Any) -> list[str]:
    """Everything that is wrong with the descriptions, a line each; nothing described at all is wrong, too."""
    try:
        if not app_records(apps, secrets):
            return [f"django_apps: no app is described here; add one, such as {_FOUR_LINES}"]
    except AppError as error:
        return [str(problem) for problem in error.problems]
    return []


def _one(walk: Walk, app: Mapping[str, t.Any], path: str) -> Record:
    """Check one app on its own, and return its record, with stand-ins where something is wrong."""
    before = len(walk.problems)
    found = walk.options(SPEC, app, path)
    if app.get("domains") == []:
        walk.refuse(f"{path}.domains", "is empty: an app needs at least one host name")
    _source(walk, app, found["source"], path)
    _environment_values(walk, found, path)
    _locations(walk, app, path)
    if found["admin"]["allow"] and not found["admin"]["paths"]:
        walk.refuse(f"{path}.admin.allow", "keeps nobody from anything: name the admin's paths, or remove it")
    for check in (_databases, _redis, _files, _server, _workers, _schedules):
        check(walk, found, path)
    if not found["domains"]:
        found["domains"] = [""]
    made = record(found)
    # The names of placeholders follow from the rest, so they are only judged when the rest stands.
    if len(walk.problems) == before:
        _placeholders(walk, made, path)
    return made


def _source(walk: Walk, app: Mapping[str, t.Any], source: Mapping[str, t.Any], path: str) -> None:
    given = app.get("source")
    if not isinstance(given, Mapping):
        return
    kinds = [key for key in ("repo", "path") if given.get(key) is not None]
    if len(kinds) != 1:
        found = "both" if kinds else "neither"
        walk.refuse(
            f"{path}.source", f"needs exactly one of repo (a git repository) and path (a directory here), found {found}"
        )
        return
    others = ("include",) if kinds == ["repo"] else ("version", "key", "submodules")
    for key in others:
        if given.get(key):
            walk.refuse(f"{path}.source.{key}", f"has no meaning with source.{kinds[0]}: remove it")
    if source["key"] and (source["repo"] or "").startswith(("http:", "https:", "git:", "file:")):
        walk.refuse(f"{path}.source.key", "is a deploy key, which only ssh uses: give the repository's ssh address")


def _environment_values(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    """Turn the values into strings, in place."""
    for name, value in list(found["env"].items()):
        here = f"{path}.env.{name}"
        text = ""
        if value is None:
            walk.refuse(here, 'has no value: write "" for an empty one')
        elif isinstance(value, (str, bool, int)):
            text = str(value)
        elif isinstance(value, float) or hasattr(value, "isoformat"):
            walk.refuse(here, "is read by YAML as a number or date, which may lose some of it: put it in quotes")
        else:
            walk.refuse(here, "expected a string: put JSON and the like in quotes")
        control = _CONTROL.search(text)
        if control:
            walk.refuse(here, f"holds the control character {control.group()!r}, which no variable may have")
        if rules.secret_in_clear(name, text):
            secret = re.sub(r"[^a-z0-9_]", "", name.lower()).lstrip("_0123456789") or "secret"
            text = ""
            walk.refuse(
                here,
                f"looks like a secret in clear: move it to django_app_secrets.{found['name'] or '<name>'}.{secret},"
                f" and write ${{secret.{secret}}} in its place",
            )
        found["env"][name] = text
    module = found["env"].get("DJANGO_SETTINGS_MODULE")
    if module and found["settings"] and module != found["settings"]:
        walk.refuse(f"{path}.settings", "and env.DJANGO_SETTINGS_MODULE name different modules: set only one")


def _databases(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    described = {f"databases.{alias}": further for alias, further in found["databases"].items()}
    if found["database"] is not False:
        described["database"] = found["database"]
    for key, database in described.items():
        if database["user"] and not database["host"] and database["user"] != found["name"]:
            walk.refuse(
                f"{path}.{key}.user",
                "has no meaning without host: the server's own PostgreSQL knows the app by its system user",
            )
        if database["host"] and database["extensions"]:
            walk.refuse(
                f"{path}.{key}.extensions", "are only made on this server, and host names another: create them there"
            )


def _redis(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    if found["redis"] and not found["redis"]["cache"] and not found["redis"]["queue"]:
        walk.refuse(f"{path}.redis", "has neither cache nor queue: set one of them to true, or remove redis")


def _server(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    described = found["server"]
    kind, entry, wanted = described["kind"], described["entry"] or "", described["workers"]
    server = SERVERS.get(kind)
    if not server:
        return
    told = named_interface(entry)
    if told and told not in server.interfaces:
        walk.refuse(
            f"{path}.server.entry",
            f"{shown(entry)} is {told.upper()} by its name, and {kind} serves {server.interfaces[0].upper()} only: "
            f"name another, or choose the kind from {', '.join(serving(told))}",
        )
    if server.alone and (wanted or 1) > 1:
        others = [other for other in serving(server.interfaces[0]) if not SERVERS[other].alone]
        walk.refuse(
            f"{path}.server.workers",
            f"is {wanted}, but {kind} is one process and no more: remove it, or choose the kind from "
            f"{', '.join(others)}",
        )


# What only some kinds of workers take: where else it belongs.
_OF_KINDS = {
    "app": (("celery", "celery-beat"), "only Celery has an app: remove it"),
    "queues": (("celery", "rq", "django-tasks"), "has no meaning for this kind: remove it"),
    "concurrency": (("celery",), "is Celery's: set `count` to have several of these"),
    "arguments": (("celery", "celery-beat", "rq", "django-tasks"), "belong to `command` itself: write them there"),
    "command": (("command",), "has no meaning for this kind: leave out `kind`, or the command"),
    "single": (
        ("command",),
        "is for commands: a beat is so by itself, and other workers share their queues",
    ),
}


def _workers(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    """Fill in the kinds and names that follow from the rest, in place."""
    seen: set[str] = set()
    beats = 0
    for number, worker in enumerate(found["workers"]):
        here = f"{path}.workers[{number}]"
        if not worker["kind"]:
            if worker["command"]:
                worker["kind"] = "command"
            elif not any(problem.path.startswith(here) for problem in walk.problems):
                walk.refuse(here, "needs a kind, such as celery or rq, or a command of its own")
        kind = worker["kind"]
        if kind == "command" and not worker["command"]:
            walk.refuse(
                f"{here}.command", "is missing: kind command runs what it says, such as python manage.py qcluster"
            )
        if not worker["name"] and kind == "command":
            walk.refuse(f"{here}.name", "is missing: a command of your own needs a name, which its unit gets")
        worker["name"] = worker["name"] or kind or ""
        for key, (kinds, cure) in _OF_KINDS.items():
            if kind and worker[key] and kind not in kinds:
                walk.refuse(f"{here}.{key}", cure)
        if worker["single"] and worker["count"] > 1:
            walk.refuse(f"{here}.count", f"is {worker['count']}, and single means one: remove one of the two")
        if kind == "celery" and any(re.fullmatch(r"-E*B.*|--beat", word) for word in worker["arguments"]):
            walk.refuse(f"{here}.arguments", "start a beat within each worker: describe one of kind celery-beat")
        if kind == "command" and {"celery", "beat"} <= set((worker["command"] or "").split()):
            walk.refuse(f"{here}.command", "is a Celery beat: write kind: celery-beat, of which one runs")
        if kind == "celery-beat":
            beats += 1
            if beats > 1 or worker["count"] > 1:
                walk.refuse(here, "is a second Celery beat, and every task would be sent twice: keep one, with count 1")
        if worker["name"] and worker["name"] in seen:
            walk.refuse(f"{here}.name", f"{shown(worker['name'])} is the name of another worker: choose another")
        seen.add(worker["name"])


def _schedules(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    seen: set[str] = set()
    for number, schedule in enumerate(found["schedules"]):
        if schedule["name"] and schedule["name"] in seen:
            walk.refuse(f"{path}.schedules[{number}].name", f"{shown(schedule['name'])} is there twice: choose another")
        seen.add(schedule["name"])


def _files(walk: Walk, found: dict[str, t.Any], path: str) -> None:
    shared: list[str] = []
    for place in found["shared_paths"]:
        clean = _clean(place)
        clash = next((other for other in shared if _within(clean, other) or _within(other, clean)), None)
        if clash:
            walk.refuse(f"{path}.shared_paths", f"{shown(place)} and {shown(clash)} overlap: keep the outer one")
        shared.append(clean)
    for place in found["sandbox"]["writable_paths"]:
        if _within(_clean(place), f"/srv/{found['name']}"):
            walk.refuse(
                f"{path}.sandbox.writable_paths",
                f"{shown(place)} is the app's own: what is to outlive a release belongs into `shared_paths`",
            )
    seen: set[str] = set()
    for number, file in enumerate(found["files"]):
        clean = _clean(file["dest"])
        here = f"{path}.files[{number}].dest"
        if clean and clean in seen:
            walk.refuse(here, f"{shown(file['dest'])} is written by another entry already")
        if clean and any(_within(clean, place) for place in shared):
            walk.refuse(here, f"{shown(file['dest'])} is in a shared path, which no release may change: move it")
        seen.add(clean)


def _clean(path: str) -> str:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def _within(path: str, directory: str) -> bool:
    return path == directory or path.startswith(f"{directory}/")


def _locations(walk: Walk, app: Mapping[str, t.Any], path: str) -> None:
    described = app.get("locations")
    seen: set[t.Any] = set()
    for number, location in enumerate(described if isinstance(described, list) else []):
        place = location.get("path") if isinstance(location, Mapping) else None
        if not isinstance(place, str):
            continue
        here = f"{path}.locations[{number}]"
        if place in seen:
            walk.refuse(here, f"{shown(place)} is described twice")
        if (location.get("rate") is None) == (location.get("redirect") is None):
            walk.refuse(here, "needs exactly one of rate and redirect")
        seen.add(place)


def _placeholders(walk: Walk, made: Record, path: str) -> None:
    usable = {*made["secrets"], *made["given_secrets"], *BUILT_IN_SECRETS}
    if not made["redis"]:
        usable.discard("redis_password")
    values = placeholder_values(made, dict.fromkeys(usable, ""), "")
    known = ["secret.<name>", "secret_file.<name>", *sorted(name for name in values if not name.startswith("secret."))]
    for variable, text in made["env"].items():
        here = f"{path}.env.{variable}"
        for match in _PLACEHOLDER.finditer(text):
            literal, name = match.groups()
            if literal or name in values:
                continue
            if name is None:
                walk.refuse(
                    here, "has a single $: write $$ for a dollar sign, or ${...} for a value of the app's record"
                )
            elif name.startswith("secret_file."):
                if text != match.group(0):
                    walk.refuse(here, f"{match.group(0)} is the path of a file, and stands by itself")
                elif name.removeprefix("secret_file.") not in usable:
                    walk.refuse(here, f"{match.group(0)} {rules.secret_name(name.removeprefix('secret_file.'))}")
            elif name.startswith("secret."):
                wrong = (
                    "needs redis"
                    if name == "secret.redis_password"
                    else rules.secret_name(name.removeprefix("secret."))
                )
                walk.refuse(here, f"${{{name}}} {wrong}")
            else:
                close = difflib.get_close_matches(name, known, n=1)
                meant = f"did you mean ${{{close[0]}}}? " if close else ""
                walk.refuse(
                    here,
                    f"${{{name}}} names nothing that this app has; {meant}Known: {', '.join(known)}",
                )


def _clashes(placed: _Placed) -> Iterator[Problem]:
    """What two apps, or two places in one, must not share."""
    owners: dict[tuple[str, str], str] = {}

    def claim(what: str, value: str | None, path: str, cure: str) -> Iterator[Problem]:
        if value:
            first = owners.setdefault((what, value), path)
            if first != path:
                yield Problem(path, f"{shown(value)} is {what} of {first} already: {cure}")

    for path, app in placed:
        for key in ("domains", "redirect_domains"):
            for number, host in enumerate(app[key]):
                yield from claim("a host name", host, f"{path}.{key}[{number}]", "name it once")
        for key in ("static_domain", "media_domain"):
            yield from claim("a host name", app[key], f"{path}.{key}", "name it once")
        for number, file in enumerate(app["files"]):
            if file["dest"].startswith("/"):
                yield from claim(
                    "a file", _clean(file["dest"]), f"{path}.files[{number}].dest", "write it from one app"
                )
        twice = list(claim("the name", app["name"], f"{path}.name", "every app needs one of its own"))
        yield from twice
        # What follows from a name that clashes clashes, too.
        if app["name"] and not twice:
            for key, database in _every_database(app):
                if database["local"]:
                    yield from claim("the database", database["name"], f"{path}.{key}", "set another name")
            if app["redis"]:
                found = str(app["redis"]["database"])
                yield from claim("the number", found, f"{path}.redis.database", "set another, from 1 to 1023")


def _every_database(app: Record) -> Iterator[tuple[str, dict[str, t.Any]]]:
    if app["database"]:
        yield "database", app["database"]
    for alias, database in app["databases"].items():
        yield f"databases.{alias}", database


def _vault(placed: _Placed, described: set[str], secrets: t.Any) -> Iterator[Problem]:
    """What is wrong between the apps and their secrets; never shows a value.

    :param described: the names as they stand in the descriptions, those that cannot be used included.
    """
    top = "django_app_secrets"
    if not isinstance(secrets, Mapping):
        yield Problem(top, "expected a mapping from an app's name to its secrets")
        return
    apps = {app["name"]: app for _path, app in placed if app["name"]}
    for name, given in secrets.items():
        path = f"{top}.{name}"
        if name not in described:
            close = difflib.get_close_matches(str(name), described, n=1)
            yield Problem(path, "no app has this name" + (f"; did you mean {close[0]}?" if close else ""))
        elif not isinstance(given, (Mapping, type(None))):
            yield Problem(path, "expected a mapping from a secret's name to its value")
        elif name in apps:
            yield from _given(path, given or {}, apps[name])
    for path, app in placed:
        given = secrets.get(app["name"])
        have = given if isinstance(given, Mapping) else {}
        for secret in app["given_secrets"]:
            if app["name"] and have.get(secret) is None and not _covered(secret, have):
                yield Problem(path, _missing(secret, app))


def _covered(secret: str, have: Mapping[str, t.Any]) -> bool:
    """One password may serve all of an app's databases."""
    return secret.startswith("database_password_") and "database_password" in have


def _missing(secret: str, app: Record) -> str:
    for_what = "used as ${secret." + secret + "} in env"
    cure = f", or let the server generate it: secrets: {{{secret}: {{generate: 64}}}}"
    if secret.startswith("database_password"):
        for_what, cure = "needed to reach a database elsewhere", ""
    elif secret == app["source"]["key"]:
        for_what, cure = "the deploy key that source.key names", ""
    place = f"django_app_secrets.{app['name']}.{secret}"
    return f"the secret {secret} is missing ({for_what}): give it as {place}{cure}"


def _given(path: str, given: Mapping[t.Any, t.Any], app: Record) -> Iterator[Problem]:
    # A template of `files` may use any name, so a foreign one is only wrong when it looks like a misspelling.
    known = {*app["secrets"], *app["given_secrets"], *BUILT_IN_SECRETS, "database_password"}
    for name, value in given.items():
        here = f"{path}.{name}"
        close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.85)
        if not rules.SECRET_NAME.fullmatch(str(name)):
            yield Problem(here, rules.secret_name(str(name)))
        elif name not in known and close:
            yield Problem(here, f"nothing uses this name; did you mean {close[0]}?")
        elif not isinstance(value, str):
            yield Problem(here, "expected a string (its value is not shown): put it in quotes")
        elif not value:
            yield Problem(here, "is empty: give the value, or remove the line")
        elif name == "secret_key" and len(value) < 50:
            yield Problem(
                here, "has less than the 50 characters that Django asks for: remove it, and the server makes one"
            )
