"""Access units: what one message of a video track turns into, and the NAL units it is made of.

In: the body of one RTMP message or one reassembled RTP frame. Out: `AccessUnit`, in the form that `EncodedFrame`
promises. The codec modules decide which NAL units stay; here is what H.264 and HEVC share.
Source: ISO/IEC 14496-15 4.3.2 (length prefixes), H.264 Annex B (start codes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import NamedTuple

from streamd.media.bits import BitstreamError

# More than any encoder cuts a picture into; a message full of empty NAL units must not buy a second of our time.
NALS_PER_UNIT = 2_048
# More parameter sets than any encoder changes at once; each one costs parsing.
MOST_FRESH_SETS = 64

_U32 = Struct(">I")


class AccessUnit(NamedTuple):
    """One picture, ready for `EncodedFrame`.

    A NamedTuple and not a frozen dataclass: made for every video frame.

    `payload` is empty when the message held no picture (parameter sets alone, padding): there is no frame then.
    `parameter_sets` are what stood in band, in order, None when nothing did: hand them to the codec's `revise`.
    """

    payload: bytes
    is_sync: bool
    parameter_sets: tuple[bytes, ...] | None


class InBandParameterSetsError(BitstreamError):
    """A sound configuration record without parameter sets: they will come in band.

    Build the track with the codec's `revise(None, unit.parameter_sets)` when an access unit brings them.
    `length_size` is the size of NAL lengths that the record announces, 4 where the codec has none.
    """

    def __init__(self, message: str, *, length_size: int = 4) -> None:
        super().__init__(message)
        self.length_size = length_size


def length_prefixed(data: bytes, start: int, length_size: int) -> list[bytes]:
    """The NAL units behind lengths of `length_size` bytes, without the empty ones.

    Raises BitstreamError when the lengths do not add up to the end of `data`.
    """
    nals: list[bytes] = []
    at = start
    end = len(data)
    for _ in range(NALS_PER_UNIT):
        if at == end:
            return nals
        body = at + length_size
        at = body + int.from_bytes(data[at:body], "big")
        if body > end or at > end:
            raise BitstreamError("a NAL unit reaches beyond its access unit")
        if at > body:
            nals.append(data[body:at])
    raise BitstreamError(f"more than {NALS_PER_UNIT} NAL units in one access unit")


def start_coded(data: bytes, start: int = 0) -> list[bytes]:
    """The NAL units between the start codes of Annex B, without the empty ones. What precedes the first is ignored."""
    parts = data[start:].split(b"\x00\x00\x01", NALS_PER_UNIT)
    if len(parts) > NALS_PER_UNIT:
        raise BitstreamError(f"more than {NALS_PER_UNIT} NAL units in one access unit")
    # A four-byte start code leaves its first zero at the end of the unit before; no NAL unit ends in a zero byte.
    return [nal for part in parts[1:] if (nal := part.rstrip(b"\x00"))]


def begins_with_start_code(data: bytes, start: int) -> bool:
    """Whether a message that should hold lengths holds Annex B, as some hardware encoders send it."""
    return data.startswith((b"\x00\x00\x00\x01", b"\x00\x00\x01"), start)


def joined(nals: Iterable[bytes]) -> bytes:
    """NAL units, each behind a four-byte length."""
    pieces: list[bytes] = []
    for nal in nals:
        pieces.append(_U32.pack(len(nal)))
        pieces.append(nal)
    return b"".join(pieces)


def counted(nals: Iterable[bytes]) -> bytes:
    """Parameter sets as configuration records hold them: each behind a two-byte length."""
    return b"".join(len(nal).to_bytes(2, "big") + nal for nal in nals)


def replace_by_id(among: list[bytes], fresh: Iterable[bytes], set_id: Callable[[bytes], int]) -> None:
    """Put each of `fresh` in the place of the set with its id, or at the end. Raises what `set_id` raises."""
    places = {set_id(nal): place for place, nal in enumerate(among)}
    for nal in fresh:
        place = places.setdefault(set_id(nal), len(among))
        among[place : place + 1] = [nal]


class RecordReader:
    """Walks over a configuration record (avcC, hvcC) whose lengths may lie."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def number(self, size_bytes: int) -> int:
        """The next big-endian number."""
        return int.from_bytes(self.take(size_bytes), "big")

    def take(self, size_bytes: int) -> bytes:
        """The next bytes. Raises BitstreamError when there are not so many."""
        taken = self._data[self._at : self._at + size_bytes]
        if len(taken) != size_bytes:
            raise BitstreamError("the configuration record ends early")
        self._at += size_bytes
        return taken

    def sets(self, count: int) -> list[bytes]:
        """`count` parameter sets, without padding and without the empty ones."""
        found = [self.take(self.number(2)).rstrip(b"\x00") for _ in range(count)]
        return [nal for nal in found if nal]
