"""What people may write into a line of text, and how accounts are named."""

from __future__ import annotations

import re
import unicodedata

from streamd.errors import InvalidError

UNFIT = {"Cc", "Cs", "Zl", "Zp"}  # control characters, lone surrogates, line and paragraph separators
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,31}")
# What addresses and the audit log call somebody by.
RESERVED = frozenset({"me", "all", "guest", "operator"})
# Mainland mobile numbers without a prefix, everything else as E.164.
_PHONE = re.compile(r"\+[1-9]\d{6,14}|1\d{10}")


def check_text(what: str, text: str, limit: int, *, code: str) -> str:
    """`text`, if it fits on a line. Raises InvalidError."""
    # Not str.isprintable(): that refuses the joiners inside emoji.
    if len(text) <= limit and not any(unicodedata.category(character) in UNFIT for character in text):
        return text
    raise InvalidError(
        f"this {what} cannot be used",
        why=f"a {what} is at most {limit} characters, without line breaks and control characters",
        fix="shorten it, or remove what cannot be printed",
        code=code,
    )


def is_account_name(text: str) -> bool:
    """Whether an account could have this name: asked before any query."""
    return _NAME.fullmatch(text) is not None


def check_account_name(text: str) -> str:
    """`text`, if an account could have this name. Raises InvalidError."""
    if is_account_name(text) and text not in RESERVED:
        return text
    raise InvalidError(
        f"an account cannot be called {text[:64]!r}",
        why="a name is 2 to 32 lower-case letters, digits, dots, dashes and underscores, and begins with one of the "
        "first two",
        fix="choose a name like mei.lin; what others read is the display name, which may be anything",
        code="account_name",
    )


def normal_phone(text: str) -> str:
    """A phone number as it is stored and looked for: digits, with + and country code. Raises InvalidError."""
    bare = re.sub(r"[\s().-]", "", unicodedata.normalize("NFKC", text))
    if bare.startswith("00"):
        bare = f"+{bare[2:]}"
    if not _PHONE.fullmatch(bare):
        raise InvalidError(
            "this is not a phone number",
            why="it is neither a mobile number of eleven digits nor one that begins with + and the country's code",
            fix="write it like +86 138 1234 5678",
            code="phone",
        )
    return bare if bare.startswith("+") else f"+86{bare}"
