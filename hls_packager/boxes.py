"""ISO base media boxes for the initialisation segment: small, rare, and built the plain way.

Bytes in, bytes out; a box's size is computed from what it holds. Parts are not built from these: see `fragment`.
Source: ISO 14496-12 (boxes), ISO 14496-1 7.2.6 (descriptors in `esds`).
"""

from __future__ import annotations

from struct import pack

UNITY_MATRIX = pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def box(kind: bytes, *content: bytes) -> bytes:
    """A box of four-letter `kind`."""
    body = b"".join(content)
    return pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    """A box that begins with a version and 24 bits of flags."""
    return box(kind, pack(">I", version << 24 | flags), *content)


def descriptor(tag: int, *content: bytes) -> bytes:
    """An MPEG-4 descriptor; its length in the four-byte form that every reader takes."""
    body = b"".join(content)
    size = len(body)
    return bytes((tag, 0x80 | size >> 21 & 0x7F, 0x80 | size >> 14 & 0x7F, 0x80 | size >> 7 & 0x7F, size & 0x7F)) + body
