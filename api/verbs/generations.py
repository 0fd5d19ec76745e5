"""tandem generations: which read models are kept, what they keep of the streams, and how to be rid of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from api.roles import namespace
from api.verbs.asked import Refused, carry_out
from api.verbs.rebuild import AsJson
from api.verbs.stores import Stores, opened
from readside.generations import Generations
from readside.kept import Kept, kept
from readside.keys import Keys
from readside.standing import standings

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
        async with opened(settings) as stores:
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

    carry_out(run, quiet=True)


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
            raise Refused("Say which generations to remove, or --all.")
        async with opened(settings) as stores:
            rows = await _all(stores)
            unknown = set(names or ()) - {one.generation for _, one in rows}
            if unknown:
                raise Refused(
                    f"There is no generation {min(unknown)}; see `tandem generations list`."
                )
            chosen = []
            for number, one in rows:
                why = one.refusal(code_is_gone=code_is_gone)
                if why is not None and one.generation in (names or ()):
                    raise Refused(why)
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

    carry_out(run, quiet=True)


async def _all(stores: Stores) -> list[tuple[int, Kept]]:
    """With the partition of each."""
    settings = stores.settings
    found = await standings(
        stores.redis, settings.partitions, stores.fingerprint, namespace(settings)
    )
    return [(number, one) for number, standing in enumerate(found) for one in kept(standing)]
