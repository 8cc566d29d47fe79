"""HTTP-FLV and WebSocket-FLV: `/live/ROOM.flv`.

In: GET, HEAD, or a WebSocket upgrade. Out: an endless FLV body, or binary messages, written by the live fan-out
straight to the connection's transport; aiohttp sends the headers, reads what the peer says, and ends the response.

A viewer costs the task that aiohttp runs for its request (a WebSocket: one more, which reads), asleep until the viewer
or the programme is gone.

`?gop=0` starts at the next key frame, `?audio=0` and `?video=0` leave a kind of media out; all parameters are handed to
the check of who may watch. 404 for an unknown room; 404 with Retry-After for one that is not live.
Not here: who may watch, what is written when, slow viewers (`streamd.live`); FLV itself (`flv_wire`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import WSCloseCode, web

from streamd.delivery.connection import ConnectionViewer, Probe
from streamd.delivery.flv_wire import HTTP_FLV, HTTP_FLV_PLAIN, WS_FLV
from streamd.delivery.refusal import refusal
from streamd.errors import StreamdError
from streamd.media.ports import PlayGate, PlayRequest

_HEADERS = {
    "Cache-Control": "no-store, no-cache",
    "Access-Control-Allow-Origin": "*",
    "X-Accel-Buffering": "no",  # nginx: pass it on as it comes
}
_FAREWELL_SECONDS = 5.0  # for what is queued when a programme ends
_PING_SECONDS = 25.0  # below the 30 s after which the strictest middle boxes forget an idle WebSocket
_HEARD_BYTES = 4_096  # a player has nothing to say; one that says more in a message is sent away
_HIGH_WATER_BYTES = 64 * 1024  # asyncio's own default


def _remote(request: web.Request) -> str:
    return request.remote or ""


class FlvDelivery:
    """See the module's promise. Owns the FLV viewers of this worker."""

    def __init__(self, *, gate: PlayGate, address_of: Callable[[web.Request], str] = _remote) -> None:
        self._gate = gate
        self._address_of = address_of
        self._viewers: set[ConnectionViewer] = set()

    def routes(self) -> list[web.RouteDef]:
        """To be added to an application."""
        return [
            web.get("/live/{room}.flv", self._get, allow_head=False),
            web.head("/live/{room}.flv", self._head),
        ]

    def close(self) -> None:
        """Shut down: end every viewer's play cleanly. Idempotent."""
        for viewer in tuple(self._viewers):
            viewer.close("ended")

    def _request(self, request: web.Request) -> PlayRequest:
        query = dict(request.query)
        return PlayRequest(
            room=request.match_info["room"],
            query=query,
            peer=self._address_of(request),
            from_next_key=query.get("gop") == "0",
            audio=query.get("audio") != "0",
            video=query.get("video") != "0",
            kinds_fixed=True,
        )

    async def _head(self, request: web.Request) -> web.StreamResponse:
        """Whether a GET would play: decided by a play that is given up at once, so that the two cannot differ."""
        try:
            playback = await self._gate.play(self._request(request), HTTP_FLV_PLAIN, Probe())
        except StreamdError as error:
            return refusal(error)
        playback.close()
        return web.Response(headers=_HEADERS, content_type="video/x-flv")

    async def _get(self, request: web.Request) -> web.StreamResponse:
        is_websocket = request.headers.get("Upgrade", "").strip().lower() == "websocket"
        chunked = request.version >= (1, 1)
        wire = WS_FLV if is_websocket else HTTP_FLV if chunked else HTTP_FLV_PLAIN
        viewer = ConnectionViewer()
        try:
            playback = await self._gate.play(self._request(request), wire, viewer)
        except StreamdError as error:
            return refusal(error)
        self._viewers.add(viewer)
        try:
            if is_websocket:
                return await _serve_websocket(request, viewer)
            return await _serve_http(request, viewer, chunked=chunked)
        except asyncio.CancelledError:
            # The server stops and will not wait; nor may a peer that does not read make its connection wait.
            if request.transport is not None:
                request.transport.abort()
            raise
        finally:
            playback.close()
            self._viewers.discard(viewer)
            viewer.give_back(request.transport)


async def _serve_http(request: web.Request, viewer: ConnectionViewer, *, chunked: bool) -> web.StreamResponse:
    response = web.StreamResponse(headers=_HEADERS)
    response.content_type = "video/x-flv"
    if request.keep_alive:
        response.headers["Connection"] = "keep-alive"
    if chunked:
        response.enable_chunked_encoding()
    await response.prepare(request)
    viewer.take(request.transport)
    await viewer.ended
    transport = request.transport
    viewer.give_back(transport)
    if transport is None or transport.is_closing():
        return response
    # Until everything is taken, and not only until little is left: a peer that has stopped reading would otherwise keep
    # the connection, and its last bytes, for as long as it likes.
    transport.set_write_buffer_limits(high=0)
    try:
        async with asyncio.timeout(_FAREWELL_SECONDS):
            await response.write_eof()
        transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
    except (TimeoutError, ConnectionError):
        transport.abort()
    return response


async def _serve_websocket(request: web.Request, viewer: ConnectionViewer) -> web.StreamResponse:
    # No compression: video does not shrink, and deflated messages could not be shared between viewers.
    response = web.WebSocketResponse(
        compress=False, heartbeat=_PING_SECONDS, max_msg_size=_HEARD_BYTES, timeout=_FAREWELL_SECONDS
    )
    response.headers.extend(_HEADERS)
    await response.prepare(request)
    viewer.take(request.transport)
    async with asyncio.TaskGroup() as tasks:
        listening = tasks.create_task(_listen(response, viewer))
        await viewer.ended
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await response.close(code=WSCloseCode.OK)
        listening.cancel()
    transport = request.transport
    if transport is not None and transport.get_write_buffer_size():
        transport.abort()
    return response


async def _listen(response: web.WebSocketResponse, viewer: ConnectionViewer) -> None:
    """Read until the peer closes or is gone; aiohttp answers pings and the closing handshake as it reads."""
    async for _ in response:
        pass
    viewer.close("ended")
