"""A playlist as bytes, made and compressed once for everybody who is given it."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

_GZIP_LEVEL = 5


class Rendering:
    """A playlist as bytes, at one version and for one query. `wire` is for whoever puts it on a wire to cache in."""

    __slots__ = ("_gzipped", "body", "wire")

    def __init__(self, text: str) -> None:
        self.body = text.encode()
        self.wire: dict[tuple[object, ...], Sequence[bytes]] = {}
        self._gzipped: bytes | None = None

    @property
    def gzipped(self) -> bytes:
        """The same, compressed when first asked for."""
        if self._gzipped is None:
            self._gzipped = gzip.compress(self.body, _GZIP_LEVEL, mtime=0)
        return self._gzipped
