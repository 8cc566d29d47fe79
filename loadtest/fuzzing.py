"""Fuzzing guided by what runs: an input that reaches a new line is kept, and the next inputs are made from it.

In: a function that takes bytes, what it may raise, and seeds. Out: counts, lines reached, and the inputs that made it
raise anything else, assert, or take too long. Lines are seen by `sys.settrace`, only in the modules under test; one
seed gives one run, byte for byte, for the same number of executions. No processes, no files.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

_INTERESTING = (0, 1, 2, 3, 4, 5, 8, 9, 16, 0x1F, 0x20, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF)
_INTERESTING_WIDE = (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
_LONGEST_BYTES = 8_192
_SLOW_S = 0.25  # processor time of one input without tracing
_KEPT_CRASHERS = 5  # for each kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that takes bytes from outside."""

    name: str
    run: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]  # what it says to bytes that it does not want
    seeds: tuple[bytes, ...]
    modules: tuple[str, ...]  # whose lines guide; the beginning of their names
    words: tuple[bytes, ...] = ()  # that chance would not find


@dataclass(slots=True)
class Outcome:
    """What came of one target."""

    target: str
    executions: int = 0
    refused: int = 0
    lines: int = 0
    kept: int = 0
    slowest_ms: float = 0.0
    crashers: dict[str, list[bytes]] = field(default_factory=dict)  # by what happened and where


class _Lines:
    """The lines that have ever run, in modules of interest. Switched on around one execution."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = tuple(modules)
        self._wanted: dict[CodeType, bool] = {}
        self.seen: set[tuple[CodeType, int]] = set()

    def run(self, act: Callable[[], object]) -> None:
        sys.settrace(self._enter)
        try:
            act()
        finally:
            sys.settrace(None)

    def _enter(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        code = frame.f_code
        wanted = self._wanted.get(code)
        if wanted is None:
            wanted = self._wanted[code] = frame.f_globals.get("__name__", "").startswith(self._modules)
        return self._line if wanted else None

    def _line(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            self.seen.add((frame.f_code, frame.f_lineno))
        return self._line


def fuzz(target: Target, *, seed: int, seconds: float = 1e9, executions: int = 1 << 60) -> Outcome:
    """Run until the time or the number of executions is over."""
    chance = random.Random(f"{seed} {target.name}")
    lines, outcome = _Lines(target.modules), Outcome(target.name)
    corpus: list[bytes] = []
    queue = list(target.seeds)
    until_s = time.monotonic() + seconds
    while outcome.executions < executions and time.monotonic() < until_s:
        data = queue.pop() if queue else mutated(chance, corpus or [b""], target.words)
        before = len(lines.seen)
        _execute(target, data, lines, outcome)
        if len(lines.seen) > before or len(corpus) < len(target.seeds):
            corpus.append(data)
    outcome.lines, outcome.kept = len(lines.seen), len(corpus)
    return outcome


def _execute(target: Target, data: bytes, lines: _Lines, outcome: Outcome) -> None:
    outcome.executions += 1
    began_s = time.thread_time()
    try:
        lines.run(lambda: target.run(data))
    except target.refusals:
        outcome.refused += 1
    except Exception as error:  # whatever it is, it is what is looked for
        _keep(outcome, f"{type(error).__name__} in {_place(error)}", data)
    if time.thread_time() - began_s > _SLOW_S:
        _time_alone(target, data, outcome)


def _time_alone(target: Target, data: bytes, outcome: Outcome) -> None:
    """Without tracing, which slows everything tenfold."""
    began_s = time.thread_time()
    with suppress(Exception):  # counted when it was first run
        target.run(data)
    took_s = time.thread_time() - began_s
    outcome.slowest_ms = max(outcome.slowest_ms, took_s * 1_000)
    if took_s > _SLOW_S:
        _keep(outcome, "slow", data)


def _keep(outcome: Outcome, kind: str, data: bytes) -> None:
    kept = outcome.crashers.setdefault(kind, [])
    kept.append(data)
    kept.sort(key=len)
    del kept[_KEPT_CRASHERS:]


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace is not None else "nowhere"


def mutated(chance: random.Random, corpus: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """One of `corpus` with a few changes."""
    # The newest inputs reached what others did not: half of the time one of them.
    recent = corpus[-8:] if chance.random() < 0.5 else corpus
    data = bytearray(chance.choice(recent))
    for _ in range(1 << chance.randrange(4)):
        _mutate(chance, data, corpus, words)
    return bytes(data[:_LONGEST_BYTES])


def _mutate(chance: random.Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    """One change in place."""
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(9 if words else 8)
    span = slice(at, at + chance.randrange(1, 64))
    if kind == 0 and at < len(data):
        data[at] ^= 1 << chance.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = chance.choice(_INTERESTING)
    elif kind == 2:
        width = chance.choice((2, 3, 4, 8))
        value = chance.choice(_INTERESTING_WIDE) % (1 << 8 * width)
        data[at : at + width] = value.to_bytes(width, chance.choice(("big", "little")))
    elif kind == 3:
        data[at:at] = chance.randbytes(chance.randrange(1, 9))
    elif kind == 4:
        del data[span]
    elif kind == 5:
        data[at:at] = data[span] * chance.choice((1, 1, 2, 40))
    elif kind == 6:
        del data[at:]
    elif kind == 7:
        other = chance.choice(corpus)
        data[at:] = other[chance.randrange(len(other) + 1) :]
    elif words:
        data[at:at] = chance.choice(words)
