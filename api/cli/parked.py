"""tandem parked: lists aggregates parked at an event that cannot be applied; retries or drops the event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from api.cli.run import AsJson, fail, print_result, run_on_stores

if TYPE_CHECKING:
    from api.cli.open_stores import OpenStores
    from domain.envelope import Envelope
    from readside.admin.parked_aggregates import ParkedAggregate

parked = typer.Typer(
    no_args_is_help=True,
    help="Aggregates, such as users, parked at an event that cannot be applied.",
)

Id = Annotated[UUID, typer.Argument(metavar="ID", help="The id of the aggregate.")]


@parked.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List what is parked, the event at which each aggregate is, and why. Example: tandem parked list --json

    Exit status: 0 listed, also if the list is empty; 1 a store cannot be used.
    """

    async def run(stores: OpenStores) -> None:
        parked = await _all_parked(stores)
        rows = [_row(found, await _events(stores, found)) for found in parked]
        lines = [
            f"{row['user']}  version {row['version']}  {row['type']}"
            f"  since {row['since'] or 'unknown'}  {row['reason']}"
            for row in rows
        ]
        summary = f"{len(rows)} parked." if rows else "No aggregate is parked."
        print_result({"parked": rows}, [*lines, summary], as_json=as_json)

    run_on_stores(run)


@parked.command()
def show(aggregate_id: Id, as_json: AsJson = False) -> None:
    """Show why an aggregate is parked, and which later events wait. Example: tandem parked show ID

    Exit status: 0 shown; 1 it is not parked, or a store cannot be used.
    """

    async def run(stores: OpenStores) -> None:
        found = await _find(stores, aggregate_id)
        events = await _events(stores, found)
        row = _row(found, events)
        waiting = [
            {"version": event.version, "type": event.type, "at": _time(event)}
            for event in events
            if event.version > found.version
        ]
        lines = [
            *(f"{name:<10}{'unknown' if value is None else value}" for name, value in row.items()),
            f"{'waiting':<10}{len(waiting)} events",
            *(f"{'':<10}version {e['version']}  {e['type']}  {e['at']}" for e in waiting),
        ]
        print_result({**row, "waiting": waiting}, lines, as_json=as_json)

    run_on_stores(run)


@parked.command()
def retry(
    aggregate_id: Annotated[
        UUID | None, typer.Argument(metavar="ID", help="The id of the aggregate.")
    ] = None,
    retry_all: Annotated[bool, typer.Option("--all", help="All that are parked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay an aggregate's events through the current code. Example: tandem parked retry --all

    Exit status: 0 the events are applied again; 1 one is still parked, or cannot be retried.
    """
    if (aggregate_id is None) != retry_all:
        fail("Give the id of the aggregate to retry, or --all.")

    async def run(stores: OpenStores) -> int:
        if aggregate_id is None:
            chosen = await _all_parked(stores)
        else:
            chosen = [await _find(stores, aggregate_id)]
        return _print_retried([await _retry(stores, found) for found in chosen], as_json=as_json)

    run_on_stores(run)


@parked.command()
def drop(
    aggregate_id: Id,
    reason: Annotated[
        str, typer.Option(help="Why. It outlives an erasure: no personal data.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Drop the event at which an aggregate is parked, permanently: the read models continue without it.

    The log keeps the event, and every later rebuild leaves it out too.

    Example: tandem parked drop ID --reason "a total that cannot be paid"

    Exit status: 0 the later events are applied; 1 it is parked again at one, or the event cannot be dropped.
    """

    async def run(stores: OpenStores) -> int:
        found = await _find(stores, aggregate_id)
        await _skip_event(stores, found, reason)
        return _print_retried([await _retry(stores, found)], as_json=as_json)

    run_on_stores(run)


async def _skip_event(stores: OpenStores, found: ParkedAggregate, reason: str) -> None:
    """Raises OperatorError if the event is not in the log, or cannot be left out."""
    from api.operator_error import OperatorError
    from domain.log.skipped_events import can_be_skipped, skip

    events = await _events(stores, found)
    if not events or events[0].version != found.version:
        raise OperatorError(
            f"Version {found.version} is not in the event log, so there is nothing to drop;"
            " restore it, then use `tandem parked retry`."
        )
    aggregate, type_ = events[0].aggregate, events[0].type
    if not can_be_skipped(aggregate, type_):
        raise OperatorError(
            f"{type_} cannot be dropped, because a {aggregate} cannot be projected without it;"
            " correct the code, then use `tandem parked retry`."
        )
    await skip(stores.pool, events[0].aggregate_id, found.version, reason)


async def _retry(stores: OpenStores, found: ParkedAggregate) -> dict[str, Any]:
    from readside.errors import NotServing
    from readside.redis_functions.functions import GenerationGone

    aggregate_id, parked_aggregates = UUID(found.aggregate_id), stores.parked(found.partition)
    try:
        await stores.maintenance(found.partition).resync_aggregate(aggregate_id)
    except GenerationGone as gone:
        raise NotServing(found.partition) from gone
    newest = await stores.log.newest(aggregate_id)
    version = newest and await parked_aggregates.version(newest.aggregate, aggregate_id)
    again = await parked_aggregates.of(aggregate_id)
    return {
        "user": found.aggregate_id,
        "version": version or 0,
        "parked": None if again is None else {"version": again.version, "reason": again.reason},
    }


async def _all_parked(stores: OpenStores) -> list[ParkedAggregate]:
    return [
        found
        for partition in stores.partitions(None)
        for found in await stores.parked(partition).all()
    ]


async def _find(stores: OpenStores, aggregate_id: UUID) -> ParkedAggregate:
    """Raises OperatorError if the aggregate is not parked."""
    from api.operator_error import OperatorError
    from domain.envelope import partition_of

    partition = partition_of(aggregate_id, stores.settings.partitions)
    found = await stores.parked(partition).of(aggregate_id)
    if found is None:
        raise OperatorError(f"{aggregate_id} is not parked; `tandem parked list` lists what is.")
    return found


async def _events(stores: OpenStores, found: ParkedAggregate) -> list[Envelope]:
    """Returns the events from the one on at which the aggregate is parked."""
    return await stores.log.history(UUID(found.aggregate_id), found.version - 1)


def _time(event: Envelope) -> str:
    return event.occurred_at.isoformat(timespec="seconds")


def _row(found: ParkedAggregate, events: list[Envelope]) -> dict[str, Any]:
    """Returns the output for an aggregate; `events` are the result of `_events`."""
    return {
        "user": found.aggregate_id,
        "partition": found.partition,
        "version": found.version,
        "type": found.type,
        "since": _time(events[0]) if events else None,
        "reason": found.reason,
    }


def _print_retried(rows: list[dict[str, Any]], *, as_json: bool) -> int:
    """Returns the exit status."""
    lines = []
    for row in rows:
        again = row["parked"]
        outcome = f"parked at version {again['version']}: {again['reason']}" if again else "applied"
        lines.append(f"{row['user']}  version {row['version']}, {outcome}")
    still_parked = sum(row["parked"] is not None for row in rows)
    lines.append(f"{len(rows)} retried, {still_parked} parked.")
    print_result({"retried": rows}, lines, as_json=as_json)
    return int(still_parked > 0)
