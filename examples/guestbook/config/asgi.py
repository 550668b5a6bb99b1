"""HTTP goes to Django; WebSockets, which Django leaves alone, go to a handler of our own."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django_application = get_asgi_application()

# After get_asgi_application(), which loads the settings that the handler reads.
from guestbook.websocket import websocket_application  # noqa: E402


async def application(scope, receive, send) -> None:
    handler = websocket_application if scope["type"] == "websocket" else django_application
    await handler(scope, receive, send)
