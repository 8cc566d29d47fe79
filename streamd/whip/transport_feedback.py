"""Transport-wide congestion control, the receiver's half: when each packet of a session arrived.

In: the transport-wide sequence number and arrival time of every packet. Out: feedback messages, from which the sender
(every browser) finds how fast it may send. Without them Chromium stays near its starting bitrate for half a minute.
What is remembered is bounded; numbers that jump make a new beginning. Pure.
Source: draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1.
"""

from __future__ import annotations

from streamd.whip.rtcp import TRANSPORT_FEEDBACK

INTERVAL_US = 100_000
_FORMAT = 15
_TICK_US = 250
_REFERENCE_US = 64_000
_SPAN = 1_000  # numbers that one message may cover; browsers send about 25 packets an interval
_WAITING = 600
_MISSING, _SMALL, _LARGE = 0, 1, 2
_RUN_MOST = 0x1FFF


class TransportFeedback:
    """One session's arrivals."""

    def __init__(self, *, sender_ssrc: int) -> None:
        self._sender_ssrc = sender_ssrc
        self._arrivals: dict[int, int] = {}  # unwrapped number -> µs
        self._last = -1
        self._next_first = -1  # where the next message begins
        self._count = 0

    def arrived(self, number: int, now_us: int) -> None:
        """A packet with this 16-bit number came."""
        last = self._last
        if last < 0:
            last = number
            self._next_first = number
        step = (number - last + 0x8000 & 0xFFFF) - 0x8000
        if step > 0 or self._last < 0:
            self._last = last + step
        if len(self._arrivals) < _WAITING:
            self._arrivals.setdefault(last + step, now_us)

    def message(self, *, media_ssrc: int) -> bytes:
        """What arrived since the last message; b"" if nothing did."""
        arrivals = self._arrivals
        if not arrivals:
            return b""
        newest = max(arrivals)
        # What was told as missing and came late after all is told again: the message begins earlier.
        first = max(min(self._next_first, min(arrivals)), newest - _SPAN + 1)
        reference = arrivals[min(number for number in arrivals if number >= first)] // _REFERENCE_US
        symbols, deltas = _encode(arrivals, first, newest, reference * _REFERENCE_US)
        body = (
            (self._sender_ssrc << 32 | media_ssrc).to_bytes(8, "big")
            + (first & 0xFFFF).to_bytes(2, "big")
            + len(symbols).to_bytes(2, "big")
            + ((reference & 0xFFFFFF) << 8 | self._count & 0xFF).to_bytes(4, "big")
            + _chunks(symbols)
            + deltas
        )
        self._arrivals = {}
        self._next_first = newest + 1
        self._count += 1
        padding = -len(body) % 4
        head = 0x80 | (0x20 if padding else 0) | _FORMAT
        if padding:
            body += bytes(padding - 1) + bytes((padding,))
        return bytes((head, TRANSPORT_FEEDBACK)) + (len(body) >> 2).to_bytes(2, "big") + body


def _encode(arrivals: dict[int, int], first: int, newest: int, reference_us: int) -> tuple[list[int], bytes]:
    symbols: list[int] = []
    deltas = bytearray()
    before = reference_us // _TICK_US
    for number in range(first, newest + 1):
        arrived_us = arrivals.get(number)
        if arrived_us is None:
            symbols.append(_MISSING)
            continue
        ticks = arrived_us // _TICK_US
        delta = max(-0x8000, min(ticks - before, 0x7FFF))
        before += delta
        if 0 <= delta <= 0xFF:
            symbols.append(_SMALL)
            deltas.append(delta)
        else:
            symbols.append(_LARGE)
            deltas += delta.to_bytes(2, "big", signed=True)
    return symbols, bytes(deltas)


def _chunks(symbols: list[int]) -> bytes:
    """Runs of one symbol where they are long, else seven two-bit symbols a chunk."""
    chunks = bytearray()
    at, end = 0, len(symbols)
    while at < end:
        symbol = symbols[at]
        run = at + 1
        while run < end and symbols[run] == symbol and run - at < _RUN_MOST:
            run += 1
        if run - at >= 7 or run == end:
            chunks += (symbol << 13 | run - at).to_bytes(2, "big")
            at = run
            continue
        word = 0xC000
        for place, one in enumerate(symbols[at : at + 7]):
            word |= one << 12 - 2 * place
        chunks += word.to_bytes(2, "big")
        at += 7
    return bytes(chunks)
