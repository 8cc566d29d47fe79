"""WHIP: publishing by WebRTC, encoded frames passed through (RFC 9725)."""
