"""Of a failed request its code and place are returned and logged, and no value that a client sent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from domain.write.database import WriteModelUnavailable
from readside.errors import ReadModelUnavailable
from tests.api.in_memory_app import ALICE, Edge, edge
from tests.api.tokens import bearer, signed, with_tokens
from tests.processes import ROOT

EMAIL = "carol@example.com"
SQL = "insert into users values ('carol')"
PATH = "/srv/tandem/store.py"
MARKS = (EMAIL, SQL, PATH, "Traceback", "Carol", "bob@example.com", "alice@example.com")

CREATE = """mutation Create($name: String!) {
  createUser(input: {name: $name, email: "bob@example.com"}) { id }
}"""
USER = f'query Read {{ u: user(id: "{ALICE}") {{ name }} }}'
WATCH = f'subscription Watch {{ userChanged(id: "{ALICE}") {{ name }} }}'
STREAM = {"accept": "text/event-stream"}
SURPRISE = RuntimeError(f"{SQL} {EMAIL} {PATH}")


def failing(made: Edge) -> None:
    made.store.outcome = SURPRISE
    made.reads.failure = SURPRISE


def away(made: Edge) -> None:
    made.store.outcome = WriteModelUnavailable()
    made.reads.failure = ReadModelUnavailable()


def sound(_: Edge) -> None:
    pass


ASKED: list[tuple[Callable[[Edge], None], dict[str, Any], dict[str, str], str]] = [
    (sound, {"query": "{"}, {}, "GRAPHQL_PARSE_FAILED"),
    (sound, {"query": "query Read { carol }"}, {}, "GRAPHQL_VALIDATION_FAILED"),
    (sound, {"query": CREATE, "operationName": EMAIL}, {}, "OPERATION_RESOLUTION_FAILURE"),
    (sound, {"query": CREATE}, {}, "BAD_USER_INPUT"),
    (sound, {"query": CREATE, "variables": {"name": ""}}, {}, "INVALID_INPUT"),
    (sound, {"query": '{ user(id: "x") { id } }'}, {}, "BAD_USER_INPUT"),
    (sound, {"query": WATCH}, {}, "BAD_REQUEST"),
    (sound, {"query": 1}, {}, "BAD_REQUEST"),
    (sound, {"query": USER}, {"authorization": "Bearer garbage"}, "UNAUTHENTICATED"),
    (sound, {"query": USER}, bearer(signed(exp=1)), "UNAUTHENTICATED"),
    (sound, {"query": USER}, bearer(signed(scope="")), "FORBIDDEN"),
    (sound, {"query": WATCH}, {**bearer(signed(scope="")), **STREAM}, "FORBIDDEN"),
    (away, {"query": USER}, {}, "READ_MODEL_UNAVAILABLE"),
    (away, {"query": WATCH}, STREAM, "READ_MODEL_UNAVAILABLE"),
    (away, {"query": CREATE, "variables": {"name": "Carol"}}, {}, "WRITE_MODEL_UNAVAILABLE"),
    (failing, {"query": USER}, {}, "INTERNAL"),
    (failing, {"query": WATCH}, STREAM, "INTERNAL"),
    (failing, {"query": CREATE, "variables": {"name": "Carol"}}, {}, "INTERNAL"),
]


@pytest.mark.parametrize(("behind", "body", "headers", "code"), ASKED)
async def test_a_failed_operation_is_one_line_without_anything_personal(
    behind: Callable[[Edge], None],
    body: dict[str, Any],
    headers: dict[str, str],
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = signed()
    async with edge(access=with_tokens()) as made:
        behind(made)
        with capture_logs() as logs:
            response = await made.client.post(
                "/graphql", json=body, headers=bearer(token) | headers
            )
    told = response.text
    assert f'"code":"{code}"' in told
    [line] = logs
    if code == "INTERNAL":
        assert (line["event"], line["log_level"]) == ("request.failed", "error")
    else:
        level = "warning" if code.endswith("UNAVAILABLE") else "info"
        assert (line["event"], line["log_level"]) == ("operation.failed", level)
        assert line["codes"] == [code]
    assert not {"/", ".py"} & set(re.findall(r"/|\.py\b", line.get("stack", "")))
    for mark in (*MARKS, token, *token.split(".")):
        assert mark not in told
        assert mark not in str(line)
        assert mark not in caplog.text


async def test_the_line_says_what_failed_where_and_for_whom() -> None:
    async with edge(access=with_tokens()) as made:
        away(made)
        with capture_logs() as logs:
            for subject in ("alice@example.com", "alice@example.com", "bob@example.com"):
                headers = bearer(signed(sub=subject))
                await made.post(USER, operationName="Read", headers=headers)
        first, second, third = logs
        assert (first["operation"], first["paths"]) == ("Read", ["u"])
        assert first["ms"] > 0
        assert first["caller"] == second["caller"] != third["caller"]


async def test_a_value_that_is_quoted_to_its_client_is_not_logged() -> None:
    async with edge() as made:
        with capture_logs() as logs:
            response = await made.post(CREATE, variables={"name": ["dave@example.com"]})
        assert response.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT"}
        assert len(logs) == 1
        assert "dave" not in str(logs)


async def test_a_request_that_succeeds_is_no_line() -> None:
    async with edge() as made:
        with capture_logs() as logs:
            await made.ask("{ __typename }")
        assert logs == []


PROGRAM = f"""
import asyncio, logging, sys, structlog
from api.observability import logs
from api.settings import Settings
logs.configure(Settings(log_format=sys.argv[1]))
async def fall():
    token = "bearer-of-carol"
    raise ValueError("{EMAIL}")
async def main():
    try:
        await fall()
    except ValueError as error:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        logging.getLogger("uvicorn.error").error("Given", exc_info=error)
        structlog.get_logger().exception("ours")
    task = asyncio.create_task(fall())
    await asyncio.sleep(0)
    del task
asyncio.run(main())
"""


@pytest.mark.parametrize("form", ["json", "pretty"])
def test_an_error_in_the_log_has_its_kind_and_place_and_no_value_and_no_path(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, form], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.count("builtins.ValueError") == 4
    assert done.stderr.count("__main__.fall:") >= 4
    assert ".py" not in done.stderr
    for mark in (EMAIL, "bearer-of-carol"):
        assert mark not in done.stderr
    if form == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert [line["event"] for line in lines] == [
            "Exception in ASGI application",
            "Given",
            "ours",
            "Task exception was never retrieved",
        ]
