"""The values of commands: parses text from a client, or raises Invalid with a message for the client."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from uuid import UUID

import msgspec
from email_validator import EmailNotValidError, validate_email

from domain.ids import parse_id
from domain.users.events import email_key

MAX_EMAIL_LENGTH = 1_000
"""Characters before normalization. A deliverable address has at most 254 afterwards."""
MAX_NAME_LENGTH = 100
MAX_DECOMPOSED_LENGTH = 10 * MAX_NAME_LENGTH
"""Characters of a name before normalization. A letter decomposes into four at most."""
MAX_KEY_LENGTH = 200
MONEY_LIMIT = 100_000_000_000
"""Minor units. A total must be less than this: one thousand million of the major unit."""

_PLAIN_EMAIL = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[a-z0-9]+(?:[._+-][a-z0-9]+)*@([a-z0-9.-]+)", re.ASCII
)
"""Matches most addresses: their local part is valid and already normalized."""

_MONEY = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?", re.ASCII)

_UNPRINTABLE = {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}
"""Unicode categories: controls (NUL too), surrogates, unassigned, private use, line breaks.

Format characters (Cf) are allowed: Persian and Indic names use U+200C and U+200D, emoji U+200D, Hebrew and
Arabic text the marks U+200E, U+200F and U+061C.
"""

_DECEPTIVE = re.compile("[\u202a-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
"""Format characters that no name needs and that change how other text is displayed.

Bidirectional embeddings, overrides and isolates reorder the text that follows, U+206A to U+206F are
deprecated, U+FEFF is the byte order mark, U+FFF9 to U+FFFB hide an annotation, tag characters hide any text.
"""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U0001d159")
"""Invisible letters and symbols: Hangul fillers, and blanks of Braille, Egyptian and musical notation."""


class Invalid(ValueError):
    """The text is not a valid value; str() is the reason, as a sentence for the client."""


class Email(msgspec.Struct, frozen=True, rename={"lower": "key"}):
    """An e-mail address, normalized, as it is stored."""

    address: str
    lower: str
    """The address in lower case. Request digests contain it as `key`, which it was in earlier versions."""

    @property
    def key(self) -> str:
        """The key by which the address is unique."""
        return email_key(self.address)


def parse_name(text: str) -> str:
    """Returns a person's name: trimmed, in Unicode NFC, 1 to 100 characters, at least one of them visible.

    Control characters and characters that reorder or hide text are rejected.
    """
    plain = text.strip(" ")
    if 0 < len(plain) <= MAX_NAME_LENGTH and plain.isascii() and plain.isprintable():
        return plain  # nothing in it could be normalized or rejected
    if len(text.strip()) > MAX_DECOMPOSED_LENGTH:  # normalizing many marks takes quadratic time
        raise _name_too_long()
    trimmed = unicodedata.normalize("NFC", text.strip()).strip()
    if not any(map(_is_visible, trimmed)):
        raise Invalid("The name is empty; enter at least one visible character.")
    if len(trimmed) > MAX_NAME_LENGTH:
        raise _name_too_long()
    if deceptive := _DECEPTIVE.search(trimmed):
        code = f"U+{ord(deceptive[0]):04X}"
        raise Invalid(f"The name contains {code}, which hides or reorders text; remove it.")
    return _require_printable(trimmed, "name")


def parse_email(text: str) -> Email:
    """Returns an e-mail address, trimmed and normalized. Checks its syntax only, without network access."""
    text = text.strip()
    plain = _PLAIN_EMAIL.fullmatch(text)
    if plain and _is_plain_domain(plain[1]):
        return Email(text, text)
    if len(text) > MAX_EMAIL_LENGTH:  # parsing a megabyte takes 0.25 s
        raise Invalid("The e-mail address is longer than any valid one; shorten it.")
    try:
        address = validate_email(text, check_deliverability=False, strict=True).normalized
    except (EmailNotValidError, UnicodeError) as error:
        raise Invalid("This is not an e-mail address that mail can be sent to.") from error
    return Email(_require_printable(address, "e-mail address"), address.lower())


@lru_cache(maxsize=1024)
def _is_plain_domain(domain: str) -> bool:
    """Returns whether a plain address at this domain is valid and already normalized.

    Cached, because most users share a few domains, and a check takes twenty times as long as a cache hit.
    """
    address = f"a@{domain}"
    try:
        return (
            validate_email(address, check_deliverability=False, strict=True).normalized == address
        )
    except (EmailNotValidError, UnicodeError):
        return False


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
        return parse_id(text)
    except ValueError:
        raise Invalid("An id is a UUID, such as 019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f.") from None


def parse_idempotency_key(text: str) -> str:
    """Returns an idempotency key, which the client chooses: 1 to 200 printable characters."""
    if not 1 <= len(text) <= MAX_KEY_LENGTH:
        raise Invalid(f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters.")
    return _require_printable(text, "idempotency key")


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK


def _name_too_long() -> Invalid:
    return Invalid(f"The name is longer than {MAX_NAME_LENGTH} characters; shorten it.")


def _require_printable(text: str, what: str) -> str:
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        raise Invalid(f"The {what} contains a character that cannot be printed; remove it.")
    return text
