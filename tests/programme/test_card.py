"""The card shows the moment it was drawn for, to people and to machines."""

from __future__ import annotations

import pytest
from PIL import ImageChops

from streamd.programme import strip
from streamd.programme.card import TestCard
from streamd.programme.planes import Planes

NOON = 1_795_176_000  # 2026-11-20 12:00:00 UTC, in seconds


def moment(picture: Planes) -> int | None:
    width, height = picture.y.size
    return strip.read_luma(picture.y.tobytes(), width=width, height=height, stride=width)


@pytest.fixture(scope="module")
def card() -> TestCard:
    return TestCard(width=640, height=360, fps=30)


def test_every_frame_says_when_it_is(card: TestCard) -> None:
    first = NOON * 30
    for number in range(first, first + 45):
        assert moment(card.draw(number)) == card.utc_ms(number) == number * 1000 // 30


@pytest.mark.parametrize(("width", "height", "fps"), [(1280, 720, 30), (854, 480, 25), (426, 240, 60)])
def test_any_even_size_can_be_drawn(width: int, height: int, fps: int) -> None:
    card = TestCard(width=width, height=height, fps=fps)
    picture = card.draw(NOON * fps + 7)
    assert picture.y.size == (width, height)
    assert picture.u.size == picture.v.size == (width // 2, height // 2)
    assert moment(picture) == NOON * 1000 + 7 * 1000 // fps


def test_the_disc_is_lit_on_the_full_second_and_dark_before_the_next(card: TestCard) -> None:
    left, top, right, bottom = 490, 103, 590, 203  # the ring's box at half of 1280×720
    middle = ((left + right) // 2, (top + bottom) // 2)
    brightness = [card.draw(NOON * 30 + phase).y.getpixel(middle) for phase in range(30)]
    assert all(level > 150 for level in brightness[:3])
    assert all(level < 80 for level in brightness[15:])


def test_a_picture_does_not_depend_on_what_was_drawn_before(card: TestCard) -> None:
    fresh = TestCard(width=640, height=360, fps=30).draw(NOON * 30 + 61).copy()
    card.draw(NOON * 30 - 5_000_000)
    card.draw(NOON * 30 + 17)
    for plane, other in zip(fresh, card.draw(NOON * 30 + 61), strict=True):
        assert ImageChops.difference(plane, other).getbbox() is None
