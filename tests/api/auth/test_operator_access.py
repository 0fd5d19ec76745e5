"""The operational pages need a local client, or a token with the scope to read."""

from __future__ import annotations

from typing import Any

import pytest

from api.auth.access import Access
from api.errors import RequestError
from tests.api.tokens import bearer, signed, with_tokens

HERE = ("127.0.0.1", 4000)
THERE = ("203.0.113.9", 4000)


async def refusal(access: Access, client: tuple[str, int] | None, **headers: str) -> str | None:
    """The code of the refusal, None if there is none."""
    named = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    scope: dict[str, Any] = {"type": "http", "client": client, "headers": named}
    try:
        await access.check_operator(scope)
    except RequestError as error:
        code: str = error.errors[0]["extensions"]["code"]
        return code
    return None


@pytest.mark.parametrize("access", [Access(), with_tokens()])
async def test_a_local_client_gets_the_operational_pages(access: Access) -> None:
    assert await refusal(access, HERE, host="localhost:8000") is None
    assert await refusal(access, ("::1", 4000), host="[::1]:8000") is None


@pytest.mark.parametrize(
    "headers",
    [{"host": "api.example.com"}, {"forwarded": "for=1.2.3.4"}, {"x_forwarded_for": "1.2.3.4"}],
)
async def test_a_proxy_on_this_machine_is_not_this_machine(headers: dict[str, str]) -> None:
    assert await refusal(Access(), HERE, **headers) == "FORBIDDEN"
    assert await refusal(with_tokens(), HERE, **headers) == "UNAUTHENTICATED"


@pytest.mark.parametrize("client", [THERE, None])
async def test_others_need_a_token_that_may_read(client: tuple[str, int] | None) -> None:
    assert await refusal(Access(), client) == "FORBIDDEN"
    access = with_tokens()
    assert await refusal(access, client) == "UNAUTHENTICATED"
    assert await refusal(access, client, **bearer(signed(exp=1))) == "UNAUTHENTICATED"
    assert await refusal(access, client, **bearer(signed(scope="users:write"))) == "FORBIDDEN"
    assert await refusal(access, client, **bearer(signed(scope="users:read"))) is None
