"""HTTP-FLV and WebSocket-FLV over real connections, read by real peers."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import socket
import struct
from collections import Counter

import av
import pytest
from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

from streamd.delivery.connection import ConnectionViewer
from streamd.live.audience import AudienceSettings, Seat
from streamd.media.frames import EncodedFrame
from tests.delivery.flv_stage import FlvStage, programme, push, push_paced, serving, until
from tests.support.coded import Message, messages


def decoded(flv: bytes) -> Counter[str]:
    """What PyAV makes of it: frames decoded of each kind. Complains as loudly as it can."""
    counts: Counter[str] = Counter()
    with av.open(io.BytesIO(flv), format="flv", options={"err_detect": "explode"}) as container:
        for packet in container.demux():
            for frame in packet.decode():
                counts[packet.stream.type] += 1
                assert frame.pts is not None
    return counts


def tags(flv: bytes) -> list[Message]:
    return list(messages(flv))


async def whole_body(stage: FlvStage, query: str = "") -> bytes:
    async with ClientSession() as session, session.get(stage.url + query) as response:
        assert response.status == 200
        return await response.read()


async def watched_to_the_end(stage: FlvStage, *queries: str, **clip: object) -> list[bytes]:
    """Viewers who come in the middle of a clip and stay to its end."""
    tracks, frames = programme(**clip)  # type: ignore[arg-type]
    publication = await stage.publish()
    for track in tracks:
        publication.announce(track)
    middle = len(frames) * 5 // 8
    push(publication, frames[:middle])
    await until(stage.hub.streams()[0].settled, what="the stream's tracks are known")
    async with asyncio.TaskGroup() as tasks:
        viewers = [tasks.create_task(whole_body(stage, query)) for query in queries]
        await until(lambda: stage.viewers() == len(queries), what="viewers are seated")
        push(publication, frames[middle:])
        stage.gate.cut("demo")
    return [viewer.result() for viewer in viewers]


# --- what players get ---


async def test_player_gets_a_stream_that_decodes_from_its_first_picture_to_the_end() -> None:
    async with serving() as stage:
        [body] = await watched_to_the_end(stage, "")
    first, *rest = tags(body)
    assert body[:5] == b"FLV\x01\x05"
    assert (first.kind, rest[0].kind, rest[1].kind) == (18, 9, 8)
    assert rest[2].body[0] == 0x17
    counts = decoded(body)
    assert counts["video"] == 50  # 100 pictures, a key frame every 25, seated at picture 62
    assert counts["audio"] > 80


async def test_times_rise_for_each_kind_and_start_near_zero() -> None:
    async with serving() as stage:
        [body] = await watched_to_the_end(stage, "")
    for kind in (8, 9):
        times = [tag.timestamp_ms for tag in tags(body)[3:] if tag.kind == kind]
        assert times == sorted(set(times))
        assert 0 <= times[0] < 10_000


async def test_b_frames_keep_their_order_and_offsets() -> None:
    options = (("g", "50"), ("bf", "2"), ("b_strategy", "0"), ("preset", "veryfast"), ("sc_threshold", "0"))
    async with serving() as stage:
        [body] = await watched_to_the_end(stage, "", options=options, audio=None)
    offsets = {tag.body[2:5] for tag in tags(body) if tag.kind == 9 and tag.body[1] == 1}
    assert len(offsets) > 1
    with av.open(io.BytesIO(body), format="flv") as container:
        shown = [frame.pts for frame in container.decode(video=0)]
    assert shown == sorted(set(shown))


@pytest.mark.parametrize(
    ("video", "options", "fourcc"),
    [
        ("libx265", (("preset", "ultrafast"), ("x265-params", "keyint=25:bframes=0:log-level=none")), b"hvc1"),
        ("libsvtav1", (("g", "25"), ("preset", "12")), b"av01"),
    ],
)
async def test_hevc_and_av1_are_written_in_the_enhanced_form(
    video: str, options: tuple[tuple[str, str], ...], fourcc: bytes
) -> None:
    async with serving() as stage:
        [body] = await watched_to_the_end(stage, "", video=video, options=options)
    pictures = [tag for tag in tags(body) if tag.kind == 9]
    assert pictures[0].body[:5] == b"\x90" + fourcc
    assert {tag.body[1:5] for tag in pictures} == {fourcc}
    assert decoded(body)["video"] >= 25


async def test_sound_or_pictures_can_be_left_out_and_the_header_says_so() -> None:
    async with serving() as stage:
        both, silent, blind = await watched_to_the_end(stage, "", "?audio=0", "?video=0")
    assert (both[4], silent[4], blind[4]) == (5, 1, 4)
    assert {tag.kind for tag in tags(silent)} == {9, 18}
    assert {tag.kind for tag in tags(blind)} == {8, 18}
    assert b"hasAudio\x01\x00" in silent
    assert b"hasVideo\x01\x00" in blind
    assert decoded(silent)["video"] == decoded(both)["video"]
    assert decoded(blind)["audio"] == decoded(both)["audio"]


async def test_player_that_wants_no_cache_starts_at_the_next_key_frame() -> None:
    async with serving() as stage:
        cached, fresh = await watched_to_the_end(stage, "", "?gop=0")
    assert decoded(cached)["video"] == 50
    assert decoded(fresh)["video"] == 25


async def test_audio_only_programme_has_no_video_in_its_header() -> None:
    async with serving() as stage:
        tracks, frames = programme(video=None)
        publication = await stage.publish()
        for track in tracks:
            publication.announce(track)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(push_paced(publication, frames, speed=1.6))
            await until(lambda: stage.hub.find("demo") is not None and stage.hub.streams()[0].settled())
            watching = tasks.create_task(whole_body(stage))
            await asyncio.sleep(0.5)
            stage.gate.cut("demo")
            body = await watching
    assert body[4] == 4
    assert {tag.kind for tag in tags(body)} == {8, 18}
    assert decoded(body)["audio"] > 20


async def test_changed_size_in_mid_stream_is_announced_and_decodes() -> None:
    _, small = programme(audio=None, seconds=2.0)
    _, large = programme(audio=None, seconds=2.0, size=(642, 362))
    async with serving() as stage:
        publication = await stage.publish()
        push(publication, small)
        async with asyncio.TaskGroup() as tasks:
            await until(stage.hub.streams()[0].settled, what="settled without sound")
            watching = tasks.create_task(whole_body(stage))
            await until(lambda: stage.viewers() == 1)
            shift = small[-1].dts + 3_600
            push(publication, tuple(frame._replace(dts=frame.dts + shift) for frame in large))
            stage.gate.cut("demo")
        body = watching.result()
    headers = [index for index, tag in enumerate(tags(body)) if tag.kind == 9 and tag.body[1] == 0]
    assert len(headers) == 2
    assert tags(body)[headers[1] + 1].body[0] == 0x17
    with av.open(io.BytesIO(body), format="flv") as container:
        sizes = Counter((picture.width, picture.height) for picture in container.decode(video=0))
    assert sizes == {(322, 182): 25, (642, 362): 50}


async def test_ffprobe_and_ffmpeg_read_it_live() -> None:
    tracks, frames = programme(seconds=6.0)
    async with serving() as stage:
        publication = await stage.publish()
        for track in tracks:
            publication.announce(track)
        push(publication, frames[: len(frames) // 3])
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(push_paced(publication, frames[len(frames) // 3 :]))
            probe = await asyncio.create_subprocess_exec(
                *("ffprobe", "-v", "error", "-print_format", "json", "-show_streams", stage.url),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            decoder = await asyncio.create_subprocess_exec(
                *("ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", stage.url, "-f", "null", "-"),
                stderr=asyncio.subprocess.PIPE,
            )
            found, complaints = await probe.communicate()
            await feeding
            stage.gate.cut("demo")
            _, errors = await decoder.communicate()
    assert (probe.returncode, complaints) == (0, b"")
    assert (decoder.returncode, errors) == (0, b"")
    streams = {each["codec_type"]: each for each in json.loads(found)["streams"]}
    assert streams["video"]["codec_name"] == "h264"
    assert (streams["video"]["width"], streams["video"]["height"]) == (322, 182)
    assert streams["audio"]["codec_name"] == "aac"
    assert streams["audio"]["sample_rate"] == "48000"


# --- HTTP ---


async def raw(stage: FlvStage, request: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(request.replace("\n", "\r\n").encode())
    return reader, writer


async def live_stage(stage: FlvStage) -> None:
    tracks, frames = programme()
    publication = await stage.publish()
    for track in tracks:
        publication.announce(track)
    push(publication, frames)


async def test_headers_are_those_that_players_and_proxies_need() -> None:
    async with serving() as stage, ClientSession() as session:
        await live_stage(stage)
        async with session.get(stage.url) as response:
            headers = response.headers
            assert headers["Content-Type"] == "video/x-flv"
            assert headers["Transfer-Encoding"] == "chunked"
            assert headers["Cache-Control"] == "no-store, no-cache"
            assert headers["Connection"] == "keep-alive"
            assert headers["Access-Control-Allow-Origin"] == "*"
            assert headers["X-Accel-Buffering"] == "no"
            assert "Content-Encoding" not in headers


async def test_http_1_0_gets_a_body_without_chunks_that_ends_with_the_connection() -> None:
    async with serving() as stage:
        await live_stage(stage)
        reader, writer = await raw(stage, "GET /live/demo.flv HTTP/1.0\n\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in head
        stage.gate.cut("demo")
        body = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    assert decoded(body)["video"] == 25


async def test_body_that_ends_with_the_programme_ends_cleanly_and_the_connection_can_be_used_again() -> None:
    async with serving() as stage:
        await live_stage(stage)
        reader, writer = await raw(stage, "GET /live/demo.flv HTTP/1.1\nHost: x\n\n")
        await reader.readuntil(b"\r\n\r\n")
        stage.gate.cut("demo")
        body = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 30)
        assert body
        writer.write(b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        again = await asyncio.wait_for(reader.read(), 30)
        writer.close()
    assert again.startswith(b"HTTP/1.1 404 ")


async def test_head_answers_like_get_without_a_body_or_a_seat() -> None:
    async with serving() as stage, ClientSession() as session:
        async with session.head(stage.url) as response:
            assert response.status == 404
            assert response.headers["Retry-After"] == "2"
        await live_stage(stage)
        async with session.head(stage.url) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "video/x-flv"
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert await response.read() == b""
        assert stage.viewers() == 0


async def test_unknown_room_and_room_that_is_not_live_are_404_and_only_one_says_when_to_come_back() -> None:
    async with serving() as stage, ClientSession() as session:
        async with session.get(stage.url) as response:
            assert (response.status, response.headers["Retry-After"]) == (404, "2")
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert "is not live" in await response.text()
        async with session.get(stage.url.replace("demo", "nowhere")) as response:
            assert response.status == 404
            assert "Retry-After" not in response.headers
        async with session.get(stage.url + "?audio=0&video=0") as response:
            assert response.status == 400


async def test_parameters_reach_the_check_of_who_may_watch() -> None:
    seen: list[dict[str, str]] = []
    async with serving() as stage, ClientSession() as session:
        await live_stage(stage)
        plain_check = stage.rooms.check

        async def check(request: object) -> None:
            seen.append(dict(request.query))  # type: ignore[attr-defined]
            await plain_check(request)  # type: ignore[arg-type]

        stage.rooms.check = check  # type: ignore[method-assign, assignment]
        async with session.get(stage.url + "?token=abc&gop=0"):
            pass
    assert seen == [{"token": "abc", "gop": "0"}]


# --- WebSocket ---


async def test_websocket_messages_joined_are_the_same_flv() -> None:
    tracks, frames = programme()
    async with serving() as stage, ClientSession() as session:
        publication = await stage.publish()
        for track in tracks:
            publication.announce(track)
        push(publication, frames[:100])
        async with session.ws_connect(stage.ws_url, compress=15) as socket_:
            assert "Sec-WebSocket-Extensions" not in socket_._response.headers
            await until(lambda: stage.viewers() == 1)
            push(publication, frames[100:])
            stage.gate.cut("demo")
            body = b""
            async for message in socket_:
                assert message.type is WSMsgType.BINARY
                body += message.data
            assert socket_.close_code == 1000
    assert body[:5] == b"FLV\x01\x05"
    assert decoded(body)["video"] >= 50


async def test_websocket_answers_pings_among_the_media_and_closes_when_asked() -> None:
    tracks, frames = programme()
    async with serving() as stage, ClientSession() as session:
        publication = await stage.publish()
        for track in tracks:
            publication.announce(track)
        push(publication, frames[:120])
        async with session.ws_connect(stage.ws_url, autoping=False) as socket_:
            await socket_.ping(b"there?")
            for frame in frames[120:]:
                publication.push(frame)
                await asyncio.sleep(0.001)
            kinds: list[WSMsgType] = []
            while WSMsgType.PONG not in kinds:
                kinds.append((await asyncio.wait_for(socket_.receive(), 30)).type)
            assert WSMsgType.BINARY in kinds
            await socket_.close()
            assert socket_.close_code == 1000
        await until(lambda: stage.viewers() == 0, what="the seat is given up")


async def test_websocket_to_a_room_that_is_not_live_is_refused_before_the_upgrade() -> None:
    async with serving() as stage, ClientSession() as session:
        with pytest.raises(WSServerHandshakeError) as refused:
            await session.ws_connect(stage.ws_url)
        assert refused.value.status == 404


async def test_websocket_that_sends_what_no_player_sends_is_sent_away() -> None:
    async with serving() as stage, ClientSession() as session:
        await live_stage(stage)
        async with session.ws_connect(stage.ws_url) as socket_:
            await until(lambda: stage.viewers() == 1)
            await socket_.send_bytes(b"x" * 100_000)
            await until(lambda: stage.viewers() == 0, what="sent away")


async def test_upgrade_that_is_no_websocket_handshake_leaves_no_seat_behind() -> None:
    async with serving() as stage:
        await live_stage(stage)
        reader, writer = await raw(
            stage, "GET /live/demo.flv HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\n\n"
        )
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 400")
        writer.close()
        assert stage.viewers() == 0


# --- viewers that leave, stall, are sent away ---


def connect_and_stall(stage: FlvStage, request: bytes) -> socket.socket:
    """A peer with a small window that asks and never reads."""
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.connect(("127.0.0.1", stage.port))
    return peer


def fat_frame(number: int = 0) -> EncodedFrame:
    """A key frame nobody decodes."""
    [track, *_] = programme()[0]
    return EncodedFrame(track, number * 3_600, 0, True, b"\x00\x00\xea\x60\x65" + b"x" * 59_999)


IMPATIENT = AudienceSettings(
    tick_ms=5, check_ms=20, skip_floor_bytes=100_000, skip_ms=20, stuck_ms=200, burst_grace_ms=0
)
WS_REQUEST = (
    b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@pytest.mark.parametrize("request_bytes", [b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\n\r\n", WS_REQUEST])
async def test_stalled_viewer_is_dropped_and_leaves_nothing_while_others_get_everything(request_bytes: bytes) -> None:
    async with serving(audience=IMPATIENT) as stage:
        publication = await stage.publish()
        publication.push(fat_frame())
        await until(lambda: stage.hub.streams()[0].settled())
        tasks_before = len(asyncio.all_tasks())
        peer = connect_and_stall(stage, request_bytes)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(peer, request_bytes)
        await until(lambda: stage.viewers() == 1)
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(whole_body(stage))
            await until(lambda: stage.viewers() == 2)
            sent = 1
            for _ in range(400):
                publication.push(fat_frame(sent))
                sent += 1
                await asyncio.sleep(0.004)
                if stage.viewers() == 1:
                    break
            assert stage.viewers() == 1, "the stalled one is gone"
            stage.gate.cut("demo")
            body = await reading
        name = "ws-flv" if request_bytes is WS_REQUEST else "http-flv"
        assert stage.fanout._tallies[name].drops["slow"] == 1
        received = [tag for tag in tags(body) if tag.kind == 9 and tag.body[1] == 1]
        assert len(received) == sent
        await until(lambda: len(asyncio.all_tasks()) <= tasks_before, what="its tasks end")
        assert stage.delivery._viewers == set()
        peer.close()


async def test_viewer_that_stalls_at_the_end_of_the_programme_is_given_up_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streamd.delivery.flv._FAREWELL_SECONDS", 0.2)
    async with serving() as stage:
        publication = await stage.publish()
        publication.push(fat_frame())
        await until(lambda: stage.hub.streams()[0].settled())
        tasks_before = len(asyncio.all_tasks())
        peers = []
        for request in (b"GET /live/demo.flv HTTP/1.1\r\nHost: x\r\n\r\n", WS_REQUEST):
            peers.append(connect_and_stall(stage, request))
            await asyncio.get_running_loop().sock_sendall(peers[-1], request)
        await until(lambda: stage.viewers() == 2)
        for number in range(1, 200):
            publication.push(fat_frame(number))
        stage.gate.cut("demo")
        await until(lambda: stage.delivery._viewers == set(), what="both are given up")
        await until(lambda: len(asyncio.all_tasks()) <= tasks_before, what="their tasks end")
        for peer in peers:
            peer.close()


async def test_player_that_hangs_up_is_noticed_without_another_frame() -> None:
    async with serving() as stage:
        await live_stage(stage)
        reader, writer = await raw(stage, "GET /live/demo.flv HTTP/1.1\nHost: x\n\n")
        await reader.readuntil(b"\r\n\r\n")
        assert stage.viewers() == 1
        writer.transport.abort()
        await until(lambda: stage.viewers() == 0, seconds=10, what="it is noticed")


async def test_player_that_is_reset_in_mid_write_harms_nobody() -> None:
    tracks, frames = programme()
    async with serving() as stage:
        publication = await stage.publish()
        for track in tracks:
            publication.announce(track)
        push(publication, frames[:100])
        for _ in range(20):
            reader, writer = await raw(stage, "GET /live/demo.flv HTTP/1.1\nHost: x\n\n")
            await reader.readuntil(b"\r\n\r\n")
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.close()
            push(publication, frames[100:105])
        await until(lambda: stage.viewers() == 0, what="all are noticed")
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(whole_body(stage))
            await until(lambda: stage.viewers() == 1)
            push(publication, frames[105:])
            stage.gate.cut("demo")
        assert decoded(watching.result())["video"] > 0


async def test_viewers_that_come_and_go_leave_nothing_not_even_for_the_cycle_collector() -> None:
    tracks, frames = programme()
    async with serving() as stage, ClientSession() as session:
        publication = await stage.publish()
        for track in tracks:
            publication.announce(track)
        push(publication, frames)
        gc.collect()
        gc.disable()
        try:
            for _ in range(30):
                async with session.get(stage.url) as response:
                    await response.content.readexactly(13)
                async with session.ws_connect(stage.ws_url) as socket_:
                    await socket_.receive()
            await until(lambda: stage.viewers() == 0)
            await until(lambda: stage.delivery._viewers == set())
            await asyncio.sleep(0.05)
            left = Counter(type(each) for each in gc.get_objects())
        finally:
            gc.enable()
    assert left[ConnectionViewer] == 0
    assert left[Seat] == 0


async def test_shutdown_ends_every_play_cleanly_and_at_once() -> None:
    async with serving() as stage, ClientSession() as session:
        await live_stage(stage)
        async with session.get(stage.url) as response, session.ws_connect(stage.ws_url) as socket_:
            await until(lambda: stage.viewers() == 2)
            stage.delivery.close()
            body = await asyncio.wait_for(response.read(), 30)
            while not (message := await asyncio.wait_for(socket_.receive(), 30)).type.name.startswith("CLOS"):
                assert message.type is WSMsgType.BINARY
        await until(lambda: stage.viewers() == 0)
    assert decoded(body)["video"] == 25
