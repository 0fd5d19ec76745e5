"""tandem parked: lists users parked at an event that cannot be applied, and retries or drops the event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from api.cli.run import AsJson, fail, print_result, run_on_stores

if TYPE_CHECKING:
    from api.cli.open_stores import OpenStores
    from domain.envelope import Envelope
    from domain.users.events import UserId
    from readside.admin.parked_aggregates import ParkedAggregate

parked = typer.Typer(
    no_args_is_help=True,
    help="Users parked at an event that cannot be applied.",
)

User = Annotated[UUID, typer.Argument(metavar="USER", help="The user's id.")]


@parked.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the parked users, the event at which each is parked, and why. Example: tandem parked list --json

    Exit status: 0 listed, also if the list is empty; 1 a store cannot be used.
    """

    async def run(stores: OpenStores) -> None:
        rows = []
        for user in await _all_parked(stores):
            events = await stores.log.history(_id(user), user.version - 1)
            rows.append(_row(user, events))
        lines = [
            f"{row['user']}  version {row['version']}  {row['type']}"
            f"  since {row['since'] or 'unknown'}  {row['reason']}"
            for row in rows
        ]
        summary = f"{len(rows)} parked." if rows else "No user is parked."
        print_result({"parked": rows}, [*lines, summary], as_json=as_json)

    run_on_stores(run)


@parked.command()
def show(user: User, as_json: AsJson = False) -> None:
    """Show why a user is parked, and which later events wait. Example: tandem parked show USER

    Exit status: 0 shown; 1 the user is not parked, or a store cannot be used.
    """

    async def run(stores: OpenStores) -> None:
        parked_user = await _find(stores, user)
        events = await stores.log.history(_id(parked_user), parked_user.version - 1)
        row = _row(parked_user, events)
        waiting = [
            {"version": event.version, "type": event.type, "at": _time(event)}
            for event in events
            if event.version > parked_user.version
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
    user: Annotated[UUID | None, typer.Argument(metavar="USER", help="The user's id.")] = None,
    retry_all: Annotated[bool, typer.Option("--all", help="All parked users.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a user's events through the current code. Example: tandem parked retry --all

    Exit status: 0 their events are applied again; 1 a user is still parked, or cannot be retried.
    """
    if (user is None) != retry_all:
        fail("Say which user to retry, or --all.")

    async def run(stores: OpenStores) -> int:
        users = await _all_parked(stores) if user is None else [await _find(stores, user)]
        return _print_retried([await _retry(stores, _id(user)) for user in users], as_json=as_json)

    run_on_stores(run)


@parked.command()
def drop(
    user: User,
    reason: Annotated[
        str, typer.Option(help="Why. It outlives an erasure: no personal data.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Drop the event at which a user is parked, permanently: the read models continue without it.

    The log keeps the event, and every later rebuild leaves it out too.

    Example: tandem parked drop USER --reason "a total that cannot be paid"

    Exit status: 0 the later events are applied; 1 the user is parked again at one, or it cannot be dropped.
    """

    async def run(stores: OpenStores) -> int:
        parked_user = await _find(stores, user)
        await _skip_event(stores, parked_user, reason)
        return _print_retried([await _retry(stores, _id(parked_user))], as_json=as_json)

    run_on_stores(run)


async def _skip_event(stores: OpenStores, user: ParkedAggregate, reason: str) -> None:
    """Raises OperatorError if the event is not in the log, or a user cannot be projected without it."""
    from api.operator_error import OperatorError
    from domain.log.skipped_events import SkippedEvents, can_be_skipped

    events = await stores.log.history(_id(user), user.version - 1)
    if not events or events[0].version != user.version:
        raise OperatorError(
            f"Version {user.version} is not in the event log, so there is nothing to drop;"
            " restore it, then use `tandem parked retry`."
        )
    if not can_be_skipped(events[0].aggregate, events[0].type):
        raise OperatorError(
            f"{events[0].type} cannot be dropped, because a user cannot be projected without it;"
            " correct the code, then use `tandem parked retry`."
        )
    await SkippedEvents(stores.pool).add(_id(user), user.version, reason)


async def _retry(stores: OpenStores, user_id: UserId) -> dict[str, Any]:
    from domain.envelope import partition_of
    from readside.errors import NotServing
    from readside.redis_functions.functions import GenerationGone

    partition = partition_of(user_id, stores.settings.partitions)
    try:
        await stores.maintenance(partition).resync_aggregate(user_id)
    except GenerationGone as gone:
        raise NotServing(partition) from gone
    user = await stores.parked(partition).of(user_id)
    newest = await stores.log.newest(user_id)
    name = newest.aggregate if newest is not None else ""
    return {
        "user": str(user_id),
        "version": await stores.parked(partition).version(name, user_id),
        "parked": None if user is None else {"version": user.version, "reason": user.reason},
    }


async def _all_parked(stores: OpenStores) -> list[ParkedAggregate]:
    return [
        user
        for partition in stores.partitions(None)
        for user in await stores.parked(partition).all()
    ]


async def _find(stores: OpenStores, user: UUID) -> ParkedAggregate:
    """Raises OperatorError if the user is not parked."""
    from api.operator_error import OperatorError
    from domain.envelope import partition_of
    from domain.users.events import UserId

    user_id = UserId(user)
    partition = partition_of(user_id, stores.settings.partitions)
    parked_user = await stores.parked(partition).of(user_id)
    if parked_user is None:
        raise OperatorError(f"The user {user} is not parked; `tandem parked list` lists who is.")
    return parked_user


def _id(user: ParkedAggregate) -> UserId:
    from domain.users.events import UserId

    return UserId(UUID(user.aggregate_id))


def _time(event: Envelope) -> str:
    return event.occurred_at.isoformat(timespec="seconds")


def _row(user: ParkedAggregate, events: list[Envelope]) -> dict[str, Any]:
    """Returns the output for a user; `events` are those from the one on at which the user is parked."""
    return {
        "user": user.aggregate_id,
        "partition": user.partition,
        "version": user.version,
        "type": user.type,
        "since": _time(events[0]) if events else None,
        "reason": user.reason,
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
