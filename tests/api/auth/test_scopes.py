"""The scopes of a token are checked at each field, on every transport."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLField

from api.auth.scopes import ALL_SCOPES
from api.schema.merged import SCHEMA
from tests.api.in_memory_app import ALICE, edge
from tests.api.tokens import bearer, signed, with_tokens

USER = f'user(id: "{ALICE}") {{ name }}'
CREATE = 'createUser(input: {name: "A", email: "a@example.com"}) { id user { name } }'
RENAME = f'renameUser(input: {{userId: "{ALICE}", name: "B"}}) {{ id }}'
ERASE = f'eraseUser(input: {{userId: "{ALICE}"}}) {{ id }}'
WATCH = f'userChanged(id: "{ALICE}") {{ name }}'


def roots() -> list[tuple[GraphQLField, str]]:
    """Every field at the top, and the scope that it should need."""
    expected = {"Query": "users:read", "Mutation": "users:write", "Subscription": "users:read"}
    of_any_type = "the one to read an object of its type"
    others = {"eraseUser": "users:erase", "node": of_any_type, "nodes": of_any_type}
    return [
        (field, others.get(name, expected[type_.name]))
        for type_ in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type)
        if type_ is not None
        for name, field in type_.fields.items()
    ]


def test_every_field_at_the_top_says_which_scope_it_needs() -> None:
    assert len(roots()) == 14
    for field, scope in roots():
        assert (field.description or "").endswith(f"Scope: {scope}.")


@pytest.mark.parametrize(
    ("operation", "scope"),
    [
        (f"{{ {USER} }}", "users:read"),
        (f"mutation {{ {RENAME} }}", "users:write"),
        (f"mutation {{ {ERASE} }}", "users:erase"),
        (f"subscription {{ {WATCH} }}", "users:read"),
    ],
)
async def test_a_field_needs_its_scope_and_no_other(operation: str, scope: str) -> None:
    stream = {"accept": "text/event-stream"} if "userChanged" in operation else {}
    async with edge(access=with_tokens()) as made:
        made.reads.put(ALICE, "Alice")
        others = " ".join(set(ALL_SCOPES) - {scope})
        response = await made.post(operation, headers={**bearer(signed(scope=others)), **stream})
        assert '"code":"FORBIDDEN"' in response.text
        assert response.status_code == 200
        assert made.store.commands == []
        if not stream:
            response = await made.post(operation, headers=bearer(signed(scope=scope)))
            assert "errors" not in response.json()


async def test_the_check_is_at_the_field() -> None:
    async with edge(access=with_tokens()) as made:
        headers = bearer(signed(scope="users:write"))
        response = await made.post(f"mutation {{ {RENAME} no: {ERASE} }}", headers=headers)
        [error] = response.json()["errors"]
        assert error["path"] == ["no"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
        assert response.json()["data"]["renameUser"] == {"id": str(ALICE)}
        assert len(made.store.commands) == 1


async def test_the_scope_to_write_does_not_allow_to_read() -> None:
    async with edge(access=with_tokens()) as made:
        made.reads.put(ALICE, "Alice")
        response = await made.post(
            f"mutation {{ {CREATE} }}", headers=bearer(signed(scope="users:write"))
        )
        [error] = response.json()["errors"]
        assert error["path"] == ["createUser", "user"]
        assert error["extensions"] == {"code": "FORBIDDEN"}
        assert response.json()["data"]["createUser"]["id"] == str(ALICE)


@pytest.mark.parametrize(
    ("claims", "allowed"),
    [
        ({"scope": "openid users:read"}, True),
        ({"scope": None, "scp": ["openid", "users:read"]}, True),
        ({"scope": None, "scp": "users:read"}, True),
        ({"scope": None, "scopes": ["users:read"]}, True),
        ({"scope": None}, False),
        ({"scope": ""}, False),
        ({"scope": "users:reader"}, False),
        ({"scope": "users:*"}, False),
        ({"scope": "USERS:READ"}, False),
        ({"scope": {"users:read": True}}, False),
        ({"scope": [["users:read"], 1, None]}, False),
        ({"scope": None, "roles": ["users:read"]}, False),
    ],
)
async def test_scopes_are_words_of_scope_scp_or_scopes(
    claims: dict[str, Any], allowed: bool
) -> None:
    async with edge(access=with_tokens()) as made:
        response = await made.post(f"{{ {USER} }}", headers=bearer(signed(**claims)))
        assert ("errors" not in response.json()) is allowed


async def test_without_tokens_every_caller_is_unrestricted() -> None:
    async with edge() as made:
        response = await made.post(f"mutation {{ {ERASE} }}", headers=bearer("garbage"))
        assert "errors" not in response.json()


async def test_the_caller_of_one_request_is_not_that_of_another() -> None:
    async with edge(access=with_tokens()) as made:
        allowed, refused = bearer(signed()), bearer(signed(scope="none"))
        for headers, errors in ((allowed, False), (refused, True), (allowed, False)):
            response = await made.post(f"{{ {USER} }}", headers=headers)
            assert ("errors" in response.json()) is errors
