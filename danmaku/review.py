"""A reviewer behind a webhook: one signed POST a message, JSON both ways. Who asks keeps the time (200 ms).

Request: `{"room", "id", "user": {"id", "name", "role"}, "text"}`. Answer: 200 with `{"verdict": "allow"|"deny",
"reason"?}`; anything else is silence, and the room's policy decides. A verdict that comes to mind later is carried out
by taking the message `id` back.

`Streamd-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 by the shared secret over `SECONDS`, a full stop and the
body, as sent: the service knows who asks, and refuses what was recorded and played again by the age of SECONDS.
"""

from __future__ import annotations

import hmac
from typing import Final

import orjson
from aiohttp import ClientError, ClientSession, DummyCookieJar

from danmaku.conduct import Identity
from danmaku.ports import ReviewVerdict
from streamd.clock import Clock

SIGNATURE_HEADER: Final = "Streamd-Signature"
_MAX_ANSWER_BYTES: Final = 4_096


class WebhookReviewer:
    """Implements Reviewer. Made inside a running loop; `aclose` when nobody asks any more."""

    def __init__(self, url: str, *, secret: str, clock: Clock) -> None:
        self._url = url
        self._secret = secret.encode()
        self._clock = clock
        self._session = ClientSession(cookie_jar=DummyCookieJar())

    async def __call__(self, *, room: str, message_id: str, person: Identity, text: str) -> ReviewVerdict | None:
        """See Reviewer."""
        user = {"id": person.id, "name": person.name, "role": person.role}
        body = orjson.dumps({"room": room, "id": message_id, "user": user, "text": text})
        seconds = self._clock.utc_ms() // 1_000
        headers = {
            "Content-Type": "application/json",
            SIGNATURE_HEADER: f"t={seconds},v1={signature(self._secret, seconds, body)}",
        }
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return _verdict(await answer.content.read(_MAX_ANSWER_BYTES)) if answer.status == 200 else None
        except (ClientError, OSError):
            return None

    async def aclose(self) -> None:
        """Let go of the connections. Cancel-safe: no."""
        await self._session.close()


def signature(secret: bytes, seconds: int, body: bytes) -> str:
    """What `v1=` of the header holds."""
    return hmac.new(secret, b"%d.%b" % (seconds, body), "sha256").hexdigest()


def _verdict(body: bytes) -> ReviewVerdict | None:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or said.get("verdict") not in ("allow", "deny"):
        return None
    return ReviewVerdict(action=said["verdict"], reason=str(said.get("reason", ""))[:200])
