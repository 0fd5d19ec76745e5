"""Cached texts are neither parsed nor validated again, and the work for others is bounded."""

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
from api.schema.merged import SCHEMA
from tests.api.in_memory_app import edge
from tests.api.with_limits import with_limits

USER = "query($id: ID!) { user(id: $id) { name } }"


async def test_the_second_request_of_the_same_text_neither_parses_nor_validates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work: list[str] = []

    def count_calls(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def count(*arguments: object, **options: object) -> object:
            work.append(name)
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, count)

    count_calls(document_cache, "parse_document")
    count_calls(validator.Validator, "errors")
    async with edge() as made:
        for user in ("a", "b", "c"):
            await made.ask(USER, id=user)
        cache = made.executor.admission.documents
        assert (work, cache.misses, cache.hits) == (["parse_document", "errors"], 1, 2)


def test_an_invalid_text_is_validated_once() -> None:
    cache = document_cache.DocumentCache(SCHEMA, Limits())
    errors = []
    for _ in range(2):
        with pytest.raises(RequestError) as error:
            cache.get("{ nothing }")
        errors.append(error.value.errors)
    assert errors[0] == errors[1]
    assert (cache.misses, cache.hits) == (1, 1)


def test_the_least_recently_used_text_is_evicted_first() -> None:
    cache = document_cache.DocumentCache(SCHEMA, with_limits(cached_documents=2))
    for text in (
        "{ a: __typename }",
        "{ b: __typename }",
        "{ a: __typename }",
        "{ c: __typename }",
    ):
        cache.get(text)
    assert cache.misses == 3
    cache.get("{ a: __typename }")
    assert cache.misses == 3
    cache.get("{ b: __typename }")
    assert cache.misses == 4


def test_an_evicted_text_is_freed_without_the_garbage_collector() -> None:
    cache = document_cache.DocumentCache(SCHEMA, with_limits(cached_documents=1))
    cache.get("{ __typename }")
    with without_garbage_collection():
        before = tokens()
        for number in range(20):
            cache.get(f"{{ a{number}: __typename }}")
        assert tokens() < before + 10


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def tokens() -> int:
    return sum(isinstance(item, Token) for item in gc.get_objects())


def test_long_texts_cannot_fill_the_memory() -> None:
    cache = document_cache.DocumentCache(SCHEMA, with_limits(cached_characters=1_000))
    for number in range(50):
        cache.get(f"{{ a{number}: __typename }}" + " " * 400)
    cache.get("{ a49: __typename }" + " " * 400)
    assert cache.hits == 1
    cache.get("{ a40: __typename }" + " " * 400)
    assert cache.hits == 1


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
def test_a_document_that_cannot_be_executed_is_refused_with_a_code(text: str, code: str) -> None:
    with pytest.raises(RequestError) as error:
        document_cache.DocumentCache(SCHEMA, Limits()).get(text)
    assert {item["extensions"]["code"] for item in error.value.errors} == {code}


def test_the_number_of_validation_errors_is_limited() -> None:
    fields = " ".join(f"f{number}" for number in range(400))
    cache = document_cache.DocumentCache(SCHEMA, with_limits(validation_errors=20))
    with pytest.raises(RequestError) as error:
        cache.get(f"{{ users {{ nodes {{ {fields} }} }} }}")
    assert len(error.value.errors) == 21


def test_no_suggestion_reveals_the_schema() -> None:
    with pytest.raises(RequestError) as error:
        document_cache.DocumentCache(SCHEMA, Limits()).get("{ usr }")
    assert "Did you mean" not in str(error.value.errors)
