"""A cursor over received bytes that cannot run past their end.

In: one `bytes` object that is already whole (a message, a header). Out: numbers in network order and slices. Reading
past the end raises ProtocolError with code "truncated" and leaves the cursor where it was, so a lenient caller may keep
what it has read so far. Not here: waiting for more bytes (the chunk reader does that).
"""

from __future__ import annotations

import struct

from streamd.errors import ProtocolError

_F64 = struct.Struct(">d")


class Cursor:
    """Reads `data` from `position` on. All integers are big-endian."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.end = len(data)

    @property
    def remaining(self) -> int:
        """Bytes not yet read."""
        return self.end - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        position = self.position
        after = position + count
        if count < 0 or after > self.end:
            raise ProtocolError(
                "The message ends too early",
                why=f"{count} bytes wanted at {position}, {self.end - position} there",
                code="truncated",
            )
        self.position = after
        return self.data[position:after]

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.end - self.position)

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u24(self) -> int:
        return int.from_bytes(self.take(3), "big")

    def i24(self) -> int:
        """Signed: the composition offset of FLV."""
        return int.from_bytes(self.take(3), "big", signed=True)

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def i16(self) -> int:
        return int.from_bytes(self.take(2), "big", signed=True)

    def f64(self) -> float:
        """IEEE 754 double."""
        number: float = _F64.unpack(self.take(8))[0]
        return number
