"""Every private or undocumented name that `danmaku.socket`, `polling` and `upgrade` rely on.

When one fails, a library has changed.
"""

from __future__ import annotations

import asyncio
import inspect

import engineio
import pytest
import socketio
from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from engineio import packet as eio_packet
from engineio.async_socket import AsyncSocket
from engineio.payload import Payload


def server() -> socketio.AsyncServer:
    return socketio.AsyncServer(async_mode="aiohttp")


def test_socketio_server_takes_its_engine_from_a_hook() -> None:
    class Engine(engineio.AsyncServer):
        pass

    class Server(socketio.AsyncServer):
        def _engineio_server_class(self) -> type[Engine]:
            return Engine

    assert isinstance(Server(async_mode="aiohttp").eio, Engine)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_handle_eio_connect", ["eio_sid", "environ"]),
        ("_handle_eio_message", ["eio_sid", "data"]),
        ("_handle_eio_disconnect", ["eio_sid", "reason"]),
    ],
)
def test_socketio_server_is_called_by_its_engine_through_these_methods(name: str, parameters: list[str]) -> None:
    method = getattr(server(), name)
    assert inspect.iscoroutinefunction(method)
    assert list(inspect.signature(method).parameters) == parameters
    assert method in server().eio.handlers.values() or name.rpartition("_")[2] in server().eio.handlers


def test_overridden_handlers_are_the_ones_registered() -> None:
    class Server(socketio.AsyncServer):
        async def _handle_eio_message(self, eio_sid: str, data: object) -> None:
            return None

    assert Server(async_mode="aiohttp").eio.handlers["message"].__func__ is Server._handle_eio_message


def test_engine_takes_the_names_of_sessions_from_a_method() -> None:
    class Engine(engineio.AsyncServer):
        def generate_id(self) -> str:
            return f"here.{super().generate_id()}"

    assert Engine(async_mode="aiohttp").generate_id().startswith("here.")


async def test_engine_session_has_the_state_that_an_upgrade_changes() -> None:
    session = AsyncSocket(server().eio, "sid")
    assert isinstance(session.queue, asyncio.Queue)
    assert (session.closed, session.closing, session.upgrading, session.upgraded) == (False, False, False, False)
    assert list(inspect.signature(session.close).parameters) == ["wait", "abort", "reason"]
    assert session.sid == "sid"


async def test_engine_session_uses_the_queue_that_it_finds() -> None:
    session = AsyncSocket(server().eio, "sid")
    replaced = session.queue = asyncio.Queue()
    await session.send(eio_packet.Packet(eio_packet.MESSAGE, "2hello"))
    assert replaced.qsize() == 1
    [packet] = await session.poll()
    assert packet.encode() == "42hello"


async def test_queue_calls_the_hooks_that_weigh_packets() -> None:
    calls: list[str] = []

    class Watched(asyncio.Queue):  # type: ignore[type-arg]
        def _init(self, maxsize: int) -> None:
            super()._init(maxsize)
            calls.append("init")

        def _put(self, item: object) -> None:
            super()._put(item)
            calls.append("put")

        def _get(self) -> object:
            calls.append("get")
            return super()._get()

    queue = Watched()
    queue.put_nowait(1)
    assert queue.get_nowait() == 1
    assert calls == ["init", "put", "get"]


def test_engine_keeps_sessions_by_id_and_knows_allowed_origins() -> None:
    engine = engineio.AsyncServer(async_mode="aiohttp", cors_allowed_origins=["https://shop.example"])
    assert engine.sockets == {}
    assert engine._cors_allowed_origins({"HTTP_ORIGIN": "https://evil.example"}) == ["https://shop.example"]
    same = engineio.AsyncServer(async_mode="aiohttp")._cors_allowed_origins(
        {"wsgi.url_scheme": "http", "HTTP_HOST": "a.example", "HTTP_X_FORWARDED_PROTO": "https"}
    )
    assert same == ["http://a.example", "https://a.example"]
    assert engineio.AsyncServer(async_mode="aiohttp", cors_allowed_origins="*")._cors_allowed_origins({}) is None


def test_engine_limits_packets_of_a_post_by_a_class_attribute() -> None:
    assert isinstance(Payload.max_decode_packets, int)
    assert "max_decode_packets" in inspect.getsource(Payload.decode)


def test_socketio_message_stays_text_in_the_engine() -> None:
    assert eio_packet.Packet(encoded_packet='42["danmaku",{"id":"1"}]').data == '2["danmaku",{"id":"1"}]'
    assert eio_packet.Packet(encoded_packet='40{"room":"demo"}').data == '0{"room":"demo"}'


async def test_aiohttp_hands_a_connection_over_and_forgets_it() -> None:
    seen: dict[str, object] = {}

    class Mine(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            seen["data"] = data
            seen["transport"].write(b"pong")  # type: ignore[attr-defined]

    class Tail:
        def feed_data(self, data: bytes) -> tuple[bool, bytes]:
            seen["tail"] = data
            return False, b""

        def feed_eof(self) -> None:
            seen["eof"] = True

    class Answered(web.StreamResponse):
        async def prepare(self, request: object) -> None:  # type: ignore[override]
            return None

        async def write_eof(self, data: bytes = b"") -> None:
            return None

    async def handler(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.05)
        protocol, transport = request.protocol, request.transport
        assert isinstance(protocol, RequestHandler)
        assert transport is not None
        seen["transport"] = transport
        protocol.set_parser(Tail())  # type: ignore[arg-type]
        transport.set_protocol(Mine())
        protocol.transport = None
        protocol.connection_lost(None)
        transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        return Answered()

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nearly")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    await asyncio.sleep(0)
    assert seen["tail"] == b"early"
    assert seen["eof"] is True
    assert runner.server is not None
    assert runner.server.connections == []
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"pong"
    assert seen["data"] == b"ping"
    assert [task for task in asyncio.all_tasks() if "RequestHandler" in repr(task)] == []
    writer.close()
    await runner.cleanup()


def test_engine_answers_a_post_by_a_method_that_is_overridden() -> None:
    engine = engineio.AsyncServer(async_mode="aiohttp")
    assert engine._ok()["response"] == b"OK"
    assert list(inspect.signature(engine._ok).parameters) == ["packets", "headers", "jsonp_index"]


async def test_engine_announces_a_session_by_a_packet_whose_data_is_a_mapping() -> None:
    seen: list[object] = []
    engine = engineio.AsyncServer(async_mode="aiohttp", ping_interval=0.05)  # the answer is the first ping, then
    engine.on("connect", lambda sid, _environ: seen.append(engine.sockets[sid].queue.get_nowait()))
    await engine._handle_connect({}, "polling")
    [opening] = seen
    assert isinstance(opening, eio_packet.Packet)
    assert opening.packet_type == eio_packet.OPEN
    assert {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"} == set(opening.data)
