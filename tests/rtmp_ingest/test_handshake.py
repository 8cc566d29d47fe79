"""The handshake, in any slices, with encoders that check it and with peers that are something else."""

from __future__ import annotations

import pytest

from rtmp_ingest.handshake import ClientHandshake, ServerHandshake
from streamd.errors import ProtocolError
from tests.rtmp_ingest.stage import slices

RANDOM = bytes(range(256)) * 5 + bytes(248)
C1 = b"\x00\x00\x00\x2a\x80\x00\x07\x02" + bytes(i * 7 % 256 for i in range(1528))


@pytest.mark.parametrize("size", [1, 5, 1537, 3073, 9999])
def test_server_answers_once_c1_is_there_and_hands_on_what_follows(size: int) -> None:
    handshake = ServerHandshake(random=RANDOM)
    sent = b"\x03" + C1 + bytes(1536) + b"chunks"
    said, rest, came = b"", b"", 0
    for piece in slices(sent, size):
        if rest:
            rest += piece
            continue
        answer, more = handshake.receive(piece)
        came += len(piece)
        assert bool(answer) == (came >= 1537 and not said)
        said += answer
        rest = more or b""
    assert rest == b"chunks"
    assert said[:1] == b"\x03"
    assert said[1:1537] == bytes(8) + RANDOM, "zero version bytes: librtmp then takes the simple handshake"
    assert said[1537:] == C1, "S2 is the exact echo of C1"


@pytest.mark.parametrize(
    ("first", "why"),
    [(b"GET / HTTP/1.1", "HTTP"), (b"\x06", "RTMPE"), (b"\x16\x03\x01", "TLS"), (b"\x00", "version 0")],
)
def test_another_protocol_is_named_and_refused_at_its_first_byte(first: bytes, why: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        ServerHandshake(random=RANDOM).receive(first)
    assert refused.value.code == "handshake_version"
    assert why in refused.value.why


def test_client_and_server_shake_hands() -> None:
    client, server = ClientHandshake(random=RANDOM), ServerHandshake(random=bytes(1528))
    answer, rest = server.receive(client.hello)
    assert rest is None
    echo, rest_of_client = client.receive(answer + b"more")
    assert rest_of_client == b"more"
    assert server.receive(echo) == (b"", b"")


def test_client_waits_for_all_of_the_answer() -> None:
    client = ClientHandshake(random=RANDOM)
    assert client.receive(b"\x03" + bytes(2000)) == (b"", None)
