"""An exception from parsing to the cost refuses the document; a later one is INTERNAL. Both are counted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from graphql import Executor
from structlog.testing import capture_logs

from api.engine.compiler.plan_cache import PlanCache
from api.engine.cost.operation_cost import CostCalculator
from api.engine.documents import document_cache
from api.engine.limits.introspection import Introspection
from api.engine.literals import QueryTemplate
from api.engine.validation.validator import Validator
from tests.api.http.test_graphql_ws import connected, heard
from tests.api.in_memory_app import ALICE, Edge, edge

if TYPE_CHECKING:
    pass

JSON = "application/json"
RESPONSE = "application/graphql-response+json"
STREAM = "text/event-stream"
USER = f'{{ user(id: "{ALICE}") {{ id }} }}'
TWO = "{ a: users(first: 3) { totalCount } b: users(first: 4) { totalCount } }"
NUL = (TWO, TWO.replace("3", "\0"))
INPUT = '{name: "A", email: "a@example.com"}'
ON_A_UNION = f"mutation {{ createUser(input: {INPUT}) {{ errors {{ __typename @stream }} }} }}"
STAGES = [
    (document_cache, "parse_document"),
    (document_cache, "size_errors"),
    (document_cache, "template_of"),
    (document_cache, "CostCalculator"),
    (Validator, "errors"),
    (Introspection, "errors"),
    (CostCalculator, "cost"),
    (PlanCache, "find"),
    (Executor, "build"),
    (document_cache, "split_literals"),
    (document_cache.DocumentCache, "_by_template"),
    (QueryTemplate, "coerce"),
]
SURPRISES = [AttributeError, ValueError, KeyError, RuntimeError, OverflowError, AssertionError]


def broken(monkeypatch: pytest.MonkeyPatch, at: tuple[Any, str], error: BaseException) -> None:
    def fail(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(*at, fail)


async def code(made: Edge, query: str, accept: str = JSON) -> tuple[int, str]:
    response = await made.post(query, headers={"accept": accept})
    content = response.text.removeprefix("event: next\ndata: ").partition("\n")[0]
    return response.status_code, json.loads(content)["errors"][0]["extensions"]["code"]


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage[0].__name__}.{stage[1]}")
async def test_an_exception_before_the_execution_refuses_the_document(
    monkeypatch: pytest.MonkeyPatch, stage: tuple[Any, str], accept: str
) -> None:
    async with edge() as made:
        broken(monkeypatch, stage, RuntimeError(f"{ALICE}"))
        with capture_logs() as logs:
            status, found = await code(made, USER, accept)
        assert (status, found) == (400 if accept == RESPONSE else 200, "GRAPHQL_VALIDATION_FAILED")
        assert made.outcomes == {("none", "GRAPHQL_VALIDATION_FAILED"): 1}
        [line] = [line for line in logs if line["event"] == "document.failed"]
        assert line["error"] == "builtins.RuntimeError"
        assert str(ALICE) not in str(logs)


@pytest.mark.parametrize("surprise", SURPRISES)
async def test_a_document_that_cannot_be_processed_is_remembered(
    monkeypatch: pytest.MonkeyPatch, surprise: type[Exception]
) -> None:
    async with edge() as made:
        broken(monkeypatch, (Validator, "errors"), surprise())
        with capture_logs() as logs:
            for _ in range(3):
                await code(made, USER)
        assert [line["event"] for line in logs].count("document.failed") == 1
        assert made.executor.admission.documents.misses == 1
        assert made.outcomes == {("none", "GRAPHQL_VALIDATION_FAILED"): 3}


async def test_variables_of_one_client_do_not_refuse_the_document_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = "query($first: Int!) { users(first: $first) { totalCount } }"
    async with edge() as made:
        with monkeypatch.context() as patched:
            broken(patched, (CostCalculator, "cost"), RuntimeError())
            error = await made.error(query, first=1)
            assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert await made.ask(query, first=1) == {"data": {"users": {"totalCount": 0}}}


async def test_a_want_of_memory_is_not_the_fault_of_the_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with edge() as made:
        for stage in ((Validator, "errors"), (CostCalculator, "cost")):
            with monkeypatch.context() as patched:
                broken(patched, stage, MemoryError())
                assert await code(made, USER) == (500, "INTERNAL")
        assert "errors" not in await made.ask(USER)
        assert made.outcomes == {("none", "INTERNAL"): 2, ("query", "ok"): 1}


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
@pytest.mark.parametrize(
    "queries", [NUL, (ON_A_UNION,) * 2], ids=["a NUL for a number", "@stream on a union"]
)
async def test_a_request_that_once_failed_with_500_is_refused(
    queries: tuple[str, ...], accept: str
) -> None:
    async with edge() as made:
        *before, query = queries
        for other in before:
            await made.ask(other)
        made.outcomes.clear()
        for _ in range(2):
            status, found = await code(made, query, accept)
            assert status == (400 if accept == RESPONSE else 200)
            assert found in ("GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED")
        assert made.outcomes == {("none", found): 2}
        assert made.store.commands == []


@pytest.mark.parametrize("known", [TWO, f'{{ user(id: "{ALICE}", minVersion: 1) {{ id }} }}'])
async def test_a_nul_never_passes_for_a_number(known: str) -> None:
    async with edge() as made:
        await made.ask(known)
        for place in range(len(known)):
            for behind in (known[place:], known[place + 1 :]):
                error = await made.error(f"{known[:place]}\0{behind}")
                assert error["extensions"]["code"] in ("GRAPHQL_PARSE_FAILED", "BAD_USER_INPUT")


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
async def test_an_unexpected_error_is_counted_once_as_internal(accept: str) -> None:
    async with edge() as made:
        del made.executor.admission.documents
        status, found = await code(made, USER, accept)
        assert (status, found) == (500, "INTERNAL")
        assert made.outcomes == {("none", "INTERNAL"): 1}


@pytest.mark.parametrize("accept", [JSON, RESPONSE, STREAM])
async def test_an_unexpected_error_of_a_running_operation_is_counted_once(
    monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    async with edge() as made:
        broken(monkeypatch, (made.executor.admission.deadlines["query"], "run"), RuntimeError())
        status, found = await code(made, USER, accept)
        assert (status, found) == (200 if accept == STREAM else 500, "INTERNAL")
        assert made.outcomes == {("query", "INTERNAL"): 1}


async def test_an_unexpected_error_in_a_field_is_counted_even_after_another_error() -> None:
    async with edge() as made:
        made.reads.failure = RuntimeError()
        await made.ask(f'{{ a: user(id: "x") {{ id }} b: user(id: "{ALICE}") {{ id }} }}')
        assert made.outcomes == {("query", "INTERNAL"): 1}


async def test_an_unexpected_error_before_the_operation_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with edge() as made:
        broken(monkeypatch, (type(made.executor), "execute"), RuntimeError())
        assert await code(made, USER) == (500, "INTERNAL")
        assert made.outcomes == {("none", "INTERNAL"): 1}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"query": 1}', b"\xff"])
async def test_a_body_that_is_not_a_request_is_counted_once(body: bytes) -> None:
    async with edge() as made:
        await made.client.post("/graphql", content=body, headers={"content-type": JSON})
        assert made.outcomes == {("none", "BAD_REQUEST"): 1}


async def test_an_unexpected_error_over_websocket_is_counted_once() -> None:
    async with connected() as (made, socket):
        del made.executor.admission.documents
        request = {"type": "subscribe", "id": "1", "payload": {"query": USER}}
        await socket.send(json.dumps(request))
        message = await heard(socket)
        assert message["payload"][0]["extensions"]["code"] == "INTERNAL"
        assert made.outcomes == {("none", "INTERNAL"): 1}
