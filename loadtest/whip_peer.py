"""A WHIP client for load and for tests: an offer, a connectivity check, DTLS-SRTP, packets out, RTCP back.

In: RTP and RTCP packets, ready but for encryption. Out: datagrams. It shares no code with the server: ICE by aioice's
STUN, DTLS by OpenSSL. Blocking while it connects, never afterwards. It trusts whoever answers: it is a test's own peer.
"""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aioice import stun
from aiortc.rtcdtlstransport import SRTP_PROFILES, RTCCertificate
from OpenSSL import SSL
from pylibsrtp import Error, Policy, Session

VIDEO_TYPE, AUDIO_TYPE = 96, 111
TRANSPORT_CC = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
_DATAGRAM_BYTES = 2_048
_STEP_S = 0.25
_CERTIFICATE = RTCCertificate.generateCertificate()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """What is offered."""

    video: str = "H264/90000"
    video_fmtp: str = "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1"
    audio: str = "opus/48000/2"
    feedback: Sequence[str] = ("nack", "nack pli", "goog-remb")
    ufrag: str = field(default_factory=lambda: secrets.token_hex(4))
    password: str = field(default_factory=lambda: secrets.token_hex(12))

    def sdp(self) -> str:
        """The offer. Without candidates, as OBS sends it."""
        own = next(one for one in _CERTIFICATE.getFingerprints() if one.algorithm == "sha-256")
        kinds = [kind for kind, form in (("audio", self.audio), ("video", self.video)) if form]
        lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines += ["a=group:BUNDLE " + " ".join(str(mid) for mid in range(len(kinds)))]
        for mid, kind in enumerate(kinds):
            lines += self._section(mid, kind)
            lines += [
                f"a=ice-ufrag:{self.ufrag}",
                f"a=ice-pwd:{self.password}",
                f"a=fingerprint:{own.algorithm} {own.value}",
                "a=setup:actpass",
            ]
        return "\r\n".join(lines) + "\r\n"

    def _section(self, mid: int, kind: str) -> list[str]:
        number, form = (VIDEO_TYPE, self.video) if kind == "video" else (AUDIO_TYPE, self.audio)
        lines = [f"m={kind} 9 UDP/TLS/RTP/SAVPF {number}", "c=IN IP4 0.0.0.0", f"a=mid:{mid}", "a=sendonly"]
        lines += ["a=rtcp-mux", "a=rtcp-rsize", f"a=rtpmap:{number} {form}"]
        if kind == "video":
            lines += [f"a=fmtp:{number} {self.video_fmtp}"] if self.video_fmtp else []
            lines += [f"a=rtcp-fb:{number} {one}" for one in self.feedback]
            lines += [f"a=extmap:3 {TRANSPORT_CC}"] if "transport-cc" in self.feedback else []
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What of an answer is needed to connect."""

    ufrag: str
    password: str
    address: tuple[str, int]

    @classmethod
    def read(cls, sdp: str) -> Answer:
        """Of its first section."""

        def first(name: str) -> str:
            return sdp.split(f"a={name}:", 1)[1].split("\r\n", 1)[0]

        candidate = first("candidate").split()
        return cls(ufrag=first("ice-ufrag"), password=first("ice-pwd"), address=(candidate[4], int(candidate[5])))


class WhipPeer:
    """One client's transport."""

    def __init__(self, offering: Offering | None = None) -> None:
        self.offering = offering or Offering()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self._answer: Answer | None = None
        self._to = ("", 0)
        self._ssl: SSL.Connection | None = None
        self._out: Session | None = None
        self._in: Session | None = None
        self.is_closed = False  # the server closed the DTLS channel

    def connect(self, answer: Answer, *, via: tuple[str, int] | None = None, timeout_s: float = 5) -> None:
        """Nominate, shake hands. `via`: an address in between. Raises TimeoutError."""
        self.reach(answer, via=via, timeout_s=timeout_s)
        self.secure(timeout_s=timeout_s)

    def reach(self, answer: Answer, *, via: tuple[str, int] | None = None, timeout_s: float = 5) -> None:
        """A connectivity check that nominates, until it is answered. Raises TimeoutError."""
        self._answer, self._to = answer, via or answer.address
        deadline = time.monotonic() + timeout_s
        while True:
            self.check()
            data = self._receive(_STEP_S)
            if data is not None and data[0] < 4 and stun.parse_message(data).message_class == stun.Class.RESPONSE:
                return
            if time.monotonic() > deadline:
                raise TimeoutError("no answer to a connectivity check")

    def check(self, *, password: str | None = None) -> None:
        """Send one check and do not wait: what keeps consent alive."""
        assert self._answer is not None
        message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        message.attributes["USERNAME"] = f"{self._answer.ufrag}:{self.offering.ufrag}"
        message.attributes["PRIORITY"] = 1_853_817_087
        message.attributes["ICE-CONTROLLING"] = 1
        message.attributes["USE-CANDIDATE"] = None
        message.add_message_integrity((password or self._answer.password).encode())
        self.send_raw(bytes(message))

    def secure(self, *, timeout_s: float = 5) -> None:
        """The DTLS handshake, as its client. Raises TimeoutError, SSL.Error."""
        context = _CERTIFICATE._create_ssl_context(srtp_profiles=SRTP_PROFILES)
        self._ssl = connection = SSL.Connection(context)
        connection.set_connect_state()
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                connection.do_handshake()
                break
            except SSL.WantReadError:
                self._flush()
            data = self._receive(_STEP_S)
            if data is not None and 19 < data[0] < 64:
                connection.bio_write(data)
            elif data is None:
                connection.DTLSv1_handle_timeout()
            if time.monotonic() > deadline:
                raise TimeoutError("no end of the DTLS handshake")
        self._flush()
        self._make_sessions(connection)

    def send(self, packet: bytes) -> None:
        """RTP."""
        assert self._out is not None
        self.send_raw(self._out.protect(packet))

    def send_control(self, packet: bytes) -> None:
        """RTCP."""
        assert self._out is not None
        self.send_raw(self._out.protect_rtcp(packet))

    def send_raw(self, datagram: bytes) -> None:
        """As it is. Dropped when the kernel has no room."""
        with suppress(BlockingIOError, ConnectionError):
            self.socket.sendto(datagram, self._to)

    def received(self) -> list[bytes]:
        """RTCP that has come since the last call, decrypted; notices a closed channel on the way."""
        found = []
        while (data := self._receive(0)) is not None:
            if 19 < data[0] < 64 and self._ssl is not None:
                self._ssl.bio_write(data)
                with suppress(SSL.WantReadError):
                    try:
                        self._ssl.recv(_DATAGRAM_BYTES)
                    except SSL.ZeroReturnError:
                        self.is_closed = True
            elif 127 < data[0] < 192 and self._in is not None:
                try:
                    found.append(self._in.unprotect_rtcp(data))
                except Error:
                    continue
        return found

    def close(self, *, tell: bool = True) -> None:
        """End; with `tell` the DTLS channel is closed in good order first."""
        if self._ssl is not None and tell:
            self._ssl.shutdown()
            self._flush()
        self.socket.close()

    def _receive(self, wait_s: float) -> bytes | None:
        if wait_s:
            select.select([self.socket], [], [], wait_s)
        try:
            return self.socket.recv(_DATAGRAM_BYTES)
        except (BlockingIOError, ConnectionError):
            return None

    def _flush(self) -> None:
        assert self._ssl is not None
        with suppress(SSL.WantReadError):
            self.send_raw(self._ssl.bio_read(1_500))

    def _make_sessions(self, connection: SSL.Connection) -> None:
        chosen = connection.get_selected_srtp_profile()
        profile = next(one for one in SRTP_PROFILES if one.openssl_profile == chosen)
        material = connection.export_keying_material(
            b"EXTRACTOR-dtls_srtp", 2 * (profile.key_length + profile.salt_length)
        )
        sessions = []
        for index, kind in ((0, Policy.SSRC_ANY_OUTBOUND), (1, Policy.SSRC_ANY_INBOUND)):
            key = profile.get_key_and_salt(material, index)
            policy = Policy(key=key, ssrc_type=kind, srtp_profile=profile.libsrtp_profile)
            policy.allow_repeat_tx = True
            policy.window_size = 1_024
            sessions.append(Session(policy))
        self._out, self._in = sessions
