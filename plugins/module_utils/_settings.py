# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides what a project's settings mean for its release. PRIVATE to the collection: may change at any time.

:func:`examine` is the whole of it: it loads the settings as the project has them, lays production values over, loads
the result in a second process, and judges that. Everything else here is pure.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os.path
import re
import typing as t
import urllib.parse
from collections.abc import Callable, Mapping, Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._overlay import (
    MODULE,
    POSTGRES_APP,
    POSTGRES_CHECK,
    Laid,
    plan_overlay,
    render_overlay,
    within,
)
from ansible_collections.groundcrew.django.plugins.module_utils._probe import probe
from ansible_collections.groundcrew.django.plugins.module_utils._servers import SERVERS, named_interface
from ansible_collections.groundcrew.django.plugins.module_utils._settings_choice import (
    choose_one_of,
    choose_settings,
    looks_like_development,
)
from ansible_collections.groundcrew.django.plugins.module_utils._settings_judge import explain_failure, judge_settings
from ansible_collections.groundcrew.django.plugins.module_utils._settings_source import (
    Setting,
    Source,
    classify,
    demanded_variables,
    star_imports,
)

if t.TYPE_CHECKING:
    from ansible_collections.groundcrew.django.plugins.module_utils._runner import Runner


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
    :param kind: of the app server, as in ``_servers.SERVERS``.
    :param interface: ``wsgi`` or ``asgi``.
    :param entry: ``package.wsgi:application``.
    :param health_resolves: whether a URL pattern takes the health path; a new project has none for `/`.
    :param proxy_ssl_header: header and value of SECURE_PROXY_SSL_HEADER (``["HTTP_X_SCHEME", "https"]``), or none.
    :param databases: aliases of the databases that Django really has.
    :param checks: messages of the deployment checks, for :func:`_checks.judge`.
    :param warnings: sentences for the operator.
    :param secret_key: SHA-256 of the SECRET_KEY that the project uses.
    :param fallbacks: why a former SECRET_KEY would not stay valid after a rotation; empty when it would.
    :param falls_back: whether those of the environment's SECRET_KEY_FALLBACKS are valid.
    """

    module: str
    project_module: str
    configuration: str
    overlay: str
    laid: list[dict[str, str]]
    django: str
    python: str
    kind: str
    interface: str
    entry: str
    static: Static
    media: Media
    health_resolves: bool
    proxy_ssl_header: list[str] | None
    databases: list[str]
    checks: list[dict[str, t.Any]]
    warnings: list[str]
    secret_key: str
    fallbacks: str
    falls_back: bool


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
    root, link, warnings = _media_root(found["MEDIA_ROOT"], record, code, cwd)
    path = url_path(found["MEDIA_URL"], record["domains"], record["media_domain"])
    wanted = record["media"]
    if wanted in ("public", "internal"):
        if not path or not root:
            raise ReleaseError(
                f"`media: {wanted}` needs a MEDIA_URL with a path of its own and a MEDIA_ROOT that lasts; "
                f"the settings have {found['MEDIA_URL']!r} and {found['MEDIA_ROOT']!r}.",
                "set both in the project's settings, or use `media: app`",
            )
        return Media(wanted, path, root, link), warnings
    if wanted == "none" or not root or "FileSystemStorage" not in found["FILES"]:
        return Media("none", None, root, link), warnings
    if wanted == "auto" and path and urls["media"] != "view" and within(root, record["paths"]["shared"]):
        return Media("public", path, root, link), warnings
    if wanted == "auto" and urls["media"] == "view":
        warnings.append(f"Uploads are served by the app: {urls['media_view']} answers at {found['MEDIA_URL']}.")
    return Media("app", None, root, link), warnings


def _media_root(root: str, record: Mapping[str, t.Any], code: str, cwd: str) -> tuple[str, str, list[str]]:
    """Where uploads are kept for good, what has to become a link to it, and warnings."""
    kept = next((path for path in record["shared_paths"] if within(root, os.path.join(code, path))), "")
    if kept:
        below = os.path.relpath(root, os.path.join(code, kept))
        return os.path.normpath(os.path.join(record["paths"]["data"], kept, below)), "", []
    if within(root, code):
        if within(cwd, root):
            return "", "", [f"MEDIA_ROOT is {root}, a directory of code: no upload can be kept there."]
        return record["paths"]["media"], root, []
    if root and not within(root, record["paths"]["shared"]):
        return root, "", [f"MEDIA_ROOT is {root}, where the app may not write by itself."]
    return root, "", []


# --- the app server --------------------------------------------------------------------------------------------------


def choose_server(found: Mapping[str, t.Any], server: Mapping[str, t.Any]) -> tuple[str, str, str]:
    """Kind, interface and entry of the app server: what the app's ``server`` says, else what the project offers.

    Both files exist since startproject writes both, so ASGI is meant only by who says so in the settings, or by the
    entry's name.
    """
    kind, entry = server["kind"], server["entry"]
    served = SERVERS[kind].interfaces if kind != "auto" else ("wsgi", "asgi")
    if len(served) == 1:
        interface = served[0]
    elif entry:
        interface = named_interface(entry) or "wsgi"
    else:
        asked = found["ASGI_APPLICATION"] or {"channels", "daphne"} & set(found["INSTALLED_APPS"])
        interface = "asgi" if found["asgi"] and (asked or not found["wsgi"]) else "wsgi"
    if kind == "auto":
        kind = {"wsgi": "gunicorn", "asgi": "uvicorn"}[interface]
    entry = entry or found[interface]
    if not entry:
        setting = f"{interface.upper()}_APPLICATION"
        raise ReleaseError(
            f"The project has no application for {kind}: {setting} names none, and none stands beside the URLs.",
            f'name it: `server: {{kind: {kind}, entry: "package.module:application"}}`',
        )
    return kind, interface, entry if ":" in entry else f"{entry}:application"


# --- former keys -----------------------------------------------------------------------------------------------------


def before_fallbacks(django: str) -> bool:
    """Whether this version of Django is from before SECRET_KEY_FALLBACKS."""
    return [int(part) for part in re.findall(r"\d+", django)[:2]] < [4, 1]


def why_no_fallbacks(
    setting: Setting,
    found: Mapping[str, t.Any],
    reads: Sequence[str],
    record: Mapping[str, t.Any],
    configuration: str,
    django: str,
) -> str:
    """Why a former SECRET_KEY would not stay valid after a rotation, as the rest of a sentence; empty when it would.

    :param setting: where SECRET_KEY_FALLBACKS comes from.
    :param found: ``settings`` of the probe's report, loaded without anything laid over.
    :param reads: environment variables that the settings look up.
    """
    if before_fallbacks(django):
        return f"Django {django} knows no SECRET_KEY_FALLBACKS, which 4.1 has brought"
    if setting.name in record["env"]:
        return "`env` sets SECRET_KEY_FALLBACKS to values of its own"
    handed = any("${secret.secret_key_fallbacks}" in str(value) for value in record["env"].values())
    if handed or setting.name in reads:
        return ""
    laid_over = not configuration and record["production_settings"] != "never"
    if laid_over and (setting.fixed or (setting.kind == "absent" and setting.name not in found["set"])):
        return ""
    if setting.variables:
        return (
            f"{setting.where} takes SECRET_KEY_FALLBACKS from {setting.variables[0]}, "
            f'so this is missing: `env: {{{setting.variables[0]}: "${{secret.secret_key_fallbacks}}"}}`'
        )
    where = f" at {setting.where}" if setting.where else ""
    return f"the settings do not read SECRET_KEY_FALLBACKS from the environment{where}"


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
    entries = [read(prefix + path) for path in below if os.path.basename(path) in ("wsgi.py", "asgi.py")]
    package = os.path.basename(cwd) if "__init__.py" in below else ""
    choice = choose_settings(record["settings"], environment, read(f"{prefix}manage.py"), below, entries, package)

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
            writable=[record["paths"]["media"], record["paths"]["data"]],
            health=record["health"]["path"],
            environment_file=environment_file,
        )
        if report["error"] and not report["settings"]:
            places = [frame["path"] for frame in report["error"]["frames"][-1:] if frame["path"] in files]
            demanded = [name for path in places for name in demanded_variables(read(path)) if name not in environment]
            raise explain_failure(report, choice.module, code, demanded)
        if report["module"] != module:
            raise ReleaseError(
                f"manage.py has changed DJANGO_SETTINGS_MODULE from {module} to {report['module']}.",
                'write os.environ.setdefault("DJANGO_SETTINGS_MODULE", ...) in manage.py',
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
                f"manage.py's settings, {choice.module}, take over those of a developer's machine: {developers[0]}.",
                choose_one_of(choice.candidates, choice.module),
            )
    laid: list[Laid] = []
    if not configuration:
        laid = plan_overlay(
            settings,
            first["settings"],
            record,
            code=code,
            static=static,
            fallbacks=bool(environment.get("SECRET_KEY_FALLBACKS")),
        )

    def lay() -> str:
        text = render_overlay(
            laid,
            choice.module,
            app=record["name"],
            static=static,
            domains=record["domains"],
            engine=first["settings"]["DATABASES"].get("default", {}).get("engine", ""),
        )
        with open(os.path.join(beside, f"{MODULE}.py"), "w", encoding="utf-8") as stream:
            stream.write(text)
        return text

    overlay = lay() if laid else ""
    second = load(MODULE if laid else choice.module, "full")
    unmet = any(check["id"] == POSTGRES_CHECK for check in second["checks"])
    if unmet and any(one.name == "DATABASES" for one in laid):
        laid.append(POSTGRES_APP)
        overlay = lay()
        second = load(MODULE, "full")
    found = second["settings"]
    laid_names = {one.name for one in laid}
    same_key = "SECRET_KEY" in laid_names or found["SECRET_KEY"] == first["settings"]["SECRET_KEY"]
    warnings = judge_settings(found, settings, record, choice, environment, code=code, same_key=same_key)
    # Unfit settings come first, because they are often why the rest fails: DEBUG asks for a developer's packages.
    if second["error"]:
        raise explain_failure(second, choice.module, code)
    former = {
        hashlib.sha256(key.encode()).hexdigest() for key in environment.get("SECRET_KEY_FALLBACKS", "").split(",")
    }
    reads = [read["name"] for read in first["reads"]]
    no_fallbacks = why_no_fallbacks(
        settings["SECRET_KEY_FALLBACKS"], first["settings"], reads, record, configuration, second["django"]
    )
    media, more = decide_media(second, record, code=code, cwd=cwd)
    kind, interface, entry = choose_server(found, record["server"])
    return ProjectSettings(
        module=MODULE if laid else choice.module,
        project_module=choice.module,
        configuration=configuration,
        overlay=overlay,
        laid=[one.shown() for one in laid],
        django=second["django"],
        python=second["python"],
        kind=kind,
        interface=interface,
        entry=entry,
        static=decide_static(found, record),
        media=media,
        health_resolves=second["urls"]["health"],
        proxy_ssl_header=found["SECURE_PROXY_SSL_HEADER"],
        databases=[
            alias for alias, one in found["DATABASES"].items() if one["engine"] and not one["engine"].endswith(".dummy")
        ],
        checks=second["checks"],
        warnings=[*warnings, *more],
        secret_key=found["SECRET_KEY"]["sha256"],
        fallbacks=no_fallbacks,
        falls_back=not before_fallbacks(second["django"]) and former <= set(found["SECRET_KEY_FALLBACKS"]),
    )
