"""tandem restored: the database was restored or replaced, so the read models follow it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.open_stores import open_stores
from api.cli.run import run_async
from api.roles import namespace
from api.runtime import drivers
from domain.log.relay import Relay
from domain.log.relay_log import RelayLog
from readside.redis_functions.stream import RedisStream

if TYPE_CHECKING:
    from api.settings import Settings


def restored(
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Also replace the streams of another event log: of the database before this one.",
        ),
    ] = False,
) -> None:
    """Say that the database was restored: the streams begin again, and the read models are rebuilt from it.

    A relay detects a restored event log by itself within seconds; this does not rely on it, and may be run
    while the service runs or before it is started. Until a partition is rebuilt its queries are refused
    with READ_MODEL_REBUILDING.

    Example: pg_restore --clean --dbname "$DATABASE_URL" tandem.dump && tandem restored

    Exit status: 0 done; 1 refused.
    """

    async def run(settings: Settings) -> int:
        async with (
            open_stores(settings, any_log=take_over) as stores,
            drivers.redis_for_cursors(stores.settings) as redis,
        ):
            partitions = stores.settings.partitions
            stream = RedisStream(redis, namespace(stores.settings))
            relay = Relay(RelayLog(stores.pool), stream, range(partitions))
            await relay.restart_streams(take_over=take_over)
        typer.echo(
            f"The streams of {partitions} partitions begin again from this event log;"
            " the projectors rebuild the read models now (`tandem status --watch` shows how far they are)."
        )
        return 0

    run_async(run, quiet=True)
