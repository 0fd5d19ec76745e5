"""tandem generations: which read models are kept, what they keep of the streams, and how to be rid of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from api.cli.open_stores import OpenStores, open_stores
from api.cli.rebuild import AsJson
from api.cli.run import run_async
from api.errors import OperatorError
from api.roles import namespace
from readside.admin.partition_status import partition_statuses
from readside.admin.retained_generations import RetainedGeneration, kept
from readside.generations.registry import Generations
from readside.redis_functions.keys import Keys

if TYPE_CHECKING:
    from api.settings import Settings

generations = typer.Typer(
    no_args_is_help=True,
    help="Read models that are kept, of this code and of others; each keeps entries of its stream.",
)


@generations.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the generations of each partition, and the entries that each keeps from being trimmed.

    Example: tandem generations list --json

    Exit status: 0 listed; 1 it cannot look.
    """

    async def run(settings: Settings) -> None:
        async with open_stores(settings) as stores:
            rows = await _all(stores)
        if as_json:
            told = [{"partition": number, **msgspec.to_builtins(one)} for number, one in rows]
            typer.echo(json.dumps({"generations": told}))
            return
        for number, one in rows:
            read = "never read" if one.idle is None else f"read {one.idle:.0f} s ago"
            typer.echo(
                f"partition {number}  {one.generation}  {one.state}  keeps {one.entries} entries  {read}"
            )

    run_async(run, quiet=True)


@generations.command()
def remove(
    names: Annotated[list[str] | None, typer.Argument(metavar="GENERATION...")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that nothing uses any more.")
    ] = False,
    code_is_gone: Annotated[
        bool,
        typer.Option("--code-is-gone", help="Also those of other code, of which no process runs."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove generations that nothing uses any more, so that their streams can be trimmed.

    One that serves this code is never removed, nor one that was read within the last 30 seconds.

    Example: tandem generations remove --all

    Exit status: 0 removed; 1 one of them is unknown or in use, and none is removed.
    """

    async def run(settings: Settings) -> None:
        if bool(names) == everything:
            raise OperatorError("Say which generations to remove, or --all.")
        async with open_stores(settings) as stores:
            rows = await _all(stores)
            unknown = set(names or ()) - {one.generation for _, one in rows}
            if unknown:
                raise OperatorError(
                    f"There is no generation {min(unknown)}; see `tandem generations list`."
                )
            chosen = []
            for number, one in rows:
                why = one.refusal(code_is_gone=code_is_gone)
                if why is not None and one.generation in (names or ()):
                    raise OperatorError(why)
                if why is None and (everything or one.generation in (names or ())):
                    chosen.append((number, one))
            for number, one in chosen:
                place = namespace(settings).partition(number)
                found = Generations(stores.redis, place, stores.fingerprint)
                await found.remove(Keys(place, one.generation))
        removed = [one.generation for _, one in chosen]
        freed = sum(one.entries for _, one in chosen)
        if as_json:
            typer.echo(json.dumps({"removed": removed, "entries": freed}))
        else:
            typer.echo(f"Removed {len(removed)}, which kept {freed} entries.")

    run_async(run, quiet=True)


async def _all(stores: OpenStores) -> list[tuple[int, RetainedGeneration]]:
    """With the partition of each."""
    settings = stores.settings
    found = await partition_statuses(
        stores.redis, settings.partitions, stores.fingerprint, namespace(settings)
    )
    return [(number, one) for number, standing in enumerate(found) for one in kept(standing)]
