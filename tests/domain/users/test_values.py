"""Text from outside becomes a value, or is refused with a sentence. Nothing else ever happens."""

# ruff: noqa: RUF001 (letters that look like others are the point)

from __future__ import annotations

import pytest

from domain.ids import new_id
from domain.users.events import name_key
from domain.users.values import Email, parse_email, parse_name, parse_name_prefix
from domain.value_parsing import (
    MONEY_LIMIT,
    Invalid,
    parse_idempotency_key,
    parse_identifier,
    parse_money,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Alice", "Alice"),
        ("  Alice \n", "Alice"),
        ("X", "X"),
        ("Zoe\u0308", "Zoë"),
        ("n" * 100, "n" * 100),
        ("e\u0301" * 100, "é" * 100),
        ("👩\u200d👧", "👩\u200d👧"),
        ("نام\u200cخانوادگی", "نام\u200cخانوادگی"),
        ("O'Brien-Núñez, Jr. 3", "O'Brien-Núñez, Jr. 3"),
        ("<script>", "<script>"),
        ("毛泽东", "毛泽东"),
        ("क्\u200dष", "क्\u200dष"),
        ("דן\u200e (Dan)", "דן\u200e (Dan)"),
        ("\u200fدان", "\u200fدان"),
        ("\u061cدان 3", "\u061cدان 3"),
        ("葛\U000e0100城", "葛\U000e0100城"),
        ("Al\u3164ice", "Al\u3164ice"),
        ("\u1100\u1160", "\u1100\u1160"),
        ("\u2801\u2800\u2801", "\u2801\u2800\u2801"),
    ],
)
def test_a_name_is_trimmed_and_composed(text: str, value: str) -> None:
    assert parse_name(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\u3000\u00a0",
        "\u200b",
        "\u200d\ufeff\u200b",
        "\u0301",
        "n" * 101,
        "n" * 1_000_000,
        "Al\0ice",
        "Al\nice",
        "Al\tice",
        "Al\x7fice",
        "Al\x85ice",
        "Al\u2028ice",
        "Al\u2029ice",
        "Al\ud800ice",
        "\udfff",
        "Al\ue000ice",
        "Al\uffffice",
    ],
)
def test_a_name_that_is_empty_too_long_or_unprintable_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"name"):
        parse_name(text)


@pytest.mark.parametrize(
    "character",
    [
        *map(chr, range(0x202A, 0x202F)),
        *map(chr, range(0x2066, 0x2070)),
        "\ufeff",
        *map(chr, range(0xFFF9, 0xFFFC)),
        "\U000e0001",
        *map(chr, range(0xE0020, 0xE0080)),
    ],
    ids=ascii,
)
def test_a_name_holds_no_character_that_reorders_or_hides_text(character: str) -> None:
    for text in (f"Al{character}ice", f"{character}Alice", f"Alice{character}"):
        with pytest.raises(
            Invalid, match=rf"U\+{ord(character):04X}, which hides or reorders text"
        ):
            parse_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "\u115f",
        "\u1160",
        "\u115f\u1160",
        "\u3164",
        "\uffa0",
        "\u2800",
        "\u2800\u3164 \u2800",
        "\u3164\u0301",
        "\u200d\u3164\u200d",
        "\u3164\ufe0f",
        "\U0001d159",
        "\U00013441",
        "\U00013442",
        "\u00ad",
        "\u034f",
        "\u17b4",
        "\u180e",
        "\u200e\u200f",
        "\ufe0f",
        "\u180b",
        "\U000e0100",
        "\u0301\u0316",
    ],
    ids=ascii,
)
def test_a_name_without_a_visible_character_is_empty(text: str) -> None:
    with pytest.raises(Invalid, match="The name is empty"):
        parse_name(text)


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("alice@example.com", "alice@example.com", "alice@example.com"),
        ("Alice.B+tag@EXAMPLE.com", "Alice.B+tag@example.com", "alice.b+tag@example.com"),
        ("a@bücher.example", "a@bücher.example", "a@bücher.example"),
        ("a@xn--bcher-kva.example", "a@bücher.example", "a@bücher.example"),
        ("a@BÜCHER.example", "a@bücher.example", "a@bücher.example"),
        ("a@ｅｘａｍｐｌｅ.com", "a@example.com", "a@example.com"),
        ("ZOE\u0308@example.com", "ZOË@example.com", "zoë@example.com"),
        ("用户@例子.公司", "用户@例子.公司", "用户@例子.公司"),
        (" alice@example.com", "alice@example.com", "alice@example.com"),
        ("alice@example.com\n", "alice@example.com", "alice@example.com"),
        ("\u3000\u00a0\tAlice@Example.com \r\n", "Alice@example.com", "alice@example.com"),
        ("\u2028a@BÜCHER.example\x85", "a@bücher.example", "a@bücher.example"),
    ],
)
def test_an_email_is_normalised_and_unique_regardless_of_case(
    text: str, address: str, key: str
) -> None:
    assert parse_email(text) == Email(address, key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "alice",
        "alice@",
        "@example.com",
        "a@a@example.com",
        "alice@example",
        "alice@example..com",
        ".alice@example.com",
        "alice.@example.com",
        "al..ice@example.com",
        "alice@-example.com",
        "alice@example.com.",
        "alice@[127.0.0.1]",
        "alice@localhost",
        "alice@example.invalid",
        "Alice <alice@example.com>",
        '"alice b"@example.com',
        '"alice"@example.com',
        "   ",
        "alice @example.com",
        "alice@ example.com",
        "\ufeffalice@example.com",
        "alice@example.com\u200b",
        "ali ce@example.com",
        "ali\0ce@example.com",
        "ali\x7fce@example.com",
        "alice@exam\0ple.com",
        "\ud800@example.com",
        "alice@exam\udfffple.com",
        "ali\u200bce@example.com",
        "alice@exa\u200bmple.com",
        "ali\u202ece@example.com",
        "ali\u2066ce@example.com",
        "ali\ufeffce@example.com",
        "ali\U000e0041ce@example.com",
        "ali\u2028ce@example.com",
        "a" * 250 + "@example.com",
        "alice@" + "a" * 64 + ".com",
        "alice@" + "ab." * 90 + "com",
        "alice@" + "ü" * 60 + ".com",
        "alice@xn--a.com",
        "a" * 100_000 + "@example.com",
        "a@" + "b" * 100_000 + ".com",
    ],
)
def test_what_is_no_email_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"e-mail address"):
        parse_email(text)


def test_text_that_is_much_too_long_is_refused_without_being_normalised_or_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work: list[str] = []

    def parse(text: str, **_: object) -> None:
        work.append(text)

    def normalise(_: str, text: str) -> str:
        work.append(text)
        return text

    monkeypatch.setattr("domain.users.values.validate_email", parse)
    monkeypatch.setattr("domain.users.values.unicodedata.normalize", normalise)
    marks = "a" + "\u0301\u0316" * 30_000  # 2.7 s to normalise
    for parse_text, text in (
        (parse_name, marks),
        (parse_email, marks),
        (parse_email, "a@" + "b" * 250_000 + ".com"),
    ):
        with pytest.raises(Invalid, match=r"longer"):
            parse_text(text)
    assert work == []


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("12.50", 1250),
        ("12.5", 1250),
        ("12", 1200),
        ("0.01", 1),
        ("0.1", 10),
        ("999999999.99", MONEY_LIMIT - 1),
    ],
)
def test_money_is_exact(text: str, minor: int) -> None:
    assert parse_money(text) == minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0.00",
        "-1",
        "-0.01",
        "+1",
        "NaN",
        "Infinity",
        "-inf",
        "1e3",
        "0x10",
        "1_000",
        "1,000.00",
        "1,50",
        "0.001",
        "12.500",
        ".5",
        "5.",
        "01",
        "00.50",
        " 1",
        "1\n",
        "1\0",
        "１２",
        "٣",
        "1.²",
        "\ud800",
        "$5",
        "1000000000.00",
        "1000000000",
        "99999999999999999999999",
        "9" * 100_000,
    ],
)
def test_money_that_is_not_positive_too_precise_too_large_or_no_number_is_refused(
    text: str,
) -> None:
    with pytest.raises(Invalid, match=r"amount|Money"):
        parse_money(text)


def test_an_id_is_read_in_either_case() -> None:
    value = new_id()
    assert parse_identifier(str(value)) == parse_identifier(str(value).upper()) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "user-7",
        "019b0c9e7d4e7bbb8a510a6f3c1d2e4f",
        "{019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f}",
        "urn:uuid:019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
        "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4g",
        "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f\n",
        " 019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
        "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4",
        "０19b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
        "019b0c9e-7d4e-7bbb-8a51-\0a6f3c1d2e4f",
        "\ud800",
        "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4\ud800",
        "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4é",
        "019b0c9e7-d4e-7bbb-8a51-0a6f3c1d2e4f",
        "019b0c9e-7d4e-7bbb-8a510-a6f3c1d2e4f",
        "019b0c9e 7d4e 7bbb 8a51 0a6f3c1d2e4f",
        "{19b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4}",
        "0x9b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
        "0_9b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
        "+19b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"UUID"):
        parse_identifier(text)


@pytest.mark.parametrize("text", ["k", "a key: with/anything in it", "🔑", "k" * 200])
def test_a_key_is_taken_as_it_is(text: str) -> None:
    assert parse_idempotency_key(text) == text


@pytest.mark.parametrize("text", ["", "k" * 201, "k\0", "k\n", "\ud800", "k\u2028"])
def test_a_key_that_is_empty_too_long_or_unprintable_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match=r"key"):
        parse_idempotency_key(text)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        *(("", ""), ("  ", ""), (" Ann ", "ann "), ("ÄNN", "änn"), ("A\u0308", "ä")),
        *(("Straße", "strasse"), ("ΣΊΣ", "σίσ"), ("\U0001f600", "\U0001f600"), ("İ", "i\u0307")),
    ],
)
def test_the_beginning_of_a_name_is_folded_as_the_key_of_a_name(text: str, key: str) -> None:
    assert parse_name_prefix(text) == key
    assert name_key(text.strip()) == key.strip()


@pytest.mark.parametrize(
    "text",
    ["a" * 1_001, *(f"a{c}" for c in "\0\t\n\x7f\x85\ud800\udcff\ue000\u2028\U0010ffff")],
)
def test_no_name_begins_with_what_no_name_contains(text: str) -> None:
    with pytest.raises(Invalid):
        parse_name_prefix(text)
