"""The WHIP door as the operator's settings describe it: settings in, a server that is not listening yet out."""

from __future__ import annotations

from streamd.clock import Clock
from streamd.media.ports import PublishGate
from streamd.settings import Settings
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics
from streamd.whip.limits import IceServer, WhipLimits, WhipSettings
from streamd.whip.server import KeyCheck, WhipServer


def open_whip(
    settings: Settings, *, gate: PublishGate, keys: KeyCheck, clock: Clock, metrics: Metrics, worker: str
) -> WhipServer:
    """Without a host of its own it listens where the pages do."""
    webrtc = settings.webrtc
    return WhipServer(
        gate=gate,
        keys=keys,
        clock=clock,
        metrics=metrics,
        worker=worker,
        log=get_log("whip"),
        settings=WhipSettings(
            host=webrtc.host or settings.http.host,
            ports=webrtc.udp_ports,
            public_ips=tuple(str(address) for address in webrtc.public_ips),
            ice_servers=tuple(_ice_server(url, settings) for url in webrtc.ice_servers),
            limits=WhipLimits(sessions_count=webrtc.max_sessions, consent_ms=webrtc.consent_ms),
        ),
    )


def _ice_server(url: str, settings: Settings) -> IceServer:
    if url.startswith("stun"):
        return IceServer(url=url)
    webrtc = settings.webrtc
    return IceServer(url=url, username=webrtc.turn_username, credential=webrtc.turn_password.get_secret_value())
