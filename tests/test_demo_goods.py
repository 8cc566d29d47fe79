"""The goods of the demo: made once, painted once, left alone when somebody changed them."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image, ImageStat

from streamd import demo, demo_goods
from streamd.db.engine import open_engine
from streamd.db.migrate import upgrade
from streamd.pictures.store import Pictures
from streamd.programme import goods as stills
from streamd.shop.catalogue import ProductChange
from streamd.telemetry.log import get_log
from tests.support.accounts import accounts_over
from tests.support.clock import FakeClock
from tests.support.shop import Shop


async def test_six_goods_with_pictures_are_in_the_list_and_stay_as_somebody_left_them(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/streamd.db"
    await asyncio.to_thread(upgrade, url)
    engine, clock = open_engine(url), FakeClock()
    await demo.seed(accounts_over(engine, clock=clock, data_dir=tmp_path))
    shop, pictures = Shop(engine, clock), Pictures(engine=engine, clock=clock)
    await demo_goods.seed(shop.goods)
    first = (await shop.goods.shelf.listing("demo")).wares[0].product
    await shop.goods.catalogue.change(first.id, ProductChange(values={"title": "Mine"}))
    for _ in range(2):
        await demo_goods.seed(shop.goods)
        await demo_goods.paint(shop.goods, pictures=pictures, log=get_log("test"))
    wares = (await shop.goods.shelf.listing("demo")).wares
    assert [ware.product.currency for ware in wares] == ["CNY"] * 6
    assert [ware.product.image is not None for ware in wares] == [False, *[True] * 5]
    assert len({ware.product.image for ware in wares}) == 6
    jpeg = await pictures.get(wares[1].product.image or "")
    assert Image.open(io.BytesIO(jpeg or b"")).size == (stills.SIDE_PX, stills.SIDE_PX)
    await engine.dispose()


@pytest.mark.parametrize("draw", [stills.tea, stills.candle])
def test_still_is_a_picture_with_light_and_shade(draw: object) -> None:
    assert callable(draw)
    picture = draw()
    assert (picture.mode, picture.size) == ("RGB", (stills.SIDE_PX, stills.SIDE_PX))
    assert min(ImageStat.Stat(picture).stddev) > 20
