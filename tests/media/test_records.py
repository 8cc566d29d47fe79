"""Records between workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.media.records import MAX_RECORD_BYTES, RecordError, RecordReader, record, track_from_json, track_to_json
from streamd.media.tracks import Track
from tests.support.hls_media import AUDIO, OTHER_VIDEO, VIDEO

RECORDS = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8)


@given(RECORDS, st.integers(1, 9))
def test_slicing_never_matters(records: list[tuple[int, bytes]], step: int) -> None:
    data = b"".join(piece for kind, body in records for piece in record(kind, body[:3], body[3:]))
    assert RecordReader().feed(data) == records
    reader = RecordReader()
    found = [one for at in range(0, len(data), step) for one in reader.feed(data[at : at + step])]
    assert found == records


def test_record_that_is_too_long_is_refused_before_it_is_read() -> None:
    with pytest.raises(RecordError):
        RecordReader().feed((MAX_RECORD_BYTES + 1).to_bytes(4, "big") + b"\x01")


@pytest.mark.parametrize("track", [VIDEO, OTHER_VIDEO, AUDIO])
def test_track_comes_back_equal(track: Track) -> None:
    assert track_from_json(track_to_json(track)) == track


@pytest.mark.parametrize("nonsense", [{}, {"codec": "mpeg2", "config": ""}, {"codec": "aac", "config": "", "x": 1}])
def test_what_is_no_track_is_refused(nonsense: dict[str, object]) -> None:
    with pytest.raises(RecordError):
        track_from_json(nonsense)
