"""The codes that make encoders stop."""

from __future__ import annotations

import pytest

from rtmp_ingest.errors import play_refusal, publish_refusal
from streamd.errors import (
    ConflictError,
    ForbiddenError,
    InvalidError,
    LimitedError,
    NotFoundError,
    ProtocolError,
    StreamdError,
    UnauthenticatedError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnauthenticatedError("no key"), "NetStream.Publish.Denied"),
        (ForbiddenError("banned"), "NetStream.Publish.Denied"),
        (NotFoundError("no room"), "NetStream.Publish.Denied"),
        (InvalidError("bad name"), "NetStream.Publish.Denied"),
        (ConflictError("taken"), "NetStream.Publish.BadName"),
        (LimitedError("flapping", retry_after_ms=5), "NetStream.Publish.Rejected"),
        (UnavailableError("no database"), "NetStream.Publish.Rejected"),
        (ProtocolError("odd"), "NetStream.Publish.Rejected"),
    ],
)
def test_every_kind_of_refusal_has_a_code_that_obs_understands(error: StreamdError, code: str) -> None:
    assert publish_refusal(error) == (code, error.what)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("no room"), "NetStream.Play.StreamNotFound"),
        (InvalidError("bad name"), "NetStream.Play.StreamNotFound"),
        (ForbiddenError("no"), "NetStream.Play.Failed"),
        (LimitedError("full", retry_after_ms=5), "NetStream.Play.Failed"),
    ],
)
def test_every_kind_of_refused_play_has_a_code(error: StreamdError, code: str) -> None:
    assert play_refusal(error) == (code, error.what)
