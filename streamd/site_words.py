"""The words of the whole site, joined: kept by the accounts, judged by the rooms, changed by administrators.

Implements `danmaku.ports.SiteWords` and `streamd.api.words.WordDesk`. A change is in force on this worker at once and
on every other one within `LOOK_S`: each looks for a newer version. While the database cannot be asked, the list that is
known stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from danmaku.conduct import read_words
from danmaku.moderation import WordList
from streamd.accounts.site_words import SiteWordShelf
from streamd.errors import StreamdError
from streamd.telemetry.log import Log

LOOK_S: Final = 2.0


class SiteWordList:
    """See the module's promise."""

    def __init__(self, *, shelf: SiteWordShelf, log: Log) -> None:
        self._shelf = shelf
        self._log = log
        self._version = 0
        self._compiled = WordList(())
        self._is_read = True

    def __call__(self) -> WordList:
        """See SiteWords."""
        return self._compiled

    async def run(self) -> None:
        """Keep up with the other workers, for ever. Cancel-safe: yes."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take a newer list, if there is one. Cancel-safe: yes."""
        try:
            if await self._shelf.version() != self._version:
                found = await self._shelf.load()
                self._take(found.version, found.words)
            self._is_read = True
        except StreamdError as error:
            if self._is_read:  # once, not every two seconds
                self._log.warning("words.look_failed", reason=str(error))
            self._is_read = False

    async def words(self) -> Mapping[str, Any]:
        """See WordDesk."""
        found = await self._shelf.load()
        return {"version": found.version, "words": found.words}

    async def replace(self, words: Sequence[Mapping[str, str]], *, seen_version: int) -> Mapping[str, Any]:
        """See WordDesk."""
        version = await self._shelf.replace(words, seen_version=seen_version)
        self._take(version, words)
        return {"version": version, "words": words}

    async def try_words(self, text: str) -> Mapping[str, Any]:
        """See WordDesk."""
        return self._compiled.judge(text)._asdict()

    def _take(self, version: int, words: Sequence[Mapping[str, str]]) -> None:
        self._version, self._compiled = version, WordList(read_words(words))
