"""AMF0, the notation of RTMP commands and metadata: values in, bytes out, and back.

Lenient where encoders are sloppy: objects and ECMA arrays are both `dict`, the count of an ECMA array is a hint, a
missing end marker at the end of the message is tolerated, bytes that are not UTF-8 become U+FFFD. Strict where a peer
could hurt: depth, number of keys and values, and length of strings are bounded. References are kept as `Reference` and
never followed, so nothing decoded here can be cyclic or grow when it is walked. Source: Adobe "Action Message Format:
AMF 0" (2007).
Not here: AMF3 values (marker 0x11); the commands that encoders wrap in AMF3 messages are AMF0 inside.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias

from rtmp_ingest.buffer import Cursor
from streamd.errors import ProtocolError

MAX_DEPTH = 16
MAX_KEYS = 256
MAX_VALUES = 16_384
MAX_STRING_BYTES = 64 * 1024

_F64 = struct.Struct(">d")
_OBJECT_END = b"\x00\x00\x09"


class Undefined(Enum):
    """The value that is not there."""

    UNDEFINED = "undefined"


UNDEFINED = Undefined.UNDEFINED


class Date(NamedTuple):
    """Milliseconds since the Unix epoch; the zone is reserved and should be 0."""

    ms: float
    zone_minutes: int = 0


class Reference(NamedTuple):
    """Stands for the n-th complex value before it; not followed."""

    number: int


class XmlDocument(str):
    """A string that was sent as XML."""

    __slots__ = ()


class EcmaArray(dict[str, "Value"]):
    """A dict that is written as ECMA array, which is what onMetaData expects."""


class TypedObject(dict[str, "Value"]):
    """An object with a class name."""

    def __init__(self, class_name: str, values: Mapping[str, Value] | None = None) -> None:
        super().__init__(values or {})
        self.class_name = class_name


Value: TypeAlias = (
    "bool | int | float | str | Undefined | Date | Reference | Mapping[str, Value] | Sequence[Value] | None"
)


class _Decoder:
    """One message's worth of decoding: carries the counts that its limits are about."""

    __slots__ = ("_depth_left", "_keys_left", "_values_left", "cursor")

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._keys_left = MAX_KEYS
        self._values_left = MAX_VALUES
        self._depth_left = MAX_DEPTH

    def value(self) -> Value:
        self._values_left -= 1
        if self._values_left < 0:
            raise _refused("too many values", f"more than {MAX_VALUES}")
        marker = self.cursor.u8()
        reader = _READERS.get(marker)
        if reader is None:
            raise _refused("unknown marker", f"0x{marker:02x}")
        if marker not in _NESTING:
            return reader(self)
        self._depth_left -= 1
        if self._depth_left < 0:
            raise _refused("nested too deeply", f"more than {MAX_DEPTH} levels")
        value = reader(self)
        self._depth_left += 1
        return value

    def text(self, length: int) -> str:
        if length > MAX_STRING_BYTES:
            raise _refused("string too long", f"{length} bytes")
        return self.cursor.take(length).decode("utf-8", "replace")

    def ecma_array(self) -> Value:
        self.cursor.u32()  # a hint that encoders get wrong
        return self.properties(EcmaArray())

    def strict_array(self) -> Value:
        count = self.cursor.u32()
        if count > self.cursor.remaining:
            raise _refused("array longer than its message", f"{count} values")
        return [self.value() for _ in range(count)]

    def properties(self, into: dict[str, Value]) -> dict[str, Value]:
        cursor = self.cursor
        while cursor.remaining:
            key = self.text(cursor.u16())
            if not key and cursor.data[cursor.position : cursor.position + 1] == b"\x09":
                cursor.position += 1
                return into
            self._keys_left -= 1
            if self._keys_left < 0:
                raise _refused("too many keys", f"more than {MAX_KEYS}")
            into[key] = self.value()
        return into  # some encoders forget the end marker of the last object


_READERS: dict[int, Callable[[_Decoder], Value]] = {
    0x00: lambda decoder: decoder.cursor.f64(),
    0x01: lambda decoder: decoder.cursor.u8() != 0,
    0x02: lambda decoder: decoder.text(decoder.cursor.u16()),
    0x03: lambda decoder: decoder.properties({}),
    0x05: lambda _: None,
    0x06: lambda _: UNDEFINED,
    0x07: lambda decoder: Reference(decoder.cursor.u16()),
    0x08: lambda decoder: decoder.ecma_array(),
    0x0A: lambda decoder: decoder.strict_array(),
    0x0B: lambda decoder: Date(decoder.cursor.f64(), decoder.cursor.i16()),
    0x0C: lambda decoder: decoder.text(decoder.cursor.u32()),
    0x0D: lambda _: UNDEFINED,
    0x0F: lambda decoder: XmlDocument(decoder.text(decoder.cursor.u32())),
    0x10: lambda decoder: decoder.properties(TypedObject(decoder.text(decoder.cursor.u16()))),
}
_NESTING = {0x03, 0x08, 0x0A, 0x10}


def _refused(what: str, why: str) -> ProtocolError:
    return ProtocolError(f"AMF0: {what}", why=why, code="amf")


def decode(data: bytes, position: int = 0) -> list[Value]:
    """Every value from `position` on, in order. Raises ProtocolError ("amf", "truncated")."""
    values, error = decode_leniently(data, position)
    if error is not None:
        raise error
    return values


def decode_leniently(data: bytes, position: int = 0) -> tuple[list[Value], ProtocolError | None]:
    """The values up to the first one that cannot be read, and why it could not."""
    cursor = Cursor(data, position)
    decoder = _Decoder(cursor)
    values: list[Value] = []
    try:
        while cursor.remaining:
            values.append(decoder.value())
    except ProtocolError as error:
        return values, error
    return values, None


def encode(*values: Value) -> bytes:
    """The values one after another."""
    out = bytearray()
    for value in values:
        _encode(value, out)
    return bytes(out)


def _encode(value: Value, out: bytearray) -> None:
    match value:
        case None:
            out.append(0x05)
        case Undefined():
            out.append(0x06)
        case bool():
            out += b"\x01\x01" if value else b"\x01\x00"
        case int() | float():
            out.append(0x00)
            out += _F64.pack(value)
        case str():
            _encode_text(value, out)
        case Date(ms, zone_minutes):
            out.append(0x0B)
            out += _F64.pack(ms) + zone_minutes.to_bytes(2, "big", signed=True)
        case Reference(number):
            out.append(0x07)
            out += number.to_bytes(2, "big")
        case Mapping():
            _encode_mapping(value, out)
        case _:
            out.append(0x0A)
            out += len(value).to_bytes(4, "big")
            for item in value:
                _encode(item, out)


def _encode_text(text: str, out: bytearray) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    if isinstance(text, XmlDocument):
        out.append(0x0F)
        out += len(raw).to_bytes(4, "big")
    elif len(raw) > 0xFFFF:
        out.append(0x0C)
        out += len(raw).to_bytes(4, "big")
    else:
        out.append(0x02)
        out += len(raw).to_bytes(2, "big")
    out += raw


def _encode_mapping(values: Mapping[str, Value], out: bytearray) -> None:
    if isinstance(values, TypedObject):
        name = values.class_name.encode()
        out.append(0x10)
        out += len(name).to_bytes(2, "big") + name
    elif isinstance(values, EcmaArray):
        out.append(0x08)
        out += len(values).to_bytes(4, "big")
    else:
        out.append(0x03)
    for key, value in values.items():
        raw = key.encode("utf-8", "surrogatepass")
        out += len(raw).to_bytes(2, "big") + raw
        _encode(value, out)
    out += _OBJECT_END


def plain(value: Value) -> object:
    """The value as JSON could say it: text, numbers, booleans, None, lists and dicts of those."""
    match value:
        case Undefined() | Reference():
            return None
        case Date(ms, _):
            return ms
        case str():
            return str(value)
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case Sequence():
            return [plain(item) for item in value]
        case _:
            return value
