from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO

from django.conf import settings
from django.core.management import call_command
from django.test import SimpleTestCase, TestCase

from guestbook.models import Entry

PRODUCTION = {
    "SECRET_KEY": "".join(map(chr, range(35, 123))),
    "ALLOWED_HOSTS": "book.example",
    "DATABASE_URL": "postgres://guestbook@/guestbook",
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
    )


class SettingsTests(SimpleTestCase):
    def test_production_passes_every_check(self) -> None:
        result = manage("check", "--deploy", "--fail-level", "DEBUG", **PRODUCTION)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual(result.stdout, "System check identified no issues (0 silenced).\n")

    def test_production_does_not_start_without_its_secrets(self) -> None:
        for name in PRODUCTION:
            with self.subTest(name):
                result = manage("check", **{key: value for key, value in PRODUCTION.items() if key != name})
                self.assertNotEqual(result.returncode, 0)
                self.assertIn(f"Set the {name} environment variable", result.stderr)

    def test_a_database_without_a_host_is_the_socket(self) -> None:
        code = "from django.db import connection as c; print(c.vendor, [c.settings_dict[k] for k in ('USER', 'HOST')])"
        result = manage("shell", "--no-imports", "-c", code, **PRODUCTION)
        self.assertEqual(result.stdout, "postgresql ['guestbook', '']\n", result.stderr)

    def test_development_needs_nothing_but_debug(self) -> None:
        result = manage("check", DEBUG="1")
        self.assertEqual(result.returncode, 0, result.stderr)


class CommandTests(TestCase):
    def test_migrations_are_complete(self) -> None:
        call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)

    def test_stats(self) -> None:
        Entry.objects.create(name="Ada", message="Hello")
        Entry.objects.create(name="Grace", message="Hello", image="entries/cat.png")
        output = StringIO()
        call_command("guestbook_stats", stdout=output)
        self.assertEqual(output.getvalue(), "entries: 2\npictures: 1\n")
