"""How failures look on the RTMP wire, in both directions.

As a server we have a handful of onStatus codes that encoders understand: OBS (librtmp) stops on Publish.Denied,
Publish.BadName, Publish.Rejected and Play.StreamNotFound, and takes any other code for a broken line and reconnects for
ever. As a client we are told such a code and raise it as `RtmpRefusedError`.
"""

from __future__ import annotations

from typing import NamedTuple

from streamd.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    StreamdError,
    UnauthenticatedError,
)

PUBLISH_START = "NetStream.Publish.Start"
PUBLISH_DENIED = "NetStream.Publish.Denied"
PUBLISH_BAD_NAME = "NetStream.Publish.BadName"
PUBLISH_REJECTED = "NetStream.Publish.Rejected"
UNPUBLISH_SUCCESS = "NetStream.Unpublish.Success"
PLAY_RESET = "NetStream.Play.Reset"
PLAY_START = "NetStream.Play.Start"
PLAY_FAILED = "NetStream.Play.Failed"
PLAY_STREAM_NOT_FOUND = "NetStream.Play.StreamNotFound"
PLAY_UNPUBLISH_NOTIFY = "NetStream.Play.UnpublishNotify"
CONNECT_SUCCESS = "NetConnection.Connect.Success"
RECONNECT_REQUEST = "NetConnection.Connect.ReconnectRequest"


class Refusal(NamedTuple):
    """What the peer is told."""

    code: str
    description: str


class RtmpRefusedError(StreamdError):
    """The server we publish to said no. `status_code` is its onStatus or `_error` code."""

    code = "rtmp_refused"

    def __init__(self, what: str, *, status_code: str, why: str = "") -> None:
        super().__init__(what, why=why or status_code)
        self.status_code = status_code


def eviction(reason: str) -> tuple[str, str]:
    """Code and description for a publisher that is sent away."""
    match reason:
        case "cut":
            return PUBLISH_DENIED, "This stream was taken off air"
        case "shutdown":
            return UNPUBLISH_SUCCESS, "The server is shutting down; connect again"
        case _:
            return PUBLISH_BAD_NAME, "Another encoder took over this stream"


def publish_refusal(error: StreamdError) -> Refusal:
    """A wrong, banned or malformed key is Denied; a name that someone else holds is BadName; "not now" is Rejected."""
    match error:
        case UnauthenticatedError() | ForbiddenError() | NotFoundError() | InvalidError():
            return Refusal(PUBLISH_DENIED, error.what)
        case ConflictError():
            return Refusal(PUBLISH_BAD_NAME, error.what)
        case _:
            return Refusal(PUBLISH_REJECTED, error.what)


def play_refusal(error: StreamdError) -> Refusal:
    """A room that does not exist or is not on air is StreamNotFound; anything else is Failed."""
    code = PLAY_STREAM_NOT_FOUND if isinstance(error, (NotFoundError, InvalidError)) else PLAY_FAILED
    return Refusal(code, error.what)
