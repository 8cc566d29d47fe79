"""A real server on real sockets: admission, refusal, takeover, ends of every kind, and stopping."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import socket
import ssl
import struct
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from rtmp_ingest import messages
from rtmp_ingest.chunk_writer import ChunkWriter
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.client import PublishClient
from rtmp_ingest.errors import RtmpRefusedError
from rtmp_ingest.limits import RtmpLimits, RtmpSettings
from rtmp_ingest.messages import Message
from rtmp_ingest.server import RtmpServer
from streamd.clock import SystemClock
from streamd.errors import (
    ConflictError,
    ForbiddenError,
    LimitedError,
    StreamdError,
    UnavailableError,
)
from streamd.media import flv
from streamd.media.frames import EncodedFrame
from streamd.telemetry.metrics import Metrics
from tests.rtmp_ingest.gates import KEY, LOOPBACK, FilmGate, House, OneKeyGate, RecordedLog, house, until
from tests.rtmp_ingest.stage import CAPTURES, HANDSHAKE, Replay, replay


def film() -> Replay:
    return replay([(CAPTURES / "ffmpeg-5.1.9-bframes.c2s.bin").read_bytes()])


async def publish(at: House, name: str = KEY, **options: object) -> PublishClient:
    return await PublishClient.connect(at.url(name), timeout_ms=10_000, **options)  # type: ignore[arg-type]


async def push(client: PublishClient, played: Replay) -> None:
    for output in played.outputs:
        if isinstance(output, EncodedFrame):
            client.push(output)
        else:
            client.announce(output)  # type: ignore[arg-type]
        await client.drain()


async def raw_peer(at: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", at.server.port)


def publish_bytes(*after: Message, name: str = KEY) -> bytes:
    """A publish sent in one go, without waiting for anything."""
    writer = ChunkWriter()
    calls = [
        messages.command(0, "connect", 1, {"app": "live"}),
        messages.command(0, "createStream", 2, None),
        messages.command(1, "publish", 3, None, name, "live"),
        *after,
    ]
    return HANDSHAKE + b"".join(writer.write(message, csid=3) for message in calls)


# Publishing


@pytest.mark.parametrize("chunk_bytes", [128, 4096, 60_000])
async def test_frames_arrive_as_they_were_pushed(chunk_bytes: int) -> None:
    played = film()
    async with house() as at:
        client = await publish(at, chunk_bytes=chunk_bytes)
        client.describe([track for track in played.tracks if hasattr(track, "codec")])  # type: ignore[misc]
        await push(client, played)
        await client.close()
        publication = await at.gate.publication()
        await asyncio.wait_for(publication.closed.wait(), 30)
        assert publication.frames == played.frames
        assert publication.tracks == played.tracks
        assert publication.reasons == ["unpublish"]
        assert publication.hints[0]["width"] == 320.0
        closing = await at.log.session_closed()
    assert closing["reason"] == "unpublish"
    assert closing["stream"] == "demo"
    assert closing["frames"] == len(played.frames)


async def test_the_gate_hears_who_wants_what() -> None:
    async with house() as at:
        client = await publish(at, f"room?key={KEY}&x=1", encoder="FMLE/3.0 test")
        (request,) = at.gate.requests
        assert (request.protocol, request.app, request.name) == ("rtmp", "live", "room")
        assert request.query == {"key": KEY, "x": "1"}
        assert request.encoder == "FMLE/3.0 test"
        assert request.peer.startswith("127.0.0.1:")
        await client.close()


async def test_no_key_appears_in_the_log() -> None:
    async with house() as at:
        client = await publish(at, f"room?key={KEY}")
        await client.close()
        for name in ("wrong-secret", "bad name secret", f"x?key={KEY}secret"):
            with pytest.raises(RtmpRefusedError):
                await publish(at, name.replace(" ", '"'))
        await at.log.session_closed(4)
    assert "secret" not in repr(at.log.lines)
    assert KEY not in repr(at.log.lines)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (None, "NetStream.Publish.Denied"),
        (ForbiddenError("This host is banned"), "NetStream.Publish.Denied"),
        (ConflictError("Someone else is on air"), "NetStream.Publish.BadName"),
        (LimitedError("Too often", retry_after_ms=1000), "NetStream.Publish.Rejected"),
        (UnavailableError("No database"), "NetStream.Publish.Rejected"),
    ],
)
async def test_a_refusal_reaches_the_encoder_as_a_code_it_stops_on(error: StreamdError | None, code: str) -> None:
    async with house() as at:
        at.gate.error = error
        with pytest.raises(RtmpRefusedError) as refused:
            await publish(at, "wrong-key")
        assert refused.value.status_code == code
        closing = await at.log.session_closed()
        assert str(closing["reason"]).startswith("refused_")
        assert at.metric("streamd_publish_refused_total") == "1.0"


async def test_a_refused_encoder_that_goes_on_sending_still_reads_why() -> None:
    """Its bytes are read and thrown away for a moment: a reset would destroy the status."""
    async with house() as at:
        reader, writer = await raw_peer(at)
        media = [Message(9, 1, number, bytes(20_000)) for number in range(10)]
        writer.write(publish_bytes(*media, name="wrong"))
        for number in range(20):
            writer.write(bytes([3]) + bytes(10_000 + number))
            await asyncio.sleep(0.002)
        began = time.monotonic()
        answer = await reader.read()
        assert b"NetStream.Publish.Denied" in answer
        assert b"NetStream.Publish.Start" not in answer
        assert time.monotonic() - began < 1
        writer.close()


@pytest.mark.parametrize("name", ["", '"quoted"', "a/../b", "x" * 2000])
async def test_an_unusable_name_is_denied_without_asking_the_gate(name: str) -> None:
    async with house() as at:
        with pytest.raises(RtmpRefusedError) as refused:
            await publish(at, name)
        assert refused.value.status_code == "NetStream.Publish.Denied"
        assert at.gate.requests == []


async def test_nothing_is_promised_while_the_gate_thinks_and_nothing_is_lost() -> None:
    played = film()
    async with house() as at:
        at.gate.decided.clear()
        sent = [Message(9, 1, 0, b"\x17\x00\x00\x00\x00" + played.tracks[0].config)]  # type: ignore[union-attr]
        nal = (60_000).to_bytes(4, "big") + b"\x65" + bytes(59_999)
        sent += [Message(9, 1, 40 * number, b"\x17\x01\x00\x00\x00" + nal) for number in range(100)]
        reader, writer = await raw_peer(at)
        writer.write(publish_bytes(*sent))
        await until(lambda: at.gate.requests)
        await asyncio.sleep(0.1)
        (connection,) = at.server._connections
        limit = RtmpLimits().held_bytes + 256_000
        assert 0 < connection._session.held_bytes <= limit, "the rest waits in the kernel"
        assert not at.gate.publications
        at.gate.decided.set()
        publication = await at.gate.publication()
        await publication.has(100)
        assert [len(frame.payload) for frame in publication.frames] == [60_004] * 100
        writer.close()
        assert b"NetStream.Publish.Start" in await reader.read()


async def test_a_peer_that_leaves_while_the_gate_thinks_is_forgotten() -> None:
    async with house() as at:
        at.gate.decided.clear()
        _, writer = await raw_peer(at)
        writer.write(publish_bytes())
        await until(lambda: at.gate.requests)
        writer.close()
        await at.log.session_closed()
        assert at.gate.cancelled == 1
        assert at.gate.publications == []


async def test_a_returning_encoder_takes_over_at_once_and_the_zombie_is_told_and_closed() -> None:
    async with house() as at:
        zombie = await publish(at)
        await push(zombie, film())
        successor = await publish(at)
        first, second = at.gate.publications
        assert first.reasons == ["replaced"]
        assert second.reasons == []
        await until(lambda: zombie._failure)
        with pytest.raises(RtmpRefusedError) as told:
            await zombie.drain()
        assert told.value.status_code == "NetStream.Publish.BadName"
        closing = await at.log.session_closed()
        assert closing["reason"] == "replaced"
        assert at.server.connections_count == 1
        await push(successor, film())
        await second.has(400)
        await successor.close()


@pytest.mark.parametrize("is_reset", [False, True])
async def test_an_encoder_that_vanishes_ends_its_publication(is_reset: bool) -> None:
    async with house() as at:
        _, writer = await raw_peer(at)
        writer.write(publish_bytes())
        publication = await at.gate.publication()
        if is_reset:
            # OBS does this on errors: SO_LINGER 0.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()
        await asyncio.wait_for(publication.closed.wait(), 30)
        assert publication.reasons == ["peer_reset" if is_reset else "peer_eof"]


async def test_a_publication_is_woken_for_more_than_a_header_and_still_hears_everything() -> None:
    played = film()
    async with house() as at:
        client = await publish(at)
        publication = await at.gate.publication()
        (connection,) = at.server._connections
        assert connection._transport is not None
        sock = connection._transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 9
        pictures = [frame for frame in played.frames if frame.track.is_video][:20]
        client.announce(pictures[0].track)
        for number, frame in enumerate(pictures):
            raw = client._writer.write(Message(9, 1, number, flv.frame_body(frame)), csid=6)
            assert client._transport is not None
            for piece in (raw[:8], raw[8:-5], raw[-5:]):
                client._transport.write(piece)
                await asyncio.sleep(0.001)
        # What is left of the last message is too short to wake for, and comes with whatever comes next.
        client._tell("FCUnpublish", None, KEY)
        await asyncio.wait_for(publication.closed.wait(), 30)
        assert len(publication.frames) == 20
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        await client.close()


async def test_a_connection_may_publish_again_after_it_stopped() -> None:
    again = [
        messages.command(0, "FCUnpublish", 4, None, KEY),
        messages.command(1, "publish", 5, None, KEY, "live"),
    ]
    async with house() as at:
        _, writer = await raw_peer(at)
        writer.write(publish_bytes(*again))
        assert (await at.gate.publication(1)).reasons == ["unpublish"]
        assert (await at.gate.publication(2)).reasons == []
        writer.close()


async def test_media_that_cannot_be_read_is_counted_and_warned_of_once() -> None:
    async with house() as at:
        client = await publish(at)
        for number in range(20):
            client.send_body(messages.AUDIO, number * 26, b"\x2fmp3 frame")
        await client.close()
        publication = await at.gate.publication()
        await asyncio.wait_for(publication.closed.wait(), 30)
        assert publication.counts == {"unsupported_audio_mp3": 20}
        warnings = [fields for level, _, fields in at.log.lines if level == "warning"]
        assert [fields["what"] for fields in warnings] == ["unsupported_audio_mp3"]


async def test_a_failure_of_ours_ends_one_session_and_is_logged() -> None:
    async with house() as at:
        client = await publish(at)
        other = await publish(at)
        publication = await at.gate.publication(2)

        def fail(frame: EncodedFrame) -> None:
            raise RuntimeError("a bug")

        publication.push = fail  # type: ignore[method-assign]
        for output in film().outputs[:20]:
            if isinstance(output, EncodedFrame):
                other.push(output)
            else:
                other.announce(output)  # type: ignore[arg-type]
        await at.log.session_closed(2)
        assert "rtmp.session_failed" in at.log.events()
        assert at.log.fields("rtmp.session_closed")["reason"] == "internal"
        await publish(at)
        await client.close()


async def test_a_failure_of_the_gate_refuses_and_is_logged() -> None:
    async with house() as at:
        at.gate.error = RuntimeError("a bug")
        with pytest.raises(RtmpRefusedError) as refused:
            await publish(at)
        assert refused.value.status_code == "NetStream.Publish.Rejected"
        assert "a bug" not in refused.value.what
        assert "rtmp.session_failed" in at.log.events()


# Playing


async def test_a_play_of_an_unknown_room_is_not_found() -> None:
    async with house() as at:
        reader, writer = await raw_peer(at)
        chunks = ChunkWriter()
        calls = [
            messages.command(0, "connect", 1, {"app": "live"}),
            messages.command(0, "createStream", 2, None),
            messages.command(1, "play", 0, None, "nowhere", -2000),
        ]
        writer.write(HANDSHAKE + b"".join(chunks.write(message, csid=3) for message in calls))
        assert b"NetStream.Play.StreamNotFound" in await asyncio.wait_for(reader.read(), 30)
        writer.close()


async def play(at: House, name: str = "demo") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await raw_peer(at)
    chunks = ChunkWriter()
    calls = [
        messages.command(0, "connect", 1, {"app": "live"}),
        messages.command(0, "createStream", 2, None),
        messages.command(1, "play", 0, None, name, -2000),
    ]
    writer.write(HANDSHAKE + b"".join(chunks.write(message, csid=3) for message in calls))
    return reader, writer


async def test_a_player_hears_start_before_media_and_the_end_after_it() -> None:
    played = film()
    tracks = [track for track in played.tracks if hasattr(track, "codec")]
    async with house(film=FilmGate(tracks, played.frames)) as at:  # type: ignore[arg-type]
        reader, writer = await play(at, "demo?gop=0")
        data = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        found = ChunkReader(RtmpLimits()).receive(data[3073:])
        words = [
            arguments["code"]
            for message in found
            if message.type_id == 20
            for arguments in messages.parse_command(message).arguments[1:2]
            if isinstance(arguments, dict)
        ]
        assert words == [
            "NetConnection.Connect.Success",
            "NetStream.Play.Reset",
            "NetStream.Play.Start",
            "NetStream.Play.UnpublishNotify",
        ]
        media = [message for message in found if message.type_id in (8, 9)]
        assert len(media) == len(played.frames) + 2
        assert at.film.requests[0].from_next_key
        closing = await at.log.session_closed()
        assert closing["reason"] == "ended"


async def test_a_player_admitted_before_there_is_media_is_told_so_at_once() -> None:
    gate = FilmGate()
    gate.is_endless = True
    async with house(film=gate) as at:
        reader, writer = await play(at)
        async with asyncio.timeout(30):
            await reader.readuntil(b"NetStream.Play.Start")
        writer.close()
        await asyncio.wait_for(gate.left.wait(), 30)
        closing = await at.log.session_closed()
        assert closing["reason"] == "peer_eof"


async def test_a_slow_player_is_cut_off_without_waiting_for_it() -> None:
    gate = FilmGate()
    gate.is_endless = True
    async with house(film=gate) as at:
        _, writer = await play(at)
        await asyncio.wait_for(gate.seated.wait(), 30)
        (viewer,) = gate.viewers
        viewer.write(bytes(30_000_000))
        assert viewer.backlog_bytes() > 10_000_000
        viewer.close("slow")
        closing = await at.log.session_closed()
        assert closing["reason"] == "slow"
        writer.close()


# Doors


async def test_connections_beyond_the_limit_are_closed_at_once() -> None:
    async with house(limits=RtmpLimits(connections_count=3)) as at:
        peers = [await raw_peer(at) for _ in range(3)]
        await until(lambda: at.server.connections_count == 3)
        reader, writer = await raw_peer(at)
        writer.write(HANDSHAKE)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 30)
        writer.close()
        for _, peer in peers:
            peer.close()


async def test_connections_of_one_address_are_limited() -> None:
    settings = RtmpSettings(host="127.0.0.1", port=0, trusted_addresses=frozenset())
    async with house(settings=settings, limits=RtmpLimits(connections_per_address_count=2)) as at:
        peers = [await raw_peer(at) for _ in range(2)]
        reader, writer = await raw_peer(at)
        writer.write(HANDSHAKE)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 30)
        for _, peer in [*peers, (reader, writer)]:
            peer.close()


async def test_an_address_that_keeps_guessing_is_no_longer_asked_about() -> None:
    settings = RtmpSettings(host="127.0.0.1", port=0, trusted_addresses=frozenset())
    async with house(settings=settings, limits=RtmpLimits(failures_per_address_count=3)) as at:
        codes = []
        for number in range(5):
            with pytest.raises(RtmpRefusedError) as refused:
                await publish(at, f"guess-{number}")
            codes.append(refused.value.status_code)
        assert codes == ["NetStream.Publish.Denied"] * 3 + ["NetStream.Publish.Rejected"] * 2
        assert len(at.gate.requests) == 3


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server and of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=str(folder / "cert.pem"))


async def test_rtmps_on_its_own_port(tmp_path: Path) -> None:
    server_context, client_context = certificate(tmp_path)
    settings = RtmpSettings(host="127.0.0.1", port=0, tls_port=0)
    played = film()
    async with house(settings=settings, ssl_context=server_context) as at:
        client = await PublishClient.connect(at.url(scheme="rtmps"), timeout_ms=10_000, ssl_context=client_context)
        await push(client, played)
        publication = await at.gate.publication()
        await publication.has(len(played.frames))
        assert publication.frames == played.frames
        await client.close()
        assert at.server.port != at.server.tls_port
        plain = await publish(at)
        await plain.close()


async def test_a_busy_port_is_known_at_the_start() -> None:
    async with house() as at:
        busy = RtmpSettings(host="127.0.0.1", port=at.server.port)
        with pytest.raises(OSError, match="in use"):
            async with house(settings=busy):
                pass


async def test_workers_share_a_port() -> None:
    settings = RtmpSettings(host="127.0.0.1", port=0, reuse_port=True)
    async with house(settings=settings) as one:
        shared = RtmpSettings(host="127.0.0.1", port=one.server.port, reuse_port=True)
        async with house(settings=shared) as two:
            clients = [await publish(one) for _ in range(20)]
            assert len(one.gate.publications) + len(two.gate.publications) == 20
            assert one.gate.publications
            assert two.gate.publications
            for client in clients:
                await client.close()


async def test_connections_and_sessions_are_measured() -> None:
    async with house() as at:
        client = await publish(at)
        assert at.metric("streamd_rtmp_connections ") == "1.0"
        assert at.metric('streamd_publications_total{protocol="rtmp"}') == "1.0"
        await client.close()
        await at.log.session_closed()
        assert at.metric("streamd_rtmp_connections ") == "0.0"
        assert at.metric('streamd_rtmp_sessions_total{reason="unpublish"}') == "1.0"


# Stopping


async def test_stopping_ends_publications_and_plays_and_tells_the_peers() -> None:
    gate = FilmGate()
    gate.is_endless = True
    async with house(film=gate) as at:
        client = await publish(at, extras={"capsEx": 1})
        reader, writer = await play(at)
        await asyncio.wait_for(gate.seated.wait(), 30)
        began = time.monotonic()
        await at.server.stop("shutdown", within_ms=3_000)
        assert time.monotonic() - began < 1
        assert at.server.connections_count == 0
        publication = await at.gate.publication()
        assert publication.reasons == ["shutdown"]
        assert gate.left.is_set()
        assert b"NetStream.Play.UnpublishNotify" in await reader.read()
        await asyncio.wait_for(client._gone.wait(), 30)
        with pytest.raises(StreamdError):
            await client.drain()
        with pytest.raises(OSError):
            await raw_peer(at)
        writer.close()


async def test_stopping_cuts_off_who_does_not_leave() -> None:
    gate = FilmGate()
    gate.is_endless = True
    async with house(film=gate) as at:
        _, writer = await play(at)
        await asyncio.wait_for(gate.seated.wait(), 30)
        gate.viewers[0].write(bytes(30_000_000))
        began = time.monotonic()
        await at.server.stop("shutdown", within_ms=500)
        assert time.monotonic() - began < 1.5
        assert "rtmp.stop_cut_off" in at.log.events()
        writer.close()


async def test_a_server_that_was_stopped_before_it_ran_has_nothing_to_do() -> None:
    async with house() as at:
        await at.server.stop("shutdown", within_ms=100)


async def test_a_cancelled_server_leaves_no_socket_behind() -> None:
    server = RtmpServer(
        gate=OneKeyGate(),
        play_gate=FilmGate(),
        clock=SystemClock(),
        metrics=Metrics(),
        log=RecordedLog(),
        settings=LOOPBACK,
    )
    server.listen()
    running = asyncio.get_running_loop().create_task(server.run())
    client = await PublishClient.connect(f"rtmp://127.0.0.1:{server.port}/live/{KEY}", timeout_ms=5_000)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wait_for(client._gone.wait(), 30)
    with pytest.raises(UnavailableError):
        await client.drain()
    await until(lambda: server.connections_count == 0)


async def test_takeover_after_takeover_takes_less_than_a_tenth_of_a_second() -> None:
    async with house() as at:
        clients = [await publish(at)]
        seconds = []
        for _ in range(5):
            began = time.monotonic()
            clients.append(await publish(at))
            seconds.append(time.monotonic() - began)
        assert min(seconds) < 0.1, "from the first byte of the handshake to Publish.Start"
        assert [publication.reasons for publication in at.gate.publications] == [["replaced"]] * 5 + [[]]
        for client in clients:
            await client.close()


async def test_settings_say_where_to_listen() -> None:
    assert (RtmpSettings().host, RtmpSettings().port) == ("0.0.0.0", 1935)
    assert LOOPBACK.port == 0
