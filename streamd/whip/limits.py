"""What one WHIP peer may ask of this server, and what the server is told about itself.

Every number bounds memory or CPU that a peer could take, with a key or without one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KIB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class WhipLimits:
    """Bounds on one session, and on all of them."""

    # Signalling
    offer_bytes: int = 64 * KIB  # Chromium's is 6 KiB
    fragment_bytes: int = 16 * KIB

    # Time
    half_open_ms: int = 10_000  # from the answer to the end of the DTLS handshake
    consent_ms: int = 15_000  # without one authenticated packet; browsers check every 2 to 5 s
    silence_ms: int = 20_000  # alive, and no media
    first_media_ms: int = 20_000

    # Network
    checks_per_second: int = 50  # STUN from addresses that have not proved anything, for each session
    addresses_count: int = 8  # that one peer may have proved at a time
    sources_count: int = 32  # SSRCs of one session
    handshake_datagrams_count: int = 64  # that wait for the DTLS handshake to take them

    # Server
    sessions_count: int = 200
    sessions_per_address_count: int = 16
    max_bitrate_bps: int = 20_000_000  # what peers are told that they may send at most


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """A STUN or TURN server that clients are told of."""

    url: str  # "stun:stun.example.com:3478"
    username: str = ""
    credential: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhipSettings:
    """Where the server listens, and under which addresses it is known.

    `ports` is a range of which the first free one is taken; (0, 0) is any. `public_ips` replace the machine's own
    addresses in answers (1:1 NAT).
    """

    host: str = "0.0.0.0"  # noqa: S104  # encoders come from everywhere
    ports: tuple[int, int] = (0, 0)
    public_ips: tuple[str, ...] = ()
    ice_servers: tuple[IceServer, ...] = ()
    # A proxy on this machine speaks for many encoders: limits by address would take them for one.
    trusted_addresses: frozenset[str] = field(default_factory=lambda: frozenset({"127.0.0.1", "::1"}))
    limits: WhipLimits = field(default_factory=WhipLimits)
