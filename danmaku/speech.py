"""From what a client says to a draft in the room's line, or to a refusal that says why.

The order of the checks is the order of their cost: shape, repetition, right to speak, this node's rates, words, the
reviewer outside (200 ms, then the room's policy), the rates of all nodes. Whatever happens, the sender is answered once
for each time they asked; the same client id within ten minutes is one message and gets one number.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterator
from typing import Final

import orjson

from danmaku.conduct import ADMIN, Identity, RateBook, Refusal, refusal_of_limit
from danmaku.fanout import Member
from danmaku.moderation import WordList, judge_by
from danmaku.ports import Archive, Reviewer, ReviewVerdict, SiteWords, SpokenMessage
from danmaku.room import DANMAKU
from danmaku.table import Table
from danmaku.wire import event_packet
from streamd.clock import Clock
from streamd.cluster.bus import Admission, B, C, Draft, RoomBus, Verdict
from streamd.errors import UnavailableError

Answer = Callable[[dict[str, object]], None]
MODES: Final = frozenset({"scroll", "top", "bottom"})
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_REVIEW_BUDGET_S: Final = 0.2
_MAX_REVIEWS: Final = 64
_ADMIT_PAUSE_S: Final = 0.03
_IDENT_MS: Final = 600_000
_MAX_IDENTS: Final = 65_536  # ten minutes of a hundred a second
_ID: Final = re.compile(r"[!-~]{0,64}")


class Utterance:
    """One message on its way."""

    __slots__ = ("answers", "at_ms", "color", "id", "ident", "member", "mode", "seq", "text")

    def __init__(self, member: Member, ident: str, answer: Answer, fields: tuple[str, str, str, str]) -> None:
        self.member = member
        self.ident = ident
        self.id, self.text, self.color, self.mode = fields
        self.answers = [answer]
        self.at_ms = 0
        self.seq = 0


def refused(refusal: Refusal) -> dict[str, object]:
    """A refusal as an acknowledgement."""
    ack: dict[str, object] = {"ok": False, "code": refusal.code, "message": refusal.message}
    if refusal.retry_after_ms:
        ack["retry_after_ms"] = refusal.retry_after_ms
    return ack


class Speech:
    """The way in for danmaku, for all rooms of a node."""

    def __init__(
        self,
        *,
        bus: RoomBus,
        clock: Clock,
        archive: Archive,
        reviewer: Reviewer | None,
        rates: RateBook,
        site_words: SiteWords,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._archive = archive
        self._reviewer = reviewer
        self._rates = rates
        self._site_words = site_words
        self._spawn = spawn
        # Until when, and the message on its way, the number it got, or that it is held. The latter two keep no
        # connection alive.
        self._recent: OrderedDict[tuple[str, str], tuple[int, Utterance | Refusal | int]] = OrderedDict()
        self._words: dict[tuple[object, ...], WordList] = {}
        self._queues: dict[str, list[tuple[Table, Utterance]]] = {}
        self._settled: dict[str, dict[str, int]] = {}
        self._asking = 0
        self._under_review: dict[tuple[str, str], asyncio.Future[None]] = {}  # the latest of each person in a room
        self.reviews: dict[str, int] = {}  # by outcome
        self.refusals: dict[str, int] = {}
        self.spoken = 0

    def hear(self, table: Table, member: Member, data: object, answer: Answer) -> None:
        """One `danmaku` event. `answer` is called once, now or later."""
        fields = self._shape(table, data)
        if isinstance(fields, Refusal):
            self._refuse(fields, [answer])
            return
        ident = f"{member.identity.id}:{fields[0]}"
        key = (table.name, ident)
        now_ms = self._clock.now_ms()
        self._forget(now_ms)
        known = self._recent.get(key)
        if known is not None:
            self._repeat(known[1], answer)
            return
        utterance = Utterance(member, ident, answer, fields)
        refusal = self._judge(table, member, utterance)
        if refusal is not None:
            self._refuse(refusal, utterance.answers)
            return
        self._recent[key] = (now_ms + _IDENT_MS, utterance)
        if self._reviewer is not None and not member.identity.is_staff:
            self._spawn(self._review(table, utterance))
        else:
            self._enqueue(table, utterance)

    def _shape(self, table: Table, data: object) -> tuple[str, str, str, str] | Refusal:
        if not isinstance(data, dict):
            return Refusal("invalid", "A danmaku is an object with id and text")
        text, ident = data.get("text"), data.get("id", "")
        color, mode = data.get("color") or "#ffffff", data.get("mode") or "scroll"
        if not isinstance(text, str) or not isinstance(ident, str) or not _ID.fullmatch(ident):
            return Refusal("invalid", "id and text are strings; an id has at most 64 visible ASCII characters")
        text = " ".join(text.split())
        if not text:
            return Refusal("empty", "There is nothing to say")
        if len(text) > table.conduct.chat.max_length:
            return Refusal("too_long", f"At most {table.conduct.chat.max_length} characters")
        if mode not in MODES or not isinstance(color, str) or not _COLOR.fullmatch(color):
            return Refusal("invalid", "mode is scroll, top or bottom; color is #rrggbb")
        return ident or secrets.token_hex(8), text, color.lower(), mode

    def _repeat(self, known: Utterance | Refusal | int, answer: Answer) -> None:
        if isinstance(known, int):
            answer({"ok": True, "seq": known})
        elif isinstance(known, Refusal):
            self._refuse(known, [answer])
        else:
            known.answers.append(answer)

    def _judge(self, table: Table, member: Member, utterance: Utterance) -> Refusal | None:
        refusal = table.conduct.may_speak(member.identity, utc_ms=self._clock.utc_ms())
        if refusal is not None:
            return refusal
        if table.line.is_full:
            return Refusal("rate_room", "The room is too busy", 1_000)
        now_ms = self._clock.now_ms()
        for limit in table.conduct.limits(member.identity, member.address):
            wait_ms = self._rates.charge(limit._replace(name=f"{table.name}/{limit.name}"), now_ms)
            if wait_ms:
                return refusal_of_limit(limit.name, wait_ms)
        judgement = judge_by(self._word_lists(table, member.identity), utterance.text)
        if judgement.action == "block":
            return Refusal("blocked_word", "The message holds a word that is not allowed here")
        if judgement.action == "hold":
            return self._hold(table, utterance)
        utterance.text = judgement.text
        return None

    def _hold(self, table: Table, utterance: Utterance) -> Refusal:
        """Aside for a moderator, once however often it is sent; what the sender is told."""
        ident = utterance.ident
        if utterance.id in table.held:
            utterance.id = f"{utterance.id[:50]}-{secrets.token_hex(4)}"  # somebody else's, by chance or malice
        table.hold(utterance.id, self._payload(utterance))
        self._keep(table, utterance, "held")
        refusal = Refusal("held", "The message waits for a moderator")
        self._recent[(table.name, ident)] = (self._clock.now_ms() + _IDENT_MS, refusal)
        return refusal

    def _word_lists(self, table: Table, person: Identity) -> Iterator[WordList]:
        """The site's words are for everybody but its administrators, the room's for everybody but its staff."""
        if person.role != ADMIN:
            yield self._site_words()
        if not person.is_staff:
            yield self._word_list(table)

    def _word_list(self, table: Table) -> WordList:
        words = table.conduct.chat.words
        compiled = self._words.get(words)
        if compiled is None:
            if len(self._words) > 200:
                self._words.clear()
            compiled = self._words[words] = WordList(words)
        return compiled

    async def _review(self, table: Table, utterance: Utterance) -> None:
        """Asked about at once, settled in the order they were said: what a person says behind what they said before."""
        key = (table.name, utterance.member.identity.id)
        before = self._under_review.get(key)
        mine = self._under_review[key] = asyncio.get_running_loop().create_future()
        try:
            verdict = await self._ask(table, utterance)
            if before is not None:
                await before
            self._settle_review(table, utterance, verdict)
        finally:
            mine.set_result(None)
            if self._under_review[key] is mine:
                del self._under_review[key]

    def _settle_review(self, table: Table, utterance: Utterance, verdict: ReviewVerdict | None) -> None:
        outcome = verdict.action if verdict is not None else "silent"
        self.reviews[outcome] = self.reviews.get(outcome, 0) + 1
        policy = table.conduct.chat.on_silence
        if verdict is not None and verdict.action == "deny":
            self._drop(table, utterance, Refusal("reviewed", verdict.reason or "The message was not allowed"))
        elif verdict is not None or policy == "allow":
            self._enqueue(table, utterance)
        elif policy == "hold":
            self._refuse(self._hold(table, utterance), utterance.answers)
        else:
            self._drop(table, utterance, Refusal("review_silent", "The review did not answer; try again", 2_000))

    async def _ask(self, table: Table, utterance: Utterance) -> ReviewVerdict | None:
        """What the reviewer says within the budget; None for silence, and when it is asked too much at once already."""
        if self._reviewer is None or self._asking >= _MAX_REVIEWS:
            return None
        self._asking += 1
        try:
            async with asyncio.timeout(_REVIEW_BUDGET_S):
                return await self._reviewer(
                    room=table.name,
                    message_id=utterance.id,
                    person=utterance.member.identity,
                    text=utterance.text,
                )
        except TimeoutError:
            return None
        finally:
            self._asking -= 1

    # -- admission by all nodes, a tick's worth at a time --------------------------------------------------------

    def _enqueue(self, table: Table, utterance: Utterance) -> None:
        queue = self._queues.get(table.name)
        if queue is None:
            self._queues[table.name] = [(table, utterance)]
            self._spawn(self._admit(table.name))
        else:
            queue.append((table, utterance))

    async def _admit(self, room: str) -> None:
        try:
            while queue := self._queues[room]:
                self._queues[room] = []
                table = queue[0][0]
                admissions = [
                    Admission(u.ident, t.conduct.limits(u.member.identity, u.member.address)) for t, u in queue
                ]
                verdicts = await self._verdicts(table, admissions)
                for (owner, utterance), verdict in zip(queue, verdicts, strict=True):
                    self._decide(owner, utterance, verdict)
                await asyncio.sleep(_ADMIT_PAUSE_S)  # company for the next question
        finally:
            del self._queues[room]

    async def _verdicts(self, table: Table, admissions: list[Admission]) -> list[Verdict]:
        if not table.line.is_alone:
            try:
                return await self._bus.admit(table.name, admissions, now_ms=self._clock.utc_ms())
            except UnavailableError:
                pass  # this node has judged already, and goes on alone
        return [Verdict("ok")] * len(admissions)

    def _decide(self, table: Table, utterance: Utterance, verdict: Verdict) -> None:
        if verdict.kind == "limited":
            self._drop(table, utterance, refusal_of_limit(verdict.limit, verdict.retry_after_ms))
        elif verdict.kind == "again" and verdict.seq:
            self._answer(table, utterance, verdict.seq)
        elif verdict.kind == "again":
            self._drop(table, utterance, Refusal("pending", "The message is on its way", 500))
        else:
            self._submit(table, utterance)

    def _submit(self, table: Table, utterance: Utterance) -> None:
        person = utterance.member.identity
        payload = self._payload(utterance)
        draft = Draft(B if person.is_staff else C, DANMAKU, orjson.dumps(payload)[1:], utterance.id)

        def told(seq: int, shown: bool) -> None:
            self.spoken += 1
            if not shown:
                own = b"[" + draft.body(seq) + b"]"
                table.line.audience.send(utterance.member, event_packet(DANMAKU, own))
            self._answer(table, utterance, seq)
            self._settled.setdefault(table.name, {})[utterance.ident] = seq
            self._keep(table, utterance, "shown" if shown else "unshown")

        table.line.submit_danmaku(draft, sender=person.id, waiter=told)

    def _payload(self, utterance: Utterance) -> dict[str, object]:
        person = utterance.member.identity
        utterance.at_ms = self._clock.utc_ms()
        return {
            "id": utterance.id,
            "user": {"id": person.id, "name": person.name, "role": person.role, "level": person.level},
            "text": utterance.text,
            "color": utterance.color,
            "mode": utterance.mode,
            "at_ms": utterance.at_ms,
        }

    def _keep(self, table: Table, utterance: Utterance, status: str) -> None:
        person = utterance.member.identity
        self._archive.add(
            SpokenMessage(
                room=table.name,
                seq=utterance.seq,
                message_id=utterance.id,
                user_id=person.id,
                user_name=person.name,
                role=person.role,
                text=utterance.text,
                color=utterance.color,
                mode=utterance.mode,
                at_ms=utterance.at_ms,
                status=status,
            )
        )

    # -- answers -------------------------------------------------------------------------------------------------

    def _refuse(self, refusal: Refusal, answers: list[Answer]) -> None:
        self.refusals[refusal.code] = self.refusals.get(refusal.code, 0) + 1
        ack = refused(refusal)
        for answer in answers:
            answer(ack)

    def _drop(self, table: Table, utterance: Utterance, refusal: Refusal) -> None:
        """Refused after all: the same id may be tried again."""
        self._recent.pop((table.name, utterance.ident), None)
        self._refuse(refusal, utterance.answers)

    def _answer(self, table: Table, utterance: Utterance, seq: int) -> None:
        utterance.seq = seq
        key = (table.name, utterance.ident)
        if key in self._recent:
            self._recent[key] = (self._recent[key][0], seq)
        for answer in utterance.answers:
            answer({"ok": True, "seq": seq})

    def _forget(self, now_ms: int) -> None:
        recent = self._recent
        while recent and (len(recent) > _MAX_IDENTS or next(iter(recent.values()))[0] <= now_ms):
            recent.popitem(last=False)

    async def settle(self) -> None:
        """Tell the other nodes which numbers the idents got. Called now and then. Cancel-safe: yes."""
        settled, self._settled = self._settled, {}
        for room, numbers in settled.items():
            try:
                await self._bus.settle(room, numbers, now_ms=self._clock.utc_ms())
            except UnavailableError:
                return  # the ids are known here; another node would show a repeat a second time
