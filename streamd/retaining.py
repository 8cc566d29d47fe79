"""What a node forgets, and when: joins the parts that hold old rows to the recurring job that deletes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from danmaku.history import DanmakuHistory
from streamd.accounts.kept_answers import KeptAnswers
from streamd.clock import Clock
from streamd.db.engine import Database
from streamd.jobs.retention import DAY_MS, Retention, Step, finished_jobs
from streamd.settings import Retention as Settings
from streamd.shop.forgetting import Forgetting
from streamd.telemetry.log import get_log


class Programmes(Protocol):
    """What keeps the figures of programmes and forgets who watched them: `streamd.board.keeping.Keeping`."""

    async def step(self, before_ms: int) -> bool:
        """Whether there may be more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Old:
    """What holds old rows besides the shop, and for how long it may."""

    history: DanmakuHistory
    programmes: Programmes
    settings: Settings

    def retention(self, *, engine: Database, clock: Clock, answers: KeptAnswers) -> Retention:
        """The handler of the recurring job."""
        shop, days = Forgetting(engine=engine), self.settings
        # A programme's figures are written down before the first of what they are counted from goes.
        visits_days = min(days.visits_days, days.danmaku_days)
        parts: dict[str, tuple[int, Step]] = {
            "visits": (visits_days * DAY_MS, self.programmes.step),
            "danmaku": (days.danmaku_days * DAY_MS, self.history.forget),
            "told_facts": (DAY_MS, shop.told_facts),
            "notice_bodies": (days.notices_days * DAY_MS, shop.notice_bodies),
            "jobs": (days.jobs_days * DAY_MS, finished_jobs(engine)),
            "answers": (0, answers.forget),
        }
        return Retention(clock=clock, log=get_log("retention"), parts=parts)
