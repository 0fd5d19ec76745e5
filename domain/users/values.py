"""The values of commands on users: parses text from a client, or raises Invalid."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import msgspec
from email_validator import EmailNotValidError, validate_email

from domain.users.events import email_key, name_key
from domain.value_parsing import Invalid, require_printable

MAX_EMAIL_LENGTH = 1_000
"""Characters before normalization. A deliverable address has at most 254 afterwards."""
MAX_NAME_LENGTH = 100
MAX_DECOMPOSED_LENGTH = 10 * MAX_NAME_LENGTH
"""Characters of a name before normalization. A letter decomposes into four at most."""

_PLAIN_EMAIL = re.compile(
    r"(?=.{3,254}\Z)(?=[^@]{1,64}@)[a-z0-9]+(?:[._+-][a-z0-9]+)*@([a-z0-9.-]+)", re.ASCII
)
"""Matches most addresses: their local part is valid and already normalized."""

_DECEPTIVE = re.compile("[\u202a-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")
"""Format characters that no name needs and that change how other text is displayed.

Bidirectional embeddings, overrides and isolates reorder the text that follows, U+206A to U+206F are
deprecated, U+FEFF is the byte order mark, U+FFF9 to U+FFFB hide an annotation, tag characters hide any text.
"""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0\U00013441\U00013442\U0001d159")
"""Invisible letters and symbols: Hangul fillers, and blanks of Braille, Egyptian and musical notation."""


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
    return require_printable(trimmed, "name")


def parse_name_prefix(text: str) -> str:
    """Returns the beginning of the keys of all names that begin with this text; it may be empty."""
    if len(text) > MAX_DECOMPOSED_LENGTH:
        raise _name_too_long()
    return name_key(require_printable(text.lstrip(), "name"))


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
    return Email(require_printable(address, "e-mail address"), address.lower())


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


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPS" and character not in _BLANK


def _name_too_long() -> Invalid:
    return Invalid(f"The name is longer than {MAX_NAME_LENGTH} characters; shorten it.")
