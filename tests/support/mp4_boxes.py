"""A strict reader of fragmented MP4, written against ISO 14496-12 and sharing nothing with what writes it.

Every box must fill its parent to the byte; every size and offset must be the one the standard implies.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import unpack_from

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"moof", b"traf"}


@dataclass
class Box:
    kind: bytes
    start: int  # of the header
    end: int
    body: bytes
    children: list[Box] = field(default_factory=list)

    def all(self, kind: bytes) -> list[Box]:
        return [child for child in self.children if child.kind == kind]

    def one(self, kind: bytes) -> Box:
        found = self.all(kind)
        assert len(found) == 1, f"{kind!r} occurs {len(found)} times in {self.kind!r}"
        return found[0]

    @property
    def version(self) -> int:
        return self.body[0]

    @property
    def flags(self) -> int:
        return int.from_bytes(self.body[1:4], "big")

    def u32(self, at: int) -> int:
        return int(unpack_from(">I", self.body, at)[0])


def walk(data: bytes, start: int = 0, end: int | None = None) -> list[Box]:
    """The boxes between two offsets; they must fill the range exactly."""
    end = len(data) if end is None else end
    boxes = []
    while start < end:
        assert end - start >= 8, "a box header is cut off"
        size, kind = unpack_from(">I4s", data, start)
        assert size >= 8, f"{kind!r} has size {size}"
        assert start + size <= end, f"{kind!r} is longer than its parent"
        box = Box(kind, start, start + size, data[start + 8 : start + size])
        if kind in CONTAINERS:
            box.children = walk(data, start + 8, start + size)
        boxes.append(box)
        start += size
    return boxes


@dataclass
class Sample:
    dts: int
    duration: int
    cts: int
    is_sync: bool
    payload: bytes


@dataclass
class Fragment:
    """One `moof` with its `mdat`: samples by track id."""

    sequence: int
    samples: dict[int, list[Sample]]


def fragments(data: bytes) -> list[Fragment]:
    """The fragments of a part or a segment, read as a decoder does."""
    boxes = walk(data)
    assert [box.kind for box in boxes] == [b"moof", b"mdat"] * (len(boxes) // 2)
    return [_fragment(data, moof, mdat) for moof, mdat in zip(boxes[::2], boxes[1::2], strict=True)]


def _fragment(data: bytes, moof: Box, mdat: Box) -> Fragment:
    header = moof.one(b"mfhd")
    assert (header.version, header.flags, len(header.body)) == (0, 0, 8)
    samples: dict[int, list[Sample]] = {}
    covered = mdat.start + 8
    for traf in moof.all(b"traf"):
        assert [child.kind for child in traf.children] == [b"tfhd", b"tfdt", b"trun"]
        track_id, read, covered = _traf(data, moof, traf, covered)
        assert track_id not in samples
        samples[track_id] = read
    assert covered == mdat.end, "mdat holds bytes that no sample owns"
    return Fragment(header.u32(4), samples)


def _traf(data: bytes, moof: Box, traf: Box, expected_at: int) -> tuple[int, list[Sample], int]:
    tfhd, tfdt, trun = traf.one(b"tfhd"), traf.one(b"tfdt"), traf.one(b"trun")
    assert tfhd.flags & 0x020000, "default-base-is-moof"
    assert tfhd.flags & ~0x020038 == 0
    at, defaults = 8, {}
    for bit in (0x08, 0x10, 0x20):
        if tfhd.flags & bit:
            defaults[bit] = tfhd.u32(at)
            at += 4
    assert at == len(tfhd.body)
    assert (tfdt.version, tfdt.flags, len(tfdt.body)) == (1, 0, 12)
    dts = int(unpack_from(">Q", tfdt.body, 4)[0])
    flags, count = trun.flags, trun.u32(4)
    assert flags & 0x001, "data offset"
    assert not (flags & 0x004 and flags & 0x400), "first-sample-flags excludes sample flags"
    payload_at = moof.start + int(unpack_from(">i", trun.body, 8)[0])
    assert payload_at == expected_at, "samples of the tracks follow each other in mdat"
    at, first_flags = 12, None
    if flags & 0x004:
        first_flags = trun.u32(at)
        at += 4
    samples = []
    for index in range(count):
        values = {}
        for bit in (0x100, 0x200, 0x400, 0x800):
            if flags & bit:
                form = ">i" if bit == 0x800 and trun.version == 1 else ">I"
                values[bit] = int(unpack_from(form, trun.body, at)[0])
                at += 4
        duration = values.get(0x100, defaults.get(0x08))
        assert duration is not None
        sample_flags = values.get(0x400, defaults.get(0x20, 0))
        if index == 0 and first_flags is not None:
            sample_flags = first_flags
        size = values[0x200]
        is_sync = not sample_flags & 0x10000
        payload = data[payload_at : payload_at + size]
        assert len(payload) == size
        samples.append(Sample(dts, duration, values.get(0x800, 0), is_sync, payload))
        dts += duration
        payload_at += size
    assert at == len(trun.body)
    return tfhd.u32(4), samples, payload_at
