# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what a project's settings mean for its release. PRIVATE to the collection: may change at any time.

:func:`examine` is the whole of it: it loads the settings as the project has them, lays production values over, loads
the result in a second process, and judges that. Everything else here is pure.
"""

from __future__ import annotations

import dataclasses
import os.path
import re
import typing as t
import urllib.parse
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._overlay import (
    MODULE,
    SQLITE,
    Laid,
    covers,
    matches_record,
    plan_overlay,
    render_overlay,
    within,
)
from ansible_collections.groundcrew.django.plugins.module_utils._probe import probe
from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import (
    Setting,
    Source,
    classify,
    read_manage,
    star_imports,
)

if t.TYPE_CHECKING:
    from ansible_collections.groundcrew.django.plugins.module_utils._runner import Runner

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
# Files beside settings that are no settings to choose.
_PARTS = {"base", "common", "default", "defaults", "shared", "local_settings", "__init__"}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A settings module, and who chose it: ``key``, ``environment`` or ``manage.py``."""

    module: str
    by: str
    candidates: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Static:
    """Where static files are, and where they are asked for.

    :param collect: whether ``collectstatic`` exists in this project.
    :param root: absolute directory that collectstatic fills; empty with ``collect`` off.
    :param url_path: ``/static/``; none when nginx is not asked for them (another host, or no path of their own).
    """

    collect: bool
    root: str
    url_path: str | None


@dataclasses.dataclass(frozen=True)
class Media:
    """Where uploads are, and who serves them.

    :param kind: ``public`` (nginx), ``app``, ``internal`` (nginx, on the app's word) or ``none``.
    :param url_path: ``/media/``; set for ``public`` and ``internal``.
    :param root: absolute directory that holds the files for good; empty when the project has none.
    :param link: a directory inside the code that has to become a link to ``root``; empty when nothing is to be linked.
    """

    kind: str
    url_path: str | None
    root: str
    link: str


@dataclasses.dataclass(frozen=True)
class ProjectSettings:
    """What a release needs to know of its project's settings.

    :param module: DJANGO_SETTINGS_MODULE of the release: ``groundcrew_settings`` when anything is laid over.
    :param project_module: the project's own settings module.
    :param overlay: text of ``groundcrew_settings.py``; empty when nothing is laid over.
    :param laid: one ``{name, was, now, why, where}`` per laid-over name; safe to show.
    :param kind: ``gunicorn`` or ``uvicorn``.
    :param entry: ``package.wsgi:application``.
    :param health_resolves: whether a URL pattern takes the health path; a startproject has none for ``/``.
    :param proxy_ssl_header: header and value of SECURE_PROXY_SSL_HEADER (``["HTTP_X_SCHEME", "https"]``), or none.
    :param checks: messages of the deployment checks, for :func:`_checks.judge`.
    :param warnings: sentences for the operator.
    """

    module: str
    project_module: str
    configuration: str
    overlay: str
    laid: list[dict[str, str]]
    django: str
    python: str
    kind: str
    entry: str
    static: Static
    media: Media
    health_resolves: bool
    proxy_ssl_header: list[str] | None
    checks: list[dict[str, t.Any]]
    warnings: list[str]


# --- which settings --------------------------------------------------------------------------------------------------


def looks_like_development(module: str) -> bool:
    """Whether a settings module is named for a developer's machine; the project's own name (its first part) says nothing."""
    parts = module.split(".")
    words = {word for part in parts[1:] or parts for word in re.split(r"[^a-z]+", part.lower())}
    return bool(words & _DEVELOPMENT)


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


def choose_settings(wanted: str, environment: Mapping[str, str], manage_py: str, files: Sequence[str]) -> Choice:
    """Choose the settings module: the app's key, else its environment, else manage.py's default.

    :param wanted: the key ``settings``; empty for none.
    :param environment: the app's composed environment.
    :param manage_py: the text of manage.py.
    :param files: paths relative to the directory of manage.py.
    :raises ReleaseError: when none is named, when the default looks like development, or when manage.py overrules the choice.
    """
    manage = read_manage(manage_py)
    named = wanted or environment.get("DJANGO_SETTINGS_MODULE", "")
    if named:
        if manage.forced and manage.default != named:
            raise ReleaseError(
                f"manage.py sets DJANGO_SETTINGS_MODULE to {manage.default} whatever the environment says, so {named} would never be used.",
                'write os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...) in manage.py',
            )
        return Choice(named, "key" if wanted else "environment", tuple(settings_candidates(files, named)))
    if not manage.default:
        found = [".".join(path.removesuffix(".py").split("/")) for path in files if path.endswith("settings.py")]
        raise ReleaseError(
            "manage.py does not say which settings it uses.",
            f"name them: `settings: {found[0] if found else 'package.settings'}`",
        )
    candidates = settings_candidates(files, manage.default)
    if looks_like_development(manage.default):
        raise ReleaseError(
            f"manage.py's own settings, {manage.default}, look like those of a developer's machine.",
            _choose_one_of(candidates, manage.default),
        )
    return Choice(manage.default, "manage.py", tuple(candidates))


def _choose_one_of(candidates: Sequence[str], default: str) -> str:
    others = [one for one in candidates if not looks_like_development(one)]
    if not others:
        return f"name the settings to use: `settings: ...` (no others were found beside {default}; `settings: {default}` takes these)"
    return f"name the settings to use: `settings: {others[0]}`" + (
        f" (found: {', '.join(others)})" if len(others) > 1 else ""
    )


# --- static files and uploads ----------------------------------------------------------------------------------------


def url_path(url: str, domains: Sequence[str], own_domain: str | None = None) -> str | None:
    """The path of STATIC_URL or MEDIA_URL on one of the app's domains; none when nginx cannot serve it by a prefix.

    :param own_domain: a domain that serves nothing else (``static_domain``), where even ``/`` is a prefix.
    """
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "").lower()
    if host and host not in [*domains, own_domain]:
        return None
    if host and parts.scheme not in ("", "https", "http"):
        return None
    path = "/" + parts.path.strip("/") + "/" if parts.path.strip("/") else "/"
    if ".." in path.split("/") or (path == "/" and not (host and host == own_domain)):
        return None
    return path


def decide_static(found: Mapping[str, t.Any], record: Mapping[str, t.Any]) -> Static:
    """What collectstatic does and where nginx finds its files."""
    if "django.contrib.staticfiles" not in found["INSTALLED_APPS"] or not found["STATIC_ROOT"]:
        return Static(False, "", None)
    path = url_path(found["STATIC_URL"], record["domains"], record["static_domain"])
    return Static(True, found["STATIC_ROOT"], path)


def decide_media(
    report: Mapping[str, t.Any], record: Mapping[str, t.Any], *, code: str, cwd: str
) -> tuple[Media, list[str]]:
    """Who serves uploads, and where they are kept; with warnings.

    :param code: directory of the release's code.
    :param cwd: directory of manage.py.
    """
    found, urls = report["settings"], report["urls"]
    warnings: list[str] = []
    root, link = found["MEDIA_ROOT"], ""
    shared = record["paths"]["media"]
    kept = next((path for path in record["shared_paths"] if within(root, os.path.join(code, path))), "")
    if root == shared or not root:
        pass
    elif kept:
        root = os.path.normpath(
            os.path.join(record["paths"]["data"], kept, os.path.relpath(root, os.path.join(code, kept)))
        )
    elif within(root, code) and not within(cwd, root):
        root, link = shared, root
    elif within(root, code):
        warnings.append(f"MEDIA_ROOT is the directory of the code itself ({root}): uploads cannot be kept there.")
        root = ""
    else:
        warnings.append(
            f"MEDIA_ROOT is {root}, which the app may not write unless the server's administrator allows it."
        )
    path = url_path(found["MEDIA_URL"], record["domains"], record["media_domain"])
    wanted = record["media"]
    if wanted in ("public", "internal"):
        if not path or not root:
            raise ReleaseError(
                f"`media: {wanted}` needs a MEDIA_URL with a path of its own and a MEDIA_ROOT; the settings have {found['MEDIA_URL']!r} and {found['MEDIA_ROOT']!r}.",
                "set both in the project's settings, or use `media: app`",
            )
        return Media(wanted, path, root, link), warnings
    local = "FileSystemStorage" in found["FILES"]
    if wanted == "none" or not root or not local:
        return Media("none", None, root, link), warnings
    served_by_app = (
        wanted == "app" or path is None or urls["media"] == "view" or not within(root, record["paths"]["shared"])
    )
    if wanted == "auto" and urls["media"] == "view":
        warnings.append(f"Uploads are served by the app: {urls['media_view']} answers at {found['MEDIA_URL']}.")
    return (Media("app", None, root, link) if served_by_app else Media("public", path, root, link)), warnings


# --- the app server --------------------------------------------------------------------------------------------------


def choose_server(found: Mapping[str, t.Any], server: Mapping[str, t.Any]) -> tuple[str, str]:
    """Kind and entry of the app server: what the app's ``server`` says, else what the project offers.

    Both files exist since startproject writes both, so ASGI is meant only by who says so in the settings.
    """
    kind, entry = server["kind"], server["entry"]
    if kind == "auto" and entry:
        kind = "uvicorn" if "asgi" in entry.lower() else "gunicorn"
    elif kind == "auto":
        asked = found["ASGI_APPLICATION"] or {"channels", "daphne"} & set(found["INSTALLED_APPS"])
        kind = "uvicorn" if found["asgi"] and (asked or not found["wsgi"]) else "gunicorn"
    entry = entry or found["asgi" if kind == "uvicorn" else "wsgi"]
    if not entry:
        setting = "ASGI_APPLICATION" if kind == "uvicorn" else "WSGI_APPLICATION"
        raise ReleaseError(
            f"The project has no application for {kind}: {setting} names none and no such module stands beside {found['ROOT_URLCONF'] or 'the URLs'}.",
            f'name it: `server: {{kind: {kind}, entry: "package.module:application"}}`',
        )
    return kind, entry if ":" in entry else f"{entry}:application"


# --- judging ---------------------------------------------------------------------------------------------------------


def explain_failure(report: Mapping[str, t.Any], module: str) -> ReleaseError:
    """What to tell the operator when the settings did not load or Django did not start with them."""
    error = report["error"]
    frames = error["frames"]
    where = f" ({frames[-1]['path']}:{frames[-1]['line']})" if frames else ""
    what = {
        "manage": "manage.py failed before the settings were loaded",
        "settings": f"the settings {module} did not load",
        "setup": f"Django did not start with the settings {module}",
        "urls": "the project's URLs did not load",
        "checks": "Django's system checks failed to run",
    }[report["stage"]]
    message = f"{what[0].upper()}{what[1:]}: {error['type']}: {error['message'].splitlines()[0] if error['message'] else 'no reason given'}{where}"
    unset = [read["name"] for read in report["reads"] if not read["set"]]
    named = [name for name in dict.fromkeys(unset) if re.search(rf"\b{re.escape(name)}\b", error["message"])]
    here = [
        read["name"]
        for read in report["reads"]
        if not read["set"] and frames and read["path"] == frames[-1]["path"] and read["line"] == frames[-1]["line"]
    ]
    wanted = named or list(dict.fromkeys(here))
    if report["stage"] in ("manage", "settings") and wanted:
        cure = "set " + ", ".join(f"`env: {{{name}: ...}}`" for name in wanted)
        others = [name for name in dict.fromkeys(unset) if name not in wanted]
        cure += f" (looked up as well, and not set: {', '.join(others[:12])})" if others else ""
    elif error["module"]:
        cure = f"add the package that has {error['module']} to the project's requirements or to `dependencies.packages`, or choose other `settings`"
    elif (
        error["type"] in ("PermissionError", "FileNotFoundError", "OSError")
        or "Unable to configure handler" in error["message"]
    ):
        cure = "the app may not write its own code; keep what it writes by `shared_paths: [directory]`, and log to standard error"
    elif unset:
        cure = f"these variables were looked up and are not set: {', '.join(list(dict.fromkeys(unset))[:12])}; set what is needed by `env`"
    else:
        cure = "repair the project, or choose other `settings`"
    return ReleaseError(
        message, cure, "\n".join([error["message"], *(f"{one['path']}:{one['line']}" for one in frames)])
    )


def _change(setting: Setting, values: Mapping[str, str], example: str = "") -> str:
    """Where to change a computed value: the variables it reads, else its line."""
    if values:
        return (
            "set "
            + ", ".join(f'`env: {{{name}: "{value}"}}`' for name, value in values.items())
            + (f" ({setting.where} reads it)" if setting.where else "")
        )
    if setting.where:
        return f"change {setting.where}{example}, or choose other `settings`"
    return f"set {setting.name} in the project's settings{example}"


def judge_settings(
    report: Mapping[str, t.Any],
    settings: Mapping[str, Setting],
    record: Mapping[str, t.Any],
    choice: Choice,
    supplied: Mapping[str, str],
    *,
    code: str,
    same_key: bool,
) -> list[str]:
    """Judge the values that the release would run with; what is laid over is in them already.

    :param report: of the probe, with everything laid over.
    :param supplied: the app's composed environment.
    :param same_key: whether two processes have seen the same SECRET_KEY.
    :returns: warnings.
    :raises ReleaseError: for everything that is unfit for production, all of it at once.
    """
    found = report["settings"]
    problems: list[tuple[str, str]] = []
    warnings: list[str] = []
    never = (
        "; `production_settings: never` keeps groundcrew from laying a value over"
        if record["production_settings"] == "never"
        else ""
    )

    def where(name: str) -> str:
        return f" ({settings[name].where})" if settings[name].where else ""

    if found["DEBUG"]:
        setting = settings["DEBUG"]
        if setting.variables and all(name in supplied for name in setting.variables):
            held = ", ".join(f"{name}={supplied[name]!r}" for name in setting.variables)
            cure = f'{setting.where} takes {held} for true (bool() of any text is): set `env: {{{setting.variables[0]}: ""}}`, or repair the line'
        else:
            cure = _change(setting, {name: "False" for name in setting.variables if name not in supplied})
        others = [one for one in choice.candidates if not looks_like_development(one)]
        if choice.by == "manage.py" and others:
            cure += f"; or use production settings: `settings: {others[0]}`"
        problems.append((f"DEBUG stays on in {choice.module}{where('DEBUG')}{never}", cure))

    key = settings["SECRET_KEY"]
    if not same_key:
        why = "it is made at random when they are imported" if key.random else "two processes do not agree on it"
        cure = _change(
            key,
            {name: "${secret.secret_key}" for name in key.variables if name not in supplied},
            " so that it reads SECRET_KEY from the environment",
        )
        problems.append(
            (
                f"SECRET_KEY differs each time the settings are loaded{where('SECRET_KEY')}: {why}. Sessions would end with every process",
                cure,
            )
        )
    elif found["SECRET_KEY"]["insecure"] or not found["SECRET_KEY"]["length"]:
        said = "is the one that startproject made for development" if found["SECRET_KEY"]["length"] else "is empty"
        cure = _change(
            key,
            {name: "${secret.secret_key}" for name in key.variables if name not in supplied},
            " so that it reads SECRET_KEY from the environment",
        )
        problems.append((f"SECRET_KEY {said}{where('SECRET_KEY')}{never}", cure))

    hosts = settings["ALLOWED_HOSTS"]
    missing = [domain for domain in record["domains"] if not covers(found["ALLOWED_HOSTS"], domain)]
    if missing:
        wanted = {
            name: ",".join(record["domains"])
            for name in hosts.variables
            if name not in supplied or name == "ALLOWED_HOSTS"
        }
        problems.append(
            (
                f"ALLOWED_HOSTS{where('ALLOWED_HOSTS')} is {found['ALLOWED_HOSTS']}, without {', '.join(missing)}{never}",
                _change(hosts, wanted),
            )
        )
    elif "*" in found["ALLOWED_HOSTS"]:
        warnings.append(
            f"ALLOWED_HOSTS{where('ALLOWED_HOSTS')} allows every host; nginx drops unknown ones, so this is no more than a warning."
        )

    problems += _judge_databases(found["DATABASES"], settings["DATABASES"], record, code=code)

    kept = [os.path.join(code, path) for path in record["shared_paths"]]
    for path in found["log_files"]:
        if within(path, code) and not any(within(path, one) for one in kept):
            warnings.append(
                f"LOGGING writes to {path}, inside the release, where the app may not write; log to standard error, or keep the directory by `shared_paths`."
            )
    if (
        found["STATIC_ROOT"]
        and "django.contrib.staticfiles" in found["INSTALLED_APPS"]
        and not within(found["STATIC_ROOT"], os.path.dirname(code))
    ):
        static = settings["STATIC_ROOT"]
        problems.append(
            (
                f"STATIC_ROOT is {found['STATIC_ROOT']}{where('STATIC_ROOT')}, outside the release{never}",
                _change(static, dict.fromkeys(static.variables, supplied.get("STATIC_ROOT", ""))),
            )
        )
    if "django.contrib.staticfiles" in found["INSTALLED_APPS"] and not found["STATIC_ROOT"]:
        static = settings["STATIC_ROOT"]
        problems.append(
            (
                f"STATIC_ROOT is not set{where('STATIC_ROOT')}, so static files cannot be collected{never}",
                _change(static, dict.fromkeys(static.variables, supplied.get("STATIC_ROOT", ""))),
            )
        )

    if len(problems) == 1:
        raise ReleaseError(f"{problems[0][0]}.", problems[0][1])
    if problems:
        raise ReleaseError(
            f"The settings {choice.module} are not fit for production yet:\n"
            + "\n".join(f"* {message}" for message, _cure in problems),
            "\n".join(f"* {cure}" for _message, cure in problems),
        )
    return warnings


def _judge_databases(
    databases: Mapping[str, t.Any], setting: Setting, record: Mapping[str, t.Any], *, code: str
) -> list[tuple[str, str]]:
    """Every database must outlive a release, and the default one be the app's own."""
    problems: list[tuple[str, str]] = []
    at = f" ({setting.where})" if setting.where else ""
    kept = [os.path.join(code, path) for path in record["shared_paths"]]
    described = {"default": record["database"], **record["databases"]}
    for alias, one in databases.items():
        wanted = described.get(alias)
        placeholder = "database" if alias == "default" else f"databases.{alias}"
        label = f"The database {alias!r}{at}"
        if SQLITE in one["engine"]:
            inside = within(one["name"], os.path.dirname(code)) and not any(within(one["name"], path) for path in kept)
            if inside or wanted:
                cure = _change(
                    setting,
                    {name: "${%s.url}" % placeholder for name in setting.variables if name.endswith("URL")}
                    or _by_key(setting, placeholder),
                )
                problems.append(
                    (
                        f"{label} is the SQLite file {one['name']}"
                        + (
                            ", which is lost with the release"
                            if inside
                            else ", not the PostgreSQL database that the app was given"
                        ),
                        cure
                        + (
                            ""
                            if alias != "default" or not inside
                            else "; or keep the file: `database: false` and `shared_paths` with its directory"
                        ),
                    )
                )
        elif wanted and not matches_record(one, wanted):
            here = f"{one['engine'].rpartition('.')[2]} {one['name']!r} at {one['host'] or 'the local socket'}"
            own = f"{wanted['name']!r} at {'the local socket' if wanted['local'] else wanted['host']}"
            problems.append(
                (
                    f"{label} is {here}; the app's record describes PostgreSQL {own}",
                    _change(
                        setting,
                        _by_key(setting, placeholder),
                        f" to read DATABASE_URL, or describe that database by `{placeholder}: {{host: ..., name: ...}}`",
                    ),
                )
            )
    return problems


def _by_key(setting: Setting, placeholder: str) -> dict[str, str]:
    """``{"DB_HOST": "${database.host}"}`` for what a database dictionary reads."""
    values = {}
    for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
        for name in setting.keys.get(key, ())[:1]:
            values[name] = "${%s.%s}" % (placeholder, key.lower())
    return values or {name: "${%s.url}" % placeholder for name in setting.variables if name.endswith("URL")}


# --- all of it -------------------------------------------------------------------------------------------------------


def examine(
    runner: Runner,
    record: Mapping[str, t.Any],
    *,
    files: Sequence[str],
    read: Callable[[str], str],
    environment: Mapping[str, str],
    environment_file: str,
    python: str,
    code: str,
    directory: str,
    beside: str,
    static: str,
    scratch: str,
) -> ProjectSettings:
    """Load, lay over, load again, judge: everything that a release asks of its project's settings.

    Writes ``groundcrew_settings.py`` into ``beside`` when anything is laid over. Neither process needs a database.

    :param record: the app's record.
    :param files: every file of the code, relative to ``code``.
    :param read: reads one of them, refusing links that lead out of the code.
    :param environment: the release's composed environment, for names and hints; the processes get ``environment_file``.
    :param python: the release's own interpreter.
    :param code: absolute directory of the release's code, not through ``current``.
    :param directory: of manage.py, relative to ``code``.
    :param beside: absolute directory for our own modules, readable by the app; on PYTHONPATH of every process.
    :param static: absolute directory of the release's static files.
    :param scratch: absolute directory that the app may write, emptied by nobody but us while this runs.
    """
    cwd = os.path.normpath(os.path.join(code, directory))
    prefix = f"{directory.strip('/')}/" if directory.strip("/") else ""
    below = [path.removeprefix(prefix) for path in files if path.startswith(prefix)]
    choice = choose_settings(record["settings"], environment, read(f"{prefix}manage.py"), below)

    def load(module: str, mode: str) -> dict[str, t.Any]:
        report = probe(
            runner,
            module=module,
            mode=mode,
            python=python,
            cwd=cwd,
            code=code,
            beside=beside,
            scratch=scratch,
            health=record["health"]["path"],
            environment_file=environment_file,
        )
        if report["error"]:
            raise explain_failure(report, choice.module)
        if report["module"] != module:
            raise ReleaseError(
                f"manage.py has changed DJANGO_SETTINGS_MODULE from {module} to {report['module']}.",
                'write os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...) in manage.py, so that the environment is heard',
            )
        return report

    first = load(choice.module, "settings")
    known = set(files)
    sources = [Source(module, path, read(path)) for module, path in first["files"].items() if path in known]
    configuration = first["configuration"]
    settings = classify(choice.module, sources, first["reads"], configuration)
    if choice.by == "manage.py":
        developers = [
            name
            for name in star_imports(choice.module, sources)
            if looks_like_development(name) and "local" not in name
        ]
        if developers:
            raise ReleaseError(
                f"manage.py's own settings, {choice.module}, take over those of a developer's machine, {developers[0]}.",
                _choose_one_of(choice.candidates, choice.module),
            )
    laid: list[Laid] = []
    if not configuration:
        laid = plan_overlay(settings, first["settings"], record, code=code, static=static)
    overlay = ""
    if laid:
        engine = first["settings"]["DATABASES"].get("default", {}).get("engine", "")
        overlay = render_overlay(
            laid,
            choice.module,
            app=record["name"],
            static=static,
            domains=record["domains"],
            engine="django.contrib.gis.db.backends.postgis"
            if ".gis." in engine
            else engine
            if "postg" in engine
            else "django.db.backends.postgresql",
        )
        with open(os.path.join(beside, f"{MODULE}.py"), "w", encoding="utf-8") as stream:
            stream.write(overlay)
    second = load(MODULE if laid else choice.module, "full")
    found = second["settings"]
    laid_names = {one.name for one in laid}
    same_key = "SECRET_KEY" in laid_names or found["SECRET_KEY"] == first["settings"]["SECRET_KEY"]
    warnings = judge_settings(second, settings, record, choice, environment, code=code, same_key=same_key)
    media, more = decide_media(second, record, code=code, cwd=cwd)
    kind, entry = choose_server(found, record["server"])
    return ProjectSettings(
        module=MODULE if laid else choice.module,
        project_module=choice.module,
        configuration=configuration,
        overlay=overlay,
        laid=[one.shown() for one in laid],
        django=second["django"],
        python=second["python"],
        kind=kind,
        entry=entry,
        static=decide_static(found, record),
        media=media,
        health_resolves=second["urls"]["health"],
        proxy_ssl_header=found["SECURE_PROXY_SSL_HEADER"],
        checks=second["checks"],
        warnings=[*warnings, *more],
    )
