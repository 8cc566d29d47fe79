"""The words that no room of the site wants, for administrators: `/api/v1/words`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from pydantic import BaseModel, Field

from streamd.api.bodies import WHOLE, Body
from streamd.api.broadcasting import WordRule
from streamd.api.permissions import ADMINS
from streamd.api.room_desk import TrialQuery, TrialView
from streamd.api.routes import Route
from streamd.errors import ConflictError


class WordDesk(Protocol):
    """Keeps the list and judges by it."""

    async def words(self) -> Mapping[str, Any]:
        """The fields of `SiteWordsView`."""
        ...

    async def replace(self, words: Sequence[Mapping[str, str]], *, seen_version: int) -> Mapping[str, Any]:
        """Another list in place of the one of `seen_version`. Raises ConflictError."""
        ...

    async def try_words(self, text: str) -> Mapping[str, Any]:
        """The fields of `TrialView`."""
        ...


class SiteWordsChange(Body):
    """The whole list, in place of the one that was seen."""

    version: Annotated[int, Field(ge=0, le=1 << 53, description="of the list that was seen"), WHOLE]
    words: Annotated[list[WordRule], Field(max_length=5_000)]


class SiteWordsView(BaseModel):
    """The list of all rooms; a room's own comes on top of it."""

    version: int = Field(description="grows with every change; 0 while there never was one")
    words: list[dict[str, str]] = Field(description="text and what becomes of it: mask, hold or block")


class WordsApi:
    """The handlers."""

    def __init__(self, *, desk: WordDesk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route(
                method="GET",
                path="/api/v1/words",
                handler=self.words,
                summary="The words that no room wants",
                require=ADMINS,
            ),
            Route(
                method="PUT",
                path="/api/v1/words",
                handler=self.replace,
                summary="Another list of words that no room wants, in force everywhere within seconds",
                require=ADMINS,
                audit="site.words.change",
                problems=(ConflictError,),
            ),
            Route(
                method="GET",
                path="/api/v1/words/trial",
                handler=self.try_words,
                summary="What the site's list says of a text",
                require=ADMINS,
            ),
        ]

    async def words(self) -> SiteWordsView:
        return SiteWordsView.model_validate(await self._desk.words())

    async def replace(self, *, body: SiteWordsChange) -> SiteWordsView:
        words = [word.model_dump() for word in body.words]
        return SiteWordsView.model_validate(await self._desk.replace(words, seen_version=body.version))

    async def try_words(self, *, query: TrialQuery) -> TrialView:
        return TrialView.model_validate(await self._desk.try_words(query.text))
