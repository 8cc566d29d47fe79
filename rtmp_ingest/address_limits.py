"""How much one address may do: connections open at once, and refused publishes in a while.

In: addresses as text and the time. Out: yes or no. IPv6 counts by /64, which is what one customer is given. What is
remembered is bounded: beyond `_REMEMBERED` addresses with failures the longest unused is forgotten.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from ipaddress import IPv6Address, ip_address

from rtmp_ingest.limits import RtmpLimits

_REMEMBERED = 4096


class AddressLimits:
    """`trusted` addresses (a proxy on this machine) are never refused."""

    def __init__(self, *, limits: RtmpLimits, trusted: frozenset[str]) -> None:
        self._limits = limits
        self._trusted = trusted
        self._open: Counter[str] = Counter()
        self._failures: OrderedDict[str, tuple[int, int]] = OrderedDict()  # count, and when its window began

    def connect(self, address: str) -> bool:
        """Count a connection, or refuse it. A connection that was counted must be given back by `disconnect`."""
        network = _network(address)
        if address not in self._trusted and self._open[network] >= self._limits.connections_per_address_count:
            return False
        self._open[network] += 1
        return True

    def disconnect(self, address: str) -> None:
        """A counted connection is gone."""
        network = _network(address)
        self._open[network] -= 1
        if self._open[network] <= 0:
            del self._open[network]

    def fail(self, address: str, now_ms: int) -> None:
        """A publish was refused."""
        network = _network(address)
        count, since_ms = self._failures.pop(network, (0, now_ms))
        if now_ms - since_ms >= self._limits.failures_window_ms:
            count, since_ms = 0, now_ms
        self._failures[network] = (count + 1, since_ms)
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def retry_after_ms(self, address: str, now_ms: int) -> int:
        """0 if the address may try to publish, else how long it has to wait."""
        count, since_ms = self._failures.get(_network(address), (0, now_ms))
        left_ms = since_ms + self._limits.failures_window_ms - now_ms
        too_many = count >= self._limits.failures_per_address_count
        return max(left_ms, 0) if too_many and address not in self._trusted else 0


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return parsed.packed[:8].hex()
    return address
