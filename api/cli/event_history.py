"""tandem events: prints the history of an aggregate from the event log, without personal data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from api.cli.run import AsJson, print_result, run_async

if TYPE_CHECKING:
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
        from api.cli.open_database import write_model
        from api.operator_error import OperatorError
        from domain.log.event_log import EventLog

        async with write_model(settings) as pool:
            history = await EventLog(pool).history(aggregate_id, 0)
        if not history:
            raise OperatorError(f"The event log has no event of {aggregate_id}.")
        rows = [_row(event) for event in history]
        data = {"id": str(aggregate_id), "aggregate": history[0].aggregate, "events": rows}
        print_result(data, [line for row in rows for line in _lines(row)], as_json=as_json)

    run_async(run, quiet=True)


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
