"""The files that nearly every Django project has, in the plainest form that is fit for production."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

Files = dict[str, str]

DJANGO = "Django>=5.2,<5.3"

MANAGE = """\
#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
"""

GATEWAY = """\
import os

from django.core.{kind} import get_{kind}_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{settings}")
application = get_{kind}_application()
"""

# The user comes by libpq's own variables, and so could the name if Django did not ask for it.
DATABASES = """\
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": os.environ["PGDATABASE"]}}
"""

SETTINGS = """\
import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = os.environ["SECRET_KEY"]
DEBUG = os.environ.get("DEBUG") == "True"
ALLOWED_HOSTS = os.environ["ALLOWED_HOSTS"].split(",")
INSTALLED_APPS = {apps}
MIDDLEWARE = {middleware}
ROOT_URLCONF = "{package}.urls"
WSGI_APPLICATION = "{package}.wsgi.application"
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}}]
{databases}DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "static/"
STATIC_ROOT = os.environ["STATIC_ROOT"]
STATICFILES_DIRS = [BASE_DIR / "assets"]
SECURE_CONTENT_TYPE_NOSNIFF = True
"""

# The front page of every shape: what the app itself sees of the request and of its database.
VIEWS = """\
from django.conf import settings
from django.db import connection
from django.http import JsonResponse
from django.templatetags.static import static


def facts(request):
    seen = {
        "address": request.META.get("REMOTE_ADDR"),
        "scheme": request.scheme,
        "secure": request.is_secure(),
        "url": request.build_absolute_uri(),
        "stylesheet": static("site.css"),
        "settings": settings.SETTINGS_MODULE,
    }
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database()")
            seen["user"], seen["database"] = cursor.fetchone()
    return JsonResponse(seen)
"""

URLS = """\
from django.urls import path

from . import views

urlpatterns = [
    path("", views.facts),
{more}]
"""

STYLESHEET = "body { color: #123456; }\n"


def text(block: str) -> str:
    """A block of an indented literal, without its indentation."""
    return textwrap.dedent(block).lstrip("\n")


def settings(package: str, *, apps: Sequence[str] = (), middleware: Sequence[str] = (), more: str = "") -> str:
    """Settings that read everything from the environment.

    :param more: lines at the end.
    """
    return SETTINGS.format(
        package=package,
        databases=DATABASES,
        apps=["django.contrib.staticfiles", *apps],
        middleware=[
            "django.middleware.security.SecurityMiddleware",
            *middleware,
            "django.middleware.common.CommonMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ],
    ) + text(more)


def django(
    package: str,
    *,
    at: str = "",
    module: str = "",
    requirements: Sequence[str] = (),
    apps: Sequence[str] = (),
    middleware: Sequence[str] = (),
    more_settings: str = "",
    more_urls: str = "",
    imports: str = "",
    more_views: str = "",
) -> Files:
    """A small project with one page and one stylesheet.

    :param at: directory of manage.py, with a slash at its end.
    :param module: of the settings in manage.py; by default the one that is written.
    :param requirements: beside Django, for requirements.txt at the root.
    :param imports: of the views, beside those that every one has.
    """
    module = module or f"{package}.settings"
    return {
        "requirements.txt": "".join(f"{line}\n" for line in (DJANGO, *requirements)),
        f"{at}manage.py": MANAGE.format(settings=module),
        f"{at}{package}/__init__.py": "",
        f"{at}{package}/settings.py": settings(package, apps=apps, middleware=middleware, more=more_settings),
        f"{at}{package}/urls.py": URLS.format(more=textwrap.indent(text(more_urls), "    ")),
        f"{at}{package}/views.py": text(imports) + VIEWS + ("\n\n" + text(more_views) if more_views else ""),
        f"{at}{package}/wsgi.py": GATEWAY.format(kind="wsgi", settings=module),
        f"{at}assets/site.css": STYLESHEET,
    }
