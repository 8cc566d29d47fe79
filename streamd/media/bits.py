"""Reading bits: fixed-width fields, Exp-Golomb codes, and NAL units freed of their emulation prevention.

In: the bytes of a parameter set, a sequence header or an AudioSpecificConfig. Out: integers. Every failure is a
BitstreamError; no read costs more than the width it asks for, so hostile bytes cannot buy time.
Source: ITU-T H.264 7.2, 7.3.1 and 9.1 (H.265 has the same); AV1 4.10 for uvlc and leb128.
"""

from __future__ import annotations


class BitstreamError(ValueError):
    """The bytes do not follow their codec's syntax, or ask for what streamd does not put on air."""


class BitReader:
    """Most significant bit first, over bytes without emulation prevention."""

    __slots__ = ("_bit", "_data", "_end")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._bit = 0
        self._end = len(data) * 8

    @property
    def left(self) -> int:
        """Bits not yet read."""
        return self._end - self._bit

    def u(self, width: int) -> int:
        """An unsigned field of `width` bits."""
        start = self._bit
        end = start + width
        if end > self._end:
            raise BitstreamError(f"{width} bits wanted, {self._end - start} left")
        self._bit = end
        value = int.from_bytes(self._data[start >> 3 : (end + 7) >> 3], "big") >> (-end & 7)
        return value & ((1 << width) - 1)

    def flag(self) -> bool:
        """One bit."""
        return self.u(1) == 1

    def peek(self, width: int) -> int:
        """The next `width` bits, left where they are."""
        value = self.u(width)
        self._bit -= width
        return value

    def skip(self, width: int) -> None:
        """Pass over `width` bits."""
        if width > self._end - self._bit:
            raise BitstreamError(f"{width} bits to skip, {self._end - self._bit} left")
        self._bit += width

    def ue(self) -> int:
        """An unsigned Exp-Golomb code (9.1), at most 2**32 - 2."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > 31:
                raise BitstreamError("an Exp-Golomb code of more than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """A signed Exp-Golomb code (9.1.1)."""
        code = self.ue()
        return (code + 1) >> 1 if code & 1 else -(code >> 1)

    def skip_ue(self, count: int) -> None:
        """Pass over `count` Exp-Golomb codes, signed or not."""
        for _ in range(count):
            self.ue()

    def uvlc(self) -> int:
        """AV1's variable-length code (4.10.3): as `ue`, but 32 zeros stand for 2**32 - 1."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros >= 32:
                return (1 << 32) - 1
        return (1 << zeros) - 1 + self.u(zeros)


def unescaped(nal: bytes) -> bytes:
    """The RBSP of a NAL unit: every 00 00 03 without its 03 (H.264 7.3.1)."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")
