"""The words of the whole site: kept once, changed by one administrator at a time, in force on every worker."""

from __future__ import annotations

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from streamd.accounts.site_words import SiteWordShelf
from streamd.errors import ConflictError, UnavailableError
from streamd.site_words import SiteWordList
from streamd.telemetry.log import get_log

SPAM = [{"text": "spam", "action": "mask"}]
SCAM = [{"text": "scam", "action": "block"}]


def a_list(engine: AsyncEngine) -> SiteWordList:
    return SiteWordList(shelf=SiteWordShelf(engine=engine), log=get_log("test"))


async def test_change_is_in_force_here_at_once_and_elsewhere_with_the_next_look(engine: AsyncEngine) -> None:
    here, elsewhere = a_list(engine), a_list(engine)
    assert await here.replace(SPAM, seen_version=0) == {"version": 1, "words": SPAM}
    assert here().judge("spam!").text == "****!"
    assert elsewhere().judge("spam!").action == "pass"
    await elsewhere.look()
    assert elsewhere().judge("spam!").action == "mask"
    await here.replace(SCAM, seen_version=1)
    await elsewhere.look()
    assert await elsewhere.try_words("spam or scam") == {
        "action": "block",
        "text": "spam or scam",
        "words": ("scam",),
    }


async def test_list_that_somebody_else_has_changed_is_not_overwritten(engine: AsyncEngine) -> None:
    words = a_list(engine)
    await words.replace(SPAM, seen_version=0)
    for seen in (0, 2):
        with pytest.raises(ConflictError):
            await words.replace(SCAM, seen_version=seen)
    assert await words.words() == {"version": 1, "words": SPAM}


async def test_list_that_is_known_stays_in_force_while_the_database_is_away(engine: AsyncEngine) -> None:
    class Fickle(SiteWordShelf):
        is_away = False

        async def version(self) -> int:
            if self.is_away:
                raise UnavailableError("the database is away")
            return await super().version()

    shelf = Fickle(engine=engine)
    words = SiteWordList(shelf=shelf, log=get_log("test"))
    await words.replace(SCAM, seen_version=0)
    shelf.is_away = True
    await words.look()
    assert words().judge("scam").action == "block"
