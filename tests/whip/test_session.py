"""Sessions: from a check to frames, every way they end, and that nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import time
import weakref
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

from OpenSSL import SSL

from loadtest.whip_peer import Answer, Offering, WhipPeer
from streamd.errors import LimitedError
from streamd.media.tracks import AudioTrack, Codec, VideoTrack
from streamd.whip.limits import WhipLimits, WhipSettings
from streamd.whip.session import Session
from tests.rtmp_ingest.gates import RecordedPublication, until
from tests.support.clock import FakeClock
from tests.whip.house import House, Publishing, open_house


async def on_air(
    house: House, *, offering: Offering | None = None, number: int = 1
) -> tuple[Publishing, RecordedPublication]:
    """A peer that sends, and what arrives of it."""
    publishing = await house.publish(offering)
    publication = await house.gate.publication(number)
    await publishing.play(2_000)
    await publication.has(20)
    return publishing, publication


async def ended(publication: RecordedPublication) -> str:
    async with asyncio.timeout(30):
        await publication.closed.wait()
    return publication.reasons[0]


async def test_an_offer_without_candidates_is_connected_within_a_second() -> None:
    async with open_house() as house:
        started = time.monotonic()
        publishing = await house.publish()
        assert time.monotonic() - started < 1
        publishing.peer.close()


async def test_h264_and_opus_arrive_as_h264_and_aac_on_one_timeline() -> None:
    async with open_house() as house:
        publishing = await house.publish()
        publication = await house.gate.publication()
        await publishing.play(5_000)
        await until(lambda: sum(frame.track.is_video for frame in publication.frames) > 100)
        await until(lambda: sum(not frame.track.is_video for frame in publication.frames) > 100)
        video, audio = (
            next(track for track in publication.tracks if isinstance(track, kind)) for kind in (VideoTrack, AudioTrack)
        )
        assert (video.codec, video.width, video.height) == (Codec.H264, 320, 180)
        assert (audio.codec, audio.sample_rate_hz, audio.channel_count) == (Codec.AAC, 48_000, 2)
        pictures = [frame for frame in publication.frames if frame.track.is_video]
        assert pictures[0].is_sync
        steps = {later.dts - frame.dts for frame, later in pairwise(pictures)}
        assert all(abs(step - 3_000) <= 90 for step in steps)
        request = house.gate.requests[0]
        assert (request.protocol, request.app, request.name, request.query) == (
            "whip",
            "live",
            "demo",
            {"key": "demo-key"},
        )
        publishing.peer.close()


async def test_a_socket_for_both_families_takes_ipv4_too() -> None:
    async with open_house(WhipSettings(host="::")) as house:
        peer = house.peer()
        answer, _ = await house.offer(peer)
        await asyncio.to_thread(peer.connect, replace(answer, address=("127.0.0.1", house.server.port)))
        publication = await house.gate.publication()
        assert publication.reasons == []


async def test_reports_and_the_bitrate_limit_reach_the_sender() -> None:
    async with open_house() as house:
        publishing, _ = await on_air(house)
        heard: list[bytes] = []
        await until(lambda: heard.extend(publishing.peer.received()) or heard)
        kinds = {packet[1] for data in heard for packet in compound(data)}
        assert {201, 202, 206} <= kinds
        assert any(b"REMB" in data for data in heard)
        publishing.peer.close()


async def test_a_missing_packet_is_asked_for_again() -> None:
    async with open_house() as house:
        publishing, _ = await on_air(house)
        lost: list[int] = []

        def is_lost(packet: bytes) -> bool:
            if packet[1] & 127 == 96 and not lost:
                lost.append(int.from_bytes(packet[2:4], "big"))
                return True
            return False

        await publishing.play(200, lost=is_lost)
        asked: list[int] = []
        await until(lambda: asked.extend(nacked(publishing.peer)) or lost[0] in asked)
        publishing.peer.close()


async def test_the_same_key_takes_the_room_over_and_the_first_is_told() -> None:
    async with open_house() as house:
        first, publication = await on_air(house)
        second, later = await on_air(house, number=2)
        assert await ended(publication) == "replaced"
        await until(lambda: first.peer.received() or first.peer.is_closed)
        assert later.reasons == []
        second.peer.close()


async def test_delete_ends_the_publication_cleanly_and_the_peer_is_told() -> None:
    async with open_house() as house:
        publishing, publication = await on_air(house)
        async with house.http.delete(publishing.location) as response:
            assert response.status == 200
        assert await ended(publication) == "unpublish"
        await until(lambda: publishing.peer.received() or publishing.peer.is_closed)


async def test_the_end_of_dtls_is_the_end_of_the_session() -> None:
    async with open_house() as house:
        publishing, publication = await on_air(house)
        publishing.peer.close()
        assert await ended(publication) == "peer_closed"
        await until(lambda: house.server.sessions_count == 0)


async def test_a_bye_for_everything_is_the_end() -> None:
    async with open_house() as house:
        publishing, publication = await on_air(house)
        publishing.peer.send_control(publishing.player.goodbye())
        assert await ended(publication) == "peer_bye"


async def test_the_end_of_the_server_is_told_to_everybody() -> None:
    async with open_house() as house:
        publishing, publication = await on_air(house)
        await house.server.stop("shutdown", within_ms=2_000)
        assert publication.reasons == ["shutdown"]
        await until(lambda: publishing.peer.received() or publishing.peer.is_closed)
        assert (await house.post(Offering().sdp())).status == 503


async def test_silence_and_lost_consent_are_noticed_in_their_time() -> None:
    clock = FakeClock()
    limits = WhipLimits(consent_ms=15_000, silence_ms=20_000)
    async with open_house(WhipSettings(host="127.0.0.1", limits=limits), clock=clock) as house:
        publishing, publication = await on_air(house)
        clock.advance(14_000)
        publishing.peer.check()  # consent, no media
        await until(lambda: publishing.peer._receive(0) is not None)
        clock.advance(7_000)
        assert await ended(publication) == "silence"
        _, other = await on_air(house, number=2)
        clock.advance(15_001)
        assert await ended(other) == "consent_lost"


async def test_a_peer_that_connects_and_sends_nothing_is_ended() -> None:
    clock = FakeClock()
    async with open_house(WhipSettings(host="127.0.0.1"), clock=clock) as house:
        publishing = await house.publish()
        publication = await house.gate.publication()
        for _ in range(3):
            clock.advance(7_000)
            publishing.peer.check()
            await until(lambda: publishing.peer._receive(0) is not None)
        assert await ended(publication) == "no_media"


async def test_an_offer_that_never_connects_takes_no_room_and_leaves_nothing() -> None:
    limits = WhipLimits(half_open_ms=100)
    async with open_house(WhipSettings(host="127.0.0.1", limits=limits)) as house:
        for _ in range(5):
            await house.offer(house.peer())
        assert house.server.sessions_count == 5
        await until(lambda: house.server.sessions_count == 0)
        assert house.gate.requests == []
        assert_nothing_left(house)


async def test_a_peer_that_is_reached_and_never_shakes_hands_is_ended() -> None:
    limits = WhipLimits(half_open_ms=200)
    async with open_house(WhipSettings(host="127.0.0.1", limits=limits)) as house:
        peer = house.peer()
        answer, _ = await house.offer(peer)
        await asyncio.to_thread(peer.reach, answer)
        publication = await house.gate.publication()
        assert await ended(publication) == "dtls_timeout"
        await until(lambda: house.server.sessions_count == 0)
        assert_nothing_left(house)


async def test_a_certificate_that_is_not_the_offers_is_refused() -> None:
    async with open_house() as house:
        peer = house.peer()
        text = peer.offering.sdp()
        at = text.index("a=fingerprint:sha-256 ") + len("a=fingerprint:sha-256 ")
        forged = text.replace(text[at : at + 95], ":".join(["00"] * 32))
        response = await house.post(forged)
        answer = Answer.read(await response.text())
        with suppress(SSL.Error, TimeoutError):  # by then it may have ended its half of the handshake
            await asyncio.to_thread(peer.connect, answer, timeout_s=1)
        publication = await house.gate.publication()
        assert await ended(publication) == "dtls_failed"


async def test_a_gate_that_refuses_ends_the_session() -> None:
    async with open_house() as house:
        house.gate.error = LimitedError("held", retry_after_ms=1_000, code="encoders_fighting")
        peer = house.peer()
        answer, _ = await house.offer(peer)
        await asyncio.to_thread(peer.reach, answer)
        await until(lambda: house.server.sessions_count == 0)


async def test_a_gate_that_takes_its_time_loses_no_handshake() -> None:
    async with open_house() as house:
        house.gate.decided.clear()
        peer = house.peer()
        answer, _ = await house.offer(peer)
        connecting = asyncio.to_thread(peer.connect, answer)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(connecting)
            await until(lambda: house.gate.requests)
            house.gate.decided.set()
        await house.gate.publication()
        peer.close()


async def test_garbage_and_floods_cost_nothing_that_stays() -> None:
    async with open_house() as house:
        publishing, publication = await on_air(house)
        before = len(publication.frames)
        stranger = house.peer()
        stranger._to = publishing.answer.address
        stranger._answer = publishing.answer
        for index in range(2_000):
            stranger.check(password="wrong")  # the right name, without the secret
            stranger.send_raw(os.urandom(64 + index % 1_000))
            publishing.peer.send_raw(b"\x80\x60" + os.urandom(200))  # from the right address, not encrypted by it
            publishing.peer.send_raw(b"\x80\xc8" + os.urandom(60))
            publishing.peer.send_raw(b"\x16\xfe\xfd" + os.urandom(100))
            if index % 20 == 0:
                await asyncio.sleep(0)
        await publishing.play(2_000)
        await publication.has(before + 40)
        assert publication.reasons == []
        port = house.server._port
        assert len(port._by_address) == 1
        assert len(port._by_ufrag) == 1
        publishing.peer.close()


async def test_a_peer_with_ever_new_sources_is_ended() -> None:
    async with open_house() as house:
        publishing, publication = await on_air(house)
        for number in range(100):
            publishing.peer.send(struct.pack(">BBHII", 0x80, 96, number, 0, 1_000 + number) + b"\x41" + b"x" * 20)
        assert await ended(publication) == "too_many_sources"


async def test_sessions_leave_nothing_behind_and_wait_for_no_collector() -> None:
    async with open_house() as house:
        gone: list[weakref.ref[Session]] = []
        gc.disable()
        try:
            for number in range(1, 4):
                publishing, publication = await on_air(house, number=number)
                (session,) = house.server._sessions.values()
                publication.publisher = session  # type: ignore[attr-defined]  # as the real gate's do
                gone.append(weakref.ref(session))
                del session
                publishing.peer.close()
                await ended(publication)
                await until(lambda: house.server.sessions_count == 0)
            house.gate.publications.clear()
            house.gate._holder = None
            del publication
            # A batch of sound may still be on its thread.
            await until(lambda: [reference() for reference in gone] == [None] * 3)
        finally:
            gc.enable()
        assert_nothing_left(house)


def assert_nothing_left(house: House) -> None:
    port = house.server._port
    assert (port._by_ufrag, port._by_address, house.server._by_address) == ({}, {}, {})


def compound(data: bytes) -> list[bytes]:
    """The packets of a compound one."""
    packets = []
    while data:
        length = int.from_bytes(data[2:4], "big") * 4 + 4
        packets.append(data[:length])
        data = data[length:]
    return packets


def nacked(peer: WhipPeer) -> list[int]:
    """Sequence numbers that were asked for since the last call."""
    found = []
    for data in peer.received():
        for packet in compound(data):
            if packet[0] & 31 == 1 and packet[1] == 205:
                for at in range(12, len(packet), 4):
                    first, mask = struct.unpack_from(">HH", packet, at)
                    found += [first, *(first + bit + 1 & 0xFFFF for bit in range(16) if mask >> bit & 1)]
    return found
