"""Opus out of RTP: a payload is a packet is a frame.

Whatever a peer records, the format is 48 kHz and two channels on the wire (RFC 7587 4.1 and 7): so is the track.
"""

from __future__ import annotations

from streamd.media import opus
from streamd.media.tracks import AudioTrack

# Identification header (RFC 7845 5.1): version 1, two channels, no pre-skip (a live stream has no beginning to trim),
# 48 000 Hz, no gain, mapping family 0.
_HEAD = b"OpusHead" + bytes((1, 2, 0, 0, 0x80, 0xBB, 0, 0, 0, 0, 0))


def track() -> AudioTrack:
    """The track of every Opus stream that comes by RTP."""
    return opus.track_from_head(_HEAD)
