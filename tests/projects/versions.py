"""Write `shop.tar`, a bare git repository with a branch per version: python3 -m tests.projects.versions DIRECTORY

The versions good-1, good-2 ... work and differ in what a visitor sees; each of the others breaks a deploy in one way.
The scenario `deploys` tells them apart by the page's header `X-Version`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.projects.texts import Files, django, text
from tests.projects.tools import branches

GOOD = 12

SETTINGS = """
    STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    VERSION = "main"
    """

VIEWS = """
    import asyncio
    import os
    import re
    import time
    from pathlib import Path

    from django.conf import settings
    from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
    from django.templatetags.static import static

    from shop.models import Item


    def answer(text):
        return HttpResponse(text, headers={"X-Version": settings.VERSION})


    def page(text):
        return answer(f'<link rel="stylesheet" href="{static("site.css")}">{text}')


    def front(request):
        return page(f"{Item.objects.count()} items")


    async def asynchronous_front(request):
        # A query would take a thread and a connection of its own for each visitor.
        return page("All items")


    def healthz(request):
        return answer("well")


    def server():
        # What this process, or the one that made it, was started with.
        for process in (os.getpid(), os.getppid()):
            command = Path(f"/proc/{process}/cmdline").read_text()
            if found := re.search("gunicorn|uwsgi|granian|uvicorn|hypercorn|daphne", command):
                return found[0]


    def facts(request):
        return JsonResponse(
            {
                "version": settings.VERSION,
                "server": server(),
                "interface": "asgi" if hasattr(request, "scope") else "wsgi",
                "greeting": os.environ.get("GREETING", ""),
            }
        )


    def slow(request):
        time.sleep(float(request.GET["seconds"]))
        return answer("at last")


    def beat():
        return f"data: {settings.VERSION}\\n\\n"


    def beats():
        while True:
            yield beat()
            time.sleep(0.5)


    async def asynchronous_beats():
        while True:
            yield beat()
            await asyncio.sleep(0.5)


    def stream(request):
        source = asynchronous_beats() if hasattr(request, "scope") else beats()
        return StreamingHttpResponse(source, content_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    """

URLS = """
    import os

    from django.urls import path

    from shop import views

    urlpatterns = [
        path("", views.asynchronous_front if os.environ.get("ASYNCHRONOUS") else views.front),
        path("healthz", views.healthz),
        path("facts/", views.facts),
        path("slow/", views.slow),
        path("stream/", views.stream),
    ]
    """

MODELS = """
    from django.db import models


    class Item(models.Model):
        name = models.CharField(max_length=50)
    """

MIGRATION = """
    from django.db import migrations, models


    class Migration(migrations.Migration):
        {head}
        operations = [{operations}]
    """

# Says again what it is told over a WebSocket, which Django itself does not speak.
ECHO = """

    http = application


    async def application(scope, receive, send):
        if scope["type"] != "websocket":
            return await http(scope, receive, send)
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    """

# A process that takes its time to start, where the description says so.
LATE = 'import os\nimport time\n\ntime.sleep(float(os.environ.get("START_DELAY", "0")))\n'


def migration(operations: str, *, initial: bool = False) -> str:
    head = "initial = True" if initial else 'dependencies = [("shop", "0001_initial")]'
    return text(MIGRATION).format(head=head, operations=operations)


def main_version() -> Files:
    files = django("shop", apps=("shop",), requirements=("psycopg[binary]",), more_settings=SETTINGS)
    files["shop/asgi.py"] = files["shop/wsgi.py"].replace("wsgi", "asgi") + text(ECHO)
    for name in ("shop/wsgi.py", "shop/asgi.py"):
        files[name] = LATE + files[name]
    return files | {
        "shop/views.py": text(VIEWS),
        "shop/urls.py": text(URLS),
        "shop/models.py": text(MODELS),
        "shop/migrations/__init__.py": "",
        "shop/migrations/0001_initial.py": migration(
            'migrations.CreateModel("Item", [("id", models.BigAutoField(primary_key=True)), '
            '("name", models.CharField(max_length=50))])',
            initial=True,
        ),
    }


MAIN = main_version()
Version = Callable[[], Files]
VERSIONS: dict[str, Version] = {}


def version(function: Version) -> Version:
    """Enter a function that returns what differs from main into the table, under its name with hyphens."""
    VERSIONS[function.__name__.replace("_", "-")] = function
    return function


def good(number: int) -> Version:
    return lambda: {"assets/site.css": f"body {{ color: #0000{number:02d}; }}\n"}


VERSIONS.update({f"good-{number}": good(number) for number in range(1, GOOD + 1)})


def depending(requirement: str) -> Version:
    return lambda: ending("requirements.txt", f"{requirement}\n")


VERSIONS.update({f"with-{requirement}": depending(requirement) for requirement in ("tabulate", "termcolor", "toml")})


def ending(name: str, more: str) -> Files:
    """A file of main with something more at its end."""
    return {name: MAIN[name] + text(more)}


def altered(name: str, old: str, new: str) -> Files:
    assert old in MAIN[name]
    return {name: MAIN[name].replace(old, new)}


# --- what is wrong before anything starts -----------------------------------------------------------------------------


@version
def syntax_error() -> Files:
    return ending("shop/settings.py", "TIME_ZONE = = 'UTC'\n")


@version
def missing_dependency() -> Files:
    return ending("shop/urls.py", "import markdown\n")


@version
def dependency_conflict() -> Files:
    # Django 5.2 needs asgiref 3.8.
    return ending("requirements.txt", "asgiref<3\n")


@version
def check_error() -> Files:
    return ending(
        "shop/models.py",
        """

        from django.core import checks


        @checks.register(deploy=True)
        def till(app_configs, **kwargs):
            return [checks.Error("The till is open.", id="shop.E001")]
        """,
    )


# --- migrations -------------------------------------------------------------------------------------------------------


@version
def note() -> Files:
    """A good one, whose migration the versions before it can live with."""
    return {
        "shop/models.py": MAIN["shop/models.py"] + "    note = models.CharField(max_length=50, null=True)\n",
        "shop/migrations/0002_note.py": migration(
            'migrations.AddField("item", "note", models.CharField(max_length=50, null=True))'
        ),
    }


@version
def failing_migration() -> Files:
    return {"shop/migrations/0002_share.py": migration('migrations.RunSQL("SELECT 1 / 0 AS share")')}


@version
def big_migration() -> Files:
    """Asks for some 30 MB of the database's disk."""
    query = "CREATE TABLE heap AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 30000) AS n"
    return {"shop/migrations/0002_heap.py": migration(f'migrations.RunSQL("{query}", "DROP TABLE heap")')}


# --- processes that do not serve --------------------------------------------------------------------------------------


@version
def missing_static() -> Files:
    return altered("shop/views.py", 'static("site.css")', 'static("gone.css")')


@version
def exits() -> Files:
    return ending("shop/wsgi.py", 'raise RuntimeError("the till is empty")\n')


@version
def hangs() -> Files:
    return ending("shop/wsgi.py", "time.sleep(3600)\n")


@version
def unhealthy() -> Files:
    return altered("shop/views.py", "def front(request):", 'def front(request):\n    raise RuntimeError("sold out")')


@version
def slow_health() -> Files:
    return altered("shop/views.py", "def front(request):", "def front(request):\n    time.sleep(30)")


@version
def huge_header() -> Files:
    """Its health page is well by its socket, and too much for nginx, which answers 502."""
    return altered("shop/views.py", 'answer("well")', 'HttpResponse("well", headers={"X-Big": "x" * 40_000})')


if __name__ == "__main__":
    branches(Path(sys.argv[1]).resolve(), "shop", MAIN, VERSIONS)
