"""Parsing and validation are saved for a text that was seen before, and bounded for all others."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from graphql import Token

from api.engine.documents import document_cache
from api.engine.validation import validator
from api.errors import RequestError
from api.limits import Limits
from api.schema import SCHEMA
from tests.api.in_memory_app import edge
from tests.api.with_limits import with_limits

USER = "query($id: ID!) { user(id: $id) { name } }"


async def test_the_second_request_of_the_same_text_neither_parses_nor_validates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work: list[str] = []

    def counted(of: object, name: str) -> None:
        real = getattr(of, name)

        def count(*arguments: object, **options: object) -> object:
            work.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(of, name, count)

    counted(document_cache, "parse_document")
    counted(validator.Validator, "errors")
    async with edge() as made:
        for user in ("a", "b", "c"):
            await made.ask(USER, id=user)
        known = made.executor.admission.documents
        assert (work, known.misses, known.hits) == (["parse_document", "errors"], 1, 2)


def test_an_invalid_text_is_found_invalid_once() -> None:
    known = document_cache.DocumentCache(SCHEMA, Limits())
    told = []
    for _ in range(2):
        with pytest.raises(RequestError) as error:
            known.get("{ nothing }")
        told.append(error.value.errors)
    assert told[0] == told[1]
    assert (known.misses, known.hits) == (1, 1)


def test_the_least_recently_used_text_is_forgotten_first() -> None:
    known = document_cache.DocumentCache(SCHEMA, with_limits(cached_documents=2))
    for text in (
        "{ a: __typename }",
        "{ b: __typename }",
        "{ a: __typename }",
        "{ c: __typename }",
    ):
        known.get(text)
    assert known.misses == 3
    known.get("{ a: __typename }")
    assert known.misses == 3
    known.get("{ b: __typename }")
    assert known.misses == 4


def test_a_text_that_is_forgotten_is_freed_at_once() -> None:
    known = document_cache.DocumentCache(SCHEMA, with_limits(cached_documents=1))
    known.get("{ __typename }")
    with uncollected():
        before = tokens()
        for number in range(20):
            known.get(f"{{ a{number}: __typename }}")
        assert tokens() < before + 10


@contextmanager
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def tokens() -> int:
    return sum(isinstance(each, Token) for each in gc.get_objects())


def test_long_texts_cannot_fill_the_memory() -> None:
    known = document_cache.DocumentCache(SCHEMA, with_limits(cached_characters=1_000))
    for number in range(50):
        known.get(f"{{ a{number}: __typename }}" + " " * 400)
    known.get("{ a49: __typename }" + " " * 400)
    assert known.hits == 1
    known.get("{ a40: __typename }" + " " * 400)
    assert known.hits == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("fragment F on User { id }", "GRAPHQL_VALIDATION_FAILED"),
        ("{" * 5_000, "GRAPHQL_PARSE_FAILED"),
        ("{ a: __typename }" + " " * 70_000, "GRAPHQL_PARSE_FAILED"),
        ("{ " + "__typename " * 3_000 + "}", "GRAPHQL_PARSE_FAILED"),
        ("#\n" * 300 + "{ __typename }", "GRAPHQL_PARSE_FAILED"),
        ('{ user(id: "\\ud800") { id } }', "GRAPHQL_PARSE_FAILED"),
        ("{ user(id: 1) { ...A } } fragment A on User { ...A }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
def test_a_document_that_cannot_be_executed_says_why(text: str, code: str) -> None:
    with pytest.raises(RequestError) as error:
        document_cache.DocumentCache(SCHEMA, Limits()).get(text)
    assert {told["extensions"]["code"] for told in error.value.errors} == {code}


def test_many_mistakes_are_not_all_told() -> None:
    fields = " ".join(f"f{number}" for number in range(400))
    known = document_cache.DocumentCache(SCHEMA, with_limits(validation_errors=20))
    with pytest.raises(RequestError) as error:
        known.get(f"{{ users {{ nodes {{ {fields} }} }} }}")
    assert len(error.value.errors) == 21


def test_no_suggestion_tells_of_the_schema() -> None:
    with pytest.raises(RequestError) as error:
        document_cache.DocumentCache(SCHEMA, Limits()).get("{ usr }")
    assert "Did you mean" not in str(error.value.errors)
