"""What can go wrong in a room, in words a page can show. The codes are stable; the sentences are not."""

from __future__ import annotations

from streamd.errors import ForbiddenError, LimitedError, ProtocolError


class WireError(ProtocolError):
    """A peer broke WebSocket, Engine.IO or Socket.IO. `close_code` is the WebSocket status (RFC 6455, 7.4.1)."""

    def __init__(self, what: str, *, close_code: int = 1002) -> None:
        super().__init__(what, fix="use a Socket.IO 4.x client")
        self.close_code = close_code


class AdmissionError(LimitedError):
    """The node or the room takes no more members right now."""


class BannedError(ForbiddenError):
    """The person may not enter this room."""

    code = "banned"
