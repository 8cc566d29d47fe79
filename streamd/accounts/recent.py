"""What was answered a moment ago, bounded by count and by age, so that a question repeated in a loop costs no query.

Overflow policy: the oldest answer goes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from streamd.clock import Clock

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Answers not older than `keep_ms`, at most `limit_count` of them."""

    def __init__(self, *, clock: Clock, keep_ms: int, limit_count: int) -> None:
        self._clock = clock
        self._keep_ms = keep_ms
        self._limit_count = limit_count
        self._answers: OrderedDict[K, tuple[int, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, question: K) -> V | None:
        """The answer, unless there is none or it is too old."""
        found = self._answers.get(question)
        if found is None:
            return None
        at_ms, answer = found
        if self._clock.now_ms() - at_ms >= self._keep_ms:
            del self._answers[question]
            return None
        return answer

    def put(self, question: K, answer: V) -> None:
        """Remember from now on."""
        self._answers.pop(question, None)
        self._answers[question] = (self._clock.now_ms(), answer)
        if len(self._answers) > self._limit_count:
            self._answers.popitem(last=False)

    def forget(self, question: K) -> None:
        """The answer has changed."""
        self._answers.pop(question, None)
