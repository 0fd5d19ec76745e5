"""A database that is closed to clients for maintenance is a PostgreSQL that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from api.runtime import drivers
from api.runtime.background import TRANSIENT_ERRORS
from api.runtime.log_check import refuse_foreign_log_at_start
from api.settings import Settings
from domain.write.database import WriteModelUnavailable
from tests.domain.log.relay_harness import RelayHarness
from tests.domain.write_model import WriteModel, create
from tests.stores import OwnStores

CLIENT = "closed_out"


@pytest.fixture(params=["allow_connections false", "no right to connect", "no right to the tables"])
async def closed_url(
    request: pytest.FixtureRequest, stores: OwnStores, database_url: str
) -> AsyncIterator[str]:
    """The database as a plain role sees it, which may not use it now."""
    name = urlsplit(database_url).path.strip("/")
    administrator = await asyncpg.connect(stores.url("postgres"))
    await administrator.execute(f"create role {CLIENT} login")
    plain = urlsplit(database_url)
    try:
        match request.param:
            case "allow_connections false":
                await administrator.execute(f"alter database {name} allow_connections false")
            case "no right to connect":
                await administrator.execute(f"revoke connect on database {name} from public")
        yield plain._replace(netloc=f"{CLIENT}@").geturl()
    finally:
        await administrator.execute(f"alter database {name} allow_connections true")
        await administrator.execute(f"drop role {CLIENT}")
        await administrator.close()


async def test_a_database_that_is_closed_is_waited_for(closed_url: str, redis_url: str) -> None:
    settings = Settings(database_url=closed_url, redis_url=redis_url)
    await refuse_foreign_log_at_start(settings)
    async with drivers.database(settings) as pool:
        model = WriteModel(pool)
        with pytest.raises(TRANSIENT_ERRORS):
            await RelayHarness(model).relay().run_once()
        with pytest.raises(WriteModelUnavailable, match="nothing was written"):
            await model.store.execute(create("Alice", "alice@example.com"))
