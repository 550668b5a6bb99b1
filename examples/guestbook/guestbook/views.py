from __future__ import annotations

import asyncio
import json
import platform
import time
from collections.abc import AsyncIterator, Iterator

import redis
from django.conf import settings
from django.contrib import messages
from django.core.cache import cache
from django.core.handlers.asgi import ASGIRequest
from django.core.paginator import Paginator
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from .forms import EntryForm
from .models import Entry

ENTRIES_PER_PAGE = 10
MOST_EVENTS = 600


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest) -> HttpResponse:
    form = EntryForm(request.POST or None, request.FILES or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Thank you for signing!")
        return redirect("index")
    entries = Paginator(Entry.objects.all(), ENTRIES_PER_PAGE).get_page(request.GET.get("page"))
    return render(request, "guestbook/index.html", {"form": form, "entries": entries})


@never_cache
@require_GET
def visits(request: HttpRequest) -> HttpResponse:
    if not settings.REDIS_URL:
        return render(request, "guestbook/visits.html", {"problem": "No Redis is configured: REDIS_URL is not set."})
    try:
        cache.add("visits", 0, timeout=None)
        return render(request, "guestbook/visits.html", {"visits": cache.incr("visits")})
    except redis.RedisError as error:
        problem = f"Redis does not answer: {type(error).__name__}."
        return render(request, "guestbook/visits.html", {"problem": problem}, status=503)


@never_cache
@require_GET
def database(request: HttpRequest) -> HttpResponse:
    if connection.vendor == "postgresql":
        query = """
            SELECT 'PostgreSQL ' || current_setting('server_version'), current_user, current_database(),
                   CASE WHEN inet_server_addr() IS NULL THEN 'unix socket' ELSE 'TCP, ' || host(inet_server_addr()) END
        """
    else:
        query = "SELECT 'SQLite ' || sqlite_version(), 'none', 'a file', 'none'"
    with connection.cursor() as cursor:
        cursor.execute(query)
        values = cursor.fetchone()
    facts = dict(zip(["server", "user", "database", "connection"], values, strict=True))
    return render(request, "guestbook/database.html", {"facts": {**facts, "entries": Entry.objects.count()}})


@require_GET
def live(request: HttpRequest) -> HttpResponse:
    return render(request, "guestbook/live.html")


def event(number: int) -> str:
    return f"id: {number}\ndata: {json.dumps({'number': number, 'time': time.time()})}\n\n"


def events(count: int, interval: float) -> Iterator[str]:
    for number in range(1, count + 1):
        if number > 1:
            time.sleep(interval)
        yield event(number)


async def events_async(count: int, interval: float) -> AsyncIterator[str]:
    for number in range(1, count + 1):
        if number > 1:
            await asyncio.sleep(interval)
        yield event(number)


@require_GET
def stream(request: HttpRequest) -> HttpResponse:
    """Server-sent events: `?count=` of them, one every `?interval=` seconds."""
    try:
        count = min(int(request.GET.get("count", 10)), MOST_EVENTS)
        interval = min(max(0, float(request.GET.get("interval", 1))), 60)
    except ValueError:
        return HttpResponse("count and interval are numbers\n", status=400, content_type="text/plain")
    # Django collects an iterator of the other kind to its end before it sends the first byte.
    source = events_async if isinstance(request, ASGIRequest) else events
    return StreamingHttpResponse(
        source(count, interval),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@never_cache
@require_GET
def whoami(request: HttpRequest) -> JsonResponse:
    """What reaches the app through everything in front of it."""
    forwarded = ("X-Forwarded-", "X-Real-Ip", "Forwarded")
    return JsonResponse(
        {
            "remote_addr": request.META.get("REMOTE_ADDR"),
            "is_secure": request.is_secure(),
            "scheme": request.scheme,
            "host": request.get_host(),
            "headers": {name: value for name, value in request.headers.items() if name.startswith(forwarded)},
            "interface": "asgi" if isinstance(request, ASGIRequest) else "wsgi",
            "python": platform.python_version(),
            "release": settings.RELEASE or None,
        }
    )


@never_cache
@require_GET
def healthz(request: HttpRequest) -> JsonResponse:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        return JsonResponse({"status": "error", "database": type(error).__name__}, status=503)
    return JsonResponse({"status": "ok"})
