"""Arithmetic on timestamps: conversion between timescales and the unwrapping of counters that roll over."""

from __future__ import annotations


def rescale(ticks: int, from_hz: int, to_hz: int) -> int:
    """Ticks of one timescale in another, rounded half up."""
    return (ticks * to_hz * 2 + from_hz) // (2 * from_hz)


class Unwrapper:
    """Turns a counter of `bits` bits into one that does not wrap.

    Each value is taken as the nearest one to its predecessor, modulo 2**bits: a step back of less than half the range
    stays a step back (reordering, a jump), a step over the end goes on. Source: RFC 1982 serial arithmetic.
    """

    __slots__ = ("_half", "_last", "_modulus")

    def __init__(self, bits: int) -> None:
        self._modulus = 1 << bits
        self._half = self._modulus >> 1
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """The value on the unbounded line; the first one is taken as it is."""
        last = self._last
        if last is None:
            unwrapped = value
        else:
            step = (value - last) % self._modulus
            unwrapped = last + (step - self._modulus if step >= self._half else step)
        self._last = unwrapped
        return unwrapped
