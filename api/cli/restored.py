"""tandem restored: starts the streams and read models over from a database that was restored or replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.run import run_async

if TYPE_CHECKING:
    from api.settings import Settings


def restored(
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Also replace the streams of another event log, that of the database before this one.",
        ),
    ] = False,
) -> None:
    """Start streams and read models over from a restored database.

    A relay detects a restored event log itself within seconds; this command does not depend on that, and may
    be run while the service runs or before it is started. Until a partition is rebuilt its queries are
    refused with READ_MODEL_REBUILDING.

    Example: pg_restore --clean --dbname "$DATABASE_URL" tandem.dump && tandem restored

    Exit status: 0 done; 1 refused.
    """

    async def run(settings: Settings) -> None:
        from api.cli.open_stores import open_stores
        from api.runtime import drivers
        from domain.log.relay import Relay
        from domain.log.relay_log import RelayLog
        from readside.redis_functions.stream import RedisStream

        async with (
            open_stores(settings, any_log=take_over) as stores,
            drivers.redis_for_relay(stores.settings) as redis,
        ):
            partitions = stores.settings.partitions
            stream = RedisStream(redis, stores.namespace)
            relay = Relay(RelayLog(stores.pool), stream, range(partitions))
            await relay.restart_streams(take_over=take_over)
        typer.echo(
            f"The streams of {partitions} partitions start over from this event log; the projectors rebuild"
            " the read models now (`tandem status --watch` shows the progress)."
        )

    run_async(run, quiet=True)
