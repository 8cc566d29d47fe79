"""What one RTMP peer may ask of this server, and what the server is told about itself.

Every number bounds memory or CPU that a peer without a key could take. The defaults are wide enough for every encoder
we have seen: a 4K key frame is 1 to 3 MB, OBS announces 4 KB chunks, some encoders announce chunks of a whole message.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RtmpLimits:
    """Bounds on one session."""

    # Chunk layer
    chunk_size_min_bytes: int = 128
    chunk_size_max_bytes: int = 1 * MIB
    chunk_streams_count: int = 64
    message_bytes: int = 8 * MIB
    partial_bytes: int = 16 * MIB  # all unfinished messages of a connection together
    unadmitted_message_bytes: int = 64 * KIB  # until a publish was requested
    tiny_message_bytes: int = 4  # shorter than this is "tiny": all header, no use
    tiny_messages_count: int = 256  # allowed on top of one for every 64 bytes received

    # Command layer
    command_bytes: int = 256 * KIB
    connect_bytes: int = 16 * KIB
    name_bytes: int = 1024  # app, stream key, each query value
    message_streams_count: int = 8
    # Commands, data and control a second; a message costs 1 and 1 more for each KiB.
    command_cost_per_second: int = 1000
    held_bytes: int = 256 * KIB  # media that came before the decision; then the socket is not read

    # Media layer
    tracks_count: int = 8  # for each of video and audio

    # Time
    handshake_ms: int = 5_000
    connect_ms: int = 10_000
    publish_ms: int = 15_000
    decision_ms: int = 30_000  # the gates' own time; they have limits of their own
    first_media_ms: int = 20_000
    idle_media_ms: int = 20_000
    ping_ms: int = 30_000
    linger_ms: int = 150  # between the last status and FIN: a reset would destroy the unread status

    # Server
    connections_count: int = 4096
    connections_per_address_count: int = 128
    failures_per_address_count: int = 10  # refused publishes, within:
    failures_window_ms: int = 60_000
    write_backlog_bytes: int = 1 * MIB  # of answers that a publisher does not read


@dataclass(frozen=True, slots=True, kw_only=True)
class RtmpSettings:
    """Where the server listens. `tls_port` counts only with an SSL context; port 0 takes any free one."""

    host: str = "0.0.0.0"  # noqa: S104  # the contract's default: encoders come from everywhere
    port: int = 1935
    tls_port: int | None = None
    reuse_port: bool = False  # workers of one machine share the port
    behind_proxy: bool = False  # every connection begins with a PROXY header
    app: str = "live"
    # A proxy on this machine speaks for many encoders: limits by address would take them for one.
    trusted_addresses: frozenset[str] = field(default_factory=lambda: frozenset({"127.0.0.1", "::1"}))
    limits: RtmpLimits = field(default_factory=RtmpLimits)
