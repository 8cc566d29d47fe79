"""What a publisher or player asks for, gathered from the several places where encoders put it.

In: `app` of connect and the name of publish or play, as they came. Out: app, name and query, joined and cleaned:
`rtmp://host/live/KEY`, `…/live/` with `/KEY/`, `…/live/KEY` with an empty key (OBS with its key field empty), `a/b`
with `c` (ffmpeg splits at the last slash but one), `…/live/ROOM?key=KEY`, a query on the app (`live?token=x`). The
name's own query wins over the app's. Names are refused here if they could mean something else in a path or a log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from rtmp_ingest.events import PlayRequested, PublishRequested
from streamd.errors import InvalidError, NotFoundError, UnauthenticatedError
from streamd.media.ports import PlayRequest, PublishRequest

# What stream keys in the field are made of. No slash, percent sign, quote, control character or space.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._~=+:@!$,;*-]+")
_MAX_QUERY_FIELDS = 64


class StreamName(NamedTuple):
    """`app` without outer slashes, `name` without query; `name` is empty when the peer gave none."""

    app: str
    name: str
    query: Mapping[str, str]


def publish_request(event: PublishRequested, *, peer: str, name_bytes: int) -> PublishRequest:
    """For the gate. Raises InvalidError, UnauthenticatedError (no key at all)."""
    name = parse_stream_name(event.app, event.name, max_bytes=name_bytes)
    if not name.name:
        raise UnauthenticatedError("No stream key", fix="put the stream key into the encoder's settings")
    return PublishRequest(
        protocol="rtmp", app=name.app, name=name.name, query=name.query, peer=peer, encoder=event.encoder
    )


def play_request(event: PlayRequested, *, peer: str, app: str, name_bytes: int) -> PlayRequest:
    """For the play gate: streams are played from `app`. Raises InvalidError, NotFoundError."""
    name = parse_stream_name(event.app, event.name, max_bytes=name_bytes)
    if name.app != app or not name.name:
        raise NotFoundError("There is no such stream", why=f"streams are played from /{app}")
    return PlayRequest(
        room=name.name,
        query=name.query,
        peer=peer,
        from_next_key=name.query.get("gop") == "0",
        audio=name.query.get("audio") != "0",
        video=name.query.get("video") != "0",
    )


def parse_stream_name(app: str, name: str, *, max_bytes: int) -> StreamName:
    """Raises InvalidError for what is too long or holds characters that no stream key has."""
    if len(app.encode("utf-8", "replace")) > max_bytes or len(name.encode("utf-8", "replace")) > max_bytes:
        raise InvalidError("The stream name is too long", why=f"more than {max_bytes} bytes")
    app_path, _, app_query = app.partition("?")
    name_path, _, name_query = name.partition("?")
    parts = [part for part in f"{app_path}/{name_path}".split("/") if part]
    for part in parts:
        if not _PLAIN_NAME.fullmatch(part) or part in (".", ".."):
            raise InvalidError(
                "The stream name has characters that cannot be part of one",
                fix="use letters, digits and . _ ~ = + : @ ! $ , ; * -",
            )
    query = _parse_query(app_query)
    query.update(_parse_query(name_query))
    if len(parts) < 2:
        return StreamName("".join(parts), "", query)
    return StreamName("/".join(parts[:-1]), parts[-1], query)


def _parse_query(text: str) -> dict[str, str]:
    """`+` stays `+`, unlike in a form: tokens in base64 are pasted as they are."""
    query: dict[str, str] = {}
    for part in re.split("[&?]", text, maxsplit=_MAX_QUERY_FIELDS)[:_MAX_QUERY_FIELDS]:
        field, _, value = part.partition("=")
        if field:
            query[unquote(field)] = unquote(value)
    return query
