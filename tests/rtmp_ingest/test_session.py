"""A connection's life without its socket: what encoders call, what they are answered, what the shell is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_ingest import amf0, messages
from rtmp_ingest.events import MetadataReceived, PlayRequested, PlayStopped, PublishRequested, Unpublished
from rtmp_ingest.messages import Message, UserEvent
from rtmp_ingest.session import Role
from streamd.errors import ProtocolError
from tests.rtmp_ingest.stage import HANDSHAKE, LIMITS, Peer, slices

VIDEO = Message(9, 1, 40, b"\x27\x01\x00\x00\x00picture")
AUDIO = Message(8, 1, 41, b"\xaf\x01sound")
METADATA = messages.data(1, "@setDataFrame", "onMetaData", amf0.EcmaArray(width=640))


def refusal(peer: Peer, message: Message) -> str:
    with pytest.raises(ProtocolError) as refused:
        peer.send(message)
    return refused.value.code


# Connecting


def test_connect_is_answered_with_window_bandwidth_chunk_size_and_success_in_this_order() -> None:
    peer = Peer()
    peer.connect()
    window, bandwidth, result = peer.heard()
    assert window == messages.control(messages.WINDOW_ACK_SIZE, 2_500_000)
    assert bandwidth == messages.peer_bandwidth(2_500_000)
    assert peer._reader.chunk_bytes == 60_000, "ffmpeg takes this over for what it sends"
    assert messages.parse_command(result).name == "_result"


def test_answers_are_small_enough_for_the_default_chunk_size_until_it_is_changed() -> None:
    """The peer must be able to read Set Chunk Size itself."""
    peer = Peer()
    peer.feed(HANDSHAKE)
    peer.session.data_to_send()
    peer.call("connect", 1, {"app": "live"})
    raw = peer.session.data_to_send()
    assert raw[:12] == bytes.fromhex("02000000 00000405 00000000")
    assert raw[12 + 4 : 12 + 4 + 12] == bytes.fromhex("02000000 00000506 00000000")


def test_nothing_but_connect_is_understood_before_connect() -> None:
    peer = Peer()
    peer.feed(HANDSHAKE)
    assert refusal(peer, messages.command(0, "createStream", 2, None)) == "not_connected"


def test_a_second_connect_is_refused() -> None:
    peer = Peer()
    peer.connect()
    assert refusal(peer, messages.command(0, "connect", 1, {"app": "live"})) == "connect"


def test_an_oversize_connect_is_refused() -> None:
    peer = Peer()
    peer.feed(HANDSHAKE)
    assert refusal(peer, messages.command(0, "connect", 1, {"app": "live", "pad": "x" * 17_000})) == "connect"


def test_bo_bw_done_is_never_sent() -> None:
    peer = Peer()
    peer.connect()
    assert "onBWDone" not in [command.name for command in peer.commands()]


# Calls on the way


def test_the_calls_that_some_encoders_wait_for_are_answered() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    for transaction, name in enumerate(("releaseStream", "FCPublish", "_checkbw", "FCUnpublish"), start=2):
        assert peer.call(name, transaction, None, "demo-key") == []
        (answer,) = peer.commands()
        assert (answer.name, answer.transaction) == ("_result", transaction)
    peer.call("getStreamLength", 9, None, "demo-key")
    assert peer.commands() == [messages.Command("_result", 9, [None, 0.0])]
    peer.call("FCSubscribe", 10, None, "demo-key")
    assert [command.name for command in peer.commands()] == ["onFCSubscribe"]


def test_calls_numbered_zero_want_no_answer() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    peer.call("releaseStream", 0, None, "demo-key")
    peer.call("FCPublish", 0, None, "demo-key")
    assert peer.heard() == []


def test_streams_are_numbered_from_one_and_limited() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    for number in range(1, 9):
        peer.call("createStream", number + 3, None)
        assert peer.commands() == [messages.Command("_result", number + 3, [None, float(number)])]
    assert refusal(peer, messages.command(0, "createStream", 99, None)) == "message_streams_limit"


def test_deleted_streams_make_room() -> None:
    peer = Peer()
    peer.connect()
    for number in range(1, 30):
        peer.call("createStream", 4, None)
        peer.call("deleteStream", 5, None, number)
    assert peer.session.role is Role.IDLE


def test_create_stream_answer_has_the_exact_bytes_that_obs_reads() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    peer.call("createStream", 4, None)
    (answer,) = peer.heard()
    assert answer.payload.hex() == "0200075f726573756c7400401000000000000005003ff0000000000000"


def test_unknown_commands_are_counted_and_not_answered() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    for name in ("setPeerInfo", "pause", "receiveAudio", "onStatus"):
        assert peer.call(name, 7, None) == []
    assert peer.heard() == []
    assert peer.session.counts == {"unknown_command": 4}


def test_commands_come_in_amf3_wrapping_too() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    plain = messages.command(0, "createStream", 4, None)
    peer.send(Message(17, 0, 0, b"\x00" + plain.payload))
    assert [command.name for command in peer.commands()] == ["_result"]


def test_shared_objects_and_unknown_messages_are_passed_over() -> None:
    peer = Peer()
    peer.connect()
    for kind in (16, 19, 7, 77):
        assert peer.send(Message(kind, 0, 0, b"anything")) == []
    assert peer.session.counts == {"unknown_message": 4}


# Publishing


def test_nothing_is_promised_before_the_decision() -> None:
    peer = Peer()
    event = peer.publish("demo-key?token=t")
    assert event == PublishRequested(stream_id=1, app="live", name="demo-key?token=t", encoder="test/1")
    assert peer.heard() == []
    assert peer.session.role is Role.PUBLISH_PENDING


def test_an_accepted_publish_begins_its_stream_and_is_told_so() -> None:
    peer = Peer()
    peer.publish()
    assert peer.session.accept_publish() == []
    begin, status = peer.heard()
    assert begin == messages.user_control(UserEvent.STREAM_BEGIN, 1)
    assert status == messages.status(1, "status", "NetStream.Publish.Start", "Start publishing")


def test_an_encoder_that_said_fc_publish_hears_on_fc_publish() -> None:
    peer = Peer()
    peer.connect()
    peer.call("FCPublish", 2, None, "demo-key")
    peer.publish()
    peer.session.accept_publish()
    assert [command.name for command in peer.commands()] == ["onFCPublish", "onStatus"]


@pytest.mark.parametrize("code", ["NetStream.Publish.Denied", "NetStream.Publish.BadName"])
def test_a_refusal_is_an_error_status_and_never_a_start(code: str) -> None:
    peer = Peer()
    peer.publish()
    peer.session.end(code, "No such key")
    assert peer.statuses() == [("error", code)]
    assert peer.session.role is Role.IDLE


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_what_comes_before_the_decision_is_kept_in_order(size: int) -> None:
    peer = Peer()
    peer.connect()
    peer.call("createStream", 2, None)
    big = Message(9, 1, 50, bytes(300_000))
    sent = [messages.command(1, "publish", 3, None, "demo-key", "live"), METADATA, VIDEO, AUDIO, big]
    data = b"".join(peer.writer.write(message, csid=4) for message in sent)
    events = [event for piece in slices(data, size) for event in peer.feed(piece)]
    assert [type(event) for event in events] == [PublishRequested]
    assert peer.session.held_bytes > 300_000
    held = peer.session.accept_publish()
    assert isinstance(held[0], MetadataReceived)
    assert held[1:] == [VIDEO, AUDIO, big]
    assert peer.session.held_bytes == 0


def test_what_a_refused_peer_sent_is_forgotten() -> None:
    peer = Peer()
    peer.publish()
    peer.send(VIDEO)
    peer.session.end("NetStream.Publish.Denied", "no")
    assert peer.session.held_bytes == 0


def test_media_and_metadata_of_a_publication_are_handed_on_in_order() -> None:
    peer = Peer().on_air()
    data = b"".join(peer.writer.write(message, csid=4) for message in (METADATA, VIDEO, AUDIO, VIDEO))
    metadata, *media = peer.feed(data)
    assert isinstance(metadata, MetadataReceived)
    assert metadata.values == {"width": 640.0}
    assert media == [VIDEO, AUDIO, VIDEO]


def test_an_aggregate_is_taken_apart() -> None:
    tags = b""
    for time, payload in ((7, b"\x27one"), (47, b"\x27two")):
        tags += bytes([9]) + len(payload).to_bytes(3, "big") + time.to_bytes(3, "big") + bytes(4) + payload + bytes(4)
    peer = Peer().on_air()
    assert peer.send(Message(22, 1, 100, tags)) == [Message(9, 1, 100, b"\x27one"), Message(9, 1, 140, b"\x27two")]


def test_media_without_a_publication_is_counted_and_dropped() -> None:
    peer = Peer()
    peer.connect()
    assert peer.send(VIDEO) == []
    assert peer.session.counts == {"media_without_publish": 1}


@pytest.mark.parametrize(
    "goodbye",
    [
        ("FCUnpublish", (None, "demo-key"), 0),
        ("deleteStream", (None, 1.0), 0),
        ("deleteStream", (None, "demo-key"), 0),
        ("closeStream", (None,), 1),
    ],
)
def test_every_goodbye_ends_the_publication_once(goodbye: tuple[str, tuple[amf0.Value, ...], int]) -> None:
    name, arguments, stream_id = goodbye
    peer = Peer().on_air()
    assert peer.call(name, 6, *arguments, stream_id=stream_id) == [Unpublished()]
    assert peer.call("deleteStream", 7, None, 1.0) == []
    assert ("status", "NetStream.Unpublish.Success") in peer.statuses()
    assert peer.send(VIDEO) == []


def test_deleting_another_stream_changes_nothing() -> None:
    peer = Peer().on_air()
    assert peer.call("deleteStream", 6, None, 5.0) == []
    assert peer.session.role is Role.PUBLISHING


def test_a_connection_may_publish_again() -> None:
    peer = Peer().on_air()
    peer.call("FCUnpublish", 6, None, "demo-key")
    peer.publish("other")
    assert peer.session.accept_publish() == []
    assert peer.send(VIDEO, csid=4) == [VIDEO]


def test_publishing_again_in_the_same_bytes_waits_for_its_own_decision() -> None:
    peer = Peer().on_air()
    sent = [
        VIDEO,
        messages.command(0, "FCUnpublish", 6, None, "demo-key"),
        messages.command(1, "publish", 7, None, "other", "live"),
        AUDIO,
    ]
    events = peer.feed(b"".join(peer.writer.write(message, csid=4) for message in sent))
    assert [type(event) for event in events] == [Message, Unpublished, PublishRequested]
    assert peer.session.accept_publish() == [AUDIO]


def test_a_second_publish_on_a_busy_connection_is_a_bad_name() -> None:
    peer = Peer().on_air()
    assert peer.call("publish", 9, None, "other", "live", stream_id=2) == []
    assert peer.statuses() == [("error", "NetStream.Publish.BadName")]
    assert peer.call("play", 9, None, "other", stream_id=2) == []
    assert peer.statuses() == [("error", "NetStream.Play.Failed")]
    assert peer.session.role is Role.PUBLISHING


def test_an_evicted_encoder_is_told_that_its_name_is_taken() -> None:
    peer = Peer().on_air()
    peer.session.end("NetStream.Publish.BadName", "Another encoder took over this stream")
    assert peer.statuses() == [("error", "NetStream.Publish.BadName")]
    peer.session.end("NetStream.Publish.Denied", "again")
    assert peer.heard() == []


# Playing


def test_a_play_is_asked_and_then_begun() -> None:
    peer = Peer()
    peer.connect()
    peer.call("createStream", 2, None)
    peer.heard()
    asked = peer.call("play", 0, None, "room?gop=0", -2000.0, stream_id=1)
    assert asked == [PlayRequested(stream_id=1, app="live", name="room?gop=0")]
    assert peer.session.accept_play() == []
    begin, reset, start, access = peer.heard()
    assert begin == messages.user_control(UserEvent.STREAM_BEGIN, 1)
    assert messages.parse_command(reset).arguments[1]["code"] == "NetStream.Play.Reset"  # type: ignore[index,call-overload]
    assert messages.parse_command(start).arguments[1]["code"] == "NetStream.Play.Start"  # type: ignore[index,call-overload]
    assert access.payload == amf0.encode("|RtmpSampleAccess", True, True)


def test_a_player_that_wants_no_reset_hears_none() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    (event,) = peer.call("play", 0, None, "room", -2000.0, -1.0, False, stream_id=1)
    assert isinstance(event, PlayRequested)
    assert not event.is_reset
    peer.session.accept_play(is_reset=event.is_reset)
    assert peer.statuses() == [("status", "NetStream.Play.Start")]


def test_a_play_of_nothing_is_not_found() -> None:
    peer = Peer()
    peer.connect()
    peer.heard()
    peer.call("play", 0, None, "room", stream_id=1)
    peer.session.end("NetStream.Play.StreamNotFound", "not on air")
    assert peer.statuses() == [("error", "NetStream.Play.StreamNotFound")]


def test_the_end_of_a_play_is_a_notice_and_an_end_of_stream() -> None:
    peer = Peer()
    peer.connect()
    peer.call("play", 0, None, "room", stream_id=1)
    peer.session.accept_play()
    peer.heard()
    peer.session.end("NetStream.Play.UnpublishNotify", "over")
    notice, end = peer.heard()
    assert messages.parse_command(notice).arguments[1]["level"] == "status"  # type: ignore[index,call-overload]
    assert end == messages.user_control(UserEvent.STREAM_EOF, 1)


def test_a_player_that_stops_is_noticed() -> None:
    peer = Peer()
    peer.connect()
    peer.call("play", 0, None, "room", stream_id=1)
    peer.session.accept_play()
    assert peer.call("deleteStream", 0, None, 1.0) == [PlayStopped()]


# Keeping in touch


def test_received_bytes_are_acknowledged_before_the_peers_window_is_full() -> None:
    peer = Peer().on_air()
    peer.send(messages.control(messages.WINDOW_ACK_SIZE, 100_000), csid=2)
    peer.heard()
    sent = peer.session.received_bytes
    for number in range(1, 21):
        peer.send(Message(9, 1, number, bytes(20_000)), csid=4)
    acknowledged = [
        int.from_bytes(message.payload, "big")
        for message in peer.heard()
        if message.type_id == messages.ACKNOWLEDGEMENT
    ]
    assert acknowledged[-1] > peer.session.received_bytes - 100_000
    steps = [after - before for before, after in zip([sent, *acknowledged], acknowledged, strict=False)]
    assert max(steps) < 100_000


def test_acknowledgements_come_without_being_asked_for() -> None:
    peer = Peer().on_air()
    for number in range(20):
        peer.send(Message(9, 1, number, bytes(100_000)), csid=4)
    assert messages.ACKNOWLEDGEMENT in [message.type_id for message in peer.heard()]


def test_pings_are_answered_and_sent() -> None:
    peer = Peer()
    peer.session.ping(5)
    assert peer.heard() == [], "not before connect"
    peer.connect()
    peer.heard()
    peer.send(messages.user_control(UserEvent.PING_REQUEST, 12345), csid=2)
    assert peer.heard() == [messages.user_control(UserEvent.PING_RESPONSE, 12345)]
    peer.session.ping(2**32 + 7)
    assert peer.heard() == [messages.user_control(UserEvent.PING_REQUEST, 7)]
    peer.send(messages.user_control(UserEvent.PING_RESPONSE, 7), csid=2)
    assert peer.session.pongs_count == 1
    peer.send(Message(4, 0, 0, b"\x00"), csid=2)
    peer.send(messages.user_control(UserEvent.SET_BUFFER_LENGTH, 1), csid=2)
    assert peer.heard() == []


@pytest.mark.parametrize(("capabilities", "asked"), [(None, False), (0, False), (1, True), (15, True)])
def test_only_peers_that_understand_it_are_asked_to_reconnect(capabilities: int | None, asked: bool) -> None:
    peer = Peer()
    peer.connect(**({} if capabilities is None else {"capsEx": capabilities}))
    peer.heard()
    assert peer.session.request_reconnect("bye") is asked
    expected = [("status", "NetConnection.Connect.ReconnectRequest")] if asked else []
    assert peer.statuses() == expected


# Bounds


def test_a_flood_of_commands_is_ended_and_a_steady_trickle_is_not() -> None:
    peer = Peer()
    peer.connect()
    for second in range(5):
        peer.now_ms = second * 1000
        for _ in range(400):
            peer.call("_checkbw", 5, None)
    with pytest.raises(ProtocolError) as refused:
        peer.feed(peer.writer.write(messages.command(0, "_checkbw", 5, None), csid=3) * 1001)
    assert refused.value.code == "command_flood"


def test_long_data_costs_more() -> None:
    peer = Peer().on_air()
    message = messages.data(1, "@setDataFrame", "onMetaData", {"pad": "x" * 60_000})
    with pytest.raises(ProtocolError) as refused:
        peer.feed(b"".join(peer.writer.write(message, csid=4) for _ in range(20)))
    assert refused.value.code == "command_flood"


def test_media_of_a_publication_costs_nothing() -> None:
    peer = Peer().on_air()
    for _ in range(3000):
        peer.send(AUDIO, csid=4)


def test_data_that_is_too_long_is_dropped_and_a_command_that_is_too_long_ends_the_session() -> None:
    peer = Peer(limits=replace(LIMITS, command_bytes=1000)).on_air()
    assert peer.send(messages.data(1, "onMetaData", {"pad": "x" * 1000}), csid=4) == []
    assert peer.session.counts == {"data_too_long": 1}
    assert refusal(peer, messages.command(0, "x" * 1001, 1)) == "command_limit"


def test_before_admission_messages_are_short() -> None:
    peer = Peer()
    peer.connect()
    assert refusal(peer, Message(9, 1, 0, bytes(LIMITS.unadmitted_message_bytes + 1))) == "message_limit"


def test_after_admission_messages_may_be_as_long_as_a_key_frame() -> None:
    peer = Peer().on_air()
    assert len(peer.send(Message(9, 1, 0, bytes(3_000_000)))) == 1


@given(st.binary(max_size=500), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_any_bytes_after_connect_give_events_or_a_protocol_error(data: bytes, size: int) -> None:
    peer = Peer()
    peer.connect()
    try:
        for piece in slices(data, size):
            peer.feed(piece)
            if peer.session.role is Role.PUBLISH_PENDING:
                peer.session.accept_publish()
    except ProtocolError:
        pass
    assert len(peer.session.data_to_send()) < 100_000


CALLS = st.sampled_from(
    ["releaseStream", "FCPublish", "createStream", "publish", "play", "deleteStream", "closeStream", "FCUnpublish", "x"]
)


@given(st.lists(st.tuples(CALLS, st.integers(0, 2), st.sampled_from(["", "accept", "end", "media"])), max_size=25))
@settings(max_examples=150, deadline=None)
def test_any_order_of_calls_and_answers_keeps_the_promise_of_one_role(
    steps: list[tuple[str, int, str]],
) -> None:
    """Unpublished comes exactly as often as a publish was accepted and not ended by the shell."""
    peer = Peer()
    peer.connect()
    on_air = 0
    events: list[object] = []
    try:
        for name, stream_id, answer in steps:
            events += peer.call(name, 1, None, float(stream_id), stream_id=stream_id)
            if answer == "media":
                events += peer.send(VIDEO, csid=6)
            if peer.session.role is Role.PUBLISH_PENDING and answer == "accept":
                events += peer.session.accept_publish()
                on_air += 1
            elif peer.session.role is Role.PLAY_PENDING and answer == "accept":
                events += peer.session.accept_play()
            elif answer == "end":
                on_air -= peer.session.role is Role.PUBLISHING
                peer.session.end("NetStream.Publish.Rejected", "no")
    except ProtocolError:  # too many streams
        return
    ended = sum(isinstance(event, Unpublished) for event in events)
    assert on_air - ended == (peer.session.role is Role.PUBLISHING)
