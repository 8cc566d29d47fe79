"""H.264 out of RTP payloads.

In: the payloads of one access unit, in order. Out: its NAL units behind four-byte lengths, as `streamd.media.h264`
takes them. Single NAL unit packets, STAP-A and FU-A: what packetization modes 0 and 1 allow. A payload that cannot be
is refused, and its unit with it. Source: RFC 6184 5.6 to 5.8.
"""

from __future__ import annotations

from struct import Struct

from streamd.media.bits import BitstreamError
from streamd.media.h264 import SPS

_STAP_A, _FU_A = 24, 28
_DELIMITER = 9
_OVERHEAD_BYTES = 64  # what a piece costs beside its bytes: a flood of empty ones is bounded as well

_u16_at = Struct(">H").unpack_from
_U32 = Struct(">I")


class H264Assembler:
    """Collects one access unit."""

    __slots__ = ("_fragment_at", "_fragment_bytes", "_pieces", "size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._fragment_at = -1  # where the length of the open NAL unit belongs; -1: none is open
        self._fragment_bytes = 0
        self.size_bytes = 0

    def begins_key_unit(self, payload: bytes) -> bool:
        """Whether this can only be the first packet of an access unit: a delimiter or an SPS."""
        kind = payload[0] & 31
        if kind == _STAP_A and len(payload) > 3:
            kind = payload[3] & 31
        return kind in (SPS, _DELIMITER)

    def add(self, payload: bytes) -> bool:
        """Take the next payload, not empty. False when it does not fit: give the unit up."""
        kind = payload[0] & 31
        self.size_bytes += len(payload) + _OVERHEAD_BYTES
        if kind == _FU_A:
            return self._add_fragment(payload)
        if self._fragment_at >= 0:
            return False
        if 0 < kind < _STAP_A:
            self._pieces += (_U32.pack(len(payload)), payload)
            return True
        return kind == _STAP_A and self._add_aggregate(payload)

    def take(self) -> bytes:
        """The unit, and ready for the next one. Raises BitstreamError when its last NAL unit is not complete."""
        pieces, is_open = self._pieces, self._fragment_at >= 0
        self.reset()
        if is_open:
            raise BitstreamError("an access unit ends inside a fragmented NAL unit")
        return b"".join(pieces)

    def reset(self) -> None:
        """Forget what was collected."""
        self._pieces = []
        self._fragment_at = -1
        self.size_bytes = 0

    def _add_fragment(self, payload: bytes) -> bool:
        if len(payload) < 3:
            return False
        bits = payload[1]
        if bits & 0x80:  # start
            if self._fragment_at >= 0 or bits & 0x40:
                return False
            self._fragment_at = len(self._pieces)
            self._fragment_bytes = 1
            self._pieces += (b"", bytes((payload[0] & 0xE0 | bits & 31,)))
        elif self._fragment_at < 0:
            return False
        self._fragment_bytes += len(payload) - 2
        self._pieces.append(payload[2:])
        if bits & 0x40:  # end
            self._pieces[self._fragment_at] = _U32.pack(self._fragment_bytes)
            self._fragment_at = -1
        return True

    def _add_aggregate(self, payload: bytes) -> bool:
        at, end = 1, len(payload)
        while at + 2 < end:
            body = at + 2
            at = body + _u16_at(payload, at)[0]
            if at > end or at == body:
                return False
            self._pieces += (_U32.pack(at - body), payload[body:at])
            self.size_bytes += _OVERHEAD_BYTES
        return at == end and end > 1
