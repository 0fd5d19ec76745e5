# ruff: noqa: RUF001
"""Two users of older data whose e-mail addresses are equal today: each is found by its own spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.runtime import drivers
from tests.acceptance.cli import tandem
from tests.acceptance.service import running
from tests.domain.users.test_email_keys import as_by_older_code
from tests.domain.write_model import WriteModel

if TYPE_CHECKING:
    from api.settings import Settings

FIND = "query($email: EmailAddress!) { userByEmail(email: $email) { id email } }"


async def test_each_is_found_and_listed_and_the_read_model_does_not_differ(
    settings: Settings,
) -> None:
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        older = str(await as_by_older_code(model, "οδυσσευς@example.com"))
        younger = str(await as_by_older_code(model, "οδυσσευσ@example.com"))
    said = await tandem(settings, "migrate", "--json")
    shared = [{"holder": older, "other": younger, "address": "ο***@example.com"}]
    assert said.json == {"applied": [], "shared": shared}
    assert f"{older} and {younger} share the address" in (await tandem(settings, "migrate")).out
    async with running(settings) as client:
        await client.until_built()
        for user_id, spelled in ((older, "οδυσσευς"), (younger, "οδυσσευσ"), (younger, "ΟΔΥΣΣΕΥΣ")):
            found = (await client.data(FIND, email=f"{spelled}@EXAMPLE.com"))["userByEmail"]
            assert (found or {}).get("id") == user_id
        assert await client.code(FIND, email="a@-ü.example") == "BAD_USER_INPUT"
        assert (await tandem(settings, "verify", "--json")).status == 0
