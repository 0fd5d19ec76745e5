"""Values that commands of any aggregate have: parses text from a client, or raises Invalid."""

from __future__ import annotations

import re
import unicodedata
from uuid import UUID

from domain.ids import Id

MAX_KEY_LENGTH = 200
_ID_LENGTH = 36
MONEY_LIMIT = 100_000_000_000
"""Minor units. A total must be less than this: one thousand million of the major unit."""

_MONEY = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?", re.ASCII)

_UNPRINTABLE = {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}
"""Unicode categories: controls (NUL too), surrogates, unassigned, private use, line breaks.

Format characters (Cf) are allowed: Persian and Indic names use U+200C and U+200D, emoji U+200D, Hebrew and
Arabic text the marks U+200E, U+200F and U+061C.
"""


class Invalid(ValueError):
    """The text is not a valid value; str() is the reason, as a sentence for the client."""


def parse_money(text: str) -> int:
    """Returns the minor units of a positive decimal string with at most two places: "12.5" is 1250."""
    match = _MONEY.fullmatch(text)
    if match is None:
        raise Invalid('Money is a decimal string with at most two places, such as "12.50".')
    minor = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if minor == 0:
        raise Invalid("The amount must be more than zero.")
    if minor >= MONEY_LIMIT:
        raise Invalid(f"The amount must be less than {format_money(MONEY_LIMIT)}.")
    return minor


def format_money(minor: int) -> str:
    """Returns minor units as a decimal string with two places: 1250 is "12.50"."""
    return f"{minor // 100}.{minor % 100:02}"


def parse_identifier(text: str) -> UUID:
    """Returns the UUID in its usual form, 8-4-4-4-12 hexadecimal digits."""
    try:
        # Of another length, the error of Id would hold the whole text. It accepts other forms too.
        if len(text) == _ID_LENGTH and str(parsed := Id(text)) == text.lower():
            return parsed
    except ValueError:
        pass
    raise Invalid("An id is a UUID, such as 019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f.")


def parse_idempotency_key(text: str) -> str:
    """Returns an idempotency key, which the client chooses: 1 to 200 printable characters."""
    if not 1 <= len(text) <= MAX_KEY_LENGTH:
        raise Invalid(f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters.")
    return require_printable(text, "idempotency key")


def require_printable(text: str, what: str) -> str:
    """Returns the text. Raises Invalid if a character of it cannot be printed; `what` is in the message."""
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        raise Invalid(f"The {what} contains a character that cannot be printed; remove it.")
    return text
