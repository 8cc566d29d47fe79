"""What rooms ask of the rest of the product, as protocols, and the answers that need nothing but memory.

The composition root hands these in; nothing here knows accounts, catalogues or databases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from danmaku.conduct import ChatSettings, Identity, Sanction
from danmaku.moderation import WordList


class Identify(Protocol):
    """Who holds an access token."""

    async def __call__(self, token: str, room: str) -> Identity | None:
        """The person with their role in this room; None when the token is not (or no longer) valid.

        Cancel-safe: yes.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomFacts:
    """What the catalogue knows of a room. `card` is the payload of its `card` event, None while there is none."""

    title: str
    live: bool = False
    card: Mapping[str, object] | None = None


class RoomDirectory(Protocol):
    """Which rooms there are."""

    async def facts(self, room: str) -> RoomFacts | None:
        """None for a room that does not exist. Cancel-safe: yes."""
        ...


class ConductBook(Protocol):
    """Where chat settings and sanctions outlive the process."""

    async def load(self, room: str) -> tuple[ChatSettings, list[Sanction]]:
        """What was saved, or defaults. Cancel-safe: yes."""
        ...

    async def save_chat(self, room: str, chat: ChatSettings) -> None:
        """Replace the settings. Cancel-safe: yes."""
        ...

    async def save_sanction(self, room: str, sanction: Sanction) -> None:
        """Impose, change or (with an `until_ms` that has passed) lift. Cancel-safe: yes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenMessage:
    """A danmaku as it is kept. `status`: shown, unshown (over the room's budget), held or retracted."""

    room: str
    seq: int
    message_id: str
    user_id: str
    user_name: str
    role: str
    text: str
    color: str
    mode: str
    at_ms: int
    status: str = "shown"


class Archive(Protocol):
    """Where danmaku are kept for replay."""

    def add(self, message: SpokenMessage) -> None:
        """Keep a message; never blocks, and never fails a room. What cannot be kept is counted."""
        ...

    def mark(self, room: str, message_ids: list[str], status: str) -> None:
        """Change what became of messages. Never blocks."""
        ...


class Seat(Protocol):
    """A connection in a room. `visit` belongs to the Attendance: 0 until it writes there."""

    visit: int

    @property
    def identity(self) -> Identity:
        """Whose it is."""
        ...

    @property
    def address(self) -> str:
        """From where."""
        ...


class Attendance(Protocol):
    """What counts people, hearts and cards. Called on hot paths: nothing here blocks, or fails a room."""

    def came(self, room: str, seat: Seat) -> None:
        """Somebody was seated."""
        ...

    def left(self, room: str, seat: Seat) -> None:
        """Somebody is gone."""
        ...

    def liked(self, room: str, count: int) -> None:
        """Hearts were taken in here."""
        ...

    def shown(self, room: str, payload: Mapping[str, Any] | None, members: int) -> None:
        """A card was told to so many here; None: it was taken away."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewVerdict:
    """What a reviewer outside says of a message."""

    action: Literal["allow", "deny"]
    reason: str = ""


class Reviewer(Protocol):
    """A judge outside the process, asked before a message is shown. The caller keeps the time."""

    async def __call__(self, *, room: str, message_id: str, person: Identity, text: str) -> ReviewVerdict | None:
        """None when it did not answer, whatever the cause. Cancel-safe: yes."""
        ...


class SiteWords(Protocol):
    """The words that no room of the site wants."""

    def __call__(self) -> WordList:
        """Compiled; asked for every message."""
        ...


class NobodySignsIn:
    """Identify, for a server without accounts."""

    async def __call__(self, token: str, room: str) -> Identity | None:  # noqa: ARG002 - the protocol's shape
        """Nobody."""
        return None


class NoSiteWords:
    """SiteWords for a server whose rooms are all there is."""

    def __init__(self) -> None:
        self._none = WordList(())

    def __call__(self) -> WordList:
        """None."""
        return self._none


class MemoryBook:
    """ConductBook for a process that forgets."""

    def __init__(self) -> None:
        self._chat: dict[str, ChatSettings] = {}
        self._sanctions: dict[str, dict[tuple[str, str], Sanction]] = {}

    async def load(self, room: str) -> tuple[ChatSettings, list[Sanction]]:
        """See ConductBook."""
        return self._chat.get(room, ChatSettings()), list(self._sanctions.get(room, {}).values())

    async def save_chat(self, room: str, chat: ChatSettings) -> None:
        """See ConductBook."""
        self._chat[room] = replace(chat)

    async def save_sanction(self, room: str, sanction: Sanction) -> None:
        """See ConductBook."""
        self._sanctions.setdefault(room, {})[(sanction.kind, sanction.user_id)] = sanction


class NobodyCounts:
    """Attendance for a server without a show board."""

    def came(self, room: str, seat: Seat) -> None:
        """Nothing to count."""

    def left(self, room: str, seat: Seat) -> None:
        """Nothing to count."""

    def liked(self, room: str, count: int) -> None:
        """Nothing to count."""

    def shown(self, room: str, payload: Mapping[str, Any] | None, members: int) -> None:
        """Nothing to count."""


class NothingKept:
    """Archive for a server without a database."""

    def add(self, message: SpokenMessage) -> None:
        """Forget it."""

    def mark(self, room: str, message_ids: list[str], status: str) -> None:
        """Nothing to mark."""
