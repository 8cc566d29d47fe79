"""Where things are to be found from outside, as answers name them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel


class StreamKeyView(BaseModel):
    """What goes into an encoder. The key is shown this once."""

    room: str
    stream_key: str
    rtmp_url: str
    whip_url: str
    watch_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """`origin` is `https://host`, `rtmp_url` what an encoder calls its server."""

    origin: str
    rtmp_url: str

    def with_key(self, room: str, key: str) -> StreamKeyView:
        """All that an encoder needs."""
        return StreamKeyView(
            room=room,
            stream_key=key,
            rtmp_url=self.rtmp_url,
            whip_url=f"{self.origin}/whip/{room}",
            watch_url=f"{self.origin}/watch/{room}",
        )

    def picture(self, name: str) -> str:
        """A picture by its id."""
        return f"{self.origin}{picture_path(name)}"


def picture_path(name: str) -> str:
    """Where a picture is on this server, by its id."""
    return f"/pictures/{name}.jpg"
