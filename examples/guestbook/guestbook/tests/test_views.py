from __future__ import annotations

import re
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError
from django.test import override_settings
from django.urls import reverse

from guestbook.models import IMAGE_MEGABYTES, Entry

from .site import SiteTestCase

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


class IndexTests(SiteTestCase):
    def sign(self, **data: object):
        return self.client.post("/", {"name": "Ada", "message": "Hello", **data}, follow=True)

    def test_an_empty_book_says_so(self) -> None:
        self.assertContains(self.client.get("/"), "Nobody has signed yet")

    def test_pages_run_nothing_inline(self) -> None:
        policy = self.client.get("/").headers["Content-Security-Policy"]
        self.assertIn("default-src 'self'", policy)
        self.assertNotIn("unsafe", policy)

    def test_signing_shows_the_entry(self) -> None:
        response = self.sign(message="Hello <b>world</b>")
        self.assertRedirects(response, "/")
        self.assertContains(response, "Thank you for signing!")
        self.assertContains(response, "Hello &lt;b&gt;world&lt;/b&gt;")

    def test_an_entry_without_words_is_refused(self) -> None:
        self.assertContains(self.sign(message=""), "This field is required.")
        self.assertEqual(Entry.objects.count(), 0)

    def test_a_picture_is_stored_and_shown(self) -> None:
        response = self.sign(image=SimpleUploadedFile("cat.png", PNG))
        image = Entry.objects.get().image
        self.assertEqual((self.directory / "media" / image.name).read_bytes(), PNG)
        self.assertRegex(image.url, r"^/media/entries/\d{4}/\d\d/cat\.png$")
        self.assertContains(response, f'src="{image.url}"')

    def test_what_is_no_picture_is_refused(self) -> None:
        response = self.sign(image=SimpleUploadedFile("page.html", b"<script>"))
        self.assertContains(response, "File extension “html” is not allowed.")
        self.assertEqual(Entry.objects.count(), 0)

    def test_a_large_picture_is_refused(self) -> None:
        response = self.sign(image=SimpleUploadedFile("cat.png", bytes(IMAGE_MEGABYTES * 1024 * 1024 + 1)))
        self.assertContains(response, f"The picture is larger than {IMAGE_MEGABYTES} MB.")
        self.assertEqual(Entry.objects.count(), 0)

    def test_the_newest_entry_comes_first_and_the_eleventh_on_the_second_page(self) -> None:
        for number in range(1, 12):
            Entry.objects.create(name=f"Guest number {number};", message="Hello")
        names = [re.findall(r"<h2>Guest number (\d+);", self.client.get(f"/?page={page}").text) for page in (1, 2)]
        self.assertEqual(names, [[str(number) for number in range(11, 1, -1)], ["1"]])

    def test_static_files_are_hashed(self) -> None:
        page = self.client.get("/").text
        for name in (r"guestbook\.[0-9a-f]{12}\.css", r"guestbook\.[0-9a-f]{12}\.js", r"logo\.[0-9a-f]{12}\.svg"):
            url = re.search(rf'"/static/(guestbook/{name})"', page)
            assert url, name
            self.assertTrue((self.directory / "static" / url[1]).is_file())

    @override_settings(RELEASE="20260101-abcdef")
    def test_the_footer_names_the_release(self) -> None:
        self.assertContains(self.client.get("/"), '<code id="release">20260101-abcdef</code>')


class VisitsTests(SiteTestCase):
    def test_without_redis_the_page_says_so(self) -> None:
        with override_settings(REDIS_URL=""):
            self.assertContains(self.client.get("/visits/"), "No Redis is configured")

    def test_a_silent_redis_is_named(self) -> None:
        url = "redis://127.0.0.1:1/0"
        caches = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": url}}
        with override_settings(REDIS_URL=url, CACHES=caches):
            self.assertContains(self.client.get("/visits/"), "Redis does not answer: ConnectionError.", status_code=503)

    def test_visits_are_counted(self) -> None:
        caches = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "visits"}}
        with override_settings(REDIS_URL="redis://ignored", CACHES=caches):
            self.assertContains(self.client.get("/visits/"), 'id="visits">1<')
            self.assertContains(self.client.get("/visits/"), 'id="visits">2<')


class OtherViewsTests(SiteTestCase):
    def test_database(self) -> None:
        self.assertContains(self.client.get("/database/"), '<dd id="entries">0</dd>')
        Entry.objects.create(name="Ada", message="Hello")
        response = self.client.get("/database/")
        self.assertContains(response, '<dd id="entries">1</dd>')
        self.assertRegex(response.text, '<dd id="server">(SQLite|PostgreSQL) ')

    def test_healthz(self) -> None:
        self.assertEqual(self.client.get("/healthz").json(), {"status": "ok"})

    def test_healthz_without_a_database(self) -> None:
        with patch("guestbook.views.connection.cursor", side_effect=OperationalError("it is gone")):
            response = self.client.get("/healthz")
        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json(), {"status": "error", "database": "OperationalError"})

    @override_settings(RELEASE="", ALLOWED_HOSTS=["book.example"])
    def test_whoami(self) -> None:
        headers = {"Host": "book.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1", "X-Not": "1"}
        seen = self.client.get("/whoami/", headers=headers, REMOTE_ADDR="192.0.2.1").json()
        seen.pop("python")
        self.assertEqual(
            seen,
            {
                "remote_addr": "192.0.2.1",
                "is_secure": True,
                "scheme": "https",
                "host": "book.example",
                "headers": {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"},
                "interface": "wsgi",
                "release": None,
            },
        )

    async def test_whoami_under_asgi(self) -> None:
        self.assertEqual((await self.async_client.get("/whoami/")).json()["interface"], "asgi")

    def test_live_names_both_of_its_sources(self) -> None:
        self.assertContains(self.client.get("/live/"), 'data-stream="/stream/" data-socket="/ws/echo/"')

    def test_stream(self) -> None:
        response = self.client.get("/stream/?count=3&interval=0")
        self.assertEqual(response["Content-Type"], "text/event-stream")
        self.assertFalse(response.is_async)
        events = list(response.streaming_content)
        self.assertEqual([event.split(b"\n")[0] for event in events], [b"id: 1", b"id: 2", b"id: 3"])

    async def test_stream_under_asgi(self) -> None:
        response = await self.async_client.get("/stream/?count=3&interval=0")
        self.assertTrue(response.is_async)
        events = [event async for event in response.streaming_content]
        self.assertEqual([event.split(b"\n")[0] for event in events], [b"id: 1", b"id: 2", b"id: 3"])

    def test_stream_refuses_what_is_no_number(self) -> None:
        self.assertEqual(self.client.get("/stream/?count=many").status_code, 400)


class AdminTests(SiteTestCase):
    def test_the_admin_lists_the_entries(self) -> None:
        Entry.objects.create(name="Ada", message="Hello from the engine")
        self.client.force_login(get_user_model().objects.create_superuser("admin"))
        self.assertContains(self.client.get(reverse("admin:guestbook_entry_changelist")), "Hello from the engine")
