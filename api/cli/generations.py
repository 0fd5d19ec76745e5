"""tandem generations: lists the read models that are kept, and removes those that nothing uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.run import AsJson, fail, print_result, run_on_stores

if TYPE_CHECKING:
    from api.cli.open_stores import OpenStores
    from readside.admin.retained_generations import RetainedGeneration

generations = typer.Typer(
    no_args_is_help=True,
    help="Read models that are kept; each keeps entries of its stream.",
)


@generations.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the generations of each partition, and the entries that each keeps from being trimmed.

    Example: tandem generations list --json

    Exit status: 0 listed; 1 a store cannot be used.
    """

    async def run(stores: OpenStores) -> None:
        import msgspec

        rows = await _retained(stores)
        data = [{"partition": number, **msgspec.to_builtins(row)} for number, row in rows]
        lines = [_line(number, generation) for number, generation in rows]
        print_result({"generations": data}, lines, as_json=as_json)

    run_on_stores(run)


@generations.command()
def remove(
    names: Annotated[list[str] | None, typer.Argument(metavar="GENERATION...")] = None,
    remove_all: Annotated[
        bool, typer.Option("--all", help="All generations that nothing uses any more.")
    ] = False,
    code_is_gone: Annotated[
        bool,
        typer.Option("--code-is-gone", help="Also those of other code, of which no process runs."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove generations that nothing uses any more, so that their streams can be trimmed.

    Never removes one that serves this code, nor one that was read within the last 30 seconds.

    Example: tandem generations remove --all

    Exit status: 0 removed; 1 one of them is unknown or in use, and none is removed.
    """
    if bool(names) == remove_all:
        fail("Say which generations to remove, or --all.")

    async def run(stores: OpenStores) -> None:
        from readside.generations.registry import Generations
        from readside.redis_functions.keys import Keys

        chosen = _chosen(await _retained(stores), names, code_is_gone=code_is_gone)
        for number, generation in chosen:
            partition = stores.namespace.partition(number)
            registry = Generations(stores.redis, partition, stores.fingerprint)
            await registry.remove(Keys(partition, generation.generation))
        removed = [generation.generation for _, generation in chosen]
        freed = sum(generation.entries for _, generation in chosen)
        line = f"Removed {len(removed)}, which kept {freed} entries."
        print_result({"removed": removed, "entries": freed}, [line], as_json=as_json)

    run_on_stores(run)


def _chosen(
    rows: list[tuple[int, RetainedGeneration]], names: list[str] | None, *, code_is_gone: bool
) -> list[tuple[int, RetainedGeneration]]:
    """Returns the named generations, or all that may be removed. Raises OperatorError."""
    from api.operator_error import OperatorError

    if unknown := set(names or ()) - {generation.generation for _, generation in rows}:
        raise OperatorError(
            f"There is no generation {min(unknown)}; see `tandem generations list`."
        )
    chosen = []
    for number, generation in rows:
        refusal = generation.refusal(code_is_gone=code_is_gone)
        if names and generation.generation not in names:
            continue
        if refusal is None:
            chosen.append((number, generation))
        elif names:
            raise OperatorError(refusal)
    return chosen


async def _retained(stores: OpenStores) -> list[tuple[int, RetainedGeneration]]:
    """Returns the retained generations with the numbers of their partitions."""
    from readside.admin.partition_status import partition_statuses
    from readside.admin.retained_generations import retained_generations

    statuses = await partition_statuses(
        stores.redis, stores.settings.partitions, stores.fingerprint, stores.namespace
    )
    return [
        (number, generation)
        for number, status in enumerate(statuses)
        if status is not None
        for generation in retained_generations(status)
    ]


def _line(number: int, generation: RetainedGeneration) -> str:
    read = "never read" if generation.idle is None else f"read {generation.idle:.0f} s ago"
    return (
        f"partition {number}  {generation.generation}  {generation.state}"
        f"  keeps {generation.entries} entries  {read}"
    )
