"""Writes the headers that no encoder at hand would write: the mirror of `streamd.media.bits`."""

from __future__ import annotations


class BitWriter:
    """Fields in, bytes out."""

    def __init__(self) -> None:
        self._bits: list[int] = []

    def u(self, width: int, value: int) -> BitWriter:
        assert 0 <= value < 1 << width or width == 0
        self._bits += [value >> place & 1 for place in range(width - 1, -1, -1)]
        return self

    def ue(self, *values: int) -> BitWriter:
        for value in values:
            width = (value + 1).bit_length()
            self.u(width - 1, 0).u(width, value + 1)
        return self

    def se(self, *values: int) -> BitWriter:
        return self.ue(*(2 * value - 1 if value > 0 else -2 * value for value in values))

    def uvlc(self, value: int) -> BitWriter:
        return self.ue(value)

    def trailing(self) -> bytes:
        """A one bit, then zeros to the byte's end: how parameter sets and OBUs close."""
        self.u(1, 1)
        return self.padded()

    def padded(self) -> bytes:
        bits = self._bits + [0] * (-len(self._bits) % 8)
        return bytes(int("".join(map(str, bits[at : at + 8])), 2) for at in range(0, len(bits), 8))


def escaped(rbsp: bytes) -> bytes:
    """Emulation prevention, as an encoder does it (H.264 7.4.1)."""
    out = bytearray()
    zeros = 0
    for byte in rbsp:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)
