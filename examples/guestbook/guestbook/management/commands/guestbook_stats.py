from __future__ import annotations

from django.core.management.base import BaseCommand

from guestbook.models import Entry


class Command(BaseCommand):
    help = "Print how many entries the guestbook has, and how many of them with a picture."

    def handle(self, *args: str, **options: object) -> None:
        self.stdout.write(f"entries: {Entry.objects.count()}")
        self.stdout.write(f"pictures: {Entry.objects.exclude(image='').count()}")
