"""Projects in the shapes that real ones have: each function writes one into a directory.

None of them knows how it is deployed; that is said where they are deployed, in the scenario `projects`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.projects.texts import DATABASES, GATEWAY, VIEWS, Files, django, settings, text
from tests.projects.tools import commit, django_admin, git, hashed, make_migrations, uv, write

Shape = Callable[[Path], None]
SHAPES: dict[str, Shape] = {}


def shape(function: Shape) -> Shape:
    """Enter a function into the table, under its name with hyphens."""
    SHAPES[function.__name__.replace("_", "-")] = function
    return function


# --- what startproject leaves -----------------------------------------------------------------------------------------


@shape
def startproject(root: Path) -> None:
    """The unchanged output of `django-admin startproject`."""
    django_admin("startproject", "mysite", root, cwd=root)


@shape
def startapp(root: Path) -> None:
    """The same with an app, a model and a page, as the tutorial goes on."""
    startproject(root)
    django_admin("startapp", "polls", cwd=root)
    site = root / "mysite"
    lines = (site / "settings.py").read_text()
    (site / "settings.py").write_text(lines.replace("INSTALLED_APPS = [", 'INSTALLED_APPS = [\n    "polls",'))
    write(
        root,
        {
            "polls/models.py": text("""
                from django.db import models


                class Question(models.Model):
                    question_text = models.CharField(max_length=200)
                """),
            "polls/views.py": text("""
                from django.db import connection
                from django.http import HttpResponse

                from polls.models import Question


                def index(request):
                    return HttpResponse(f"{Question.objects.count()} questions in {connection.vendor}")
                """),
            "mysite/urls.py": text("""
                from django.contrib import admin
                from django.urls import path

                from polls import views

                urlpatterns = [path("", views.index), path("admin/", admin.site.urls)]
                """),
        },
    )
    make_migrations(root, "polls")


# --- where things are -------------------------------------------------------------------------------------------------


@shape
def monorepo(root: Path) -> None:
    """manage.py in a subdirectory, requirements in several files with hashes at the root, DB_* variables."""
    database = """
        DATABASES["default"] = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["DB_NAME"],
            "USER": os.environ["DB_USER"],
            "PASSWORD": os.environ.get("DB_PASSWORD", ""),
            "HOST": os.environ["DB_HOST"],
            "PORT": os.environ.get("DB_PORT", "5432"),
        }
        """
    files = django("shop", at="backend/", more_settings=database)
    del files["requirements.txt"]
    write(
        root,
        {
            **files,
            "frontend/package.json": '{"name": "frontend", "scripts": {"build": "exit 1"}}\n',
            "requirements/base.txt": hashed(*django("shop")["requirements.txt"].split("\n")),
            "requirements/production.txt": "-r base.txt\n" + hashed("psycopg[binary]"),
            "requirements/development.txt": "-r production.txt\n" + hashed("iniconfig"),
        },
    )
    commit(root, "Sell things", branch="stable")


@shape
def layered(root: Path) -> None:
    """Settings in a package, manage.py meant for a developer, a user model, STATIC_URL of another name."""
    files = django("config", module="config.settings.dev")
    base = settings("config", apps=("django.contrib.contenttypes", "django.contrib.auth", "accounts"))
    base = base.replace("parent.parent", "parent.parent.parent").replace('"static/"', '"assets/"')
    del files["config/settings.py"]
    write(
        root,
        {
            **files,
            "config/wsgi.py": GATEWAY.format(kind="wsgi", settings="config.settings.production"),
            "config/settings/__init__.py": "",
            "config/settings/base.py": base + 'AUTH_USER_MODEL = "accounts.Customer"\n',
            "config/settings/dev.py": "from .base import *\n\nDEBUG = True\n",
            "config/settings/production.py": "from .base import *\n\nSECURE_REFERRER_POLICY = 'same-origin'\n",
            "accounts/__init__.py": "",
            "accounts/models.py": text("""
                from django.contrib.auth.models import AbstractUser
                from django.db import models


                class Customer(AbstractUser):
                    nickname = models.CharField(max_length=50, blank=True)
                """),
        },
    )
    make_migrations(root, "accounts")


@shape
def local_settings(root: Path) -> None:
    """Settings that end with the import of a file that no repository has."""
    files = django(
        "mysite",
        more_urls='path("local/", views.local),',
        imports="""
            import hashlib
            import json

            """,
        more_views="""
            def local(request):
                token = hashlib.sha256(settings.API_TOKEN.encode()).hexdigest()
                return JsonResponse({"token": token, "features": json.loads(settings.FEATURES.read_text())})
            """,
    )
    files["mysite/settings.py"] = text("""
        from pathlib import Path

        BASE_DIR = Path(__file__).resolve().parent.parent
        DEBUG = True
        INSTALLED_APPS = ["django.contrib.staticfiles"]
        MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
        ROOT_URLCONF = "mysite.urls"
        WSGI_APPLICATION = "mysite.wsgi.application"
        STATIC_URL = "static/"
        STATICFILES_DIRS = [BASE_DIR / "assets"]
        FEATURES = BASE_DIR / "config" / "features.json"

        from .local_settings import *
        """)
    write(root, {**files, ".gitignore": "local_settings.py\n"})


# --- dependencies and builds ------------------------------------------------------------------------------------------


@shape
def theme(root: Path) -> None:
    """What another project has as a submodule."""
    write(root, {"theme.css": "h1 { color: #abcdef; }\n"})
    commit(root, "Colour the headings")


@shape
def locked(root: Path) -> None:
    """uv.lock with groups and extras, a submodule, a build step, and a step after collectstatic."""
    files = django(
        "mysite",
        apps=("assets",),
        more_settings="""
            STATICFILES_DIRS = [BASE_DIR / "theme", BASE_DIR / "built"]
            """,
        more_urls='path("installed/", views.installed),',
        imports="from importlib.metadata import distributions\n\n",
        more_views="""
            def installed(request):
                return JsonResponse({"installed": sorted(one.name.lower() for one in distributions())})
            """,
    )
    del files["requirements.txt"], files["assets/site.css"]
    write(
        root,
        {
            **files,
            "pyproject.toml": text("""
                [project]
                name = "mysite"
                version = "1"
                requires-python = ">=3.11"
                dependencies = ["django>=5.2,<5.3", "psycopg[binary]>=3.2"]

                [project.optional-dependencies]
                reports = ["tabulate"]
                exports = ["toml"]

                [dependency-groups]
                dev = ["iniconfig"]
                ops = ["termcolor"]

                [tool.uv]
                package = false
                """),
            "tools/build.py": text("""
                from pathlib import Path

                Path("built").mkdir()
                Path("built/site.css").write_text("p { color: #fedcba; }\\n")
                """),
            "assets/__init__.py": "",
            "assets/management/commands/compress.py": text("""
                from pathlib import Path

                from django.conf import settings
                from django.core.management.base import BaseCommand


                class Command(BaseCommand):
                    def handle(self, *args, **options):
                        root = Path(settings.STATIC_ROOT)
                        both = (root / "theme.css").read_text() + (root / "site.css").read_text()
                        (root / "CACHE").mkdir()
                        (root / "CACHE" / "all.css").write_text(both.replace(" ", ""))
                """),
        },
    )
    uv("lock", cwd=root)
    git(root, "init", "--quiet", "--initial-branch=main")
    # Written out, because a submodule that is added is cloned, and there is nowhere to clone from yet.
    write(root, {".gitmodules": '[submodule "theme"]\n\tpath = theme\n\turl = ../theme.git\n'})
    git(root, "update-index", "--add", "--cacheinfo", f"160000,{git(root.parent / 'theme', 'rev-parse', 'HEAD')},theme")
    git(root, "add", "--all", ":!theme")
    git(root, "commit", "--quiet", "--message=Lock everything")
    git(root, "tag", "--annotate", "--message=The first", "v1.0")


@shape
def compiled(root: Path) -> None:
    """A requirement that is only there as source, and needs a library of Debian's to be compiled."""
    write(root, django("mysite", requirements=("psycopg2",)))


# --- what settings do -------------------------------------------------------------------------------------------------


@shape
def environs(root: Path) -> None:
    """django-environ, whitenoise, settings that talk, a front page that is no sign of health."""
    talking = """
        import environ

        print("Loading the settings ...")
        env = environ.Env()
        DATABASES = {"default": env.db("DATABASE_URL")}
        STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
            "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
        }
        print('{"and": "something that could be taken for an answer"}')
        """
    files = django(
        "mysite",
        requirements=("django-environ", "whitenoise"),
        middleware=("whitenoise.middleware.WhiteNoiseMiddleware",),
        more_settings=talking,
        more_urls="""
            path("healthz", views.healthz),
            path("environment/", views.environment),
            """,
        imports="import os\n\n",
        more_views="""
            def healthz(request):
                return JsonResponse({"healthy": True})


            def environment(request):
                # Only what this project's own description sets: nothing of the server's.
                return JsonResponse({name: value for name, value in os.environ.items() if name.startswith("ODD_")})
            """,
    )
    files["mysite/urls.py"] = files["mysite/urls.py"].replace('path("", ', 'path("facts/", ')
    write(root, files)


@shape
def tutorial(root: Path) -> None:
    """DEBUG on unless a variable of its own says otherwise, and a key that is made up at every import."""
    careless = """
        from django.core.management.utils import get_random_secret_key

        SECRET_KEY = os.environ.get("MYSITE_KEY", get_random_secret_key())
        DEBUG = os.environ.get("MYSITE_DEBUG", "1") == "1"
        """
    write(root, django("mysite", more_settings=careless))


@shape
def logger(root: Path) -> None:
    """A log file beside manage.py."""
    logging = """
        LOGGING = {
            "version": 1,
            "handlers": {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "logs" / "site.log"}},
            "loggers": {"site": {"handlers": ["file"], "level": "INFO"}},
        }
        """
    log = """
        def log(request):
            logging.getLogger("site").info("somebody came by")
            return JsonResponse({"logged": True})
        """
    files = django(
        "mysite",
        more_settings=logging,
        more_urls='path("log/", views.log),',
        imports="import logging\n\n",
        more_views=log,
    )
    write(root, {**files, "logs/.gitkeep": ""})


@shape
def live(root: Path) -> None:
    """Nothing but ASGI, with a WebSocket, and no database at all."""
    files = django("mysite", requirements=("websockets",))
    del files["mysite/wsgi.py"]
    before, _, after = files["mysite/settings.py"].partition(DATABASES)
    files["mysite/settings.py"] = (
        (before + after).replace("WSGI_APPLICATION", "ASGI_APPLICATION").replace("wsgi", "asgi")
    )
    files["mysite/asgi.py"] = GATEWAY.format(kind="asgi", settings="mysite.settings") + text("""
        django = application


        async def application(scope, receive, send):
            if scope["type"] != "websocket":
                return await django(scope, receive, send)
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": scope["scheme"] + " " + scope["client"][0]})
            await send({"type": "websocket.close"})
        """)
    write(root, files)


# --- uploads and data -------------------------------------------------------------------------------------------------

UPLOADS = """
    MEDIA_URL = "uploads/"
    MEDIA_ROOT = BASE_DIR / "uploads"
    """
UPLOAD = """
    @csrf_exempt
    def upload(request):
        return HttpResponse(default_storage.url(default_storage.save("picture.txt", request.FILES["picture"])))
    """
UPLOAD_IMPORTS = """
    from django.core.files.storage import default_storage
    from django.http import FileResponse, HttpResponse, HttpResponseRedirect
    from django.views.decorators.csrf import csrf_exempt
    """


@shape
def gallery(root: Path) -> None:
    """Uploads that only members may see: a view stands in front of them."""
    files = django(
        "mysite",
        more_settings=UPLOADS,
        more_urls="""
            path("upload/", views.upload),
            path("login/", views.login),
            path("uploads/<path:name>", views.picture),
            """,
        imports=UPLOAD_IMPORTS,
        more_views=UPLOAD
        + """

    def login(request):
        answer = HttpResponse("welcome")
        answer.set_signed_cookie("member", "yes")
        return answer


    def picture(request, name):
        if not request.get_signed_cookie("member", ""):
            return HttpResponseRedirect("/login/?next=" + request.path)
        return FileResponse(default_storage.open(name))
    """,
    )
    write(root, files)


@shape
def album(root: Path) -> None:
    """Public uploads, data inside the code, commands that count their calls; in two versions."""
    files = django(
        "mysite",
        apps=("diary",),
        more_settings=UPLOADS,
        more_urls="""
            path("upload/", views.upload),
            path("diary/", views.diary),
            path("note/", views.note),
            """,
        imports=text(UPLOAD_IMPORTS) + "\nfrom diary.models import Entry\n",
        more_views=UPLOAD
        + """

    def diary(request):
        entries = [entry.text for entry in Entry.objects.order_by("id")]
        return JsonResponse({"version": 1, "entries": entries, "data": (settings.BASE_DIR / "data/notes").read_text()})


    @csrf_exempt
    def note(request):
        with (settings.BASE_DIR / "data/notes").open("a") as notes:
            notes.write("written by a visitor\\n")
        return HttpResponse("noted")
    """,
    )
    files |= {
        "data/notes": "shipped with the code\n",
        "diary/__init__.py": "",
        "diary/models.py": text("""
            from django.db import models


            class Entry(models.Model):
                text = models.CharField(max_length=50)
            """),
        "diary/management/commands/diary.py": text("""
            from django.conf import settings
            from django.core.management.base import BaseCommand

            from diary.models import Entry


            class Command(BaseCommand):
                def add_arguments(self, parser):
                    parser.add_argument("text")

                def handle(self, *args, **options):
                    Entry.objects.create(text=options["text"])
                    with (settings.BASE_DIR / "data/notes").open("a") as notes:
                        notes.write(options["text"] + "\\n")
            """),
    }
    write(root, files)
    make_migrations(root, "diary")
    commit(root, "Keep a diary")
    git(root, "tag", "v1")
    second = files["mysite/views.py"].replace('"version": 1', '"version": 2')
    write(root, {"mysite/views.py": second, "data/notes": "shipped with the second version\n"})
    # Told by its commit alone.
    (root.parent / "album.commit").write_text(commit(root, "Improve the diary"))


# --- broken -----------------------------------------------------------------------------------------------------------


def broken(more: Files | None = None, more_settings: str = "") -> Files:
    """A project that would be good but for one thing."""
    return {**django("mysite", more_settings=more_settings), **(more or {})}


@shape
def broken_no_manage(root: Path) -> None:
    files = broken()
    del files["manage.py"]
    write(root, files)


@shape
def broken_settings(root: Path) -> None:
    """Settings that fail in a function of theirs, so that the way there is worth showing."""
    failing = """
        def limits(text):
            return {name: int(value) for name, value in (part.split("=") for part in text.split(","))}


        LIMITS = limits("uploads=ten")
        """
    write(root, broken(more_settings=failing))


@shape
def broken_import(root: Path) -> None:
    """A package that the code imports and no file names."""
    write(root, broken({"mysite/urls.py": "import markdown\n\nurlpatterns = []\n"}))


@shape
def broken_requirement(root: Path) -> None:
    write(root, broken({"requirements.txt": "Django>=5.2,<5.3\ndjango-that-nobody-has-published==1.0\n"}))


@shape
def broken_migration(root: Path) -> None:
    """Migrations of which the second one fails."""
    migration = """\
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [migrations.RunSQL("{sql}")]
"""
    files = broken()
    files["mysite/settings.py"] = files["mysite/settings.py"].replace("staticfiles'", "staticfiles', 'stock'")
    files |= {
        "stock/__init__.py": "",
        "stock/migrations/__init__.py": "",
        "stock/migrations/0001_initial.py": migration.format(dependencies=[], sql="SELECT 1"),
        "stock/migrations/0002_fail.py": migration.format(
            dependencies=[("stock", "0001_initial")], sql="ALTER TABLE stock_shelf ADD height integer"
        ),
    }
    write(root, files)


@shape
def broken_page(root: Path) -> None:
    """A front page that fails."""
    view = 'def facts(request):\n    raise RuntimeError("the shelves are empty")\n'
    write(root, broken({"mysite/views.py": VIEWS.partition("def facts")[0] + view}))


@shape
def broken_link(root: Path) -> None:
    """A link that leads out of the code, where root would write a file for the project."""
    write(root, broken())
    (root / "config").symlink_to("/etc")


@shape
def mended(root: Path) -> None:
    """What all the broken ones become in the end."""
    write(root, broken())
