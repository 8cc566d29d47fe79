"""The two doors of a live stream, joined to the accounts: who may publish (`KeyCheck`) and who may watch (`PlayCheck`).

`streamd.live` declares what it asks; `streamd.accounts` knows rooms and keys and nothing of streams. Between them
stands how an encoder says its key: as the stream name, or as `?key=` behind the room's name.
"""

from __future__ import annotations

import hmac

from streamd.accounts.node_secret import NodeSecret
from streamd.accounts.playback import Playback
from streamd.accounts.rooms import Rooms
from streamd.accounts.stream_keys import StreamKeys
from streamd.live.gate import PROGRAMME, Grant
from streamd.media.ports import PlayRequest, PublishRequest


class PublishAdmission:
    """Implements `streamd.live.gate.KeyCheck`."""

    def __init__(self, *, keys: StreamKeys, rooms: Rooms, secret: NodeSecret) -> None:
        self._keys = keys
        self._rooms = rooms
        self._secret = secret

    async def check(self, request: PublishRequest) -> Grant:
        """The room that the request may put on air.

        Raises UnauthenticatedError, ForbiddenError (the room is cut). Cancel-safe: yes.
        """
        key = request.query.get("key")
        if key is None:
            holder = await self._keys.check(request.name)
            return Grant(room=holder.room, principal=holder.principal)
        if await self._is_programme(request.name, key):
            await self._rooms.refuse_while_cut(request.name)
            return Grant(room=request.name, principal=PROGRAMME)
        holder = await self._keys.check(key, room=request.name)
        return Grant(room=holder.room, principal=holder.principal)

    async def _is_programme(self, room: str, key: str) -> bool:
        given, expected = key.encode(), self._secret.programme_pass(room).encode()
        return hmac.compare_digest(given, expected) and await self._rooms.exists(room)


class PlayAdmission:
    """Implements `streamd.live.fanout.PlayCheck`: everybody may watch a public room, a token's holder a signed one."""

    def __init__(self, *, playback: Playback) -> None:
        self._playback = playback

    async def check(self, request: PlayRequest) -> None:
        """Raises NotFoundError, ForbiddenError. Cancel-safe: yes."""
        address = host_of(request.peer)
        await self._playback.check(request.room, request.query.get("token", ""), address)


def host_of(peer: str) -> str:
    """The address in what may be `address`, `address:port` or `[address]:port`."""
    host, _, port = peer.rpartition(":")
    if host.startswith("[") or (host and ":" not in host and port.isdigit()):
        return host.strip("[]")
    return peer
