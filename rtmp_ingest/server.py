"""The RTMP server: listens, hands each peer to a `Connection`, and looks after time.

    server = RtmpServer(gate=…, play_gate=…, clock=…, metrics=…, log=…, settings=…)
    server.listen()                           # binds; OSError if a port is taken
    tasks.create_task(server.run())           # accepts and serves until `stop`
    await server.stop("shutdown", within_ms=5_000)

Decisions about publishers and players run as tasks of `run`'s own TaskGroup. One sweep a second serves every timeout of
every connection; there is no timer for a message or a peer. A connection beyond the limits is closed at once.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Coroutine

from rtmp_ingest.address_limits import AddressLimits
from rtmp_ingest.connection import Connection
from rtmp_ingest.limits import RtmpSettings
from rtmp_ingest.proxied import ProxiedConnection
from rtmp_ingest.surroundings import Peer, Surroundings
from streamd.clock import Clock
from streamd.media.ports import PlayGate, PublishGate
from streamd.rounds import Rounds
from streamd.telemetry.log import Log
from streamd.telemetry.metrics import Metrics

_SWEEP_S = 1.0
_BACKLOG = 1024
# How long publishers' bytes may wait for each other: for each publisher there is, and at most.
_SHARE_MS = 2.5
_ROUND_MS = 50.0


class RtmpServer:
    """RTMP on one port, RTMPS on a second one when `ssl_context` is given and `settings.tls_port` is set."""

    def __init__(
        self,
        *,
        gate: PublishGate,
        play_gate: PlayGate,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        settings: RtmpSettings | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings or RtmpSettings()
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._ssl_context = ssl_context
        self._addresses = AddressLimits(limits=self._settings.limits, trusted=self._settings.trusted_addresses)
        self._connections: set[Peer] = set()
        self._sockets: list[socket.socket] = []
        self._listeners: list[asyncio.Server] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._stopped = asyncio.Event()
        self._is_open = True
        self._empty = asyncio.Event()
        self._empty.set()
        self._refused_count = 0
        self._around = Surroundings(
            gate=gate,
            play_gate=play_gate,
            clock=clock,
            log=log,
            metrics=metrics,
            settings=self._settings,
            addresses=self._addresses,
            rounds=Rounds(each_ms=_SHARE_MS, longest_ms=_ROUND_MS),
            spawn=self._spawn,
            opened=self._opened,
            closed=self._closed,
        )

    @property
    def port(self) -> int:
        """Where plain RTMP listens, after `listen`."""
        return int(self._sockets[0].getsockname()[1])

    @property
    def tls_port(self) -> int | None:
        """Where RTMPS listens, after `listen`."""
        return int(self._sockets[1].getsockname()[1]) if len(self._sockets) > 1 else None

    @property
    def connections_count(self) -> int:
        """Connections open now."""
        return len(self._connections)

    def listen(self) -> None:
        """Bind the ports, so that a busy one is known before anything runs. Raises OSError.

        Whoever connects before `run` waits in the kernel.
        """
        settings = self._settings
        ports = [settings.port]
        if self._ssl_context is not None and settings.tls_port is not None:
            ports.append(settings.tls_port)
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        try:
            for port in ports:
                address = (settings.host, port)
                self._sockets.append(
                    socket.create_server(address, family=family, backlog=_BACKLOG, reuse_port=settings.reuse_port)
                )
        except OSError:
            self._close_doors()
            raise

    async def _accept(self, bound: socket.socket, context: ssl.SSLContext | None) -> None:
        listener = await asyncio.get_running_loop().create_server(
            # RTMPS is ours from the first byte: a balancer that ends TLS speaks to the plain port.
            self._answer_proxied if self._settings.behind_proxy and context is None else self._answer,
            sock=bound,
            ssl=context,
            ssl_handshake_timeout=self._settings.limits.handshake_ms / 1000 if context is not None else None,
            backlog=_BACKLOG,
        )
        self._listeners.append(listener)

    def _answer(self) -> Connection:
        return Connection(self._around)

    def _answer_proxied(self) -> ProxiedConnection:
        patience_ms = self._settings.limits.handshake_ms
        return ProxiedConnection(
            make=self._answer, patience_ms=patience_ms, neighbours=self._settings.trusted_addresses, log=self._log
        )

    def _close_doors(self) -> None:
        self._is_open = False
        for listener in self._listeners:
            listener.close()
        for bound in self._sockets:
            bound.close()

    async def run(self) -> None:
        """Serve until `stop`. Cancel-safe: yes, and then no peer is told anything."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                sweeper = tasks.create_task(self._sweep())
                for bound, context in zip(self._sockets, (None, self._ssl_context), strict=False):
                    if self._is_open:
                        await self._accept(bound, context)
                await self._stopped.wait()
                sweeper.cancel()
        finally:
            self._tasks = None
            self._close_doors()
            for connection in list(self._connections):
                connection.abort()

    async def stop(self, reason: str, *, within_ms: int) -> None:
        """Accept nobody any more, end every publication and play, and wait for the sockets to close.

        What is still open after `within_ms` is cut off. Cancel-safe: yes; cut off then as well.
        """
        self._close_doors()
        for connection in list(self._connections):
            connection.shut_down(reason)
        try:
            async with asyncio.timeout(within_ms / 1000):
                await self._empty.wait()
        except TimeoutError:
            self._log.warning("rtmp.stop_cut_off", connections=len(self._connections))
        finally:
            for connection in list(self._connections):
                connection.abort()
            self._stopped.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_S)
            now_ms = self._clock.now_ms()
            for connection in list(self._connections):
                connection.sweep(now_ms)
            if self._refused_count:
                self._log.warning("rtmp.connections_refused", count=self._refused_count)
                self._refused_count = 0

    def _spawn(self, decision: Coroutine[object, object, None]) -> asyncio.Task[None]:
        assert self._tasks is not None, "connections are only accepted while run() is running"
        return self._tasks.create_task(decision)

    def _opened(self, connection: Peer) -> bool:
        if (
            self._tasks is None
            or not self._is_open
            or len(self._connections) >= self._settings.limits.connections_count
            or not self._addresses.connect(connection.address)
        ):
            self._refused_count += 1
            return False
        self._connections.add(connection)
        self._empty.clear()
        self._metrics.rtmp_connections.inc()
        return True

    def _closed(self, connection: Peer) -> None:
        self._connections.discard(connection)
        self._addresses.disconnect(connection.address)
        self._metrics.rtmp_connections.dec()
        if not self._connections:
            self._empty.set()
