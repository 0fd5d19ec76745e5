"""The values a command may hold: text from outside becomes a value here, or is refused with a sentence."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from uuid import UUID

import msgspec
from email_validator import EmailNotValidError, validate_email

from domain.ids import id_in
from domain.users.events import email_key

EMAIL_LENGTH = 1_000
"""Characters before normalising. What mail can be sent to has at most 254 afterwards."""
NAME_LENGTH = 100
DECOMPOSED_LENGTH = 10 * NAME_LENGTH
"""Characters of a name before normalising. A letter decomposes into four at most."""
KEY_LENGTH = 200
MONEY_LIMIT = 100_000_000_000
"""Minor units: a total must be below one thousand million of the major unit."""

_PLAIN_EMAIL = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[a-z0-9]+(?:[._+-][a-z0-9]+)*@([a-z0-9.-]+)", re.ASCII
)
"""What nearly everybody has: nothing in front of its domain that could be normalised or refused."""

_MONEY = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,2}))?", re.ASCII)

_UNPRINTABLE = {"Cc", "Cs", "Cn", "Co", "Zl", "Zp"}
"""Unicode categories: controls (NUL too), surrogates, unassigned, private use, line breaks.

Format characters (Cf) are not among them: Persian and Indic names use U+200C and U+200D, emoji U+200D, Hebrew
and Arabic text the marks U+200E, U+200F and U+061C.
"""

_DECEPTIVE = re.compile("[\u202a-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
"""Format characters that no name needs and that make other text look different.

Bidirectional embeddings, overrides and isolates reorder what stands after them, U+206A to U+206F are
deprecated, U+FEFF is the byte order mark, U+FFF9 to U+FFFB hide an annotation, tag characters any text.
"""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U0001d159")
"""Letters and symbols that show nothing: Hangul fillers, and blanks of Braille, Egyptian and music."""


class Invalid(ValueError):
    """The text is not such a value; str() says why in a sentence that may be shown to the client."""


class Email(msgspec.Struct, frozen=True, rename={"lower": "key"}):
    """An e-mail address as it is stored."""

    address: str
    lower: str
    """The address in lower case. It was the key once, and fingerprints of commands have it by that name."""

    @property
    def key(self) -> str:
        """What makes the address unique."""
        return email_key(self.address)


def name(text: str) -> str:
    """A person's name: trimmed, in Unicode NFC, 1 to 100 characters, at least one of them visible.

    None is a control or reorders or hides text.
    """
    plain = text.strip(" ")
    if 0 < len(plain) <= NAME_LENGTH and plain.isascii() and plain.isprintable():
        return plain  # nothing in it could be composed, or refused
    if len(text.strip()) > DECOMPOSED_LENGTH:  # normalising many marks takes the square of them
        raise _too_long_a_name()
    trimmed = unicodedata.normalize("NFC", text.strip()).strip()
    if not any(map(_is_visible, trimmed)):
        raise Invalid("The name is empty; give at least one character that can be seen.")
    if len(trimmed) > NAME_LENGTH:
        raise _too_long_a_name()
    if deceptive := _DECEPTIVE.search(trimmed):
        code = f"U+{ord(deceptive[0]):04X}"
        raise Invalid(f"The name holds {code}, which hides or reorders text; remove it.")
    return _printable(trimmed, "name")


def email(text: str) -> Email:
    """An e-mail address by its syntax alone (no network), trimmed, normalised; unique regardless of case."""
    text = text.strip()
    plain = _PLAIN_EMAIL.fullmatch(text)
    if plain and _takes_plain(plain[1]):
        return Email(text, text)
    if len(text) > EMAIL_LENGTH:  # parsing takes 0.25 s for a megabyte, only to refuse it
        raise Invalid("This is longer than an e-mail address can be; shorten it.")
    try:
        address = validate_email(text, check_deliverability=False, strict=True).normalized
    except (EmailNotValidError, UnicodeError) as error:
        raise Invalid("This is not an e-mail address that mail can be sent to.") from error
    return Email(_printable(address, "e-mail address"), address.lower())


@lru_cache(maxsize=1024)
def _takes_plain(domain: str) -> bool:
    """Whether a plain address at this domain is valid and stays as it is.

    Many people share few domains, and looking at one takes twenty times as long as remembering it.
    """
    address = f"a@{domain}"
    try:
        return (
            validate_email(address, check_deliverability=False, strict=True).normalized == address
        )
    except (EmailNotValidError, UnicodeError):
        return False


def money(text: str) -> int:
    """Minor units of a positive decimal string with at most two places: "12.5" is 1250."""
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
    """The decimal string of minor units, always with two places: 1250 is "12.50"."""
    return f"{minor // 100}.{minor % 100:02}"


def identifier(text: str) -> UUID:
    """A UUID in its usual form, 8-4-4-4-12 hexadecimal digits."""
    try:
        return id_in(text)
    except ValueError:
        raise Invalid("An id is a UUID, such as 019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f.") from None


def idempotency_key(text: str) -> str:
    """A key the client made up for one request: 1 to 200 printable characters."""
    if not 1 <= len(text) <= KEY_LENGTH:
        raise Invalid(f"An idempotency key has 1 to {KEY_LENGTH} characters.")
    return _printable(text, "idempotency key")


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK


def _too_long_a_name() -> Invalid:
    return Invalid(f"The name is longer than {NAME_LENGTH} characters; shorten it.")


def _printable(text: str, what: str) -> str:
    if any(unicodedata.category(character) in _UNPRINTABLE for character in text):
        raise Invalid(f"The {what} holds a character that cannot be printed; remove it.")
    return text
