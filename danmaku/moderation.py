"""Words: what a message really says, and whether a room wants it said.

In: a text and a compiled word list. Out: pass, mask, hold or block, and the text to show. A message is folded before it
is searched: NFKC, case, full width, zero width, separators, marks, look-alike letters; letters repeated three times or
more are tried once and twice. Words are folded the same way, so a list holds plain words only.

A Latin word counts only as a word ("classic" holds no insult, "c.l.a.s.s" may be one); Chinese has no such borders, so
a Chinese word counts anywhere. No I/O and no time here. Cost: under 50 µs for a message of 100 characters against
20 000 words, measured in tests/danmaku/test_moderation.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from ahocorasick_rs import AhoCorasick, MatchKind

Action = Literal["pass", "mask", "hold", "block"]
_SEVERITY: Final[dict[Action, int]] = {"pass": 0, "mask": 1, "hold": 2, "block": 3}

# Letters of other scripts that look Latin, and the digits and signs that stand in for letters.
_LOOKALIKES: Final = str.maketrans(
    "асеорхукмнтвіјѕɡαβεοριτυνκχıø0134578@$€",
    "aceopxykmhtbijsgabeopituvkxioo" + "ieastbas" + "e",
)
# Characters that are drawn as nothing but are no mark or format character by category.
_BLANKS: Final = frozenset("\u115f\u1160\u3164\uffa0\u2800\u00ad")
_MAX_CACHED: Final = 65_536
_RUN: Final = re.compile(r"(.)\1\1", re.DOTALL)
_RUNS: Final = re.compile(r"(.)\1\1+", re.DOTALL)


class _Fold(dict[int, str]):
    """Code point to what is searched for it, "" for what is not searched at all. Filled as characters are met."""

    def __missing__(self, code: int) -> str:
        folded = "".join(_fold_one(char) for char in unicodedata.normalize("NFKC", chr(code)).casefold())
        if len(self) < _MAX_CACHED:
            self[code] = folded
        return folded


def _fold_one(char: str) -> str:
    if char in _BLANKS:
        return ""
    char = char.translate(_LOOKALIKES)
    if unicodedata.category(char)[0] in "ZPSCM":
        return ""
    plain = unicodedata.normalize("NFD", char)[0]
    return plain.translate(_LOOKALIKES) if plain.isascii() else char


_FOLD: Final = _Fold()


def fold(text: str) -> str:
    """The searchable form of a text."""
    return text.translate(_FOLD)


def _is_zero_width(char: str) -> bool:
    return char in _BLANKS or unicodedata.category(char) in {"Cf", "Mn", "Me", "Cc", "Cn", "Co"}


class Word(NamedTuple):
    """One entry of a list."""

    text: str
    action: Action = "block"


class Judgement(NamedTuple):
    """What the list says of a message. `text` is the message as it may be shown; `words` those that were found."""

    action: Action
    text: str
    words: tuple[str, ...] = ()


class _Form(NamedTuple):
    """A folded text and, for each of its characters, where in the original it came from."""

    folded: str
    origin: Sequence[int]


class WordList:
    """A compiled list. Building costs about 1 µs a word; judging does not depend on the number of words."""

    def __init__(self, words: Iterable[Word]) -> None:
        known: dict[str, Word] = {}
        for word in words:
            folded = fold(word.text)
            if not folded:
                continue
            other = known.get(folded)
            if other is None or _SEVERITY[word.action] > _SEVERITY[other.action]:
                known[folded] = word
        self._words = list(known.values())
        self._is_latin = [folded.isascii() for folded in known]
        self._automaton = AhoCorasick(list(known), matchkind=MatchKind.Standard) if known else None

    def __len__(self) -> int:
        return len(self._words)

    def judge(self, text: str) -> Judgement:
        """Search one message. Never raises."""
        automaton = self._automaton
        if automaton is None:
            return Judgement("pass", text)
        folded = fold(text)
        if _RUN.search(folded) is None and not automaton.find_matches_as_indexes(folded, overlapping=True):
            return Judgement("pass", text)
        return self._judge_closely(text)

    def _judge_closely(self, text: str) -> Judgement:
        origin = [index for index, char in enumerate(text) for _ in _FOLD[ord(char)]]
        plain = _Form(fold(text), origin)
        forms = [plain]
        if _RUN.search(plain.folded) is not None:
            forms += [_squeeze(plain, 1), _squeeze(plain, 2)]
        worst: Action = "pass"
        spans: list[tuple[int, int]] = []
        found: dict[str, None] = {}
        for form in forms:
            for word, first, last in self._matches(text, form):
                found[word.text] = None
                spans.append((first, last))
                if _SEVERITY[word.action] > _SEVERITY[worst]:
                    worst = word.action
        if worst == "mask":
            text = _masked(text, spans)
        return Judgement(worst, text, tuple(found))

    def _matches(self, text: str, form: _Form) -> list[tuple[Word, int, int]]:
        assert self._automaton is not None
        found = []
        for index, start, end in self._automaton.find_matches_as_indexes(form.folded, overlapping=True):
            if self._is_latin[index] and not (_opens(text, form, start) and _closes(text, form, end)):
                continue
            found.append((self._words[index], form.origin[start], form.origin[end - 1]))
        return found


def judge_by(lists: Iterable[WordList], text: str) -> Judgement:
    """By several lists at once: the strictest of them decides, and each masks what it knows."""
    worst: Action = "pass"
    words: dict[str, None] = {}
    for each in lists:
        judgement = each.judge(text)
        if _SEVERITY[judgement.action] > _SEVERITY[worst]:
            worst = judgement.action
        if judgement.action == "mask":
            text = judgement.text
        words |= dict.fromkeys(judgement.words)
    return Judgement(worst, text, tuple(words))


def _squeeze(form: _Form, keep: int) -> _Form:
    """Runs of three and more cut to `keep` letters: "fuuuck" is tried as "fuck" and as "fuuck"."""
    folded: list[str] = []
    origin: list[int] = []
    at = 0
    for run in _RUNS.finditer(form.folded):
        folded.append(form.folded[at : run.start() + keep])
        origin += form.origin[at : run.start() + keep]
        at = run.end()
    folded.append(form.folded[at:])
    origin += form.origin[at:]
    return _Form("".join(folded), origin)


def _opens(text: str, form: _Form, start: int) -> bool:
    if start == 0:
        return True
    return _is_border(text, form, start - 1, form.folded[start - 1])


def _closes(text: str, form: _Form, end: int) -> bool:
    if end == len(form.folded):
        return True
    return _is_border(text, form, end - 1, form.folded[end])


def _is_border(text: str, form: _Form, before: int, neighbour: str) -> bool:
    """Whether a Latin word may begin or end between folded characters `before` and `before + 1`."""
    if not neighbour.isascii():
        return True
    between = text[form.origin[before] + 1 : form.origin[before + 1]]
    return any(not _is_zero_width(char) for char in between)


def _masked(text: str, spans: list[tuple[int, int]]) -> str:
    chars = list(text)
    for first, last in spans:
        for index in range(first, last + 1):
            if not chars[index].isspace():
                chars[index] = "*"
    return "".join(chars)
