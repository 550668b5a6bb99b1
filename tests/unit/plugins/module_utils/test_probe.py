# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probe and all that follows from it, on real Django projects in processes of their own."""

from __future__ import annotations

import ast
import json
import os
import shutil
import textwrap
import typing as t
from pathlib import Path

import pytest

from ansible_collections.groundcrew.django.plugins.module_utils._checks import judge
from ansible_collections.groundcrew.django.plugins.module_utils._errors import ReleaseError
from ansible_collections.groundcrew.django.plugins.module_utils._probe import PROBE_SCRIPT, probe
from ansible_collections.groundcrew.django.plugins.module_utils._project_script import read_report
from ansible_collections.groundcrew.django.plugins.module_utils._settings import ProjectSettings, examine

KEY = "an-app's-own-key-of-more-than-fifty-characters-0123456789"


class Project:
    """A project that startproject made, as a release has it."""

    def __init__(self, tmp_path: Path, python: Path, runner: t.Any) -> None:
        self.code = tmp_path / "release" / "code"
        shutil.copytree(python.parents[1] / "project", self.code)
        self.beside = tmp_path / "release" / "groundcrew"
        self.scratch = tmp_path / "scratch"
        self.static = tmp_path / "release" / "static"
        for directory in (self.beside, self.scratch):
            directory.mkdir()
        self.python = python
        self.runner = runner
        self.shared = tmp_path / "shared"
        self.environment = {
            "DEBUG": "False",
            "SECRET_KEY": KEY,
            "ALLOWED_HOSTS": "shop.example.com",
            "DATABASE_URL": "postgres://shop@/shop",
        }

    def write(self, path: str, text: str) -> None:
        target = self.code / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))

    def add(self, text: str, path: str = "mysite/settings.py") -> None:
        with (self.code / path).open("a") as stream:
            stream.write(textwrap.dedent(text))

    def probe(self, module: str = "mysite.settings", mode: str = "full") -> dict[str, t.Any]:
        self.runner.environment.update(self.environment)
        return probe(
            self.runner,
            module=module,
            mode=mode,
            python=str(self.python),
            cwd=str(self.code),
            code=str(self.code),
            beside=str(self.beside),
            scratch=str(self.scratch),
            health="/healthz",
            environment_file="",
        )

    def examine(self, **keys: t.Any) -> ProjectSettings:
        self.runner.environment.update(self.environment)
        shared = str(self.shared)
        record = {
            "name": "shop",
            "domains": ["shop.example.com"],
            "static_domain": None,
            "media_domain": None,
            "shared_paths": [],
            "media": "auto",
            "settings": "",
            "production_settings": "auto",
            "env": {},
            "files": [],
            "server": {"kind": "auto", "entry": ""},
            "health": {"path": "/"},
            "database": {"local": True, "host": "", "name": "shop", "user": "shop", "port": 5432},
            "databases": {},
            "paths": {"shared": shared, "media": f"{shared}/media", "data": f"{shared}/data"},
            **keys,
        }
        return examine(
            self.runner,
            record,
            files=[str(path.relative_to(self.code)) for path in sorted(self.code.rglob("*")) if path.is_file()],
            read=lambda path: (self.code / path).read_text(),
            environment=self.environment,
            environment_file="",
            python=str(self.python),
            code=str(self.code),
            directory="",
            beside=str(self.beside),
            static=str(self.static),
            scratch=str(self.scratch),
        )


@pytest.fixture(params=["5.2", "4.2"])
def either(request: pytest.FixtureRequest, tmp_path: Path, djangos: dict[str, Path], local_runner: t.Any) -> Project:
    return Project(tmp_path, djangos[request.param], local_runner)


@pytest.fixture
def project(tmp_path: Path, djangos: dict[str, Path], local_runner: t.Any) -> Project:
    return Project(tmp_path, djangos["5.2"], local_runner)


def test_startproject_goes_live_unchanged(either: Project):
    before = {path: path.read_bytes() for path in either.code.rglob("*") if path.is_file()}
    settings = either.examine()
    assert settings.module == "groundcrew_settings"
    assert [one["name"] for one in settings.laid] == [
        "DEBUG",
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "DATABASES",
        "STATIC_ROOT",
    ]
    assert (settings.kind, settings.entry) == ("gunicorn", "mysite.wsgi:application")
    assert (settings.static.url_path, settings.static.root) == ("/static/", str(either.static))
    assert settings.media.kind == "none"
    assert not settings.health_resolves
    judgement = judge(settings.checks)
    assert not judgement.failed
    assert "security.W004" in [one["id"] for one in judgement.answered_by_nginx]
    assert {path: path.read_bytes() for path in either.code.rglob("*") if path.is_file()} == before
    assert not list(either.scratch.iterdir())


def test_the_app_that_postgresqls_fields_ask_for_is_added_where_they_do(project: Project):
    asking = """
        from django.conf import settings
        from django.core import checks

        @checks.register
        def has_the_app(app_configs, **kwargs):
            missing = "django.contrib.postgres" not in settings.INSTALLED_APPS
            return [checks.Error("no app", id="postgres.E005")] if missing else []
    """
    project.add(asking, "mysite/urls.py")
    settings = project.examine()
    assert settings.laid[-1]["name"] == "INSTALLED_APPS"
    assert not judge(settings.checks).failed
    # A project that has chosen PostgreSQL itself has to mend its settings itself.
    project.add("import dj\nDATABASES = dj.chosen()\n")
    project.write(
        "dj.py", "def chosen(): return {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'shop'}}"
    )
    settings = project.examine()
    assert "INSTALLED_APPS" not in [one["name"] for one in settings.laid]
    assert judge(settings.checks).failed


@pytest.mark.parametrize(
    ("said", "late"), [("", True), ("COMPRESS_OFFLINE = True", False), ("COMPRESS_ENABLED = False", False)]
)
def test_compressor_is_asked_when_it_writes(project: Project, said: str, late: bool):
    project.add(f"INSTALLED_APPS += ['compressor']\n{said}\n")
    assert project.probe(mode="settings")["settings"]["compresses_late"] is late


def test_without_laying_over_the_checks_fail(either: Project):
    report = either.probe()
    assert {one["id"] for one in judge(report["checks"]).failed} == {"security.W009", "security.W018", "security.W020"}


def test_no_secret_is_in_the_report(project: Project):
    project.environment["DB_PASSWORD"] = "hunter2-and-more"
    project.add("""
        import os
        password = os.environ["DB_PASSWORD"]
        DATABASES["default"]["PASSWORD"] = password
        raise ValueError(f"no connection with {password} to postgres://shop:otherpass@db/shop")
    """)
    report = project.probe()
    said = json.dumps(report)
    assert report["error"]["type"] == "ValueError"
    assert "hunter2" not in said and "otherpass" not in said and KEY not in said


def test_missing_variables_are_named_with_their_line(project: Project):
    project.add("import os\nHOST = os.environ.get('DB_HOST')\nPASSWORD = os.environ['DB_PASSWORD']\n")
    with pytest.raises(ReleaseError, match="KeyError: 'DB_PASSWORD'") as caught:
        project.examine()
    assert caught.value.cure.startswith("set `env: {DB_PASSWORD: ...}`")
    assert "DB_HOST" in caught.value.cure


def test_what_would_be_missed_next_is_named_as_well(project: Project):
    reads = "HOST = os.environ['DB_HOST']\nKEY = os.environ['SECRET_KEY']\nMAIL = [os.environ['MAIL_HOST']]\n"
    project.add(f"import os\n{reads}if DEBUG:\n    X = os.environ['ONLY_HERE']\n")
    with pytest.raises(ReleaseError, match="KeyError: 'DB_HOST'") as caught:
        project.examine()
    assert caught.value.cure == "set `env: {DB_HOST: ..., MAIL_HOST: ...}`"


def test_variables_of_libraries_are_told_from_those_of_the_project(project: Project):
    library = project.scratch / "library"
    library.mkdir()
    (library / "imported.py").write_text("import os\nos.getenv('TRACE')\ndef ask(name): return os.getenv(name)\n")
    project.add(f"import sys\nsys.path.append({str(library)!r})\nimport imported\nHOST = imported.ask('DB_HOST')\n")
    assert {(read["name"], read["own"]) for read in project.probe()["reads"]} == {("TRACE", False), ("DB_HOST", True)}


def test_variables_read_by_helpers_are_named_where_they_are_used(project: Project):
    project.write(
        "mysite/helpers.py", "import os\ndef flag(name):\n    return os.getenv('APP_' + name.upper(), '1') == '1'\n"
    )
    project.add("from .helpers import flag\nDEBUG = flag('debug')\n")
    with pytest.raises(ReleaseError, match=r"DEBUG \(mysite/settings.py:\d+\) stays on") as caught:
        project.examine()
    assert 'APP_DEBUG: "False"' in caught.value.cure


def test_the_bool_of_a_text_is_explained(project: Project):
    project.add("import os\nDEBUG = bool(os.environ.get('DEBUG', True))\n")
    with pytest.raises(ReleaseError) as caught:
        project.examine()
    assert "takes DEBUG='False' for true" in caught.value.cure


def test_settings_that_print_are_heard_out(project: Project):
    project.add("import sys\nprint('{\"not\": \"a report\"}')\nprint('loading', file=sys.stderr)\n")
    assert project.examine().laid


@pytest.mark.parametrize("leave", ["import sys\nsys.exit('not like this')\n", "raise SystemExit(3)\n"])
def test_settings_that_exit_are_an_error(project: Project, leave: str):
    project.add(leave)
    with pytest.raises(ReleaseError, match="did not load: SystemExit"):
        project.examine()


def test_a_process_that_vanishes_is_an_error(project: Project):
    project.add("import os\nprint('last words', flush=True)\nos._exit(7)\n")
    with pytest.raises(ReleaseError, match="exit status 7") as caught:
        project.examine()
    assert "last words" in caught.value.output


def test_a_random_key_stops_with_the_variable(project: Project):
    project.add("""
        import os
        from django.core.management.utils import get_random_secret_key
        SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()
    """)
    with pytest.raises(ReleaseError, match="at random when they are imported") as caught:
        project.examine()
    assert 'DJANGO_SECRET_KEY: "${secret.secret_key}"' in caught.value.cure
    project.environment["DJANGO_SECRET_KEY"] = KEY
    assert "SECRET_KEY" not in [one["name"] for one in project.examine().laid]


def test_manage_py_is_gone_through(project: Project):
    manage = (project.code / "manage.py").read_text()
    hook = "sys.path.append(os.path.dirname(os.path.abspath(__file__)) + '/apps')\nos.environ['FROM_MANAGE'] = 'yes'\n"
    (project.code / "manage.py").write_text(manage.replace("import sys\n", "import sys\n" + hook))
    project.write("apps/billing/__init__.py", "RATE = 1\n")
    project.add("import os\nfrom billing import RATE\nassert os.environ['FROM_MANAGE'] == 'yes'\n")
    report = project.probe()
    assert (report["stage"], report["error"]) == ("done", None)


def test_manage_py_that_overrules_the_environment_at_run_time(project: Project):
    project.write(
        "manage.py",
        """
        import os
        from django.core import management
        os.environ.update(DJANGO_SETTINGS_MODULE="mysite.settings")
        management.execute_from_command_line(["manage.py"])
        """,
    )
    with pytest.raises(ReleaseError, match=r"manage\.py has changed DJANGO_SETTINGS_MODULE"):
        project.examine(settings="mysite.settings")


URLS = """
    from django.http import HttpResponse
    from django.urls import path, re_path
    from django.views.static import serve
    def page(request, **kwargs):
        return HttpResponse("")
    urlpatterns = [{}]
"""


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ("path('', page)", "public"),
        ("path('media/<path:name>', page)", "app"),
        ("re_path(r'^media/(?P<path>.*)$', serve, {'document_root': '/x'})", "public"),
        ("re_path(r'^(?P<anything>.*)$', page)", "public"),
    ],
)
def test_a_view_that_guards_uploads_is_respected(project: Project, patterns: str, expected: str):
    project.add("MEDIA_URL = '/media/'\nMEDIA_ROOT = BASE_DIR / 'media'\n")
    project.write("mysite/urls.py", URLS.format(patterns))
    media = project.examine().media
    assert media.kind == expected
    assert (media.link, media.root) == (str(project.code / "media"), str(project.shared / "media"))


def test_asgi_is_chosen_by_who_says_so(project: Project):
    project.add("ASGI_APPLICATION = 'mysite.asgi.application'\n")
    settings = project.examine()
    assert (settings.kind, settings.entry) == ("uvicorn", "mysite.asgi:application")


def test_health_that_has_a_view(project: Project):
    project.write("mysite/urls.py", URLS.format("path('', page)"))
    assert project.examine().health_resolves


def test_debug_is_blamed_before_the_packages_that_it_asks_for(project: Project):
    project.add("""
        import os
        DEBUG = os.environ.get("LIVE") != "yes"
        if DEBUG:
            INSTALLED_APPS += ["debug_toolbar"]
    """)
    with pytest.raises(ReleaseError, match=r"DEBUG .* stays on"):
        project.examine()


def test_urls_that_do_not_import(project: Project):
    project.write("mysite/urls.py", "import no_such_package\n")
    with pytest.raises(ReleaseError, match="URLs did not load") as caught:
        project.examine()
    assert "no_such_package" in caught.value.cure


def test_a_log_file_that_cannot_be_opened(project: Project):
    project.add("""
        handlers = {"file": {"class": "logging.FileHandler", "filename": BASE_DIR / "logs/x.log"}}
        LOGGING = {"version": 1, "handlers": handlers, "root": {"handlers": ["file"]}}
    """)
    with pytest.raises(ReleaseError, match="Django did not start") as caught:
        project.examine()
    assert "shared_paths: [logs]" in caught.value.cure


def test_settings_in_a_package_take_over_those_of_a_developer(project: Project):
    text = (project.code / "mysite/settings.py").read_text()
    (project.code / "mysite/settings.py").unlink()
    project.write("mysite/settings/development.py", text)
    project.write("mysite/settings/production.py", "from .development import *\n")
    project.write("mysite/settings/__init__.py", "from .development import *\n")
    with pytest.raises(ReleaseError, match=r"mysite\.settings\.development") as caught:
        project.examine()
    assert "`settings: mysite.settings.production`" in caught.value.cure
    assert (
        project.examine(settings="mysite.settings.production")
        .laid[0]["where"]
        .startswith("mysite/settings/development.py:")
    )


def test_local_settings_that_are_there_count(project: Project):
    project.add("try:\n    from .local_settings import *\nexcept ImportError:\n    pass\n")
    project.write("mysite/local_settings.py", "DEBUG = False\nALLOWED_HOSTS = ['shop.example.com']\n")
    assert [one["name"] for one in project.examine().laid] == ["SECRET_KEY", "DATABASES", "STATIC_ROOT"]


def test_never_leaves_everything_and_says_all_of_it(project: Project):
    with pytest.raises(ReleaseError) as caught:
        project.examine(production_settings="never")
    for word in ("DEBUG", "SECRET_KEY", "ALLOWED_HOSTS", "DATABASES", "STATIC_ROOT"):
        assert word in caught.value.message
    assert not list(project.beside.iterdir())


def test_a_report_that_root_must_not_read(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text('{"stage": "done"}')
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / "list").write_text("[]")
    (tmp_path / "half").write_text('{"stage": ')
    os.mkfifo(tmp_path / "pipe")
    assert [read_report(str(tmp_path / name)) for name in ("link", "list", "half", "pipe", "nothing")] == [None] * 5
    assert read_report(str(secret)) == {"stage": "done"}
    assert not secret.exists()


def test_the_script_is_written_for_the_oldest_python_of_django_4():
    ast.parse(PROBE_SCRIPT, feature_version=(3, 8))
