"""The figures for a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest

from streamd.board.figures import Figures, MinuteFigures, Money, ProductFigures, Show
from streamd.board.sheet import Language, sheet

SHOW = Show(
    id=7,
    room="demo",
    title="=SUM(A1:A9)",
    started_at_ms=1_800_000_000_000,
    ended_at_ms=None,
    until_ms=1_800_000_600_000,
)


def figures() -> Figures:
    money = {"CNY": Money(ordered_minor=1_990, paid_minor=5, refunded_minor=0), "JPY": Money(ordered_minor=300)}
    return Figures(
        show=SHOW,
        viewers=3,
        watch_ms=10_000,
        orders=2,
        money=money,
        products=[ProductFigures(id=1, title='短袖 "M", 白', orders=2, money=money)],
        minutes=[MinuteFigures(at_ms=1_800_000_000_000, came=3)],
    )


def read(language: Language) -> list[list[str]]:
    data = sheet(figures(), language)
    assert data.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize(
    ("language", "viewers", "ordered"),
    [("zh", "观看人数", "下单金额 (CNY)"), ("en", "Unique viewers", "GMV ordered (CNY)")],
)
def test_headings_are_in_the_readers_language(language: Language, viewers: str, ordered: str) -> None:
    heads = read(language)[0]
    assert viewers in heads
    assert ordered in heads


def test_three_tables_stand_below_each_other() -> None:
    rows = read("en")
    whole, products, minutes = rows[:2], rows[3:5], rows[6:8]
    assert (rows[2], rows[5]) == ([], [])
    for heads, cells in (whole, products, minutes):
        assert len(heads) == len(cells)
    assert dict(zip(*products, strict=True))["Product"] == '短袖 "M", 白'
    assert dict(zip(*minutes, strict=True))["Minute"] == "2027-01-15T08:00:00Z"


def test_money_is_in_whole_units_and_time_in_seconds() -> None:
    cells = dict(zip(*read("en")[:2], strict=True))
    assert (cells["GMV ordered (CNY)"], cells["GMV paid (CNY)"], cells["GMV ordered (JPY)"]) == ("19.90", "0.05", "300")
    assert (cells["Average watch time (s)"], cells["Ended"]) == ("3", "")


def test_title_is_never_a_formula() -> None:
    assert dict(zip(*read("en")[:2], strict=True))["Title"] == "'=SUM(A1:A9)"
