"""The one UDP port of all WHIP sessions of this worker.

In: datagrams. Out: connectivity checks to the peer whose user fragment they name, everything else to the peer that has
proved the address it comes from; the rest is dropped, uncounted bytes and all. Nothing is kept for a datagram that
belongs to nobody. A peer whose handling fails is ended, and the port goes on.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from streamd.telemetry.log import Log
from streamd.whip import stun
from streamd.whip.ice_lite import Address
from streamd.whip.stun import BindingRequest

# Others get their turn after so many datagrams.
_BATCH = 64
_DATAGRAM_BYTES = 2_048
# Bursts of a few key frames at once. Linux grants 90 packets by default (net.core.rmem_max), and root what it asks for.
_RECEIVE_BYTES = 4 * 1024 * 1024
_SO_RCVBUFFORCE = 33


class Peer(Protocol):
    """One session, as the port sees it."""

    def check(self, data: bytes, request: BindingRequest, address: Address) -> None:
        """A connectivity check that names one of its user fragments."""
        ...

    def receive(self, datagram: bytes, now_us: int) -> None:
        """DTLS, SRTP or SRTCP from an address that it has proved."""
        ...

    def fail(self, error: Exception) -> None:
        """Its own handling of a datagram raised."""
        ...


class UdpPort:
    """See the module's promise."""

    def __init__(self, *, now_us: Callable[[], int], log: Log) -> None:
        self._now_us = now_us
        self._log = log
        self._socket: socket.socket | None = None
        self._is_open = False
        self._by_ufrag: dict[str, Peer] = {}
        self._by_address: dict[Address, Peer] = {}
        self.stray_count = 0  # datagrams that belonged to nobody

    @property
    def number(self) -> int:
        """The port's number, after `listen`."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    @property
    def takes_ipv6(self) -> bool:
        """Whether the socket is an IPv6 one (and with a wildcard address both)."""
        return self._socket is not None and self._socket.family == socket.AF_INET6

    def listen(self, host: str, ports: tuple[int, int]) -> None:
        """Bind the first free port of the range; (0, 0) takes any. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            udp.setblocking(False)
            _widen(udp)
            if family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            _bind_first_free(udp, host, ports)
        except OSError:
            udp.close()
            raise
        self._socket = udp

    def open(self) -> None:
        """Begin to read, on the running loop."""
        assert self._socket is not None
        self._is_open = True
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Stop reading and give the port back. Idempotent."""
        self._is_open = False
        if self._socket is not None:
            with suppress(RuntimeError):  # no loop is running: nothing was opened
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def send(self, data: bytes, address: Address) -> None:
        """Send, or drop: what does not fit into the kernel's buffer is not worth waiting for."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.sendto(data, address)

    def expect(self, peer: Peer, ufrags: Iterable[str]) -> None:
        """Checks that name one of `ufrags` are the peer's."""
        for ufrag in ufrags:
            self._by_ufrag[ufrag] = peer

    def know(self, peer: Peer, addresses: Iterable[Address]) -> None:
        """What comes from these addresses is the peer's; the latest proof counts."""
        for address in addresses:
            self._by_address[address] = peer

    def forget(self, peer: Peer) -> None:
        """The peer is gone."""
        self._by_ufrag = {ufrag: one for ufrag, one in self._by_ufrag.items() if one is not peer}
        self._by_address = {address: one for address, one in self._by_address.items() if one is not peer}

    def drop(self, peer: Peer, *, ufrags: Iterable[str] = (), addresses: Iterable[Address] = ()) -> None:
        """These are no longer the peer's."""
        for ufrag in ufrags:
            if self._by_ufrag.get(ufrag) is peer:
                del self._by_ufrag[ufrag]
        for address in addresses:
            if self._by_address.get(address) is peer:
                del self._by_address[address]

    # --- inside ---

    def _readable(self) -> None:
        assert self._socket is not None
        receive, peers, clock = self._socket.recvfrom, self._by_address, self._now_us
        for _ in range(_BATCH):
            try:
                datagram, address = receive(_DATAGRAM_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._log.warning("whip.socket_error", error=str(error))
                return
            # RFC 7983: 0 to 3 STUN, 20 to 63 DTLS, 128 to 191 RTP and RTCP.
            if len(datagram) < 12:
                self.stray_count += 1
                continue
            peer = peers.get(address)
            if datagram[0] < 4:
                self._check(datagram, address)
            elif peer is None:
                self.stray_count += 1
            else:
                try:
                    peer.receive(datagram, clock())
                except Exception as error:
                    peer.fail(error)
            if not self._is_open:
                return

    def _check(self, datagram: bytes, address: Address) -> None:
        request = stun.parse_request(datagram)
        peer = None if request is None else self._by_ufrag.get(request.username.partition(":")[0])
        if request is None or peer is None:
            self.stray_count += 1
            return
        try:
            peer.check(datagram, request, address)
        except Exception as error:
            peer.fail(error)


def _widen(udp: socket.socket) -> None:
    try:
        udp.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BYTES)
    except OSError:  # not root, or not Linux
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)


def _bind_first_free(udp: socket.socket, host: str, ports: tuple[int, int]) -> None:
    first, last = ports
    for port in range(first, last + 1):
        try:
            udp.bind((host, port))
        except OSError:
            if port == last:
                raise
        else:
            return
