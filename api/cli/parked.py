"""tandem parked: who is set aside because of an event that cannot be applied, and what becomes of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from api.cli.open_stores import OpenStores, open_stores
from api.cli.rebuild import AsJson
from api.cli.run import run_async
from api.errors import OperatorError
from domain.envelope import Envelope, partition_of
from domain.log.skipped_events import NOT_SKIPPABLE, SkippedEvents
from domain.users.events import UserId
from readside.admin.parked import ParkedUser
from readside.errors import NotServing
from readside.redis_functions.functions import GenerationGone

if TYPE_CHECKING:
    from api.settings import Settings

parked = typer.Typer(
    no_args_is_help=True,
    help="Users who are set aside because of an event that cannot be applied; others are not held up.",
)

Who = Annotated[UUID, typer.Argument(metavar="USER", help="The user's id.")]


@parked.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List who is set aside, at which event, and why. Example: tandem parked list --json

    Exit status: 0 listed, also if it is nobody; 1 it cannot look.
    """

    async def run(settings: Settings) -> None:
        async with open_stores(settings) as stores:
            rows = [_row(aside, await _since(stores, aside)) for aside in await _everybody(stores)]
        if as_json:
            typer.echo(json.dumps({"parked": rows}))
            return
        for row in rows:
            typer.echo(
                f"{row['user']}  version {row['version']}  {row['type']}"
                f"  since {row['since'] or 'unknown'}  {row['reason']}"
            )
        typer.echo("Nobody is parked." if not rows else f"{len(rows)} parked.")

    run_async(run, quiet=True)


@parked.command()
def show(user: Who, as_json: AsJson = False) -> None:
    """Show why a user is set aside, and which events wait behind. Example: tandem parked show USER

    Exit status: 0 shown; 1 the user is not parked, or it cannot look.
    """

    async def run(settings: Settings) -> None:
        async with open_stores(settings) as stores:
            aside = await _parked(stores, UserId(user))
            waiting = await stores.log.history(UserId(user), aside.version - 1)
        row = _row(aside, next((_at(one) for one in waiting), None))
        behind = [
            {"version": one.version, "type": one.type, "at": _at(one)}
            for one in waiting
            if one.version > aside.version
        ]
        if as_json:
            typer.echo(json.dumps({**row, "waiting": behind}))
            return
        for name, value in row.items():
            typer.echo(f"{name:<10}{'unknown' if value is None else value}")
        typer.echo(f"{'waiting':<10}{len(behind)} events")
        for one in behind:
            typer.echo(f"{'':<10}version {one['version']}  {one['type']}  {one['at']}")

    run_async(run, quiet=True)


@parked.command()
def retry(
    user: Annotated[UUID | None, typer.Argument(metavar="USER", help="The user's id.")] = None,
    everybody: Annotated[bool, typer.Option("--all", help="Everybody who is parked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Replay a user's events through the code that is here. Example: tandem parked retry --all

    Exit status: 0 they go on; 1 somebody is still parked, or it cannot be done.
    """

    async def run(settings: Settings) -> int:
        if (user is None) != everybody:
            raise OperatorError("Say which user to retry, or --all.")
        async with open_stores(settings) as stores:
            if user is None:
                aside = await _everybody(stores)
            else:
                aside = [await _parked(stores, UserId(user))]
            rows = [await _retried(stores, UserId(UUID(one.user))) for one in aside]
        _show(rows, as_json=as_json)
        return int(any(row["parked"] for row in rows))

    run_async(run, quiet=True)


@parked.command()
def drop(
    user: Who,
    reason: Annotated[
        str, typer.Option(help="Why. It outlives an erasure: no personal data.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Give up, for ever, the event that a user is parked at: the read models go on without it.

    The log keeps the event, and every later rebuild goes without it too.

    Example: tandem parked drop USER --reason "a total nobody can pay"

    Exit status: 0 the user goes on; 1 the user is parked again at a later event, or it cannot be done.
    """

    async def run(settings: Settings) -> int:
        async with open_stores(settings) as stores:
            await _skip(stores, UserId(user), reason)
            row = await _retried(stores, UserId(user))
        _show([row], as_json=as_json)
        return int(row["parked"] is not None)

    run_async(run, quiet=True)


async def _skip(stores: OpenStores, user_id: UserId, reason: str) -> None:
    aside = await _parked(stores, user_id)
    found = await stores.log.history(user_id, aside.version - 1)
    if not found or found[0].version != aside.version:
        raise OperatorError(
            f"Version {aside.version} is not in the event log, so there is nothing to drop;"
            " restore it, then use `tandem parked retry`."
        )
    if found[0].type in NOT_SKIPPABLE:
        raise OperatorError(
            f"{found[0].type} cannot be dropped, a user makes no sense without it;"
            " mend the code, then use `tandem parked retry`."
        )
    await SkippedEvents(stores.pool).add(user_id, aside.version, reason)


async def _retried(stores: OpenStores, user_id: UserId) -> dict[str, Any]:
    partition = partition_of(user_id, stores.settings.partitions)
    try:
        await stores.steering(partition).mend(user_id)
    except GenerationGone as gone:
        raise NotServing(partition) from gone
    aside = await stores.parked(partition).of(user_id)
    return {
        "user": str(user_id),
        "version": await stores.parked(partition).version(user_id),
        "parked": None if aside is None else {"version": aside.version, "reason": aside.reason},
    }


async def _everybody(stores: OpenStores) -> list[ParkedUser]:
    return [one for number in stores.partitions(None) for one in await stores.parked(number).all()]


async def _parked(stores: OpenStores, user_id: UserId) -> ParkedUser:
    partition = partition_of(user_id, stores.settings.partitions)
    aside = await stores.parked(partition).of(user_id)
    if aside is None:
        raise OperatorError(f"The user {user_id} is not parked; `tandem parked list` tells who is.")
    return aside


async def _since(stores: OpenStores, aside: ParkedUser) -> str | None:
    """When the event happened, which is when it could first not be applied."""
    found = await stores.log.history(UserId(UUID(aside.user)), aside.version - 1)
    return next((_at(one) for one in found), None)


def _at(envelope: Envelope) -> str:
    return envelope.occurred_at.isoformat(timespec="seconds")


def _row(aside: ParkedUser, since: str | None) -> dict[str, Any]:
    return {
        "user": aside.user,
        "partition": aside.partition,
        "version": aside.version,
        "type": aside.type,
        "since": since,
        "reason": aside.reason,
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"retried": rows}))
        return
    for row in rows:
        again = row["parked"]
        now = f"parked at version {again['version']}: {again['reason']}" if again else "goes on"
        typer.echo(f"{row['user']}  version {row['version']}, {now}")
    typer.echo(f"{len(rows)} retried, {sum(row['parked'] is not None for row in rows)} parked.")
