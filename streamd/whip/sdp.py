"""The Session Description Protocol, as far as its grammar goes: lines in, a session and its media sections out.

In: the bytes of a body. Out: attributes in order, values as they stand; every other line kind but `m=` is skipped. What
is larger than any real description, or not text, is refused. Source: RFC 8866 5, 9.
Not here: what the attributes mean (`offer`), and writing (`answer`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamd.errors import InvalidError

LINE_BYTES = 4_096
LINES_COUNT = 2_000
MEDIA_COUNT = 16


class MalformedError(InvalidError):
    """Not a session description that can be read."""

    code = "sdp_malformed"


@dataclass(slots=True)
class Section:
    """Attributes of the session, or of one of its media."""

    attributes: list[tuple[str, str]] = field(default_factory=list)  # ("rtpmap", "96 H264/90000"); a flag has ""

    def first(self, name: str) -> str | None:
        """The value of the first attribute of that name; "" for a flag."""
        return next((value for found, value in self.attributes if found == name), None)

    def all(self, name: str) -> list[str]:
        """The values of all attributes of that name, in order."""
        return [value for found, value in self.attributes if found == name]

    def has(self, name: str) -> bool:
        """Whether the attribute is there."""
        return self.first(name) is not None


@dataclass(slots=True)
class Media(Section):
    """One `m=` line and what belongs to it."""

    kind: str = ""  # "audio", "video", "application"
    port: int = 0
    protocol: str = ""  # "UDP/TLS/RTP/SAVPF"
    formats: tuple[str, ...] = ()


@dataclass(slots=True)
class Description(Section):
    """A whole description."""

    media: list[Media] = field(default_factory=list)


def parse(body: bytes) -> Description:
    """Read a description. Raises MalformedError."""
    description = Description()
    section: Section = description
    lines = _lines(body)
    if not lines or lines[0] != "v=0":
        raise MalformedError("not a session description", why="it does not begin with v=0", fix="send an SDP offer")
    for line in lines[1:]:
        kind, value = line[0], line[2:]
        if kind == "m":
            section = _media(value)
            description.media.append(section)
            if len(description.media) > MEDIA_COUNT:
                raise MalformedError("too many media sections", why=f"more than {MEDIA_COUNT}")
        elif kind == "a":
            name, _, rest = value.partition(":")
            section.attributes.append((name.strip().lower(), rest.strip()))
    return description


def parse_fragment(body: bytes) -> Description:
    """Read an `application/trickle-ice-sdpfrag` body (RFC 8840 9): a description without its head."""
    return parse(b"v=0\r\n" + body)


def _lines(body: bytes) -> list[str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("not a session description", why="it is not UTF-8") from None
    lines = [line.rstrip("\r") for line in text.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > LINES_COUNT or any(len(line) > LINE_BYTES for line in lines):
        raise MalformedError("the session description is larger than any real one")
    for line in lines:
        if len(line) < 2 or line[1] != "=" or not line[0].isascii() or "\0" in line:
            raise MalformedError("not a session description", why=f"{line[:40]!r} is not a line of one")
    return lines


def _media(value: str) -> Media:
    parts = value.split()
    port = parts[1].partition("/")[0] if len(parts) >= 4 else ""
    if not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise MalformedError("a media section that cannot be read", why=f"m={value[:60]!r}")
    return Media(kind=parts[0].lower(), port=int(port), protocol=parts[2].upper(), formats=tuple(parts[3:]))
