"""AMF0: every marker, both ways; what encoders do wrong; what a peer could do to us."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtmp_ingest import amf0
from rtmp_ingest.amf0 import UNDEFINED, Date, EcmaArray, Reference, TypedObject, XmlDocument, decode, encode
from streamd.errors import ProtocolError

KEYS = st.text(min_size=1, max_size=8).filter(lambda key: not key.encode("utf-8", "replace").startswith(b"\x00"))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.just(UNDEFINED),
    st.builds(Date, st.floats(allow_nan=False), st.integers(-720, 840)),
    st.builds(Reference, st.integers(0, 65_535)),
    st.builds(XmlDocument, st.text(max_size=20)),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(EcmaArray),
        st.dictionaries(KEYS, inner, max_size=4).map(lambda values: TypedObject("flex.Thing", values)),
    ),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_decode_of_encode_is_identity(values: list[amf0.Value]) -> None:
    decoded = decode(encode(*values))
    assert decoded == values
    assert encode(*decoded) == encode(*values), "kinds of mappings survive as well"


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_values_or_a_protocol_error(data: bytes) -> None:
    values, error = amf0.decode_leniently(data)
    assert error is None or isinstance(error, ProtocolError)
    amf0.plain(values)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("00 4045000000000000", 42.0),
        ("01 01", True),
        ("02 0003 616263", "abc"),
        ("03 0001 61 0100 000009", {"a": False}),
        ("05", None),
        ("06", UNDEFINED),
        ("07 0003", Reference(3)),
        ("08 00000001 0001 61 05 000009", {"a": None}),
        ("0a 00000002 05 05", [None, None]),
        ("0b 4045000000000000 ffc4", Date(42.0, -60)),
        ("0c 00000003 616263", "abc"),
        ("0d", UNDEFINED),
        ("0f 00000004 3c612f3e", "<a/>"),
        ("10 0001 54 0001 61 05 000009", {"a": None}),
    ],
)
def test_every_marker_is_read(raw: str, value: amf0.Value) -> None:
    assert decode(bytes.fromhex(raw)) == [value]


def test_the_call_that_creates_a_stream_is_answered_with_exactly_these_bytes() -> None:
    expected = bytes.fromhex("02 0007 5f726573756c74 00 4010000000000000 05 00 3ff0000000000000")
    assert encode("_result", 4, None, 1) == expected


def test_a_long_string_gets_its_own_marker() -> None:
    assert encode("x" * 65_536)[:5] == b"\x0c\x00\x01\x00\x00"
    assert encode("x" * 65_535)[:3] == b"\x02\xff\xff"


def test_ecma_array_with_a_wrong_count_and_no_end_is_read() -> None:
    raw = bytes.fromhex("08 000000ff 0005 7769647468 00 4084000000000000")
    assert decode(raw) == [{"width": 640.0}]


def test_truncated_values_keep_what_came_before() -> None:
    raw = encode("onMetaData", {"a": 1, "b": "text"})
    values, error = amf0.decode_leniently(raw[:-8])
    assert values == ["onMetaData"]
    assert error is not None
    assert error.code == "truncated"


def test_text_that_is_not_utf8_does_not_fail() -> None:
    assert decode(b"\x02\x00\x02\xff\xfe") == ["��"]


def test_an_empty_key_is_not_an_end() -> None:
    assert decode(bytes.fromhex("03 0000 05 0001 61 05 000009")) == [{"": None, "a": None}]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x0a\x00\x00\x00\x01" * 17 + b"\x05", "nested too deeply"),
        (b"\x03" + b"\x00\x01a\x03" * 17, "nested too deeply"),
        (b"\x03" + b"".join(b"\x00\x02" + i.to_bytes(2, "big") + b"\x05" for i in range(257)), "too many keys"),
        (b"\x05" * (amf0.MAX_VALUES + 1), "too many values"),
        (b"\x0a\xff\xff\xff\xff\x05", "array longer"),
        (b"\x0c\x00\x01\x00\x01" + b"x" * 65_537, "string too long"),
        (b"\x11\x01", "unknown marker"),
        (b"\x04", "unknown marker"),
    ],
    ids=["arrays", "objects", "keys", "values", "array", "string", "amf3", "movieclip"],
)
def test_what_could_hurt_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=why) as refused:
        decode(raw)
    assert refused.value.code == "amf"


def test_sixteen_levels_are_deep_enough() -> None:
    assert decode(b"\x0a\x00\x00\x00\x01" * 16 + b"\x05")


def test_references_are_kept_apart_so_that_nothing_grows_when_walked() -> None:
    bomb = encode([0] * 10, *([Reference(i)] * 10 for i in range(50)))
    assert len(repr(decode(bomb))) < 50_000


def test_plain_values_are_what_json_can_say() -> None:
    value = {"a": UNDEFINED, "b": Date(5.0), "c": [Reference(1), XmlDocument("<a/>")], "d": EcmaArray(e=True)}
    assert amf0.plain(value) == {"a": None, "b": 5.0, "c": [None, "<a/>"], "d": {"e": True}}
