"""Who is behind a load balancer: the header of the PROXY protocol, versions 1 and 2, that comes before all else.

In: the first bytes of a connection. Out: the client's address and port, and how many bytes the header took; or nothing
yet. Anything else raises ProtocolError: a port that is told to expect the header accepts no connection without it,
because whoever may leave it out may also make it up.

Source: the PROXY protocol of HAProxy (doc/proxy-protocol.txt), sections 2.1 and 2.2.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import NamedTuple

from streamd.errors import ProtocolError

_V1_START = b"PROXY "
_V1_LONGEST = 107
_V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_HEAD = 16
_V2_LONGEST = 536  # with what extensions balancers add
_LOCAL, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


class Announced(NamedTuple):
    """What a header said. `peer` is None for the balancer's own health checks."""

    peer: tuple[str, int] | None
    size: int


def read_header(data: bytes) -> Announced | None:
    """The header at the start of `data`; None while it is incomplete. Raises ProtocolError."""
    if data.startswith(_V2_START):
        return _version_2(data)
    if data.startswith(_V1_START):
        return _version_1(data)
    if _V1_START.startswith(data) or _V2_START.startswith(data):
        return None
    raise _refused("it begins with something else")


def _version_1(data: bytes) -> Announced | None:
    line, ending, _ = data[:_V1_LONGEST].partition(b"\r\n")
    if not ending:
        if len(data) >= _V1_LONGEST:
            raise _refused("its line does not end")
        return None
    size = len(line) + 2
    words = line.decode("ascii", "replace").split(" ")
    if words[1] == "UNKNOWN":
        return Announced(None, size)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6") or not words[4].isdecimal():
        raise _refused("its line is not one of version 1")
    return Announced((_address(words[2]), int(words[4]) & 0xFFFF), size)


def _version_2(data: bytes) -> Announced | None:
    if len(data) < _V2_HEAD:
        return None
    command, family, length = struct.unpack_from("!BBH", data, len(_V2_START))
    size = _V2_HEAD + length
    if size > _V2_LONGEST or command not in (_LOCAL, _PROXY):
        raise _refused("it is not one of version 2")
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Announced(None, size)
    body = data[_V2_HEAD:size]
    if family == _TCP4 and length >= 12:
        return Announced((str(ip_address(body[:4])), int.from_bytes(body[8:10], "big")), size)
    if family == _TCP6 and length >= 36:
        return Announced((str(ip_address(body[:16])), int.from_bytes(body[32:34], "big")), size)
    raise _refused("it speaks of no TCP connection")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise _refused("it names no address") from None


def _refused(why: str) -> ProtocolError:
    return ProtocolError(
        "no PROXY header came before RTMP",
        why=why,
        fix="let the load balancer send it (nginx: proxy_protocol on), or unset STREAMD_RTMP_BEHIND_PROXY",
        code="proxy_header",
    )
