"""ICE-lite for one session: who may reach it, from which addresses, and where to send.

In: binding requests that name one of our user fragments, with the datagram they came in. Out: the answer's bytes, or
None. Pure: the owner of the socket sends, and tells us the time.
 - An address counts as proved once a request from it was authentic; media and DTLS are taken from no others.
 - We send to the address that was nominated last, before any nomination to the one proved first.
 - Requests from addresses that have proved nothing yet are checked at most so often a second.
 - A restart keeps the old credentials until the new ones are used for the first time.
Source: RFC 8445 (2.5, 6.1.1, 7.3), RFC 7675 (consent: a lite agent only answers).
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from streamd.whip import stun
from streamd.whip.limits import WhipLimits
from streamd.whip.stun import BindingRequest

Address = tuple[str, int]  # and more for IPv6; only ever compared and handed back to the socket


class IceLite:
    """See the module's promise."""

    def __init__(self, *, limits: WhipLimits) -> None:
        self._limits = limits
        self._passwords: dict[str, bytes] = {}  # by user fragment, the newest last
        self._window_ms = 0
        self._checks_count = 0
        self.addresses: list[Address] = []  # proved, in the order of their proof
        self.selected: Address | None = None
        self._is_nominated = False
        self.renew()

    @property
    def ufrag(self) -> str:
        """Of the newest credentials."""
        return next(reversed(self._passwords))

    @property
    def password(self) -> str:
        """Of the newest credentials."""
        return self._passwords[self.ufrag].decode()

    @property
    def ufrags(self) -> Sequence[str]:
        """All that are answered now."""
        return tuple(self._passwords)

    def renew(self) -> None:
        """New credentials: at the start, and for an ICE restart. At most the last ones stay good beside them."""
        if len(self._passwords) > 1:
            del self._passwords[next(iter(self._passwords))]
        # Hexadecimal: within ice-char, and no encoder has trouble with it (RFC 8839 5.4: 24 and 128 bits at least).
        self._passwords[secrets.token_hex(8)] = secrets.token_hex(16).encode()

    def check(self, data: bytes, request: BindingRequest, address: Address, *, now_ms: int) -> bytes | None:
        """Judge a request that came from `address`. None: say nothing."""
        is_known = address in self.addresses
        if not is_known and not self._may_check(now_ms):
            return None
        ufrag = request.username.partition(":")[0]
        password = self._passwords.get(ufrag)
        if password is None or not stun.is_authentic(data, request, password):
            return None
        if request.is_controlled:
            return stun.role_conflict(request, password)
        if ufrag == self.ufrag:
            self._forget_older()
        if not is_known:
            self._prove(address)
        if request.nominates or not self._is_nominated:
            self.selected = address if request.nominates else self.selected or address
            self._is_nominated = self._is_nominated or request.nominates
        return stun.success(request, (address[0], address[1]), password)

    def _may_check(self, now_ms: int) -> bool:
        if now_ms - self._window_ms >= 1_000:
            self._window_ms, self._checks_count = now_ms, 0
        self._checks_count += 1
        return self._checks_count <= self._limits.checks_per_second

    def _forget_older(self) -> None:
        while len(self._passwords) > 1:
            del self._passwords[next(iter(self._passwords))]

    def _prove(self, address: Address) -> None:
        if len(self.addresses) >= self._limits.addresses_count:
            oldest = next(one for one in self.addresses if one != self.selected)
            self.addresses.remove(oldest)
        self.addresses.append(address)
