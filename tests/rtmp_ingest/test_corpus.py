"""Inputs that are made to break a parser, replayed whole and in slices. What each one is, its name says."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamd.errors import ProtocolError
from tests.rtmp_ingest.stage import CORPUS, replay, slices

# Everything else is survived.
REFUSED = {
    "http-get": "handshake_version",
    "rtmpe": "handshake_version",
    "command-before-connect": "not_connected",
    "connect-without-object": "connect",
    "connect-twice": "connect",
    "connect-app-is-a-number": "connect",
    "amf-nested-objects": "connect",
    "amf-string-beyond-message": "truncated",
    "chunk-size-1": "chunk_size_limit",
    "chunk-size-2-to-the-31": "chunk_size_limit",
    "message-of-16-megabytes": "message_limit",
    "type-3-first": "chunk",
    "type-2-first": "chunk",
    "empty-message-storm": "tiny_messages",
    "sixty-five-chunk-streams": "chunk_streams_limit",
    "aggregate-in-aggregate": "aggregate_nested",
}


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
@pytest.mark.parametrize("size", [10_000_000, 1448, 61, 1])
def test_a_broken_input_is_refused_or_survived_the_same_way_in_any_slices(path: Path, size: int) -> None:
    expected = REFUSED.get(path.stem)
    try:
        played = replay(slices(path.read_bytes(), size))
    except ProtocolError as error:
        found: str | None = error.code
    else:
        found = None
        assert len(played.outputs) < 400
    assert found == expected


def test_every_refusal_is_in_the_corpus() -> None:
    assert {path.stem for path in CORPUS.glob("*.bin")} >= set(REFUSED)
