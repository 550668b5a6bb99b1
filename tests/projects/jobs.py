"""Write `jobs.tar`, a project that works in the background: python3 -m tests.projects.jobs DIRECTORY

It has tasks of Celery, of rq and of django-tasks, which all do the same: note that they began, sleep, note that they
ended. Who lost one or ran one twice is told by what they noted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.projects.texts import Files, django, text
from tests.projects.tools import branches

SETTINGS = """
    INSTALLED_APPS += ["django_rq", "django_tasks", "django_tasks_db"]
    CELERY_BROKER_URL = os.environ["REDIS_URL"]
    CELERY_TASK_IGNORE_RESULT = True
    CELERY_BEAT_SCHEDULE = {"tick": {"task": "jobs.tasks.work", "schedule": 2.0, "args": ("beat", 0, 0)}}
    RQ_QUEUES = {"default": {"URL": os.environ["REDIS_URL"]}}
    TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    DATABASES["default"]["HOST"] = os.environ["PGHOST"]
    MIDDLEWARE += ["django.contrib.sessions.middleware.SessionMiddleware"]
    SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    SESSION_COOKIE_SECURE = True
    PEPPER = Path(os.environ["PEPPER_FILE"]).read_text() if "PEPPER_FILE" in os.environ else ""
    VERSION = "main"
    """

CELERY = """
    import os

    from celery import Celery

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "jobs.settings")
    app = Celery("jobs")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks(["jobs"])
    """

TASKS = """
    import os
    import time

    import django_rq
    from celery import shared_task
    from django_tasks import task


    def note(kind, number, seconds):
        from jobs.models import Run

        if "PEPPER_FILE" in os.environ:
            open(os.environ["PEPPER_FILE"]).close()
        run = Run.objects.create(kind=kind, number=number, release=os.environ["GROUNDCREW_RELEASE"])
        time.sleep(seconds)
        run.ended = True
        run.save()


    @shared_task
    def work(kind, number, seconds):
        note(kind, number, seconds)


    @shared_task
    def leak():
        kept = []
        while True:
            kept.append(bytearray(2**20))
            time.sleep(0.005)


    @task()
    def stored(number, seconds):
        note("tasks", number, seconds)


    def enqueue(kind, number, seconds):
        if kind == "celery":
            work.delay(kind, number, seconds)
        elif kind == "rq":
            django_rq.get_queue("default").enqueue(note, kind, number, seconds)
        elif kind == "tasks":
            stored.enqueue(number, seconds)
        elif kind == "leak":
            leak.delay()
    """

VIEWS = """
    import hashlib
    import os

    from django.conf import settings
    from django.http import HttpResponse, JsonResponse
    from django.templatetags.static import static

    from redis import Redis

    from jobs.models import Run
    from jobs.tasks import enqueue


    def count(request):
        # On connections of its own to both, which have to show the passwords.
        Run.objects.exists()
        with Redis.from_url(os.environ["REDIS_URL"]) as client:
            answer = JsonResponse({"count": client.incr("count")})
        answer["X-Version"] = settings.VERSION
        return answer


    def pepper(request):
        return JsonResponse({"sha256": hashlib.sha256(settings.PEPPER.encode()).hexdigest()})


    def visits(request):
        request.session["visits"] = request.session.get("visits", 0) + 1
        return JsonResponse({"visits": request.session["visits"]})


    def front(request):
        answer = HttpResponse(f'<link rel="stylesheet" href="{static("site.css")}">jobs')
        answer["X-Version"] = settings.VERSION
        return answer


    def add(request, kind):
        low, high, count = (float(request.GET.get(name, 1)) for name in ("low", "high", "count"))
        first = int(request.GET.get("first", 0))
        for number in range(int(count)):
            enqueue(kind, first + number, low + (high - low) * number / count)
        return JsonResponse({"added": int(count)})


    def runs(request, kind):
        found = Run.objects.filter(kind=kind).order_by("id").values("number", "release", "ended")
        return JsonResponse({"release": os.environ["GROUNDCREW_RELEASE"], "runs": list(found)})
    """

URLS = """
    from django.urls import path

    from jobs import views

    urlpatterns = [
        path("", views.front),
        path("count/", views.count),
        path("pepper/", views.pepper),
        path("visits/", views.visits),
        path("add/<kind>/", views.add),
        path("runs/<kind>/", views.runs),
    ]
    """

MODELS = """
    from django.db import models


    class Run(models.Model):
        kind = models.CharField(max_length=50)
        number = models.IntegerField()
        release = models.CharField(max_length=50)
        ended = models.BooleanField(default=False)
    """

MIGRATION = """
    from django.db import migrations, models


    class Migration(migrations.Migration):
        initial = True
        operations = [
            migrations.CreateModel(
                "Run",
                [
                    ("id", models.BigAutoField(primary_key=True)),
                    ("kind", models.CharField(max_length=50)),
                    ("number", models.IntegerField()),
                    ("release", models.CharField(max_length=50)),
                    ("ended", models.BooleanField(default=False)),
                ],
            )
        ]
    """

NAP = """
    from django.core.management.base import BaseCommand

    from jobs.tasks import note


    class Command(BaseCommand):
        def add_arguments(self, parser):
            parser.add_argument("kind")
            parser.add_argument("seconds", type=float)

        def handle(self, *args, **options):
            note(options["kind"], 0, options["seconds"])
            print("had a nap")
    """

FAIL = """
    from django.core.management.base import BaseCommand, CommandError


    class Command(BaseCommand):
        def handle(self, *args, **options):
            raise CommandError("the ledger does not add up")
    """


# A line of each kind that real ones have.
PROCFILE = """
    web: python manage.py runserver 0.0.0.0:$PORT
    release: python manage.py migrate
    worker: celery -A jobs worker --concurrency=2 --loglevel=info
    clock: celery -A jobs beat --schedule=/tmp/celerybeat
    rq_worker: env EXTRA=1 python manage.py rqworker ${QUEUE:-default}
    piped: python manage.py nap piped 60 | cat
    """


def main_version() -> Files:
    files = django(
        "jobs",
        apps=("jobs",),
        requirements=(
            "psycopg[binary]",
            "celery",
            "redis",
            "packaging",
            "django-rq",
            "django-tasks",
            "django-tasks-db",
        ),
        more_settings=SETTINGS,
    )
    return files | {
        "jobs/celery.py": text(CELERY),
        "jobs/__init__.py": "from jobs.celery import app as celery_app\n",
        "jobs/tasks.py": text(TASKS),
        "jobs/views.py": text(VIEWS),
        "jobs/urls.py": text(URLS),
        "jobs/models.py": text(MODELS),
        "jobs/migrations/__init__.py": "",
        "jobs/migrations/0001_initial.py": text(MIGRATION),
        "jobs/management/commands/nap.py": text(NAP),
        "jobs/management/commands/fail.py": text(FAIL),
    }


MAIN = main_version()
VERSIONS: dict[str, Callable[[], Files]] = {
    **{f"good-{number}": dict for number in range(1, 7)},
    # Its web server knows nothing of it.
    "broken-worker": lambda: {
        "jobs/celery.py": MAIN["jobs/celery.py"] + 'raise RuntimeError("no hands on deck")\n',
        "jobs/__init__.py": "",
    },
    "procfile": lambda: {"Procfile": text(PROCFILE)},
    # Well by its socket, and too much for nginx, which answers 502: it fails after the switch.
    "broken-for-visitors": lambda: {
        "jobs/views.py": MAIN["jobs/views.py"].replace(
            "    return answer", '    answer["X-Big"] = "x" * 40_000\n    return answer'
        )
    },
}


if __name__ == "__main__":
    branches(Path(sys.argv[1]).resolve(), "jobs", MAIN, VERSIONS)
