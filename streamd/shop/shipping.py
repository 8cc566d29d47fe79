"""Where a parcel goes: sealed before it is stored, opened for the buyer and the room's host only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from streamd.shop.order_ports import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipping:
    """What the law calls personal data."""

    recipient: str
    phone: str
    address: str


class ShippingBook:
    """Seals and opens. What is sealed for one order cannot be moved to another."""

    def __init__(self, *, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, shipping: Shipping | None, *, number: str) -> str | None:
        """For the column of the order of this number."""
        if shipping is None:
            return None
        text = json.dumps(asdict(shipping), ensure_ascii=False)
        return self._sealer.seal_text(text, place=_place(number))

    def open(self, sealed: str | None, *, number: str) -> Shipping | None:
        """What was sealed for it. Raises SettingsError where the key is another one."""
        if sealed is None:
            return None
        return Shipping(**json.loads(self._sealer.open_text(sealed, place=_place(number))))


def _place(number: str) -> str:
    return f"orders.shipping.{number}"
