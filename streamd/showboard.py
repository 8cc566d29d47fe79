"""The show board of a node, joined: what counts, what writes down, what reads.

The part of the composition root that concerns the board; rooms are handed its `attendance`, streams tell its `shows`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from streamd.accounts.node_secret import NodeSecret
from streamd.api.board import BoardApi
from streamd.api.mounting import Area
from streamd.board.attendance import Attendance, Audience
from streamd.board.figures import Board
from streamd.board.keeping import Keeping
from streamd.board.shows import ShowBook
from streamd.clock import Clock
from streamd.db.engine import Database
from streamd.telemetry.log import get_log
from streamd.telemetry.metrics import Metrics


class ShowBoard:
    """See the module's promise."""

    def __init__(self, *, engine: Database, clock: Clock, secret: NodeSecret, metrics: Metrics) -> None:
        log = get_log("board")
        self.shows = ShowBook(engine=engine, clock=clock, log=log)
        self.attendance = Attendance(
            engine=engine,
            clock=clock,
            log=log,
            # Addresses are personal data: kept as what only this installation can tell again.
            pseudonym=lambda address: f"guest-{secret.sign('viewer', address).hex()[:32]}",
        )
        self._board = Board(engine=engine, clock=clock)
        self.keeping = Keeping(engine=engine, board=self._board)
        metrics.collect_from(self.attendance.collect)

    def areas(self) -> list[Area]:
        """What it adds to the API."""
        return [BoardApi(board=self._board, taps=self.attendance)]

    def parts(self, audience: Audience) -> list[Coroutine[Any, Any, None]]:
        """What runs for as long as the node does."""
        return [self.shows.run(), self.attendance.run(audience, self.shows.changed)]
