"""Unexpected errors are masked: the client gets an id, and the log the details without personal data."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from api.observability.logs import _bounded
from api.safe_traceback import safe_stack
from tests.api.in_memory_app import ALICE, edge
from tests.api.with_limits import with_limits

SECRET = "select * from users where email = 'alice@example.com' -- /srv/tandem"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'


async def test_an_unexpected_error_is_masked_and_logged_once_with_its_id() -> None:
    async with edge() as made:
        made.store.outcome = RuntimeError(SECRET)
        with capture_logs() as logs:
            error = await made.error(CREATE)
        [logged] = logs
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logged["error_id"]}
        assert error["path"] == ["createUser"]
        assert logged["event"] == "request.failed"
        assert logged["error"] == "builtins.RuntimeError"
        assert "tests.api.in_memory_app.ScriptedStore.execute:" in logged["stack"]


async def test_no_secret_is_returned_or_logged() -> None:
    async with edge() as made:
        surprise = RuntimeError(SECRET)
        surprise.__cause__ = KeyError("alice@example.com")
        made.store.outcome = surprise
        with capture_logs() as logs:
            response = await made.post(CREATE)
        for told in (response.text, str(logs)):
            assert "alice" not in told
            assert "select *" not in told
        assert "caused by builtins.KeyError" in logs[0]["stack"]


async def test_an_unexpected_error_of_a_query_is_masked_too() -> None:
    async with edge() as made:
        made.reads.failure = RuntimeError(SECRET)
        with capture_logs() as logs:
            error = await made.error(f'{{ user(id: "{ALICE}") {{ id }} }}')
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logs[0]["error_id"]}
        assert "select" not in error["message"]


async def test_an_unexpected_error_of_the_transport_is_a_500_without_details() -> None:
    async with edge() as made:
        del made.executor.admission.documents
        with capture_logs() as logs:
            response = await made.post("{ __typename }")
        assert response.status_code == 500
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logs[0]["error_id"]}


async def test_a_response_has_no_more_errors_than_its_limit_and_says_how_many_are_left_out() -> (
    None
):
    fields = [f'a{number}: user(id: "x") {{ id }}' for number in range(10)]
    async with edge(with_limits(response_errors=3)) as made:
        for _ in range(2):  # by graphql-core, and by a plan and graphql-core
            response = await made.ask(f"{{ {' '.join(fields)} }}")
            assert len(response["data"]) == 10
            *errors, last = response["errors"]
            assert [error["path"] for error in errors] == [["a0"], ["a1"], ["a2"]]
            assert last["extensions"] == {"code": "ERRORS_LEFT_OUT"}
            assert last["message"].startswith("7 more errors are left out")
        response = await made.ask(f"{{ {' '.join(fields[:3])} }}")
        assert [error["path"] for error in response["errors"]] == [["a0"], ["a1"], ["a2"]]


async def test_an_unexpected_error_among_many_errors_is_never_left_out() -> None:
    fields = [f'a{number}: user(id: "x") {{ id }}' for number in range(9)]
    async with edge(with_limits(response_errors=3)) as made:
        made.reads.failure = RuntimeError(SECRET)
        with capture_logs() as logs:
            response = await made.ask(f'{{ {" ".join(fields)} b: user(id: "{ALICE}") {{ id }} }}')
        codes = [error["extensions"]["code"] for error in response["errors"]]
        assert codes == ["INTERNAL", "BAD_USER_INPUT", "BAD_USER_INPUT", "ERRORS_LEFT_OUT"]
        assert logs[0]["event"] == "request.failed"


async def test_a_log_line_of_a_failed_operation_is_short_for_any_request() -> None:
    name = "a" * 60
    fields = " ".join(f'{name}{number}: user(id: "x") {{ id }}' for number in range(10))
    async with edge(with_limits(name_characters=10_000)) as made:
        for query in (f"{{ {fields} }}", f'{{ {"b" * 9_000}: user(id: "x") {{ id }} }}'):
            with capture_logs() as logs:
                await made.post(query, operationName="c" * 100_000)
                await made.post(query)
            assert {line["event"] for line in logs} == {"operation.failed"}
            assert max(len(json.dumps(line)) for line in logs) < 1_000


def test_a_stack_is_short_however_deep_and_long_its_causes() -> None:
    def fall(depth: int) -> None:
        if depth == 0:
            raise RuntimeError(SECRET)
        try:
            fall(depth - 1)
        except RuntimeError as error:
            raise KeyError(depth) from error

    def recurse() -> None:
        recurse()

    with pytest.raises(KeyError) as chained:
        fall(100)
    with pytest.raises(RecursionError) as endless:
        recurse()
    for error in (chained.value, endless.value):
        assert 0 < len(safe_stack(error)) < 8_192


def test_no_field_of_a_line_is_longer_than_the_last_resort() -> None:
    line = _bounded(None, "info", {"event": "e" * 10_000, "number": 1, "path": "/x"})
    assert line == {"event": "e" * 8_192 + "…", "number": 1, "path": "/x"}
