"""Errors that say what went wrong, why, how to mend it, and whose fault it was.

Every failure that can reach a person is a `StreamdError`. Domain code raises the *kind*; the border (API, RTMP, CLI)
decides what that kind looks like on its wire: an HTTP status, an onStatus code, an exit code. Nothing here knows HTTP.
"""

from __future__ import annotations


class StreamdError(Exception):
    """A failure with its explanation.

    `what` is one sentence for a person; `why` the cause; `fix` the command or the change that mends it;
    `code` a stable snake_case word for programs.
    """

    code = "internal"

    def __init__(self, what: str, *, why: str = "", fix: str = "", code: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        if code is not None:
            self.code = code

    def one_line(self) -> str:
        """`what: why. Fix: fix`: the form for a terminal or a log."""
        line = f"{self.what}: {self.why}" if self.why else self.what
        return f"{line.rstrip('.')}. Fix: {self.fix}" if self.fix else line


class InvalidError(StreamdError):
    """The caller sent something that cannot be meant as it stands."""

    code = "invalid"


class UnauthenticatedError(StreamdError):
    """Nobody is signed in, or the credential is not valid (any more)."""

    code = "unauthenticated"


class ForbiddenError(StreamdError):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFoundError(StreamdError):
    """What the caller names does not exist. `retry_after_ms` is set where it may exist soon (a room not yet live)."""

    code = "not_found"

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        fix: str = "",
        code: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(what, why=why, fix=fix, code=code)
        self.retry_after_ms = retry_after_ms


class ConflictError(StreamdError):
    """The state of the thing does not allow this now."""

    code = "conflict"


class LimitedError(StreamdError):
    """Too much or too often. The caller may try again after `retry_after_ms`."""

    code = "limited"

    def __init__(
        self, what: str, *, retry_after_ms: int, why: str = "", fix: str = "", code: str | None = None
    ) -> None:
        super().__init__(what, why=why, fix=fix, code=code)
        self.retry_after_ms = retry_after_ms


class UnavailableError(StreamdError):
    """A part we depend on is away. The caller may try again after `retry_after_ms`."""

    code = "unavailable"

    def __init__(
        self, what: str, *, why: str = "", fix: str = "", code: str | None = None, retry_after_ms: int = 1_000
    ) -> None:
        super().__init__(what, why=why, fix=fix, code=code)
        self.retry_after_ms = retry_after_ms


class SettingsError(StreamdError):
    """The operator's configuration cannot work as written."""

    code = "settings"


class ProtocolError(StreamdError):
    """A peer broke the rules of its protocol: its session ends, nothing else does."""

    code = "protocol"
