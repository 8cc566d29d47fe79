"""The chunk stream in all its forms, in any slices, and within bounds whatever arrives."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rtmp_ingest import messages
from rtmp_ingest.chunk_writer import ChunkWriter, encode_message
from rtmp_ingest.chunks import ChunkReader
from rtmp_ingest.limits import RtmpLimits
from rtmp_ingest.messages import Message
from streamd.errors import ProtocolError
from tests.rtmp_ingest.stage import LIMITS, SLICES, plain_chunk_reader, read_chunks, slices


def header(kind: int, csid: int = 4, *, time: int = 0, length: int = 0, type_id: int = 9, stream_id: int = 1) -> bytes:
    """A one-byte basic header and a message header; `time` is the field as it stands there."""
    raw = bytes([kind << 6 | csid])
    if kind < 3:
        raw += time.to_bytes(3, "big")
    if kind < 2:
        raw += length.to_bytes(3, "big") + bytes([type_id])
    if kind == 0:
        raw += stream_id.to_bytes(4, "little")
    return raw


def times(data: bytes) -> list[int]:
    return [message.timestamp for message in read_chunks([data])]


def refusal(data: bytes, limits: RtmpLimits = LIMITS) -> str:
    with pytest.raises(ProtocolError) as refused:
        read_chunks([data], limits=limits)
    return refused.value.code


# Forms


@pytest.mark.parametrize(
    ("basic", "csid"),
    [
        ("03", 3),
        ("3f", 63),
        ("0000", 64),
        ("00ff", 319),
        ("010000", 64),
        ("010001", 320),
        ("01ffff", 65_599),
    ],
)
@pytest.mark.parametrize("size", SLICES[:4])
def test_chunk_stream_ids_of_one_two_and_three_bytes(basic: str, csid: int, size: int) -> None:
    first = bytearray.fromhex(basic)
    again = bytearray(first)
    again[0] |= 0xC0
    rest = header(0, time=7, length=130)[1:]
    data = bytes(first) + rest + b"x" * 128 + bytes(again) + b"yy"
    assert read_chunks(slices(data, size)) == [Message(9, 1, 7, b"x" * 128 + b"yy")]


def test_the_same_chunk_stream_in_different_forms_is_one() -> None:
    data = b"\x00\x00" + header(0, length=130)[1:] + b"x" * 128 + b"\xc1\x00\x00" + b"yy"
    assert [len(message.payload) for message in read_chunks([data])] == [130]


def test_each_header_type_is_relative_to_the_one_before() -> None:
    data = header(0, time=1000, length=1) + b"a"
    data += header(1, time=20, length=2, type_id=8) + b"bb"
    data += header(2, time=30) + b"cc"
    data += header(3) + b"dd"
    assert read_chunks([data]) == [
        Message(9, 1, 1000, b"a"),
        Message(8, 1, 1020, b"bb"),
        Message(8, 1, 1050, b"cc"),
        Message(8, 1, 1080, b"dd"),
    ]


def test_stream_ids_are_little_endian() -> None:
    assert read_chunks([header(0, length=1, stream_id=0x01020304) + b"x"])[0].stream_id == 0x01020304


def test_messages_on_several_chunk_streams_may_be_interleaved() -> None:
    video = header(0, 6, time=40, length=200) + b"v" * 128
    audio = header(0, 4, time=41, length=130, type_id=8) + b"a" * 128
    assert read_chunks([video + audio + b"\xc6" + b"v" * 72 + b"\xc4" + b"aa"]) == [
        Message(9, 1, 40, b"v" * 200),
        Message(8, 1, 41, b"a" * 130),
    ]


def test_chunk_size_changes_between_chunks_of_a_message() -> None:
    control = encode_message(messages.control(messages.SET_CHUNK_SIZE, 4096), csid=2, chunk_bytes=128)
    data = header(0, length=3000) + b"x" * 128 + control + b"\xc4" + b"x" * 2872
    assert read_chunks([data]) == [Message(9, 1, 0, b"x" * 3000)]


def test_an_aborted_message_is_dropped_and_its_chunk_stream_goes_on() -> None:
    abort = encode_message(messages.control(messages.ABORT, 4), csid=2, chunk_bytes=128)
    reader = ChunkReader(LIMITS)
    found = reader.receive(header(0, length=300) + b"x" * 128 + abort + header(1, time=5, length=2) + b"ok")
    assert found == [Message(9, 1, 5, b"ok")]
    assert reader.discarded_count == 1
    assert reader.partial_bytes == 0


def test_aborting_nothing_is_harmless() -> None:
    abort = encode_message(messages.control(messages.ABORT, 77), csid=2, chunk_bytes=128)
    assert read_chunks([abort + header(0, length=2) + b"ok"]) == [Message(9, 1, 0, b"ok")]


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_a_new_header_in_mid_message_starts_anew(kind: int) -> None:
    reader = ChunkReader(LIMITS)
    first = header(0, time=100, length=300) + b"x" * 128
    found = reader.receive(
        first + header(kind, time=50, length=300) + b"y" * 128 + b"\xc4" + b"y" * 128 + b"\xc4" + b"y" * 44
    )
    assert found == [Message(9, 1, 50 if kind == 0 else 150, b"y" * 300)]
    assert reader.discarded_count == 1


def test_librtmp_begins_a_control_stream_with_type_1() -> None:
    data = header(1, 2, length=4, type_id=messages.SET_CHUNK_SIZE) + (4096).to_bytes(4, "big")
    reader = ChunkReader(LIMITS)
    assert reader.receive(data) == []
    assert reader.chunk_bytes == 4096


# Extended timestamps


def test_an_extended_field_is_read_behind_the_header() -> None:
    data = header(0, time=0xFFFFFF, length=1) + (0x01000000).to_bytes(4, "big") + b"a"
    data += header(1, time=0xFFFFFF, length=1) + (0x01800000).to_bytes(4, "big") + b"b"
    assert times(data) == [0x01000000, 0x02800000]


def test_audio_and_video_on_one_chunk_stream_give_negative_deltas() -> None:
    data = header(0, time=1000, length=1) + b"v"
    data += header(1, time=0xFFFFFF, length=1, type_id=8) + bytes.fromhex("fffffffb") + b"a"
    assert times(data) == [1000, 995]


def test_deltas_wrap_at_32_bits() -> None:
    data = header(0, time=0xFFFFFF, length=1) + bytes.fromhex("fffffff0") + b"a" + header(1, time=32, length=1) + b"b"
    assert times(data) == [0xFFFFFFF0, 0x10]


@pytest.mark.parametrize("repeated", [True, False], ids=["repeated", "left out"])
@pytest.mark.parametrize("size", SLICES[:5])
@pytest.mark.parametrize("chunk_bytes", [128, 333, 4096])
def test_continuations_of_an_extended_header_may_repeat_it_or_not(repeated: bool, size: int, chunk_bytes: int) -> None:
    writer = ChunkWriter(chunk_bytes=128, repeat_extended=repeated)
    data = writer.write(messages.control(messages.SET_CHUNK_SIZE, chunk_bytes), csid=2)
    writer.chunk_bytes = chunk_bytes
    sent = [Message(9, 1, 0x00FFFFF0 + 40 * number, bytes([number]) * (900 + number)) for number in range(4)]
    data += b"".join(writer.write(message, csid=6) for message in sent)
    assert read_chunks(slices(data, size)) == sent


def test_less_than_four_bytes_are_enough_to_see_that_nothing_was_repeated() -> None:
    """The last bytes of a message must not wait for the next message to be told from a repeated time."""
    extended = (0x01020304).to_bytes(4, "big")
    first = header(0, time=0xFFFFFF, length=130) + extended + b"x" * 128
    assert read_chunks([first + b"\xc4" + b"yz"]) == [Message(9, 1, 0x01020304, b"x" * 128 + b"yz")]


def test_an_absolute_time_where_a_delta_belongs_is_recognised() -> None:
    """Read as a delta it would move time by hours; read as a time it is the next frame."""
    now = 0x01234567
    data = header(0, time=0xFFFFFF, length=1) + now.to_bytes(4, "big") + b"a"
    data += header(1, time=0xFFFFFF, length=1) + (now + 33).to_bytes(4, "big") + b"b"
    data += header(3) + (now + 33).to_bytes(4, "big") + b"c"
    reader = ChunkReader(LIMITS)
    assert [message.timestamp for message in reader.receive(data)] == [now, now + 33, now + 66]
    assert reader.extended_guesses_count == 1


@pytest.mark.parametrize("established", [None, 33])
def test_a_bare_header_behind_an_absolute_one_repeats_the_last_delta(established: int | None) -> None:
    data = header(0, time=500, length=1) + b"a"
    if established is not None:
        data += header(1, time=established, length=1) + b"b" + header(0, time=900, length=1) + b"c"
    data += header(3) + b"d"
    assert times(data)[-1] == (500 if established is None else 933)


# Bounds


def test_a_message_longer_than_allowed_is_refused_by_its_header() -> None:
    assert refusal(header(0, length=LIMITS.message_bytes + 1)) == "message_limit"


def test_the_length_limit_can_be_lower_before_admission() -> None:
    reader = ChunkReader(LIMITS)
    reader.limit_messages(100)
    assert len(reader.receive(header(0, length=100) + bytes(100))) == 1
    with pytest.raises(ProtocolError):
        reader.receive(header(1, length=101) + bytes(101))


def test_unfinished_messages_are_bounded_together() -> None:
    limits = replace(LIMITS, partial_bytes=1000)
    data = b"".join(header(0, csid, length=5000) + bytes(128) for csid in range(3, 11))
    assert refusal(data, limits) == "partial_limit"


def test_chunk_streams_are_bounded() -> None:
    data = b"".join(b"\x00" + bytes([number]) + header(0, length=1)[1:] + b"x" for number in range(65))
    assert refusal(data) == "chunk_streams_limit"


@pytest.mark.parametrize("size", [0, 1, 127, 1024 * 1024 + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_chunk_sizes_out_of_bounds_are_refused(size: int) -> None:
    assert refusal(encode_message(messages.control(1, size), csid=2, chunk_bytes=128)) == "chunk_size_limit"


def test_a_set_chunk_size_that_is_too_short_is_refused() -> None:
    assert refusal(header(0, 2, length=2, type_id=1) + b"\x10\x00") == "chunk_size_limit"


@pytest.mark.parametrize("kind", [2, 3])
def test_a_chunk_stream_cannot_begin_without_a_length(kind: int) -> None:
    assert refusal(header(kind) + bytes(20)) == "chunk"


@pytest.mark.parametrize("length", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_storm_of_empty_messages_is_ended(length: int, size: int) -> None:
    storm = header(0, length=length) + bytes(length) + (b"\xc4" + bytes(length)) * 2000
    with pytest.raises(ProtocolError) as refused:
        read_chunks(slices(storm, size))
    assert refused.value.code == "tiny_messages"


def test_tiny_messages_among_real_ones_are_fine() -> None:
    writer = ChunkWriter(chunk_bytes=128)
    data = b"".join(
        writer.write(Message(8, 1, number, bytes(2 if number % 2 else 400)), csid=4) for number in range(4000)
    )
    assert len(read_chunks([data])) == 4000


def test_a_long_message_arriving_in_crumbs_holds_little_more_than_itself() -> None:
    reader = ChunkReader(LIMITS)
    reader.receive(header(0, length=200_000))
    for _ in range(200):
        reader.receive(b"x" * 128 + b"\xc4")
    assert reader.partial_bytes == 200 * 128
    reader.receive(b"x" * 128 + header(0, length=1) + b"x")
    assert reader.partial_bytes == 0


# Laws

CSIDS = st.sampled_from([2, 3, 4, 6, 63, 64, 65, 319, 320, 65_599])
TIMES = st.one_of(
    st.integers(0, 5_000),
    st.integers(0xFFFF00, 0x10000FF),
    st.integers(0xFFFFFF00, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
)
SENT = st.lists(
    st.tuples(CSIDS, st.sampled_from([8, 9, 18, 20]), st.sampled_from([0, 1, 7]), TIMES, st.integers(0, 700)),
    max_size=12,
)


def is_ambiguous(before: int, after: int) -> bool:
    """Whether the delta between two times looks like an absolute time (quirk 1): no writer could say this one."""
    delta = (after - before) % 2**32
    distance = (delta - before) % 2**32
    return delta >= 0xFFFFFF and min(distance, 2**32 - distance) <= 10_000


@given(
    sent=SENT,
    chunk_bytes=st.integers(128, 900),
    repeat=st.booleans(),
    negative=st.booleans(),
    slice_bytes=st.integers(1, 900),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_reader_of_writer_is_identity_for_any_mix(
    sent: list[tuple[int, int, int, int, int]],
    chunk_bytes: int,
    repeat: bool,
    negative: bool,
    slice_bytes: int,
    seed: int,
) -> None:
    writer = ChunkWriter(chunk_bytes=128, repeat_extended=repeat, negative_deltas=negative)
    data = writer.write(messages.control(messages.SET_CHUNK_SIZE, chunk_bytes), csid=2)
    writer.chunk_bytes = chunk_bytes
    queues: dict[int, list[list[bytes]]] = {}
    expected: dict[int, list[Message]] = {}
    for csid, type_id, stream_id, timestamp, length in sent:
        message = Message(type_id, stream_id, timestamp, b"\xa5" * length)
        before = expected.setdefault(csid, [])
        assume(not before or not is_ambiguous(before[-1].timestamp, timestamp))
        before.append(message)
        queues.setdefault(csid, []).append(writer.chunks(message, csid=csid))
    chance = random.Random(seed)
    lanes = [[chunk for chunks in queue for chunk in chunks] for queue in queues.values()]
    while lanes := [lane for lane in lanes if lane]:
        data += chance.choice(lanes).pop(0)
    whole = read_chunks([data])
    assert read_chunks(slices(data, slice_bytes)) == whole
    assert plain_chunk_reader(data) == whole
    found: dict[int, list[Message]] = {}
    for message in whole:
        lane = next(csid for csid, waiting in expected.items() if waiting and waiting[0] == message)
        found.setdefault(lane, []).append(expected[lane].pop(0))
    assert not any(expected.values())


@given(
    sent=SENT.filter(lambda sent: sum(item[4] < 4 for item in sent) < 5),
    chunk_bytes=st.integers(128, 900),
    slice_bytes=st.integers(1, 900),
)
@settings(max_examples=60, deadline=None)
def test_what_the_server_writes_any_reader_takes(
    sent: list[tuple[int, int, int, int, int]], chunk_bytes: int, slice_bytes: int
) -> None:
    set_size = encode_message(messages.control(messages.SET_CHUNK_SIZE, chunk_bytes), csid=2, chunk_bytes=128)
    given_messages = [Message(kind, stream, time, b"\xa5" * length) for _, kind, stream, time, length in sent]
    data = set_size + b"".join(
        encode_message(message, csid=item[0], chunk_bytes=chunk_bytes)
        for message, item in zip(given_messages, sent, strict=True)
    )
    assert read_chunks(slices(data, slice_bytes)) == given_messages
    assert plain_chunk_reader(data) == given_messages


@given(st.binary(max_size=600), st.integers(1, 64))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_messages_or_a_protocol_error_and_slicing_does_not_matter(data: bytes, size: int) -> None:
    limits = replace(LIMITS, message_bytes=400, partial_bytes=500)

    def outcome(pieces: list[bytes]) -> tuple[list[Message], str]:
        reader = ChunkReader(limits)
        found: list[Message] = []
        try:
            for piece in pieces:
                found += reader.receive(piece)
                assert reader.partial_bytes <= 500
        except ProtocolError as error:
            return found, error.code
        return found, ""

    whole, why = outcome([data])
    sliced, why_sliced = outcome(list(slices(data, size)))
    assert why == why_sliced
    if not why:
        assert whole == sliced


@given(st.binary(max_size=400), st.integers(1, 50))
@settings(max_examples=100, deadline=None)
def test_reading_one_by_one_gives_the_same_messages(data: bytes, size: int) -> None:
    try:
        expected = read_chunks([data])
    except ProtocolError:
        return
    reader = ChunkReader(LIMITS)
    found = []
    for piece in slices(data, size):
        rest = piece
        while rest:
            message, rest = reader.receive_one(rest)
            if message is not None:
                found.append(message)
    assert found == expected
    assert reader.received_bytes == len(data)
