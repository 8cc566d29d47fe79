"""A reviewer behind a webhook: one POST a message, JSON both ways. Who asks keeps the time (200 ms).

Request: `{"room", "user": {"id", "name", "role"}, "text"}`. Answer: 200 with `{"verdict": "allow"|"deny", "reason"?}`;
anything else is silence, and the room's policy decides.
"""

from __future__ import annotations

import orjson
from aiohttp import ClientError, ClientSession

from danmaku.conduct import Identity
from danmaku.ports import ReviewVerdict

_MAX_ANSWER_BYTES = 4_096


class WebhookReviewer:
    """Implements Reviewer. The session is the caller's, to make and to close."""

    def __init__(self, url: str, *, session: ClientSession) -> None:
        self._url = url
        self._session = session
        self.silences = 0

    async def __call__(self, *, room: str, person: Identity, text: str) -> ReviewVerdict | None:
        """See Reviewer."""
        user = {"id": person.id, "name": person.name, "role": person.role}
        body = orjson.dumps({"room": room, "user": user, "text": text})
        try:
            async with self._session.post(
                self._url, data=body, headers={"Content-Type": "application/json"}, allow_redirects=False
            ) as answer:
                said = await answer.content.read(_MAX_ANSWER_BYTES)
                verdict = _verdict(said) if answer.status == 200 else None
        except (ClientError, OSError):
            verdict = None
        if verdict is None:
            self.silences += 1
        return verdict


def _verdict(body: bytes) -> ReviewVerdict | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or said.get("verdict") not in ("allow", "deny"):
        return None
    return ReviewVerdict(action=said["verdict"], reason=str(said.get("reason", ""))[:200])
