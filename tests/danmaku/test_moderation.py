"""Words are found however they are dressed, and innocent words are left alone."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danmaku.moderation import Word, WordList, fold

LIST = WordList(
    [
        Word("敏感词", "block"),
        Word("傻瓜", "mask"),
        Word("加微信", "hold"),
        Word("shit", "mask"),
        Word("ass", "mask"),
        Word("fuck", "block"),
        Word("vx123", "hold"),
        Word("", "block"),
        Word("···", "block"),
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        "敏感词",
        "这是敏感词吧",
        "敏 感 词",
        "敏.感-词",
        "敏\u200b感\u2060词",
        "敏★感☆词",
        "敏敏敏感词",
        "敏感词词词词",
        "fuck",
        "FUCK you",
        "ｆｕｃｋ",
        "f.u.c.k",
        "f u c k",
        "fuuuuck",
        "ffffuck",
        "fuсk",  # Cyrillic es
        "𝒻𝓊𝒸𝓀",
        "fück",
        "f\u200buc\u00adk",
        "你fuck你",
        "f\u0336u\u0336c\u0336k",
    ],
)
def test_dressed_up_word_is_blocked(text: str) -> None:
    assert LIST.judge(text).action == "block"


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "classic",
        "pass",
        "this hit",
        "Scunthorpe",
        "has hit",
        "assets",
        "感敏词",
        "主播好美",
        "666666",
        "哈哈哈哈",
        "",
    ],
)
def test_innocent_text_passes_unchanged(text: str) -> None:
    assert LIST.judge(text) == ("pass", text, ())


def test_mask_covers_the_original_characters_and_nothing_else() -> None:
    assert LIST.judge("你是傻 瓜吗").text == "你是* *吗"
    assert LIST.judge("oh SHIIIT!").text == "oh ******!"
    assert LIST.judge("kick ass, 傻\u200b瓜!").text == "kick ***, ***!"


def test_worst_action_wins_and_the_words_are_named() -> None:
    verdict = LIST.judge("傻瓜，加 微 信")
    assert verdict.action == "hold"
    assert set(verdict.words) == {"傻瓜", "加微信"}
    assert LIST.judge("加微信 fuck").action == "block"


def test_doubled_letters_are_spelling_and_not_decoration() -> None:
    words = WordList([Word("as", "block")])
    assert words.judge("ass").action == "pass"
    assert words.judge("asss").action == "block"


def test_same_word_twice_in_a_list_keeps_the_stricter_action() -> None:
    assert WordList([Word("坏", "mask"), Word("坏", "block"), Word("坏", "hold")]).judge("坏").action == "block"


def test_empty_list_passes_everything() -> None:
    assert len(WordList([])) == 0
    assert WordList([Word("...")]).judge("...").action == "pass"


@settings(max_examples=150)
@given(st.text(max_size=120))
def test_any_text_is_judged_and_a_masked_one_keeps_its_length(text: str) -> None:
    assert len(LIST.judge(text).text) == len(text)


@settings(max_examples=80)
@given(st.text(alphabet="abcdefgh敏感词", max_size=30), st.sampled_from([" ", "\u200b", ".", "\u3000", "\u00ad"]))
def test_separators_between_letters_never_hide_what_was_found(text: str, separator: str) -> None:
    if LIST.judge(text).action == "block":
        assert LIST.judge(separator.join(text)).action == "block"


@settings(max_examples=100)
@given(st.text(max_size=60))
def test_folding_twice_changes_nothing_more(text: str) -> None:
    once = fold(text)
    assert fold(once) == once or not once.isascii()


def test_a_message_costs_less_than_fifty_microseconds() -> None:
    chance = random.Random(7)
    letters = [chr(code) for code in range(0x4E00, 0x4E00 + 3_000)]
    words = WordList([Word("".join(chance.choices(letters, k=chance.randint(2, 5)))) for _ in range(20_000)])
    messages = ["".join(chance.choices(letters, k=100)) for _ in range(500)]
    messages += ["哈哈哈哈哈 主播 666666 " + "买它！" * 20 for _ in range(100)]
    for message in messages:
        words.judge(message)
    best_ns = 10**12
    for _ in range(3):
        begun = time.process_time_ns()
        for message in messages:
            words.judge(message)
        best_ns = min(best_ns, (time.process_time_ns() - begun) // len(messages))
    assert best_ns < 50_000
