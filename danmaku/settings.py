"""What an operator may choose about rooms."""

from __future__ import annotations

from dataclasses import dataclass, field

from danmaku.conduct import SpeechRates
from danmaku.pace import Pace
from danmaku.socket import TransportSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomSettings:
    """Defaults suit a node of two cores with some thousands of viewers."""

    transport: TransportSettings = field(default_factory=TransportSettings)
    pace: Pace = field(default_factory=Pace)
    rates: SpeechRates = field(default_factory=SpeechRates)
    log_events: int = 2_000
    log_age_ms: int = 600_000
    history_events: int = 50
    linger_ms: int = 5_000  # how long a room without members is still heard
    joins_per_s: int = 3_000
    join_burst: int = 6_000
    max_connections_per_user: int = 10
    pulse_ms: int = 2_000
    likes_pulse_ms: int = 500
    likes_per_s: int = 20
