"""What the packager refuses, and why."""

from __future__ import annotations

from streamd.errors import InvalidError


class AheadOfLiveError(InvalidError):
    """A viewer asks for media further in the future than live playback can mean (RFC 8216bis 6.2.5.2)."""

    code = "hls_ahead_of_live"
