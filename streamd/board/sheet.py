"""The figures of a programme as a table for people: CSV as Excel reads it, headed in Chinese or English. Pure.

Three tables below each other, with an empty line between: the whole, its products, its minutes. Money in whole units
of the currency, times in ISO 8601 and UTC. A text that a spreadsheet would take for a formula is quoted by an
apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

from streamd.board.figures import Figures, Sold

Language = Literal["zh", "en"]
# Excel takes a file without it for one in the machine's old code page.
_BOM: Final = "\ufeff"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
# Currencies whose smallest unit is the whole one (ISO 4217).
_WITHOUT_FRACTION: Final = frozenset({"JPY", "KRW", "VND"})

_WORDS: Final[dict[str, tuple[str, str]]] = {
    "room": ("直播间", "Room"),
    "title": ("标题", "Title"),
    "started": ("开播时间", "Started"),
    "ended": ("下播时间", "Ended"),
    "viewers": ("观看人数", "Unique viewers"),
    "visits": ("观看次数", "Visits"),
    "watch": ("人均观看时长(秒)", "Average watch time (s)"),
    "peak": ("最高在线", "Peak online"),
    "likes": ("点赞数", "Likes"),
    "messages": ("弹幕数", "Messages"),
    "exposures": ("商品卡曝光次数", "Card exposures"),
    "clicks": ("商品卡点击次数", "Card clicks"),
    "orders": ("下单数", "Orders"),
    "buyers": ("下单人数", "Buyers"),
    "units": ("件数", "Units"),
    "paid_orders": ("支付订单数", "Paid orders"),
    "refunds": ("退款数", "Refunds"),
    "ordered_minor": ("下单金额", "GMV ordered"),
    "paid_minor": ("支付金额", "GMV paid"),
    "refunded_minor": ("退款金额", "Refunded"),
    "product": ("商品", "Product"),
    "product_id": ("商品编号", "Product id"),
    "minute": ("分钟", "Minute"),
    "online": ("在线人数", "Online"),
    "came": ("进入人次", "Came"),
}
_SOLD: Final = ("exposures", "clicks", "orders", "buyers", "units", "paid_orders", "refunds")
_MONEY: Final = ("ordered_minor", "paid_minor", "refunded_minor")


def sheet(figures: Figures, language: Language) -> bytes:
    """UTF-8 with its mark, lines ended by CR LF."""
    out = io.StringIO()
    out.write(_BOM)
    writer = csv.writer(out)
    currencies = sorted(figures.money)
    for row in _tables(figures, currencies, 0 if language == "zh" else 1):
        writer.writerow([_plain(cell) for cell in row])
    return out.getvalue().encode()


def _tables(figures: Figures, currencies: Sequence[str], language: int) -> Iterable[Sequence[object]]:
    def heads(*names: str) -> list[str]:
        return [_WORDS[name][language] for name in names]

    money_heads = [f"{head} ({currency})" for currency in currencies for head in heads(*_MONEY)]
    show = figures.show
    names = ("room", "title", "started", "ended", "viewers", "visits", "watch", "peak", "likes", "messages")
    seconds = round(figures.watch_ms / 1_000 / figures.viewers) if figures.viewers else 0
    yield [*heads(*names, *_SOLD), *money_heads]
    yield [
        *(show.room, show.title, _time(show.started_at_ms), _time(show.ended_at_ms)),
        *(figures.viewers, figures.visits, seconds, figures.peak, figures.likes, figures.messages),
        *_sold(figures, currencies),
    ]
    yield []
    yield [*heads("product_id", "product", *_SOLD), *money_heads]
    for product in figures.products:
        yield [product.id, product.title, *_sold(product, currencies)]
    yield []
    yield [*heads("minute", "online", "came", "likes", "messages", *_SOLD), *money_heads]
    for minute in figures.minutes:
        counted = (minute.online_peak, minute.came, minute.likes, minute.messages)
        yield [_time(minute.at_ms), *counted, *_sold(minute, currencies)]


def _sold(sold: Sold, currencies: Sequence[str]) -> list[object]:
    cells: list[object] = [getattr(sold, name) for name in _SOLD]
    for currency in currencies:
        money = sold.money.get(currency)
        cells += [_amount(getattr(money, name) if money else 0, currency) for name in _MONEY]
    return cells


def _amount(minor: int, currency: str) -> str:
    return str(minor) if currency in _WITHOUT_FRACTION else f"{minor // 100}.{minor % 100:02}"


def _time(at_ms: int | None) -> str:
    return "" if at_ms is None else datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
