"""Whatever text comes: each function gives a value or raises Invalid, and what it gives, it takes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from domain.users.values import Email, parse_email, parse_name
from domain.value_parsing import (
    MONEY_LIMIT,
    Invalid,
    format_money,
    parse_idempotency_key,
    parse_identifier,
    parse_money,
)

ANY_TEXT = st.text(st.characters()) | st.text(st.sampled_from('a.@-\ud800\u200d\0\xe90\uff11+" '))


@pytest.mark.parametrize(
    "read", [parse_name, parse_email, parse_money, parse_identifier, parse_idempotency_key]
)
@given(text=ANY_TEXT)
def test_any_text_at_all_is_a_value_or_is_refused_with_a_sentence(
    read: Callable[[str], object], text: str
) -> None:
    try:
        value = read(text)
    except Invalid as invalid:
        value = str(invalid)
    assert isinstance(value, str | int | UUID | Email)


@given(st.emails())
def test_an_email_that_was_normalised_stays_as_it_is(text: str) -> None:
    try:
        value = parse_email(text)
    except Invalid:
        return  # hypothesis knows quoted names and reserved domains, which mail cannot be sent to
    assert parse_email(value.address) == value


NEARLY_PLAIN = st.from_regex(
    r"[a-bA.+]{1,70}@([A-Za-z0-9-]{1,70}\.){0,4}(com|xn--a|test|info)", fullmatch=True
)
LONG = st.from_regex(r"[a-z0-9.]{1,66}@[a-z]{1,60}\.([a-z]{60}\.){2,3}com", fullmatch=True)


@given(NEARLY_PLAIN | LONG)
@example("info@example.com")
@example("Info@example.com")
@example("a" * 64 + "@example.com")
@example("a" * 65 + "@example.com")
@example("a" * 64 + "@" + "b." * 93 + "com")
@example("a" * 64 + "@" + "b." * 94 + "com")
def test_a_plain_email_is_what_it_is_to_the_library(text: str) -> None:
    try:
        address = validate_email(text, check_deliverability=False, strict=True).normalized
    except EmailNotValidError:
        with pytest.raises(Invalid):
            parse_email(text)
    else:
        assert parse_email(text) == Email(address, address.lower())


@given(ANY_TEXT)
def test_a_name_that_was_normalised_stays_as_it_is(text: str) -> None:
    try:
        value = parse_name(text)
    except Invalid:
        return
    assert parse_name(value) == value
    assert value.encode()


@given(st.integers(1, MONEY_LIMIT - 1))
def test_money_reads_what_it_writes(minor: int) -> None:
    assert parse_money(format_money(minor)) == minor


@given(st.decimals(min_value="0.01", max_value="999999999.99", places=2))
def test_money_agrees_with_decimal_arithmetic(amount: Decimal) -> None:
    assert format_money(parse_money(f"{amount}")) == f"{amount}"
