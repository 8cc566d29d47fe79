"""What this worker answers to the others: `/internal/…` on its internal address, for who knows the bearer.

Media as endless records (`store`, `frames`), each mirror behind a bounded pipe; questions about a stream that is ours
(`challenge`, `health`, `key-frame` for a still), news about one (`owned` by another worker, `cut`), this worker's
metrics. An answer is always current: a caller names the epoch that it believes in, and is refused where ours is older
(404), because then we are the late ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import orjson
from aiohttp import web
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from hls_packager.mirror import StoreJournal, state_records
from hls_packager.origin import Origin
from streamd.cluster.register import Ownership
from streamd.errors import NotFoundError, StreamdError
from streamd.internal.peers import error_to_json
from streamd.internal.pipe import RecordPipe
from streamd.internal.proof import HEADER, is_known
from streamd.live.gate import StreamGate
from streamd.live.gop import newest_key_frame
from streamd.live.hub import Hub
from streamd.live.relay import FrameTap
from streamd.live.stream import LiveStream
from streamd.telemetry.metrics import Metrics

# Ten seconds of a stream of 25 Mb/s. A mirror further behind begins anew.
PIPE_BYTES = 32 * 1024 * 1024
# Frames go out together: a third of the tick in which a mirror's fan-out writes them anyway.
GATHER_FRAMES_S = 0.01
_CHUNK_BYTES = 256 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class InternalEndpoint:
    """See the module's promise."""

    def __init__(
        self,
        *,
        hub: Hub,
        gate: StreamGate,
        origin: Origin,
        metrics: Metrics,
        secret: Callable[[], bytes],
        on_owned: Callable[[Ownership], None],
    ) -> None:
        self._hub = hub
        self._gate = gate
        self._origin = origin
        self._metrics = metrics
        self._secret = secret
        self._on_owned = on_owned
        self._pipes: set[RecordPipe] = set()
        self.cut_off = 0

    def application(self) -> web.Application:
        """With every route behind the bearer; more may be added: what is forwarded here."""
        application = web.Application(middlewares=[self._admit], client_max_size=1 << 20)
        stream = "/internal/streams/{room}"
        application.add_routes(
            [
                web.get(f"{stream}/store", self._store),
                web.get(f"{stream}/frames", self._frames),
                web.get(f"{stream}/health", self._health),
                web.get(f"{stream}/key-frame", self._key_frame),
                web.post(f"{stream}/challenge", self._challenge),
                web.post(f"{stream}/owned", self._owned),
                web.post(f"{stream}/cut", self._cut),
                web.get("/internal/metrics", self._metrics_page),
            ]
        )
        return application

    def close(self) -> None:
        """Shut down: mirrors get what is queued and look for another owner. Idempotent."""
        for pipe in self._pipes:
            pipe.close()

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        return (
            GaugeMetricFamily("streamd_relays", "Mirrors on other workers that are fed from here", len(self._pipes)),
            CounterMetricFamily("streamd_relays_cut_off", "Mirrors that were too slow", self.cut_off),
        )

    # --- media ---

    async def _store(self, request: web.Request) -> web.StreamResponse:
        stream = self._stream(request)
        store = self._origin.find(stream.room, "source")
        if store is None or store.is_mirror or store.is_withdrawn:
            raise _not_ours(stream.room)
        pipe = RecordPipe(limit_bytes=PIPE_BYTES)
        journal = StoreJournal(pipe.write)
        response = await _begin(request)
        state = store.watch(journal)
        try:
            # The state is a whole window of media, and not the mirror's fault: it does not count against the pipe.
            await _write_all(response, state_records(state))
            await self._drain(pipe, response)
        finally:
            store.unwatch(journal)
        return response

    async def _frames(self, request: web.Request) -> web.StreamResponse:
        stream = self._stream(request)
        pipe = RecordPipe(limit_bytes=PIPE_BYTES, gather_s=GATHER_FRAMES_S)
        tap = FrameTap(stream, pipe.write)
        response = await _begin(request)
        tap.open()
        try:
            await self._drain(pipe, response)
        finally:
            tap.close()
        return response

    async def _drain(self, pipe: RecordPipe, response: web.StreamResponse) -> None:
        self._pipes.add(pipe)
        try:
            await pipe.drain(response)
            await response.write_eof()
        except ConnectionError:
            self.cut_off += pipe.is_cut
            response.force_close()
        finally:
            self._pipes.discard(pipe)

    # --- questions and news ---

    async def _health(self, request: web.Request) -> web.StreamResponse:
        health = self._hub.health(self._stream(request).room)
        return _answer(health.as_dict() if health is not None else None)

    async def _key_frame(self, request: web.Request) -> web.StreamResponse:
        form, data = newest_key_frame(self._stream(request).gop)
        return web.Response(body=form.encode() + b"\n" + data, content_type="application/octet-stream")

    async def _challenge(self, request: web.Request) -> web.StreamResponse:
        said = orjson.loads(await request.read())
        return _answer(await self._gate.challenge(request.match_info["room"], synthetic=bool(said["synthetic"])))

    async def _owned(self, request: web.Request) -> web.StreamResponse:
        said, room = orjson.loads(await request.read()), request.match_info["room"]
        owner = Ownership(room, str(said["worker"]), int(said["epoch"]), True)
        self._on_owned(owner)
        self._gate.give_up(room, epoch=owner.epoch)
        return _answer(None)

    async def _cut(self, request: web.Request) -> web.StreamResponse:
        said = orjson.loads(await request.read())
        self._gate.cut(request.match_info["room"], str(said["reason"]))
        return _answer(None)

    async def _metrics_page(self, request: web.Request) -> web.StreamResponse:
        del request
        return web.Response(body=self._metrics.render(), content_type="application/octet-stream")

    # --- inside ---

    def _stream(self, request: web.Request) -> LiveStream:
        room = request.match_info["room"]
        stream = self._hub.find(room)
        if stream is None or stream.claim.epoch < int(request.query.get("epoch", "0")):
            raise _not_ours(room)
        return stream

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_known(request.headers.get(HEADER, ""), self._secret()):
            raise web.HTTPNotFound
        try:
            return await handler(request)
        except StreamdError as error:
            return web.Response(
                status=404 if isinstance(error, NotFoundError) else 409,
                body=orjson.dumps(error_to_json(error)),
                content_type="application/json",
            )


def _not_ours(room: str) -> NotFoundError:
    return NotFoundError(f"Room {room} is not owned here", code="not_ours")


def _answer(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


async def _begin(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "application/octet-stream"
    response.enable_chunked_encoding()
    await response.prepare(request)
    return response


async def _write_all(response: web.StreamResponse, pieces: Iterable[bytes]) -> None:
    gathered: list[bytes] = []
    size_bytes = 0
    for piece in pieces:
        gathered.append(piece)
        size_bytes += len(piece)
        if size_bytes >= _CHUNK_BYTES:
            await response.write(b"".join(gathered))
            gathered, size_bytes = [], 0
    await response.write(b"".join(gathered))
