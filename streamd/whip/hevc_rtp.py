"""HEVC out of RTP payloads.

In: the payloads of one access unit, in order. Out: its NAL units behind four-byte lengths, as `streamd.media.hevc`
takes them. Single NAL unit packets, aggregation packets and fragmentation units, without decoding order numbers: these
exist only where `sprop-max-don-diff` is above zero, and such an offer must be refused. Source: RFC 7798 4.4.
"""

from __future__ import annotations

from struct import Struct

from streamd.media.bits import BitstreamError
from streamd.media.hevc import VPS

_AGGREGATE, _FRAGMENT = 48, 49
_DELIMITER = 35
_OVERHEAD_BYTES = 64  # what a piece costs beside its bytes: a flood of empty ones is bounded as well

_u16_at = Struct(">H").unpack_from
_U32 = Struct(">I")


class HevcAssembler:
    """Collects one access unit."""

    __slots__ = ("_fragment_at", "_fragment_bytes", "_pieces", "size_bytes")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._fragment_at = -1  # where the length of the open NAL unit belongs; -1: none is open
        self._fragment_bytes = 0
        self.size_bytes = 0

    def begins_key_unit(self, payload: bytes) -> bool:
        """Whether this can only be the first packet of an access unit: a delimiter or a VPS."""
        kind = payload[0] >> 1 & 63
        if kind == _AGGREGATE and len(payload) > 4:
            kind = payload[4] >> 1 & 63
        return kind in (VPS, _DELIMITER)

    def add(self, payload: bytes) -> bool:
        """Take the next payload, not empty. False when it does not fit: give the unit up."""
        kind = payload[0] >> 1 & 63
        self.size_bytes += len(payload) + _OVERHEAD_BYTES
        if kind == _FRAGMENT:
            return self._add_fragment(payload)
        if self._fragment_at >= 0 or len(payload) < 3:
            return False
        if kind < _AGGREGATE:
            self._pieces += (_U32.pack(len(payload)), payload)
            return True
        return kind == _AGGREGATE and self._add_aggregate(payload)

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
        if len(payload) < 4:
            return False
        bits = payload[2]
        if bits & 0x80:  # start
            if self._fragment_at >= 0 or bits & 0x40:
                return False
            self._fragment_at = len(self._pieces)
            self._fragment_bytes = 2
            self._pieces += (b"", bytes((payload[0] & 0x81 | (bits & 63) << 1, payload[1])))
        elif self._fragment_at < 0:
            return False
        self._fragment_bytes += len(payload) - 3
        self._pieces.append(payload[3:])
        if bits & 0x40:  # end
            self._pieces[self._fragment_at] = _U32.pack(self._fragment_bytes)
            self._fragment_at = -1
        return True

    def _add_aggregate(self, payload: bytes) -> bool:
        at, end = 2, len(payload)
        while at + 2 < end:
            body = at + 2
            at = body + _u16_at(payload, at)[0]
            if at > end or at - body < 2:
                return False
            self._pieces += (_U32.pack(at - body), payload[body:at])
            self.size_bytes += _OVERHEAD_BYTES
        return at == end and end > 2
