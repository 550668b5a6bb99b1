# Copyright (c) 2026 groundcrew contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a project, in its own Python and environment, what its settings are. PRIVATE to the collection."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Sequence

from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._project_script import (
    PRELUDE,
    read_report,
    report_file,
)

if t.TYPE_CHECKING:
    from ansible_collections.groundcrew.django.plugins.module_utils._runner import Runner

PROBE_SCRIPT = (
    PRELUDE
    + r'''
import hashlib
import importlib.util

REPORT.update({"reads": [], "files": {}, "settings": {}, "urls": {}, "checks": []})
NOTHING = ("DEBUG SECRET_KEY SECRET_KEY_FALLBACKS ALLOWED_HOSTS DATABASES STATIC_ROOT MEDIA_ROOT CSRF_TRUSTED_ORIGINS "
           "SECURE_PROXY_SSL_HEADER SESSION_COOKIE_SECURE CSRF_COOKIE_SECURE").split()


# What Python and its libraries look up on their own account.
NOISE = re.compile(r"(DJANGO_SETTINGS_MODULE|DJANGO_CONFIGURATION|LANG|LANGUAGE|LC_.*|COLUMNS|LINES|PYTHON.*)\Z")


# --- which variables do the settings look up, and on which line? ---------------------------------------------------
plain_getitem = type(os.environ).__getitem__


def watched_getitem(self, name):
    frame, found, own = sys._getframe(1), None, True
    while frame is not None and found is None:
        if frame.f_code.co_name == "<module>" or "__qualname__" in frame.f_locals:
            found = inside(frame.f_code.co_filename)
            line = frame.f_lineno
            # A library that looks something up while it is imported asks for itself, seldom for the project.
            own = own and found is not None
        frame = frame.f_back
    try:
        value = plain_getitem(self, name)
    except KeyError:
        value = None
    if found and isinstance(name, str) and not NOISE.match(name):
        read = {"name": name, "set": value is not None, "path": found, "line": line, "own": own}
        if read not in REPORT["reads"]:
            REPORT["reads"].append(read)
    if value is None:
        raise KeyError(name)
    return value


# --- what the settings say -----------------------------------------------------------------------------------------
def known(path):
    try:
        return importlib.util.find_spec(path) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def entry(setting, name, urlconf):
    """"pkg.wsgi:application" from the setting, else from the module beside the URLs."""
    if setting and known(setting.rpartition(".")[0]):
        return ":".join(setting.rpartition(".")[::2])
    beside = "%s.%s" % ((urlconf or "").rpartition(".")[0], name)
    return beside.lstrip(".") + ":application" if known(beside.lstrip(".")) else ""


def facts(settings):
    def get(name, default=None):
        try:
            return getattr(settings, name, default)
        except Exception:
            return default

    def sha256(key):
        return hashlib.sha256(key if isinstance(key, bytes) else str(key).encode()).hexdigest()

    key = get("SECRET_KEY") or ""
    raw = key if isinstance(key, bytes) else str(key).encode()
    def place(path):
        # Relative paths hang on the directory of manage.py, where every process of the app runs.
        return os.path.abspath(str(path)) if path else ""

    databases = {}
    for alias, one in (get("DATABASES") or {}).items():
        said = databases[alias] = {}
        for name in ("ENGINE", "NAME", "HOST", "PORT", "USER"):
            said[name.lower()] = str(one.get(name) or "")
        said["has_password"] = bool(one.get("PASSWORD"))
        if "sqlite3" in said["engine"] and ":memory:" not in said["name"]:
            said["name"] = place(said["name"])
    storages = get("STORAGES") or {}
    handlers = (get("LOGGING") or {}).get("handlers") or {}
    header = get("SECURE_PROXY_SSL_HEADER")
    urlconf = get("ROOT_URLCONF")
    apps = [str(app) for app in get("INSTALLED_APPS", ())]
    return {
        "DEBUG": bool(get("DEBUG")),
        "SECRET_KEY": {
            "sha256": sha256(key),
            "length": len(raw),
            "distinct": len(set(raw)),
            "insecure": raw.startswith(b"django-insecure-"),
        },
        "SECRET_KEY_FALLBACKS": [sha256(one) for one in get("SECRET_KEY_FALLBACKS") or ()],
        "ALLOWED_HOSTS": [str(host) for host in get("ALLOWED_HOSTS") or ()],
        "CSRF_TRUSTED_ORIGINS": [str(origin) for origin in get("CSRF_TRUSTED_ORIGINS") or ()],
        "DATABASES": databases,
        "CACHES": {alias: str(one.get("BACKEND")) for alias, one in (get("CACHES") or {}).items()},
        "STATIC_URL": str(get("STATIC_URL") or ""),
        "MEDIA_URL": str(get("MEDIA_URL") or ""),
        "STATIC_ROOT": place(get("STATIC_ROOT")),
        "MEDIA_ROOT": place(get("MEDIA_ROOT")),
        "STATICFILES": str((storages.get("staticfiles") or {}).get("BACKEND") or get("STATICFILES_STORAGE") or ""),
        "FILES": str((storages.get("default") or {}).get("BACKEND") or get("DEFAULT_FILE_STORAGE") or ""),
        "INSTALLED_APPS": apps,
        "MIDDLEWARE": [str(one) for one in get("MIDDLEWARE") or ()],
        "ROOT_URLCONF": str(urlconf or ""),
        "WSGI_APPLICATION": str(get("WSGI_APPLICATION") or ""),
        "ASGI_APPLICATION": str(get("ASGI_APPLICATION") or ""),
        "wsgi": entry(get("WSGI_APPLICATION"), "wsgi", urlconf),
        "asgi": entry(get("ASGI_APPLICATION"), "asgi", urlconf),
        "SECURE_PROXY_SSL_HEADER": [str(part) for part in header] if header else None,
        "SECURE_SSL_REDIRECT": bool(get("SECURE_SSL_REDIRECT")),
        "SECURE_HSTS_SECONDS": int(get("SECURE_HSTS_SECONDS") or 0),
        "SESSION_COOKIE_SECURE": bool(get("SESSION_COOKIE_SECURE")),
        "CSRF_COOKIE_SECURE": bool(get("CSRF_COOKIE_SECURE")),
        "USE_X_FORWARDED_HOST": bool(get("USE_X_FORWARDED_HOST")),
        # django-compressor's own defaults, which it adds to the settings only later.
        "compresses_late": "compressor" in apps and get("COMPRESS_ENABLED", True) and not get("COMPRESS_OFFLINE"),
        "log_files": [
            place(one["filename"]) for one in handlers.values() if isinstance(one, dict) and one.get("filename")
        ],
        "set": [name for name in NOTHING if settings.is_overridden(name)],
        "importable": [name for name in ("psycopg", "psycopg2", "gunicorn", "uvicorn", "channels") if known(name)],
    }


def view_at(path):
    from django.urls import Resolver404, resolve

    try:
        match = resolve(path)
    except Resolver404:
        return None
    return match


def urls(settings):
    from django.views.static import serve

    result = {"root": view_at("/") is not None, "health": view_at(REQUEST["health"]) is not None}
    result.update(media="none", media_view="")
    media = str(getattr(settings, "MEDIA_URL", "") or "")
    prefix = re.sub(r"^[a-z]+://[^/]+", "", media)
    if prefix.strip("/"):
        match = view_at("/" + prefix.strip("/") + "/groundcrew/probe.png")
        other = view_at("/groundcrew-probe/groundcrew/probe.png")
        if match and not (other and (other.func, other.route) == (match.func, match.route)):
            # A view that answers everywhere (a CMS's pages) is not one that guards the uploads.
            result["media"] = "serve" if match.func is serve else "view"
            result["media_view"] = "%s.%s" % (match.func.__module__, getattr(match.func, "__qualname__", "?"))
    return result


def system_checks():
    from django.core import checks

    def where(thing):
        try:
            return "" if thing is None else str(getattr(getattr(thing, "_meta", None), "label", thing))
        except Exception:
            return ""

    return [
        {"id": one.id or "", "level": int(one.level), "msg": masked(one.msg), "hint": masked(one.hint or ""),
         "obj": where(one.obj), "silenced": one.is_silenced()}
        for one in checks.run_checks(include_deployment_checks=True, databases=None)
    ]


# --- the stages ----------------------------------------------------------------------------------------------------
def look():
    import django
    from django.conf import settings

    REPORT["stage"] = "settings"
    REPORT["django"] = django.get_version()
    REPORT["module"] = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    REPORT["configuration"] = os.environ.get("DJANGO_CONFIGURATION", "")
    try:
        settings.DEBUG
    finally:
        type(os.environ).__getitem__ = plain_getitem
        for name, module in list(sys.modules.items()):
            path = inside(getattr(module, "__file__", None))
            if path and path.endswith(".py"):
                REPORT["files"][name] = path
    REPORT["settings"] = facts(settings)
    if REQUEST["mode"] == "full":
        REPORT["stage"] = "setup"
        django.setup()
        REPORT["stage"] = "urls"
        REPORT["urls"] = urls(settings)
        REPORT["stage"] = "checks"
        REPORT["checks"] = system_checks()
    REPORT["stage"] = "done"
    raise Done


type(os.environ).__getitem__ = watched_getitem
try:
    through_manage(look)
finally:
    type(os.environ).__getitem__ = plain_getitem
tell()
'''
)


def probe(
    runner: Runner,
    *,
    module: str,
    mode: str,
    python: str,
    cwd: str,
    code: str,
    beside: str,
    scratch: str,
    writable: Sequence[str] = (),
    health: str,
    environment_file: str,
) -> dict[str, t.Any]:
    """Load the settings once, in a process of their own, and return the script's ``REPORT``.

    :param module: what DJANGO_SETTINGS_MODULE shall be; in argv, because in systemd an environment file wins over
        single variables.
    :param mode: ``settings`` only loads them; ``full`` also sets Django up, asks the URLs, runs the deployment checks.
    :param beside: the directory that holds our modules of the release.
    :param scratch: a directory that the app's user may write.
    :param writable: further ones: what the app may write when it serves it may write here, such as its log files.
    :raises ReleaseError: when the process ended without a report.
    """
    report = report_file(scratch)
    request = {
        "module": module,
        "mode": mode,
        "code": code,
        "beside": beside,
        "health": health,
        "report": report,
        "command": "check",  # one that changes nothing
    }
    result = runner.run(
        [python, "-B", "-", json.dumps(request)],
        title=f"Load the settings {module}",
        cwd=cwd,
        writable=[scratch, *writable],
        environment_file=environment_file,
        timeout=180,
        check=False,
        stdin=PROBE_SCRIPT,
    )
    found = read_report(report)
    if found is None:
        raise ReleaseError(
            f"The settings {module} ended the process that loaded them (exit status {result.rc}).",
            "make the settings import without leaving the process",
            output=result.stdout.strip()[-2000:] + "\n" + result.stderr.strip()[-2000:],
        )
    return found
