"""When a job that failed is tried again, and when no more: pure arithmetic.

Two classes of failure. What passes by itself (a part that is away, the network, a limit) is tried for about a day, with
growing pauses of at most five minutes. What does not (a fault of ours or of the data) is tried a few times, for the
case that it was not what it looked like, and then put aside for a person to look at.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamd.errors import LimitedError, StreamdError, UnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Pauses double (or grow by `factor`) from `first_ms` up to `longest_ms`; after `attempts` tries it is given up."""

    first_ms: int
    factor: int
    longest_ms: int
    attempts: int

    def pause_ms(self, attempt: int) -> int | None:
        """How long to wait after try number `attempt` (1, 2, 3 …) failed; None: give up."""
        if attempt >= self.attempts:
            return None
        # Bounded before it is computed: the hundredth power of two helps nobody.
        return int(min(self.longest_ms, self.first_ms * self.factor ** min(attempt - 1, 24)))


PASSING = Patience(first_ms=1_000, factor=2, longest_ms=300_000, attempts=300)
LASTING = Patience(first_ms=5_000, factor=6, longest_ms=300_000, attempts=4)


def pause_ms(error: BaseException, attempt: int) -> int | None:
    """How long to wait before the next try; None: there is none."""
    match error:
        case UnavailableError() | LimitedError():
            pause = PASSING.pause_ms(attempt)
            return None if pause is None else max(pause, error.retry_after_ms)
        case OSError():  # a TimeoutError is one of them
            return PASSING.pause_ms(attempt)
        case _:
            return LASTING.pause_ms(attempt)


def reason(error: BaseException) -> str:
    """What a person is told of it, in at most 500 characters."""
    said = error.one_line() if isinstance(error, StreamdError) else str(error)
    return f"{type(error).__name__}: {said}"[:500]
