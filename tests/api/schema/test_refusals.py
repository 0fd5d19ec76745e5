"""A refusal is data for a client that selects `errors`, and an error for one that does not."""

from __future__ import annotations

from typing import Any

import pytest

from domain.command import CommandResult
from domain.refusal import IdempotencyKeyReused, Refusal, VersionConflict
from domain.users.refusals import (
    EmailAlreadyRegistered,
    OrderNotFound,
    OrderNotOpen,
    UserNotFound,
)
from domain.write.database import WriteModelUnavailable
from readside.errors import ReadModelRebuilding, ReadModelUnavailable
from tests.api.in_memory_app import ALICE, Edge, edge

SWITCHES = ["$no: Boolean = false", "$yes: Boolean = true"]
GIVEN = {"name": "Alice", "email": "alice@example.com"}


async def create(made: Edge, selection: str, given: dict[str, Any] = GIVEN) -> Any:
    """Sends createUser(input: $input) with the selection, which closes the operation as well."""
    switches = [switch for switch in SWITCHES if switch[: switch.index(":")] in selection]
    declared = ["$input: CreateUserInput!", *switches]
    query = f"mutation({', '.join(declared)}) {{ createUser(input: $input) {selection}"
    return await made.ask(query, input=given)


async def test_without_errors_selected_a_refusal_fails_loudly() -> None:
    async with edge() as made:
        made.store.outcome = EmailAlreadyRegistered()
        response = await create(made, "{ id } }")
        [error] = response["errors"]
        assert response["data"] == {"createUser": None}
        assert error["path"] == ["createUser"]
        assert error["extensions"] == {
            "code": "EMAIL_ALREADY_REGISTERED",
            "path": ["input", "email"],
        }


@pytest.mark.parametrize(
    "selection",
    [
        "{ errors { __typename } } }",
        "{ id errors { ... on CommandError { code } } } }",
        "{ problems: errors { __typename } } }",
        "{ ... { errors { __typename } } } }",
        "{ ... on CreateUserPayload { errors { __typename } } } }",
        """{ ...F } } fragment F on CreateUserPayload { ...G }
        fragment G on CreateUserPayload { errors { __typename } }""",
        "{ errors @include(if: $yes) { __typename } } }",
        "{ errors @skip(if: $no) { __typename } } }",
        "{ id } createUser(input: $input) { errors { __typename } } }",
    ],
)
async def test_with_errors_selected_a_refusal_is_data(selection: str) -> None:
    async with edge() as made:
        made.store.outcome = EmailAlreadyRegistered()
        response = await create(made, selection)
        assert "errors" not in response
        [refusals] = [value for value in response["data"]["createUser"].values() if value]
        assert len(refusals) == 1


@pytest.mark.parametrize(
    "selection",
    [
        "{ errors: id } }",
        "{ errors @include(if: $no) { __typename } id } }",
        "{ errors @skip(if: true) { __typename } id } }",
        "{ ...F @skip(if: $yes) id } } fragment F on CreateUserPayload { errors { __typename } }",
        "{ ... @include(if: false) { errors { __typename } } id } }",
    ],
)
async def test_errors_that_are_left_out_are_not_selected(selection: str) -> None:
    async with edge() as made:
        made.store.outcome = EmailAlreadyRegistered()
        response = await create(made, selection)
        assert response["data"] == {"createUser": None}
        assert response["errors"][0]["extensions"]["code"] == "EMAIL_ALREADY_REGISTERED"


USER = f'userId: "{ALICE}"'
ORDER = f'orderId: "{ALICE}"'


@pytest.mark.parametrize(
    ("refusal", "command", "shown"),
    [
        (
            UserNotFound(),
            f'renameUser(input: {{{USER}, name: "A"}})',
            {"code": "USER_NOT_FOUND", "path": ["input", "userId"]},
        ),
        (
            EmailAlreadyRegistered(),
            f'updateUserEmail(input: {{{USER}, email: "a@example.com"}})',
            {"code": "EMAIL_ALREADY_REGISTERED", "path": ["input", "email"]},
        ),
        (
            VersionConflict(expected=3, actual=5),
            f'placeOrder(input: {{{USER}, total: "12.50", expectedVersion: 3}})',
            {
                "code": "VERSION_CONFLICT",
                "path": ["input", "expectedVersion"],
                "expected": 3,
                "actual": 5,
            },
        ),
        (
            OrderNotFound(),
            f"completeOrder(input: {{{ORDER}}})",
            {"code": "ORDER_NOT_FOUND", "path": ["input", "orderId"]},
        ),
        (
            OrderNotOpen(status="CANCELLED"),
            f"cancelOrder(input: {{{ORDER}}})",
            {"code": "ORDER_NOT_OPEN", "path": ["input", "orderId"], "status": "CANCELLED"},
        ),
        (
            IdempotencyKeyReused(),
            f'eraseUser(input: {{{USER}, idempotencyKey: "k"}})',
            {"code": "IDEMPOTENCY_KEY_REUSED", "path": ["input", "idempotencyKey"]},
        ),
    ],
)
async def test_a_refusal_says_the_same_as_data_and_as_an_error(
    refusal: Refusal, command: str, shown: dict[str, Any]
) -> None:
    fields = " ".join(shown)
    details = f"errors {{ __typename ... on {type(refusal).__name__} {{ {fields} }} }}"
    async with edge() as made:
        made.store.outcome = refusal
        error = await made.error(f"mutation {{ done: {command} {{ id }} }}")
        assert error["extensions"] == shown
        data = await made.ask(f"mutation {{ done: {command} {{ {details} }} }}")
        named = {"__typename": type(refusal).__name__, **shown}
        assert data == {"data": {"done": {"errors": [named]}}}


async def test_all_unusable_values_are_refused_together_without_a_call_of_the_store() -> None:
    async with edge() as made:
        given = {"name": " ", "email": "x", "idempotencyKey": ""}
        selection = "{ errors { ... on CommandError { code path } } } }"
        response = await create(made, selection, given)
        assert response["data"]["createUser"]["errors"] == [
            {"code": "INVALID_INPUT", "path": ["input", field]}
            for field in ("name", "email", "idempotencyKey")
        ]
        assert made.store.commands == []


async def test_the_payload_has_the_id_the_version_and_the_user() -> None:
    async with edge() as made:
        made.reads.put(ALICE, "Alice", version=7)
        made.store.outcome = CommandResult(id=ALICE, aggregate_id=ALICE, version=7)
        response = await create(
            made, "{ id version user { name version } errors { __typename } } }"
        )
        assert response == {
            "data": {
                "createUser": {
                    "id": str(ALICE),
                    "version": 7,
                    "user": {"name": "Alice", "version": 7},
                    "errors": [],
                }
            }
        }


@pytest.mark.parametrize("failure", [ReadModelUnavailable(), ReadModelRebuilding(), None])
async def test_the_payload_has_the_id_and_version_even_if_the_user_cannot_be_read(
    failure: Exception | None,
) -> None:
    async with edge() as made:
        made.reads.failure = failure  # None: the read model never gets to the version
        response = await create(made, "{ id version user { name } } }")
        assert response["data"]["createUser"] == {"id": str(ALICE), "version": 1, "user": None}
        [error] = response["errors"]
        assert error["path"] == ["createUser", "user"]
        expected = getattr(failure, "code", "READ_MODEL_BEHIND")
        assert error["extensions"]["code"] == expected


async def test_a_refused_command_reads_nothing() -> None:
    async with edge() as made:
        made.reads.failure = ReadModelUnavailable()
        made.store.outcome = UserNotFound()
        query = f'mutation {{ renameUser(input: {{{USER}, name: "A"}}) '
        response = await made.ask(query + "{ id version user { id } errors { __typename } } }")
        assert response["data"]["renameUser"] == {
            "id": None,
            "version": None,
            "user": None,
            "errors": [{"__typename": "UserNotFound"}],
        }
        assert "errors" not in response


async def test_an_unavailable_write_model_is_an_error_even_where_errors_are_selected() -> None:
    async with edge() as made:
        made.store.outcome = WriteModelUnavailable("Try again.")
        response = await create(made, "{ id errors { __typename } } }")
        [error] = response["errors"]
        assert error["extensions"]["code"] == "WRITE_MODEL_UNAVAILABLE"
        assert error["message"] == "Try again."
