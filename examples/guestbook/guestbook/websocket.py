from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host


def same_site(scope) -> bool:
    """Browsers let any page open a WebSocket anywhere, so the server must look at the page's origin itself."""
    origin = dict(scope["headers"]).get(b"origin")
    if origin is None:  # not a browser
        return True
    return validate_host(urlsplit(origin.decode("latin-1")).hostname or "", settings.ALLOWED_HOSTS)


async def websocket_application(scope, receive, send) -> None:
    await receive()  # websocket.connect
    if scope["path"] != "/ws/echo/" or not same_site(scope):
        await send({"type": "websocket.close"})  # before accept: the server answers 403
        return
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event.get("text"), "bytes": event.get("bytes")})
