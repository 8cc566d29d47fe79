"""The WHIP server: all sessions of this worker, their one UDP port, and their time.

    server = WhipServer(gate=…, keys=…, clock=…, metrics=…, log=…, settings=…)
    server.listen()                           # binds; OSError if no port of the range is free
    tasks.create_task(server.run())           # reads and sweeps until `stop`
    session = await server.open(body, request=…)
    await server.stop("shutdown", within_ms=2_000)

A key is checked when its offer comes; the room is taken only once the peer has been reached (see `session`), so that an
encoder behind a firewall sends nobody away. Sessions run as tasks of `run`'s own TaskGroup. One sweep serves every
timeout and every overdue report of all of them.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from streamd.clock import Clock
from streamd.errors import LimitedError, StreamdError, UnavailableError
from streamd.media.ports import PublishGate, PublishRequest
from streamd.telemetry.log import Log
from streamd.telemetry.metrics import Metrics
from streamd.whip.answer import Seat
from streamd.whip.limits import WhipSettings
from streamd.whip.offer import read_offer
from streamd.whip.opus_to_aac import SoundWorkshop
from streamd.whip.secure_channel import Certificate
from streamd.whip.session import Session, Surroundings
from streamd.whip.udp_port import UdpPort

_SWEEP_S = 0.1
_RETRY_AFTER_MS = 10_000
_CERTIFICATE_KEEP_MS = 7 * 24 * 3_600_000  # it is good for a month
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104


class KeyCheck(Protocol):
    """Knows keys and rooms."""

    async def check(self, request: PublishRequest) -> object:
        """Raises UnauthenticatedError, ForbiddenError, LimitedError, UnavailableError. Cancel-safe: yes."""
        ...


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


class WhipServer:
    """See the module's promise."""

    def __init__(
        self,
        *,
        gate: PublishGate,
        keys: KeyCheck,
        clock: Clock,
        metrics: Metrics,
        log: Log,
        settings: WhipSettings | None = None,
        worker: str = "",
        now_us: Callable[[], int] = _monotonic_us,
    ) -> None:
        """`worker` is what the names of sessions begin with where several workers share the HTTP port."""
        self._settings = settings or WhipSettings()
        self._keys = keys
        self._worker = worker
        self._clock = clock
        self._log = log
        self._now_us = now_us
        self._port = UdpPort(now_us=now_us, log=log)
        self._sound = SoundWorkshop()
        self._sessions: dict[str, Session] = {}
        self._by_address: Counter[str] = Counter()
        self._tasks: asyncio.TaskGroup | None = None
        self._stopped = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._occupied = asyncio.Event()
        self._certificate: Certificate | None = None
        self._certificate_made_ms = 0
        self._refused_count = 0
        self._around = Surroundings(
            gate=gate,
            port=self._port,
            clock=clock,
            now_us=now_us,
            log=log,
            metrics=metrics,
            limits=self._settings.limits,
            sound=self._sound,
        )

    @property
    def settings(self) -> WhipSettings:
        """As it was made with."""
        return self._settings

    @property
    def worker(self) -> str:
        """What the names of its sessions begin with."""
        return self._worker

    @property
    def port(self) -> int:
        """The UDP port, after `listen`."""
        return self._port.number

    @property
    def sessions_count(self) -> int:
        """Sessions open now, half-open ones included."""
        return len(self._sessions)

    def listen(self) -> None:
        """Bind the UDP port. Raises OSError."""
        self._port.listen(self._settings.host, self._settings.ports)

    async def run(self) -> None:
        """Serve until `stop`. Cancel-safe: yes, and then no peer is told anything."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._port.open()
                self._tasks = tasks
                sweeper = tasks.create_task(self._sweep())
                await self._stopped.wait()
                sweeper.cancel()
        finally:
            self._tasks = None
            self._port.close()
            self._sound.close()

    async def stop(self, reason: str, *, within_ms: int) -> None:
        """Take no session any more and end all of them. Cancel-safe: yes."""
        self._stopped.set()
        for session in list(self._sessions.values()):
            session.end(reason)
        try:
            async with asyncio.timeout(within_ms / 1_000):
                await self._empty.wait()
        except TimeoutError:
            self._log.warning("whip.stop_cut_off", sessions=len(self._sessions))

    async def open(self, body: bytes, *, request: PublishRequest, reached_at: str) -> Session:
        """A session for an offer. `reached_at` is the address of ours that its request came to. Cancel-safe: yes.

        Raises MalformedError and RefusedError (the offer), UnauthenticatedError and ForbiddenError (the key),
        UnavailableError when all sessions are taken, LimitedError when the address has enough.
        """
        try:
            self._refuse_too_many(request.peer)
            offer = read_offer(body)
            await self._keys.check(request)
            tasks = self._refuse_too_many(request.peer)
        except StreamdError as error:
            self._around.metrics.publish_refused.labels(reason=error.code).inc()
            raise
        name = secrets.token_urlsafe(24)
        session = Session(
            name=f"{self._worker}.{name}" if self._worker else name,
            offer=offer,
            request=request,
            certificate=self._current_certificate(),
            hosts=self._settings.public_ips or self._own_addresses(reached_at),
            around=self._around,
        )
        self._sessions[session.name] = session
        self._by_address[request.peer] += 1
        self._empty.clear()
        self._occupied.set()
        tasks.create_task(self._serve(session))
        return session

    def find(self, name: str) -> Session | None:
        """The session of that name, while it lives."""
        return self._sessions.get(name)

    def seat(self, session: Session) -> Seat:
        """Where the peer of a session finds us."""
        return Seat(
            ufrag=session.ice.ufrag,
            password=session.ice.password,
            fingerprint=session.fingerprint,
            addresses=[(host, self.port) for host in session.hosts],
        )

    def collect(self) -> Iterable[Metric]:
        """For `Metrics.collect_from`."""
        sessions = GaugeMetricFamily("streamd_whip_sessions", "WHIP sessions open now", value=len(self._sessions))
        refused = CounterMetricFamily("streamd_whip_refused", "WHIP offers refused for lack of room")
        refused.add_metric([], self._refused_count)
        stray = CounterMetricFamily("streamd_whip_stray_datagrams", "Datagrams on the WebRTC port that are nobody's")
        stray.add_metric([], self._port.stray_count)
        return sessions, refused, stray

    # --- inside ---

    async def _serve(self, session: Session) -> None:
        try:
            await session.run()
        finally:
            del self._sessions[session.name]
            self._by_address[session.request.peer] -= 1
            if not self._by_address[session.request.peer]:
                del self._by_address[session.request.peer]
            if not self._sessions:
                self._empty.set()
                self._occupied.clear()

    async def _sweep(self) -> None:
        while True:
            await self._occupied.wait()  # ten times a second is much where nobody is
            await asyncio.sleep(_SWEEP_S)
            self._look_around()

    def _look_around(self) -> None:
        now_ms, now_us = self._clock.now_ms(), self._now_us()
        for session in list(self._sessions.values()):
            session.sweep(now_ms, now_us)

    def _refuse_too_many(self, address: str) -> asyncio.TaskGroup:
        limits = self._settings.limits
        tasks = self._tasks
        if tasks is None or self._stopped.is_set():
            raise UnavailableError("this node takes no sessions now", fix="connect again", code="draining")
        if len(self._sessions) >= limits.sessions_count:
            self._refused_count += 1
            raise UnavailableError(
                "all WebRTC sessions of this node are taken",
                why=f"it carries at most {limits.sessions_count}",
                fix="try again later, publish by RTMP, or raise STREAMD_WEBRTC_MAX_SESSIONS",
                code="sessions_taken",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        is_trusted = address in self._settings.trusted_addresses
        if not is_trusted and self._by_address[address] >= limits.sessions_per_address_count:
            self._refused_count += 1
            raise LimitedError(
                "too many WebRTC sessions from one address",
                why=f"at most {limits.sessions_per_address_count} at a time",
                fix="end the others first",
                code="sessions_per_address",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        return tasks

    def _current_certificate(self) -> Certificate:
        now_ms = self._clock.now_ms()
        if self._certificate is None or now_ms - self._certificate_made_ms > _CERTIFICATE_KEEP_MS:
            self._certificate, self._certificate_made_ms = Certificate(), now_ms
        return self._certificate

    def _own_addresses(self, reached_at: str) -> list[str]:
        """Addresses of this machine that a peer may reach: first the one by which it came."""
        host = self._settings.host
        if host not in _WILDCARDS:
            return [host]
        found = [reached_at, _routed_address(socket.AF_INET)]
        if self._port.takes_ipv6:
            found.append(_routed_address(socket.AF_INET6))
        usable = dict.fromkeys(one for one in found if one and (self._port.takes_ipv6 or ":" not in one))
        # A proxy on this machine makes every request come by loopback: then it is the last resort.
        return sorted(usable, key=lambda one: ip_address(one).is_loopback) or ["127.0.0.1"]


def _routed_address(family: socket.AddressFamily) -> str:
    """The address from which this machine would go outside. Nothing is sent."""
    outside = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((outside, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])
