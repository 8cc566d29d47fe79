"""STUN, as far as an ICE-lite agent speaks it: binding requests in, binding answers out.

In: one datagram. Out: a `BindingRequest`, or None for everything that is not a well-formed one with a right
FINGERPRINT; nothing here raises for bytes from outside. Whether a request is authentic only `is_authentic` says.
Source: RFC 8489 (STUN), RFC 8445 7.1 and 16.1 (the attributes of ICE).
"""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address, ip_address
from struct import Struct
from typing import NamedTuple
from zlib import crc32

HEADER_BYTES = 20
REQUEST_BYTES = 1_024  # Chromium's is about 100
ROLE_CONFLICT = 487
_COOKIE = 0x2112A442
_BINDING_REQUEST, _BINDING_SUCCESS, _BINDING_ERROR = 0x0001, 0x0101, 0x0111
_USERNAME, _INTEGRITY, _ERROR_CODE, _XOR_MAPPED, _USE_CANDIDATE = 0x0006, 0x0008, 0x0009, 0x0020, 0x0025
_FINGERPRINT, _ICE_CONTROLLED = 0x8028, 0x8029
_INTEGRITY_BYTES = 24  # with the attribute's header
_FINGERPRINT_BYTES = 8
_FINGERPRINT_MASK = 0x5354554E
_ATTRIBUTES_COUNT = 32

_HEADER = Struct(">HHI12s")
_ATTRIBUTE = Struct(">HH")
_u32_at = Struct(">I").unpack_from


class BindingRequest(NamedTuple):
    """A connectivity check."""

    transaction_id: bytes
    username: str  # "ours:theirs"
    integrity_at: int  # where MESSAGE-INTEGRITY begins
    nominates: bool  # USE-CANDIDATE
    is_controlled: bool  # ICE-CONTROLLED: the peer wants us to lead, and a lite agent cannot


def parse_request(data: bytes) -> BindingRequest | None:
    """The request in `data`."""
    size = len(data)
    if not HEADER_BYTES + _FINGERPRINT_BYTES <= size <= REQUEST_BYTES:
        return None
    kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
    if kind != _BINDING_REQUEST or cookie != _COOKIE or length != size - HEADER_BYTES or length & 3:
        return None
    if not _is_fingerprinted(data):
        return None
    username, integrity_at, nominates, is_controlled = "", 0, False, False
    at = HEADER_BYTES
    for _ in range(_ATTRIBUTES_COUNT):
        if at + 4 > size:
            break
        name, length = _ATTRIBUTE.unpack_from(data, at)
        if at + 4 + length > size:
            return None
        if name == _INTEGRITY:
            # What stands behind it is not covered and not believed (RFC 8489 14.5).
            integrity_at = at if length == 20 else 0
            break
        if name == _USERNAME:
            username = data[at + 4 : at + 4 + length].decode("utf-8", "replace")
        nominates = nominates or name == _USE_CANDIDATE
        is_controlled = is_controlled or name == _ICE_CONTROLLED
        at += 4 + ((length + 3) & ~3)
    if not integrity_at or not username:
        return None
    return BindingRequest(transaction_id, username, integrity_at, nominates, is_controlled)


def is_authentic(data: bytes, request: BindingRequest, password: bytes) -> bool:
    """Whether the request in `data` was made by somebody who knows `password`."""
    at = request.integrity_at
    given = data[at + 4 : at + _INTEGRITY_BYTES]
    return hmac.compare_digest(given, _integrity(data[:at], password))


def success(request: BindingRequest, address: tuple[str, int], password: bytes) -> bytes:
    """The answer to an authentic request that came from `address`."""
    return _answer(_BINDING_SUCCESS, request, _xor_mapped(address, request.transaction_id), password)


def role_conflict(request: BindingRequest, password: bytes) -> bytes:
    """Tells the peer that it must lead (RFC 8445 7.3.1.1)."""
    reason = b"\0\0" + bytes((ROLE_CONFLICT // 100, ROLE_CONFLICT % 100)) + b"Role Conflict"
    body = _ATTRIBUTE.pack(_ERROR_CODE, len(reason)) + reason + bytes(-len(reason) % 4)
    return _answer(_BINDING_ERROR, request, body, password)


def _is_fingerprinted(data: bytes) -> bool:
    at = len(data) - _FINGERPRINT_BYTES
    if _ATTRIBUTE.unpack_from(data, at) != (_FINGERPRINT, 4):
        return False
    claimed: int = _u32_at(data, at + 4)[0]
    return crc32(data[:at]) ^ _FINGERPRINT_MASK == claimed


def _integrity(covered: bytes, password: bytes) -> bytes:
    # The length in the header is taken as if the message ended with MESSAGE-INTEGRITY (RFC 8489 14.5).
    length = len(covered) - HEADER_BYTES + _INTEGRITY_BYTES
    return hmac.digest(password, covered[:2] + length.to_bytes(2, "big") + covered[4:], "sha1")


def _xor_mapped(address: tuple[str, int], transaction_id: bytes) -> bytes:
    host = ip_address(address[0].partition("%")[0])
    if isinstance(host, IPv6Address) and host.ipv4_mapped is not None:  # a socket that takes both
        host = host.ipv4_mapped
    mask = _COOKIE.to_bytes(4, "big") + transaction_id
    value = bytes(one ^ other for one, other in zip(host.packed, mask, strict=False))
    body = bytes((0, 1 if host.version == 4 else 2)) + (address[1] ^ _COOKIE >> 16).to_bytes(2, "big") + value
    return _ATTRIBUTE.pack(_XOR_MAPPED, len(body)) + body


def _answer(kind: int, request: BindingRequest, body: bytes, password: bytes) -> bytes:
    covered = _HEADER.pack(kind, len(body), _COOKIE, request.transaction_id) + body
    signed = covered + _ATTRIBUTE.pack(_INTEGRITY, 20) + _integrity(covered, password)
    length = len(signed) - HEADER_BYTES + _FINGERPRINT_BYTES
    signed = signed[:2] + length.to_bytes(2, "big") + signed[4:]
    return signed + _ATTRIBUTE.pack(_FINGERPRINT, 4) + (crc32(signed) ^ _FINGERPRINT_MASK).to_bytes(4, "big")
