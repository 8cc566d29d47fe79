"""Who may put a room on air.

In: publish requests of the ingest packages. Out: a `Publication`, or a StreamdError that says why not. The decision is
made before the encoder hears that it is on air, and one room has one publisher at any time.

Takeover. A valid key is the identity: an encoder that comes with it takes the room over from whoever holds it, at
once, because the holder is nearly always the zombie of the same encoder's broken connection. The old publication is
dead the moment the new one exists; then its session is told to leave ("replaced").

Two live encoders with one key would take the room from each other for ever. A takeover is *contested* when the holder
sent a frame within the last second. After `contested_takeovers` of them within `contest_window_ms` the newcomer is put
to the proof: the gate watches the holder for `proof_ms`. A holder that keeps sending stays, and the newcomer is refused
(LimitedError) for `contest_hold_ms`, longer if it insists; a holder that falls silent was a zombie, and the newcomer is
seated. So a single encoder, however often it reconnects, waits at most `proof_ms` and is never refused: it does not
send on the connection that it left. Three contested takeovers are free, so that whoever was started last wins.

Where the room belongs to another worker, that one's gate is asked first (`Elsewhere`): it applies the same rules to the
newcomer, and hands over how often the room was contested. So two encoders fight in vain across workers too, and the
programme yields everywhere. An owner that does not answer is no owner any more.

The synthetic programme (principal or encoder named `programme`) yields to every real encoder, never takes over from
one, and comes back once the encoder has stopped cleanly or its grace time has run out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from streamd.clock import Clock
from streamd.errors import ConflictError, LimitedError, UnavailableError
from streamd.live.directory import Claim
from streamd.live.hub import Hub
from streamd.live.stream import LiveStream, Source, StreamState
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Publication, Publisher, PublishRequest
from streamd.media.tracks import Track
from streamd.telemetry.log import Log

PROGRAMME = "programme"
_CLEAN_STOPS = frozenset({"unpublish"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """When two encoders are fighting, and for how long the loser waits."""

    alive_ms: int = 1_000  # a holder that sent a frame within it is alive
    contested_takeovers: int = 3
    contest_window_ms: int = 30_000
    contest_hold_ms: int = 30_000
    proof_ms: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A key is good for this room. `principal` names whose key it is, for logs and the programme's rule."""

    room: str
    principal: str


class KeyCheck(Protocol):
    """Knows keys and rooms."""

    async def check(self, request: PublishRequest) -> Grant:
        """Resolve a request to a room. Cancel-safe: yes.

        Raises UnauthenticatedError (no such key), ForbiddenError (known, not allowed), LimitedError, UnavailableError.
        """
        ...


class Elsewhere(Protocol):
    """The owners on other workers."""

    async def challenge(self, room: str, *, synthetic: bool) -> Sequence[int]:
        """May a newcomer here take `room`? Returns how many milliseconds ago it was contested lately, each time.

        Nothing where no other worker owns the room, or where its owner cannot be reached. Raises what its owner refuses
        with (ConflictError, LimitedError). Cancel-safe: yes.
        """
        ...

    def seated(self, claim: Claim) -> None:
        """A publisher has its seat here: tell `claim.before`. Never blocks."""
        ...


class NobodyElse:
    """Implements `Elsewhere` for a node that is one worker."""

    async def challenge(self, room: str, *, synthetic: bool) -> Sequence[int]:
        """Nobody was asked."""
        del room, synthetic
        return ()

    def seated(self, claim: Claim) -> None:
        """There is nobody to tell."""


class StreamGate:
    """See the module's promise. Implements `PublishGate`."""

    def __init__(
        self,
        *,
        hub: Hub,
        keys: KeyCheck,
        clock: Clock,
        log: Log,
        settings: GateSettings | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._hub = hub
        self._keys = keys
        self._clock = clock
        self._log = log
        self._settings = settings or GateSettings()
        self._sleep = sleep
        self._elsewhere = elsewhere or NobodyElse()
        self._holders: dict[str, _Held] = {}
        self._contests: dict[str, _Contest] = {}
        self._cuts = 0
        self._draining = False

    async def open(self, request: PublishRequest, publisher: Publisher) -> Publication:
        """See `PublishGate.open`. Also raises UnavailableError while the node drains."""
        while True:
            self._refuse_while_draining()
            cuts = self._cuts
            grant = await self._keys.check(request)
            source = Source(
                protocol=request.protocol, encoder=request.encoder, peer=request.peer, principal=grant.principal
            )
            self._refuse_programme(grant.room, source)
            await self._prove(grant.room)
            if self._hub.find(grant.room) is None:
                ages_ms = await self._elsewhere.challenge(grant.room, synthetic=_is_synthetic(source))
                self._take_over_contests(grant.room, ages_ms)
            stream = await self._hub.open(grant.room)
            # From here on nothing waits, so nothing can come between the decision and the seat.
            try:
                self._refuse_while_draining()
                if cuts == self._cuts:
                    self._refuse_programme(grant.room, source)
                    return self._seat(stream, source, publisher)
            finally:
                if not stream.publications:
                    self._hub.end(stream, "never_begun")

    def cut(self, room: str, reason: str = "cut") -> None:
        """Take a room off air now: its encoder is sent away and the programme ends without grace.

        Requests that are being decided are decided again, by a `KeyCheck` that knows why the room was cut.
        """
        self._cuts += 1
        held = self._holders.pop(room, None)
        stream = self._hub.find(room)
        if stream is not None:
            self._hub.end(stream, reason)
        self._contests.pop(room, None)
        if held is not None:
            self._evict(held, reason)

    async def challenge(self, room: str, *, synthetic: bool) -> list[int]:
        """A newcomer on another worker wants `room`, which is ours: the other side of `Elsewhere.challenge`.

        Raises ConflictError, LimitedError. Cancel-safe: yes.
        """
        source = Source(protocol="", encoder="", peer="", principal=PROGRAMME if synthetic else "")
        self._refuse_programme(room, source)
        await self._prove(room)
        held = self._holders.get(room)
        if held is not None and not synthetic and held.contestable(self._settings.alive_ms):
            self._note_contest(room)
        contest = self._contests.get(room)
        return contest.ages_ms(self._clock.now_ms()) if contest is not None else []

    def give_up(self, room: str, *, epoch: int) -> None:
        """Another worker owns `room` with `epoch`: let go of it, unless our claim is newer. Idempotent."""
        stream = self._hub.find(room)
        if stream is None or stream.claim.epoch >= epoch:
            return
        held = self._holders.pop(room, None)
        if held is not None:
            held.open = False
        self._hub.hand_over(stream)
        if held is not None:
            self._evict(held, "replaced")

    def drain(self) -> None:
        """The node is about to stop: admit nobody any more, send every encoder away ("shutdown"). They come back."""
        self._draining = True
        holders, self._holders = self._holders, {}
        for held in holders.values():
            self._hub.pause(held.stream, "shutdown")
            self._evict(held, "shutdown")

    # --- inside ---

    def _refuse_while_draining(self) -> None:
        if self._draining:
            raise UnavailableError(
                "This node is shutting down", why="it is being stopped or updated", fix="connect again", code="draining"
            )

    def _refuse_programme(self, room: str, source: Source) -> None:
        stream = self._hub.find(room)
        if stream is None or not _is_synthetic(source):
            return
        if stream.source is None or _is_synthetic(stream.source):
            return
        if stream.state is StreamState.PAUSED and stream.pause_reason in _CLEAN_STOPS:
            return
        raise ConflictError(
            f"Room {room} belongs to its encoder",
            why="the synthetic programme gives way to a real encoder, also while that one reconnects",
            fix="wait until the encoder has stopped",
            code="encoder_on_air",
        )

    async def _prove(self, room: str) -> None:
        """Let a contested newcomer through once the holder has turned out to be a zombie; else refuse it."""
        held = self._holders.get(room)
        contest = self._contests.get(room)
        settings = self._settings
        if held is None or contest is None or not held.contestable(settings.alive_ms):
            return
        if not contest.fierce(self._clock.now_ms(), settings):
            return
        # Half of the time for what was under way when the encoder let go of its old connection.
        await self._sleep(settings.proof_ms / 2_000)
        last_frame_utc_ms = held.stream.last_frame_utc_ms
        await self._sleep(settings.proof_ms / 2_000)
        if self._holders.get(room) is not held or held.stream.last_frame_utc_ms == last_frame_utc_ms:
            return
        contest.hold_until_ms = self._clock.now_ms() + settings.contest_hold_ms
        self._log.warning("live.takeover_refused", room=room)
        raise LimitedError(
            f"Room {room} is held by another encoder",
            why=f"two encoders with the same stream key have taken it from each other {settings.contested_takeovers} "
            f"times within {settings.contest_window_ms // 1_000} s, and the other one is still sending",
            fix="stop the other encoder, or give it a key of its own by rotating this one",
            code="encoders_fighting",
            retry_after_ms=settings.contest_hold_ms,
        )

    def _seat(self, stream: LiveStream, source: Source, publisher: Publisher) -> Publication:
        room = stream.room
        previous = self._holders.get(room)
        if previous is not None and not _is_synthetic(source) and previous.contestable(self._settings.alive_ms):
            self._note_contest(room)
        held = self._holders[room] = _Held(
            stream=stream, source=source, publisher=publisher, clock=self._clock, leave=self._leave
        )
        if previous is not None:
            previous.open = False
        self._hub.begin(stream, source)
        self._log.info(
            "live.publication_opened",
            room=room,
            protocol=source.protocol,
            peer=source.peer,
            principal=source.principal,
            took_over=previous is not None,
        )
        if previous is not None:
            self._evict(previous, "replaced")
        if stream.publications == 1:
            self._elsewhere.seated(stream.claim)
        return held

    def _take_over_contests(self, room: str, ages_ms: Sequence[int]) -> None:
        if ages_ms:
            self._contests.pop(room, None)  # what was known here is in what the owner knows
        for age_ms in ages_ms:
            self._note_contest(room, age_ms=age_ms)

    def _note_contest(self, room: str, *, age_ms: int = 0) -> None:
        now_ms, settings = self._clock.now_ms() - age_ms, self._settings
        over = [name for name, contest in self._contests.items() if contest.over(now_ms, settings)]
        for name in over:
            del self._contests[name]
        self._contests.setdefault(room, _Contest(settings.contested_takeovers)).note(now_ms)

    def _evict(self, held: _Held, reason: str) -> None:
        held.open = False
        try:
            held.publisher.evict(reason)
        except Exception:
            # The session that is to go must not decide whether its successor may come.
            self._log.exception("live.evict_failed", room=held.room)

    def _leave(self, held: _Held, reason: str) -> None:
        if self._holders.get(held.room) is held:
            del self._holders[held.room]
            self._hub.pause(held.stream, reason)


def _is_synthetic(source: Source) -> bool:
    return source.principal == PROGRAMME or source.encoder.startswith(f"streamd-{PROGRAMME}")


class _Held:
    """One publisher's hold of one room. Implements `Publication`."""

    __slots__ = ("_clock", "_leave", "_source", "open", "publisher", "stream")

    def __init__(
        self,
        *,
        stream: LiveStream,
        source: Source,
        publisher: Publisher,
        clock: Clock,
        leave: Callable[[_Held, str], None],
    ) -> None:
        self.stream = stream
        self.publisher = publisher
        self.open = True
        self._source = source
        self._clock = clock
        self._leave = leave

    def contestable(self, alive_ms: int) -> bool:
        """Whether taking the room from this holder would be a contest: a real encoder that is sending."""
        return not _is_synthetic(self._source) and self._clock.utc_ms() - self.stream.last_frame_utc_ms < alive_ms

    @property
    def room(self) -> str:
        return self.stream.room

    def announce(self, track: Track) -> None:
        if self.open:
            self.stream.announce(track)

    def push(self, frame: EncodedFrame) -> None:
        if self.open:
            self.stream.push(frame)

    def hint(self, metadata: Mapping[str, object]) -> None:
        if self.open:
            self.stream.hint(metadata)

    def count(self, repair: str, amount: int = 1) -> None:
        if self.open:
            self.stream.count(repair, amount)

    def close(self, reason: str) -> None:
        if self.open:
            self.open = False
            self._leave(self, reason)


class _Contest:
    """The latest contested takeovers of one room."""

    def __init__(self, keep: int) -> None:
        self._at_ms: deque[int] = deque(maxlen=keep)
        self.hold_until_ms = 0

    def ages_ms(self, now_ms: int) -> list[int]:
        """How long ago each of them was, oldest first."""
        return [now_ms - at_ms for at_ms in self._at_ms]

    def note(self, now_ms: int) -> None:
        self._at_ms.append(now_ms)

    def fierce(self, now_ms: int, settings: GateSettings) -> bool:
        if now_ms < self.hold_until_ms:
            return True
        lately = sum(now_ms - at_ms < settings.contest_window_ms for at_ms in self._at_ms)
        return lately >= settings.contested_takeovers

    def over(self, now_ms: int, settings: GateSettings) -> bool:
        newest_ms = max(self._at_ms, default=0)
        return now_ms >= self.hold_until_ms and now_ms - newest_ms >= settings.contest_window_ms
