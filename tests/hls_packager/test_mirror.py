"""A store and its mirrors, at every moment the same to the byte."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hls_packager.mirror import StoreJournal, StoreMirror, state_records
from hls_packager.model import Epoch, HlsSettings, TrackSet
from hls_packager.origin import Origin
from hls_packager.store import SegmentStore
from streamd.media.records import RecordError, RecordReader
from tests.support.clock import FakeClock
from tests.support.hls_media import AUDIO, OTHER_VIDEO, START_MS, VIDEO

EPOCH = Epoch(target_duration_s=2, part_target_ms=501, part_us=500_000)
TRACKS = TrackSet(video=VIDEO, audio=AUDIO)
OTHER = TrackSet(video=OTHER_VIDEO, audio=AUDIO)


class Wire:
    """A mirror of a store, over bytes in pieces of seven."""

    def __init__(self, owner: SegmentStore, clock: FakeClock) -> None:
        origin = Origin(clock=clock, settings=HlsSettings(window_segments=4))  # settings of its own: the owner's count
        self.owner = owner
        self.mirror = StoreMirror(origin.mirror("room"))
        self._reader = RecordReader()
        journal = StoreJournal(self.send)
        self.send(state_records(owner.watch(journal)))

    def send(self, pieces: Iterable[bytes]) -> None:
        data = b"".join(pieces)
        for at in range(0, len(data), 700):
            for kind, body in self._reader.feed(data[at : at + 700]):
                self.mirror.apply(kind, body)

    def check(self) -> None:
        """Everything a viewer can ask for is the same."""
        owner, copy = self.owner, self.mirror.store
        assert copy.playable == owner.playable
        assert copy.next_numbers == owner.next_numbers
        # What left the playlist stays for those who were handed it; at a mirror they may be fewer.
        assert copy.resident_bytes <= owner.resident_bytes
        assert copy.variant() == owner.variant()
        assert (copy.ended_ms is None) == (owner.ended_ms is None)
        if not owner.playable or owner.playlist is None:
            return
        for skip in (False, True):
            rendering, original = copy.rendering(skip=skip, query="?a=1"), owner.rendering(skip=skip, query="?a=1")
            assert rendering.body.decode() == original.body.decode()
            assert rendering.gzipped == original.gzipped
        for segment in owner.playlist.segments:
            assert copy.segment(segment.msn) == owner.segment(segment.msn)
            assert copy.part(segment.msn, 0) == owner.part(segment.msn, 0)
            number = int(segment.init_uri[5:-4])
            assert copy.init(number) == owner.init(number)


class Stage:
    def __init__(self) -> None:
        self.clock = FakeClock(utc_ms=START_MS)
        self.origin = Origin(clock=self.clock, settings=HlsSettings())
        self.store = self.origin.open("room")
        self.made = 0

    def mirror(self) -> Wire:
        return Wire(self.store, self.clock)

    def segment(
        self, parts: int = 4, *, closes: bool = True, tracks: TrackSet = TRACKS, discontinuity: bool = False
    ) -> None:
        store = self.store
        if store.playlist is None:
            store.begin(EPOCH)
        store.open_segment(
            tracks=tracks, utc_ms=self.clock.utc_ms(), independent=self.made % 3 == 0, discontinuity=discontinuity
        )
        for index in range(parts):
            self.made += 1
            store.add_part(bytes([self.made % 256]) * (1_000 + self.made), duration_us=500_000, independent=index == 0)
            store.publish()
            self.clock.advance(500)
        if closes:
            store.close_segment()
            store.publish()


STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from([TRACKS, OTHER]), st.booleans()), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.data())
def test_a_mirror_is_the_owner_to_the_byte_whenever_it_came(
    steps: list[tuple[int, bool, TrackSet, bool]], data: st.DataObject
) -> None:
    stage = Stage()
    joins = data.draw(st.integers(0, len(steps)))
    wires = []
    is_open = False
    for index, (parts, closes, tracks, discontinuity) in enumerate(steps):
        if index == joins:
            wires.append(stage.mirror())
        if is_open:
            stage.store.close_segment()
            stage.store.publish()
        stage.segment(parts, closes=closes, tracks=tracks, discontinuity=discontinuity)
        is_open = not closes
        for wire in wires:
            wire.check()
    late = stage.mirror()
    late.check()
    stage.store.finish()
    for wire in (*wires, late):
        wire.check()


def test_mirror_of_a_store_that_has_not_begun_follows_it_from_its_first_part() -> None:
    stage = Stage()
    wire = stage.mirror()
    wire.check()
    for _ in range(30):
        stage.segment()
        wire.check()


async def test_who_waits_at_a_mirror_is_answered_by_the_owners_part() -> None:
    stage = Stage()
    stage.segment(closes=False, parts=2)
    wire = stage.mirror()
    copy = wire.mirror.store
    assert copy.playlist is not None
    msn = copy.playlist.last_msn

    async def ask() -> bytes | None:
        return await copy.hinted_part(msn, 2, timeout_ms=2_000)

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(ask())
        while not copy.waiting_count:  # noqa: ASYNC110
            await asyncio.sleep(0)
        stage.store.add_part(b"news", duration_us=500_000, independent=False)
        stage.store.publish()
        assert await waiting == b"news"


async def test_mirror_that_comes_again_goes_on_and_answers_who_waited_meanwhile() -> None:
    stage = Stage()
    stage.segment()
    wire = stage.mirror()
    stage.store.unwatch(stage.store._watchers[0])
    for _ in range(15):
        stage.segment()
    with pytest.raises(AssertionError):
        wire.check()
    journal = StoreJournal(wire.send)
    wire.send(state_records(stage.store.watch(journal)))
    wire.check()


def test_mirror_offers_what_an_earlier_owner_made_until_the_next_one_has_something() -> None:
    stage = Stage()
    for _ in range(12):
        stage.segment()
    wire = stage.mirror()
    copy = wire.mirror.store
    assert copy.playlist is not None
    old = copy.playlist.last_msn
    successor = Stage()
    successor.store = successor.origin.open("room", least_msn=old + 1_000, least_discontinuity=9)
    wire.owner = successor.store
    follower = StoreMirror(copy)
    reader = RecordReader()

    def send(pieces: Iterable[bytes]) -> None:
        for kind, body in reader.feed(b"".join(pieces)):
            follower.apply(kind, body)

    send(state_records(successor.store.watch(StoreJournal(send))))
    assert copy.playable
    assert copy.playlist.last_msn == old
    successor.segment()
    assert copy.playlist.last_msn == old + 1_001
    assert copy.rendering().body == successor.store.rendering().body
    assert copy.segment(old) is not None, "who read the old playlist can still fetch what it lists"
    stage.clock.advance(120_000)
    copy.forget_expired()
    assert copy.segment(old) is None
    assert copy.resident_bytes == successor.store.resident_bytes


def test_withdrawn_store_ends_nothing_and_tells_its_mirrors() -> None:
    stage = Stage()
    stage.segment()
    wire = stage.mirror()
    stage.origin.withdraw("room")
    stage.store.finish()
    assert wire.mirror.was_withdrawn
    assert stage.store.is_withdrawn
    assert stage.store.ended_ms is None
    assert b"ENDLIST" not in wire.mirror.store.rendering().body
    assert stage.origin.find("room", "source") is None


def test_programme_begins_above_what_was_mirrored_and_above_what_the_last_owner_left() -> None:
    stage = Stage()
    for _ in range(12):
        stage.segment()
    here = Origin(clock=FakeClock(utc_ms=0), settings=HlsSettings())  # a clock that is far behind
    mirror = StoreMirror(here.mirror("room"))
    reader = RecordReader()
    for kind, body in reader.feed(b"".join(state_records(stage.store.watch(StoreJournal(lambda _: None))))):
        mirror.apply(kind, body)
    own = here.open("room")
    assert mirror.store.is_withdrawn, "who watched the mirror asks again"
    assert own.next_numbers >= stage.store.next_numbers
    here.close("room", "source")
    later = here.open("room", least_msn=4_000_000_000, least_discontinuity=77)
    assert later.next_numbers == (4_000_000_000, 77)


@pytest.mark.parametrize(("kind", "body"), [(1, b"{"), (4, b""), (5, b"{}"), (6, b"[]"), (7, b"x"), (9, b"")])
def test_nonsense_is_a_record_error(kind: int, body: bytes) -> None:
    mirror = StoreMirror(Origin(clock=FakeClock(), settings=HlsSettings()).mirror("room"))
    with pytest.raises(RecordError):
        mirror.apply(kind, body)
