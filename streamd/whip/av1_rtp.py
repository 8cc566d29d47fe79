"""AV1 out of RTP payloads.

In: the payloads of one temporal unit, in order. Out: its OBUs in low-overhead form, every one with its size, as
`streamd.media.av1` takes them; temporal delimiters, which should not be sent, are left to it. An OBU may be spread over
many packets, and one packet may hold many. Source: "RTP Payload Format For AV1" 4.3 to 4.5.
"""

from __future__ import annotations

from streamd.media.bits import BitstreamError

_CONTINUES, _CONTINUED, _NEW_SEQUENCE = 0x80, 0x40, 0x08
_HAS_SIZE, _HAS_EXTENSION = 2, 4
_OVERHEAD_BYTES = 64  # what a piece costs beside its bytes: a flood of empty ones is bounded as well
_SIZE_BYTES = 8


class Av1Assembler:
    """Collects one temporal unit."""

    __slots__ = ("_fragments", "_pieces", "size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._fragments: list[bytes] = []  # of the OBU that the next packet goes on with
        self.size_bytes = 0

    def begins_key_unit(self, payload: bytes) -> bool:
        """Whether this is the first packet of a coded video sequence (N)."""
        return bool(payload[0] & _NEW_SEQUENCE) and not payload[0] & _CONTINUES

    def add(self, payload: bytes) -> bool:
        """Take the next payload, not empty. False when it does not fit: give the unit up."""
        header = payload[0]
        self.size_bytes += len(payload) + _OVERHEAD_BYTES
        elements = _elements(payload, header >> 4 & 3)
        if not elements or bool(header & _CONTINUES) != bool(self._fragments):
            return False
        last = len(elements) - 1
        for index, element in enumerate(elements):
            self.size_bytes += _OVERHEAD_BYTES
            if index == last and header & _CONTINUED:
                self._fragments.append(element)
                return True
            if self._fragments:
                self._fragments.append(element)
                element = b"".join(self._fragments)
                self._fragments = []
            if element:
                self._pieces += _sized(element)
        return True

    def take(self) -> bytes:
        """The unit, and ready for the next one. Raises BitstreamError when its last OBU is not complete."""
        pieces, is_open = self._pieces, bool(self._fragments)
        self.reset()
        if is_open:
            raise BitstreamError("a temporal unit ends inside a fragmented OBU")
        return b"".join(pieces)

    def reset(self) -> None:
        """Forget what was collected."""
        self._pieces = []
        self._fragments = []
        self.size_bytes = 0


def _elements(payload: bytes, count: int) -> list[bytes]:
    """The OBU elements of a packet; `count` 0 means that each has its length. Empty when the lengths do not add up."""
    found: list[bytes] = []
    at, end = 1, len(payload)
    while at < end:
        if count and len(found) == count - 1:
            found.append(payload[at:])
            return found
        length, body = _leb128(payload, at)
        at = body + length
        if at > end:
            return []
        found.append(payload[body:at])
    return [] if count else found


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A little-endian base-128 number and where it ends; one that is too large where there is none."""
    value = 0
    for place, byte in enumerate(data[at : at + _SIZE_BYTES]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    return len(data), len(data)


def _sized(obu: bytes) -> tuple[bytes, bytes, bytes]:
    """An OBU in three pieces, given the size that it lacks in RTP. One that has it stays as it is."""
    if obu[0] & _HAS_SIZE:
        return obu, b"", b""
    body = 2 if obu[0] & _HAS_EXTENSION else 1
    value = len(obu) - body
    size = bytearray()
    while value > 127:
        size.append(value & 127 | 128)
        value >>= 7
    size.append(max(value, 0))
    return bytes((obu[0] | _HAS_SIZE,)) + obu[1:body], bytes(size), obu[body:]
