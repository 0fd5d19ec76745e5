"""A store that fails during the checks at a start does not end the process: it need not be available."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from api.runtime import drivers, startup
from api.settings import Settings
from domain.connection_pool import CONNECTION_ERRORS


class Ending:
    """A connection that its server is closing."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error

    async def fetch(self, *_: object) -> Any:
        raise self._error("The connection ends.")

    fetchval = fetchrow = fetch

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("error", [*CONNECTION_ERRORS, asyncpg.InternalClientError])
async def test_a_connection_that_ends_during_the_checks_is_no_error(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async def connect(*_: object) -> Ending:
        return Ending(error)

    monkeypatch.setattr(drivers, "connect_to_primary", connect)
    check = vars(startup)["_check_database"]
    assert await check(Settings(database_url="postgresql://localhost/none"))
