"""What a session tells its shell: facts about one connection, in the order in which the peer made them true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rtmp_ingest import amf0
from rtmp_ingest.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequested:
    """Answer with `accept_publish` or `end`. `app` and `name` are as they came, query and all."""

    stream_id: int
    app: str
    name: str
    encoder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayRequested:
    """Answer with `accept_play` or `end`. `is_reset`: the player wants to hear that its list starts anew."""

    stream_id: int
    app: str
    name: str
    is_reset: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataReceived:
    """onMetaData of the publication: hints, never facts."""

    values: Mapping[str, amf0.Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublished:
    """The publisher stopped in good order (FCUnpublish, deleteStream, closeStream). The connection may go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayStopped:
    """The player stopped in good order."""


# A `Message` among the events is audio or video of the accepted publication.
Event: TypeAlias = Message | PublishRequested | PlayRequested | MetadataReceived | Unpublished | PlayStopped
