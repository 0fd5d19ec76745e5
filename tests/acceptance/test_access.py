"""The whole service with authentication and a rate limit, configured by its settings only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from api.roles import Role
from tests.acceptance.service import running
from tests.api.tokens import AUDIENCE, SECRET, bearer, signed

if TYPE_CHECKING:
    from api.settings import Settings


async def test_settings_decide_who_may_send_requests_and_how_often(settings: Settings) -> None:
    given = {"auth_secret": SecretStr(SECRET), "auth_audience": AUDIENCE, "auth_issuer": "a"}
    limited = {"rate_limit": 0.001, "rate_burst": 2.0}
    everything = settings.model_copy(update={**given, **limited})
    async with running(everything, frozenset({Role.API})) as client:
        create = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { version } }'
        assert await client.code(create) == "UNAUTHENTICATED"
        client.http.headers.update(bearer(signed()))
        assert await client.code(create) == "UNAUTHENTICATED"  # of another issuer
        client.http.headers.update(bearer(signed(iss="a")))
        assert (await client.data(create))["createUser"] == {"version": 1}
        assert "errors" in await client.send("{ users(first: 0) { totalCount } }")
        assert await client.code("{ __typename }") == "RATE_LIMITED"
