"""DTLS-SRTP for one session. The only file that touches aiortc, and what is inside it.

In: datagrams from proved addresses. Out: decrypted RTP and RTCP, encrypted RTCP, the datagrams of the handshake.
aiortc's `RTCDtlsTransport` does the handshake, compares the certificate with the offer's fingerprints and makes the
SRTP sessions; it is given a stand-in for an ICE transport that carries DTLS records only. Media never passes through
its coroutines: packets are decrypted by the SRTP session it made, at once and without a task switch.

What is relied on beyond aiortc's public names, each held by a contract test: of the transport it is given `role`,
`_recv()` (ConnectionError: closed) and `_send(data)` are all that is used; `_set_role`, `_rx_srtp` and `_tx_srtp`.
Its reader is a task of its own making, which ends when `_recv` says that the connection is closed.
Source: RFC 5764, RFC 8827 6.5, RFC 3711.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters, RTCDtlsTransport
from aiortc.rtcicetransport import RTCIceTransport
from pylibsrtp import Error, Session

from streamd.errors import ProtocolError

# libsrtp works in a buffer of this size; a datagram that is longer came from nobody who wants to be understood.
PACKET_BYTES = 1_500
_CLOSED = b""


class HandshakeError(ProtocolError):
    """The peer is not who the offer said, or does not speak DTLS-SRTP."""

    code = "dtls_failed"


class Certificate:
    """A key and certificate of ours, to be shared by sessions (about 1 ms to make)."""

    def __init__(self) -> None:
        self.inner = RTCCertificate.generateCertificate()

    @property
    def fingerprint(self) -> str:
        """As `a=fingerprint` has it."""
        one = next(one for one in self.inner.getFingerprints() if one.algorithm == "sha-256")
        return f"{one.algorithm} {one.value}"


def _nobody(_data: bytes) -> None:
    """There is no peer any more."""


def _nothing() -> None:
    """There is no session any more."""


class _Carrier:
    """What `RTCDtlsTransport` needs of an ICE transport."""

    role = "controlled"

    def __init__(self, *, send: Callable[[bytes], None], waiting_count: int) -> None:
        self._deliver = send
        # One place more than is ever filled by datagrams: the end always has room.
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue(waiting_count + 1)
        self._waiting_count = waiting_count

    def put(self, datagram: bytes) -> None:
        """Dropped when too many wait: DTLS sends again."""
        if self._inbox.qsize() < self._waiting_count:
            self._inbox.put_nowait(datagram)

    def close(self) -> None:
        self._deliver = _nobody
        if not self._inbox.full():
            self._inbox.put_nowait(_CLOSED)

    async def _recv(self) -> bytes:
        datagram = await self._inbox.get()
        if datagram is _CLOSED:
            raise ConnectionError
        return datagram

    async def _send(self, data: bytes) -> None:
        self._deliver(data)


class SecureChannel:
    """`send` takes DTLS datagrams for the peer; `on_closed` is called once when the peer has closed the channel."""

    def __init__(
        self,
        *,
        certificate: Certificate,
        send: Callable[[bytes], None],
        on_closed: Callable[[], None],
        waiting_count: int,
    ) -> None:
        self._carrier = _Carrier(send=send, waiting_count=waiting_count)
        self._dtls = RTCDtlsTransport(cast(RTCIceTransport, self._carrier), [certificate.inner])
        self._dtls._set_role("server")
        self._on_closed = on_closed
        self._incoming: Session | None = None
        self._outgoing: Session | None = None

    async def handshake(self, fingerprints: Sequence[tuple[str, str]]) -> None:
        """Wait for the peer's handshake. Raises HandshakeError. Cancel-safe: yes, if `release` is called then."""
        expected = [RTCDtlsFingerprint(algorithm=algorithm, value=value) for algorithm, value in fingerprints]
        await self._dtls.start(RTCDtlsParameters(fingerprints=expected))
        if self._dtls.state != "connected":
            raise HandshakeError(
                "the DTLS handshake failed", why="no common cipher or SRTP profile, or not the offer's certificate"
            )
        self._incoming, self._outgoing = self._dtls._rx_srtp, self._dtls._tx_srtp
        self._dtls.on("statechange", self._changed)

    @property
    def is_open(self) -> bool:
        """Whether media can be decrypted."""
        return self._incoming is not None

    def receive_handshake(self, datagram: bytes) -> None:
        """A DTLS record came. Kept until the handshake takes it."""
        self._carrier.put(datagram)

    def decrypt(self, packet: bytes) -> bytes | None:
        """RTP; None if it is not authentic, was seen before, or comes too early."""
        if self._incoming is None or len(packet) > PACKET_BYTES:
            return None
        try:
            return self._incoming.unprotect(packet)
        except Error:
            return None

    def decrypt_control(self, packet: bytes) -> bytes | None:
        """RTCP; None as with `decrypt`."""
        if self._incoming is None or len(packet) > PACKET_BYTES:
            return None
        try:
            return self._incoming.unprotect_rtcp(packet)
        except Error:
            return None

    def encrypt_control(self, packet: bytes) -> bytes | None:
        """RTCP for the peer; None before the handshake has ended."""
        return self._outgoing.protect_rtcp(packet) if self._outgoing is not None else None

    async def farewell(self) -> None:
        """Tell the peer that the channel closes, if it is open, and release it. Cancel-safe: yes."""
        self._dtls.remove_all_listeners()
        await self._dtls.stop()
        self.release()

    def release(self) -> None:
        """Let go of everything at once; the reader inside aiortc ends. Idempotent.

        Nothing refers back to the session then: OpenSSL's and libsrtp's memory, some 200 KB, goes with its last
        reference and waits for no collector.
        """
        self._dtls.remove_all_listeners()
        self._incoming = self._outgoing = None
        self._on_closed = _nothing
        self._carrier.close()

    def _changed(self) -> None:
        if self._dtls.state == "closed":
            self._incoming = self._outgoing = None
            self._on_closed()
