"""tandem events: prints the history of an aggregate from the event log, without personal data."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from api.cli.run import AsJson, run_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from api.settings import Settings
    from domain.envelope import Envelope


def events(
    aggregate_id: Annotated[UUID, typer.Argument(metavar="ID", help="The id of the aggregate.")],
    as_json: AsJson = False,
) -> None:
    """Print the events of an aggregate, such as a user, without personal data.

    Values of fields that identify a person are blank; the metadata says which command caused an event.

    Example: tandem events 019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f --json

    Exit status: 0 printed; 1 the log has no event of this id, or cannot be read.
    """

    async def run(settings: Settings) -> None:
        separator = ""
        # Errors of standard output, such as a closed pipe, are not those of the store.
        async with aclosing(_pages(settings, aggregate_id)) as pages:
            async for page in pages:
                rows = [_row(event) for event in page]
                if not as_json:
                    typer.echo("\n".join(line for row in rows for line in _lines(row)))
                    continue
                head = {"id": str(aggregate_id), "aggregate": page[0].aggregate}
                start = separator or json.dumps(head)[:-1] + ', "events": ['
                typer.echo(start + ", ".join(map(json.dumps, rows)), nl=False)
                separator = ", "
        if as_json:
            typer.echo("]}")

    run_async(run, quiet=True)


async def _pages(settings: Settings, aggregate_id: UUID) -> AsyncGenerator[list[Envelope], None]:
    from api.cli.open_database import write_model
    from api.operator_error import OperatorError
    from domain.log.event_log import EventLog
    from readside.event_source import history_pages

    page: list[Envelope] = []
    async with write_model(settings) as pool:
        async for page in history_pages(EventLog(pool), aggregate_id, 0):
            yield page
    if not page:
        raise OperatorError(f"The event log has no event of {aggregate_id}.")


def _row(event: Envelope) -> dict[str, Any]:
    import msgspec

    from domain.aggregates import AGGREGATES

    shown: set[str] = set()  # nothing of a type that this code does not have
    if aggregate := AGGREGATES.get(event.aggregate):
        for type_ in aggregate.event_types:
            if type_.__name__ == event.type:
                shown = set(type_.__struct_fields__).difference(aggregate.personal)
    data = msgspec.json.decode(event.data, type=dict[str, Any])
    return {
        "version": event.version,
        "at": event.occurred_at.isoformat(),
        "type": event.type,
        "schema": event.schema,
        "skipped": event.skipped,
        "data": {field: value if field in shown else "" for field, value in data.items()},
        "metadata": event.metadata,
    }


def _lines(row: dict[str, Any]) -> list[str]:
    skipped = "  skipped" if row["skipped"] else ""
    return [
        f"version {row['version']}  {row['at']}  {row['type']} (schema {row['schema']}){skipped}",
        *(
            f"  {name:<9} " + "  ".join(f"{field}={value}" for field, value in row[name].items())
            for name in ("data", "metadata")
            if row[name]
        ),
    ]
