"""One WHIP session: from an accepted offer to the end of its publication.

In: datagrams from the port, the gate's decisions, a sweep once in a while. Out: tracks and frames to the publication,
RTCP to the peer. `run` is the session's life and its only task; whatever goes wrong ends this session and no other.

The order: a connectivity check proves that UDP reaches us; then the room is taken (the encoder before is sent away no
sooner); then the DTLS handshake, whose datagrams wait meanwhile; then media. Nothing is pushed before the room is ours.
An end is heard from the peer (DELETE, DTLS close, RTCP BYE) or noticed: no authenticated packet within `consent_ms`
(RFC 7675), no media within `silence_ms`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from secrets import randbits

from streamd.clock import Clock
from streamd.errors import StreamdError
from streamd.media.frames import EncodedFrame
from streamd.media.ports import Publication, PublishGate, PublishRequest
from streamd.telemetry.log import Log
from streamd.telemetry.metrics import Metrics
from streamd.whip.ice_lite import Address, IceLite
from streamd.whip.incoming import Output
from streamd.whip.limits import WhipLimits
from streamd.whip.offer import Offer
from streamd.whip.opus_to_aac import Output as Sound
from streamd.whip.opus_to_aac import SoundLine, SoundWorkshop
from streamd.whip.reception import Reception
from streamd.whip.secure_channel import Certificate, SecureChannel
from streamd.whip.stun import BindingRequest
from streamd.whip.udp_port import UdpPort

_FAREWELL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every session of a server shares."""

    gate: PublishGate
    port: UdpPort
    clock: Clock
    now_us: Callable[[], int]
    log: Log
    metrics: Metrics
    limits: WhipLimits
    sound: SoundWorkshop


class Session:
    """See the module's promise. Implements `Publisher` and `udp_port.Peer`."""

    def __init__(
        self,
        *,
        name: str,
        offer: Offer,
        request: PublishRequest,
        certificate: Certificate,
        hosts: Sequence[str],
        around: Surroundings,
    ) -> None:
        self.name = name
        self.offer = offer
        self.request = request
        self.remote_ufrag = offer.ufrag
        self.fingerprint = certificate.fingerprint
        self.hosts = hosts  # addresses of ours, best first
        self.ice = IceLite(limits=around.limits)
        self._around = around
        self._limits = around.limits
        self._channel = SecureChannel(
            certificate=certificate,
            send=self._send,
            on_closed=self._peer_closed,
            waiting_count=around.limits.handshake_datagrams_count,
        )
        self._reception = Reception(offer=offer, limits=around.limits, ssrc=randbits(31) + 1)
        self._publication: Publication | None = None
        self._sound: SoundLine | None = None
        self._reached = asyncio.Event()
        self._over = asyncio.Event()
        self._reason = ""
        self._opened_ms = self._heard_ms = around.clock.now_ms()
        self._connected_ms: int | None = None
        self._media_ms: int | None = None
        self._garbage_count = self._frames_count = 0
        around.port.expect(self, self.ice.ufrags)

    # --- what the endpoint asks ---

    @property
    def etag(self) -> str:
        """Names the ICE session: another one after a restart."""
        return f'"{self.ice.ufrag}"'

    def restart_ice(self, remote_ufrag: str) -> None:
        """New credentials on our side for new ones of the peer."""
        before = self.ice.ufrags
        self.remote_ufrag = remote_ufrag
        self.ice.renew()
        self._around.port.drop(self, ufrags=before)
        self._around.port.expect(self, self.ice.ufrags)

    # --- Publisher ---

    def evict(self, reason: str) -> None:
        """See `Publisher`."""
        self.end(reason)

    # --- its life ---

    async def run(self) -> None:
        """Until it is over. Raises nothing but CancelledError. Cancel-safe: yes, and then the peer is told nothing."""
        try:
            async with asyncio.TaskGroup() as tasks:
                connecting = tasks.create_task(self._connect())
                await self._over.wait()
                connecting.cancel()
            async with asyncio.timeout(_FAREWELL_S):
                await self._channel.farewell()
        except TimeoutError:
            pass  # the peer was not told; it will notice
        finally:
            self.end("shutdown")
            self._channel.release()
            self._publication = self._sound = None  # both refer back to here
            self._around.port.forget(self)
            self._log_end()

    def end(self, reason: str) -> None:
        """It is over, at once. Only the first reason counts."""
        if self._reason:
            return
        self._reason = reason
        self._over.set()
        if self._sound is not None:
            self._sound.close()
        if self._publication is not None:
            self._publication.close(reason)

    def sweep(self, now_ms: int, now_us: int) -> None:
        """Time has passed: notice who is gone, ask again for what is missing."""
        if self._connected_ms is None or self._reason:
            return
        limits = self._limits
        if now_ms - self._heard_ms > limits.consent_ms:
            self.end("consent_lost")
        elif self._media_ms is None and now_ms - self._connected_ms > limits.first_media_ms:
            self.end("no_media")
        elif self._media_ms is not None and now_ms - self._media_ms > limits.silence_ms:
            self.end("silence")
        elif now_us >= self._reception.due_us:
            self._tell(now_us)

    async def _connect(self) -> None:
        """Reached, admitted, secured. Ends the session when one of them fails."""
        metrics = self._around.metrics
        try:
            async with asyncio.timeout(self._limits.half_open_ms / 1_000):
                await self._reached.wait()
                publication = await self._around.gate.open(self.request, self)
                if self._reason:
                    publication.close(self._reason)
                    return
                self._publication = publication
                await self._channel.handshake(self.offer.fingerprints)
        except TimeoutError:
            self.end("dtls_timeout" if self._reached.is_set() else "never_connected")
        except StreamdError as error:
            metrics.publish_refused.labels(reason=error.code).inc()
            self.end(error.code)
        except Exception as error:
            self.fail(error)
        else:
            self._connected_ms = self._heard_ms = self._around.clock.now_ms()
            metrics.publications.labels(protocol="whip").inc()

    # --- Peer ---

    def check(self, data: bytes, request: BindingRequest, address: Address) -> None:
        """See `udp_port.Peer`."""
        ice, port = self.ice, self._around.port
        addresses, ufrags = set(ice.addresses), set(ice.ufrags)
        answer = ice.check(data, request, address, now_ms=self._around.clock.now_ms())
        if answer is None or self._reason:
            return
        port.send(answer, address)
        if address in ice.addresses:
            port.know(self, (address,))
        port.drop(self, addresses=addresses.difference(ice.addresses), ufrags=ufrags.difference(ice.ufrags))
        self._heard_ms = self._around.clock.now_ms()
        if ice.selected is not None:
            self._reached.set()

    def receive(self, datagram: bytes, now_us: int) -> None:
        """See `udp_port.Peer`."""
        first = datagram[0]
        if 127 < first < 192:
            if 191 < datagram[1] < 224:  # RFC 5761 4
                self._receive_control(datagram, now_us)
                return
            packet = self._channel.decrypt(datagram)
            if packet is None:
                self._garbage_count += 1
                return
            outputs = self._reception.receive(packet, now_us)
            if outputs:
                self._publish(outputs)
            if now_us >= self._reception.due_us:
                self._tell(now_us)
        elif 19 < first < 64:
            self._channel.receive_handshake(datagram)

    def fail(self, error: Exception) -> None:
        """See `udp_port.Peer`."""
        if isinstance(error, StreamdError):
            self.end(error.code)
            return
        self._around.log.error("whip.session_failed", room=self.request.name, error=repr(error), exc_info=error)
        self.end("internal")

    # --- inside ---

    def _publish(self, outputs: Iterable[Output]) -> None:
        """Pictures go on air as they are, sound by way of the workshop."""
        publication = self._publication
        if publication is None or self._reason:
            return
        self._heard_ms = self._media_ms = self._around.clock.now_ms()
        for output in outputs:
            if isinstance(output, EncodedFrame):
                self._frames_count += 1
                if output.track.is_video:
                    publication.push(output)
                else:
                    self._sound_line().push(output)
            elif output.is_video:
                publication.announce(output)

    def _sound_line(self) -> SoundLine:
        if self._sound is None:
            self._sound = self._around.sound.open(self._publish_sound)
        return self._sound

    def _publish_sound(self, outputs: list[Sound]) -> None:
        publication = self._publication
        if publication is None or self._reason:
            return
        for output in outputs:
            if isinstance(output, EncodedFrame):
                publication.push(output)
            else:
                publication.announce(output)

    def _receive_control(self, datagram: bytes, now_us: int) -> None:
        data = self._channel.decrypt_control(datagram)
        if data is None:
            self._garbage_count += 1
            return
        self._heard_ms = self._around.clock.now_ms()
        if self._reception.receive_control(data, now_us):
            self.end("peer_bye")

    def _tell(self, now_us: int) -> None:
        """Send what the peer should hear, and count what the host should see."""
        feedback = self._reception.feedback(now_us)
        secured = self._channel.encrypt_control(feedback) if feedback else None
        if secured is not None:
            self._send(secured)
        if self._publication is None:
            return
        for word, amount in self._reception.counts().items():
            self._publication.count(word, amount)
        if self._sound is not None:
            for word, amount in self._sound.counts().items():
                self._publication.count(word, amount)

    def _send(self, data: bytes) -> None:
        if self.ice.selected is not None:
            self._around.port.send(data, self.ice.selected)

    def _peer_closed(self) -> None:
        self.end("peer_closed")

    def _log_end(self) -> None:
        self._around.log.info(
            "whip.session_closed",
            room=self.request.name,
            peer=self.request.peer,
            encoder=self.request.encoder,
            reason=self._reason,
            seconds=(self._around.clock.now_ms() - self._opened_ms) // 1_000,
            packets=self._reception.packets_count,
            frames=self._frames_count,
            garbage=self._garbage_count,
        )
