from __future__ import annotations

from asgiref.testing import ApplicationCommunicator
from django.test import SimpleTestCase, override_settings

from config.asgi import application


@override_settings(ALLOWED_HOSTS=["book.example"])
class WebSocketTests(SimpleTestCase):
    async def connect(self, path: str = "/ws/echo/", origin: bytes | None = None):
        headers = [] if origin is None else [(b"origin", origin)]
        socket = ApplicationCommunicator(application, {"type": "websocket", "path": path, "headers": headers})
        await socket.send_input({"type": "websocket.connect"})
        return socket, (await socket.receive_output())["type"]

    async def test_echo(self) -> None:
        socket, answer = await self.connect(origin=b"https://book.example")
        self.assertEqual(answer, "websocket.accept")
        for message in ({"text": "hello", "bytes": None}, {"text": None, "bytes": b"\0\1"}):
            await socket.send_input({"type": "websocket.receive", **message})
            self.assertEqual(await socket.receive_output(), {"type": "websocket.send", **message})
        await socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await socket.wait()
        self.assertTrue(await socket.receive_nothing())

    async def test_a_client_that_is_no_browser_is_welcome(self) -> None:
        self.assertEqual((await self.connect())[1], "websocket.accept")

    async def test_who_is_turned_away(self) -> None:
        for refused in ({"origin": b"https://elsewhere.example"}, {"origin": b"null"}, {"path": "/ws/other/"}):
            with self.subTest(refused):
                self.assertEqual((await self.connect(**refused))[1], "websocket.close")
