"""Finding the largest load that still holds, in few steps: climb by how busy the server is, then halve the gap.

Pure: a load goes out, a verdict comes in. Who asks decides how long it goes on; the answer so far is always there.
"""

from __future__ import annotations

_LEAST_STEP, _MOST_STEP = 1.2, 4.0
_NEAR_FULL = 0.92  # of the busiest core: where the next load is aimed
_CLOSE_ENOUGH = 1.12  # between what held and what broke


class Climb:
    """One quantity's search."""

    def __init__(self, start: int, *, most: int) -> None:
        self._most = most
        self.held = 0
        self.broke = 0  # the smallest load that did not hold; 0 while none was found
        self.load = start
        self.is_over = False

    def judge(self, *, holds: bool, busy: float) -> None:
        """Whether `load` held, and how much of a core (0 to 1) the busiest process took. Sets the next `load`."""
        if holds:
            self.held = max(self.held, self.load)
        else:
            self.broke = min(self.broke or self.load, self.load)
        if not self.broke:
            factor = min(_MOST_STEP, max(_LEAST_STEP, _NEAR_FULL / max(busy, 0.01)))
            self.is_over = self.load >= self._most
            self.load = min(self._most, round(self.load * factor))
        elif (self.held and self.broke <= self.held * _CLOSE_ENOUGH) or self.broke <= 1:
            self.is_over = True
        else:
            self.load = (self.held + self.broke) // 2 if self.held else max(1, self.broke // 3)
