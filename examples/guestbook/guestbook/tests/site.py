from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.management import call_command
from django.test import TestCase, override_settings


class SiteTestCase(TestCase):
    """The site as it is served: static files collected and hashed, uploads stored, in a directory of the test's own."""

    directory: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.directory = Path(cls.enterClassContext(TemporaryDirectory()))
        roots = {"STATIC_ROOT": cls.directory / "static", "MEDIA_ROOT": cls.directory / "media"}
        cls.enterClassContext(override_settings(**roots))
        call_command("collectstatic", interactive=False, verbosity=0)
