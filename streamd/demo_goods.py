"""What the demo's show sells: six products, made once, with pictures that we draw ourselves.

The goods are there before the node serves; the pictures, which take some seconds of drawing, come while it does. Goods
that somebody has changed since are left as they are.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from streamd.demo import ROOM
from streamd.errors import StreamdError
from streamd.pictures.store import Pictures
from streamd.programme import goods as stills
from streamd.shop.catalogue import NewSku, ProductChange
from streamd.shop.opening import Goods
from streamd.telemetry.log import Log

_OWNER: Final = "host"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ware:
    title: str
    description: str
    variants: tuple[NewSku, ...]
    draw: Callable[[], Image.Image]


_WARES: Final = (
    _Ware(
        title="明前龙井 Longjing tea, 50 g",
        description="清明前手采 · 锅炒。\nPicked by hand before Qingming, roasted in the pan.",
        variants=(NewSku(price_minor=12_800, original_price_minor=16_800, stock=200),),
        draw=stills.tea,
    ),
    _Ware(
        title="粗陶马克杯 Stoneware mug",
        description="手拉坯 · 350 ml。\nThrown by hand, 350 ml.",
        variants=(
            NewSku(name="燕麦 Oat", price_minor=5_900, stock=60),
            NewSku(name="雾蓝 Mist blue", price_minor=6_900, stock=40),
        ),
        draw=stills.mug,
    ),
    _Ware(
        title="真丝方巾 Silk scarf, 90 cm",
        description="100% 桑蚕丝 · 手工卷边。\nMulberry silk, hand-rolled edges.",
        variants=(NewSku(price_minor=29_900, original_price_minor=39_900, stock=80, buyer_limit=2),),
        draw=stills.scarf,
    ),
    _Ware(
        title="无线降噪耳机 Wireless headphones",
        description="主动降噪 · 40 小时续航。\nActive noise cancelling, 40 hours.",
        variants=(NewSku(price_minor=49_900, original_price_minor=69_900, stock=1_500),),
        draw=stills.headphones,
    ),
    _Ware(
        title="香薰蜡烛 Scented candle",
        description="雪松与橙花 · 大豆蜡。\nCedar and orange blossom, soy wax.",
        variants=(NewSku(price_minor=8_900, stock=120),),
        draw=stills.candle,
    ),
    _Ware(
        title="帆布托特包 Canvas tote",
        description="厚帆布 · 海边印花。\nHeavy canvas, printed with the sea.",
        variants=(NewSku(price_minor=7_900, stock=12),),
        draw=stills.tote,
    ),
)


async def seed(goods: Goods, *, pins: bool = False) -> None:
    """Make the goods and put them in the room's list, unless there are any: what was put away counts.

    `pins` makes the first one the card, for a newcomer to see one.
    """
    for status in ("", "archived"):
        if await goods.catalogue.page(owner=_OWNER, status=status, limit=1):
            return
    ids = []
    for ware in _WARES:
        made = await goods.catalogue.create(
            owner=_OWNER, title=ware.title, description=ware.description, variants=ware.variants
        )
        ids.append(made.product.id)
    await goods.shelf.put(ROOM, ids, by=_OWNER)
    if pins:
        await goods.shelf.pin(ROOM, ids[0], by=_OWNER)


async def paint(goods: Goods, *, pictures: Pictures, log: Log) -> None:
    """Draw what has no picture yet and is as it was made. Cancel-safe: yes; the next start draws the rest."""
    draws = {ware.title: ware.draw for ware in _WARES}
    try:
        for ware in await goods.catalogue.page(owner=_OWNER, limit=len(_WARES)):
            product = ware.product
            if product.version == 1 and product.image is None and product.title in draws:
                picture = await pictures.add(await asyncio.to_thread(_drawn, draws[product.title]))
                await goods.catalogue.change(product.id, ProductChange(values={"image": picture}), version=1)
    except StreamdError as error:
        # Somebody changed one meanwhile, or the database is away: the demo goes on without a picture.
        log.warning("demo.paint_failed", code=error.code)


def _drawn(draw: Callable[[], Image.Image]) -> bytes:
    out = io.BytesIO()
    draw().save(out, "PNG", compress_level=1)
    return out.getvalue()
