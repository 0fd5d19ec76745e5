"""Checks the projections when they are declared, on samples of the events that they are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import inspect

from domain.aggregates import AGGREGATES
from readside.command_rules import check_commands
from readside.projection import ProjectedEvent, Projection, Projections, RefusedCommand
from readside.redis_functions.keys import TANDEM, Keys

_KEYS: Final = Keys(TANDEM.partition(0), "sample")
_AT: Final = "2026-01-01T00:00:00.000Z"
_AGGREGATE_ID: Final = "019b0c9e-7d4e-7bbb-8a51-000000000001"
_OTHER_ID: Final = "019b0c9e-7d4e-7bbb-8a51-000000000002"

_VALUES: Final[dict[type[inspect.Type], Sequence[Any]]] = {
    inspect.NoneType: (None,),
    inspect.BoolType: (True, False),
    inspect.IntType: (1, 0),
    inspect.FloatType: (1.5,),
    inspect.DecimalType: ("1.5",),
    inspect.StrType: ("a@b.example", ""),
    inspect.UUIDType: (_OTHER_ID,),
    inspect.DateTimeType: (_AT,),
    inspect.DateType: (_AT[:10],),
    inspect.DictType: ({},),
}
"""By the type of a field, some of its values as JSON has them."""

_MAX_DEPTH: Final = 4
"""Structs within one another in a sample, the event among them: one may contain itself."""


def require_allowed(projections: Projections) -> None:
    """Raises RefusedCommand, in one sentence, if a projection returns a command that none may return.

    Each projection is called with events of each type. What it makes of other values than those of the
    samples is checked when such an event is projected: see `commands_for`.
    """
    for name, models in projections.items():
        for event in _sample_events(name):
            for project in models:
                _check(project, event)


def _check(project: Projection, event: ProjectedEvent[Any]) -> None:
    try:
        check_commands(_KEYS, event, project(_KEYS, event))
    except RefusedCommand as refused:
        given = type(event.data).__name__
        raise RefusedCommand(f"{project.__module__}, {given}: {refused}") from None
    except Exception:
        return  # perhaps of the sample: its text is no number, for instance


def _sample_events(name: str) -> Iterator[ProjectedEvent[Any]]:
    types = AGGREGATES[name].event_types if name in AGGREGATES else ()
    for type_ in types:
        for fields in _structs(inspect.type_info(type_)):
            with suppress(msgspec.ValidationError):  # a constraint, or a type without samples
                yield ProjectedEvent(
                    aggregate=name,
                    aggregate_id=_AGGREGATE_ID,
                    version=1,
                    occurred_at=_AT,
                    data=msgspec.convert(fields, type_),
                )


def _structs(struct: Any, depth: int = 1) -> Iterator[dict[str, Any]]:
    """Yields the fields of as many structs as the field with the most values needs.

    Yields nothing if a field that every such struct has is without samples.
    """
    values = {field.encode_name: _values(field.type, depth) for field in struct.fields}
    if not all(values[field.encode_name] for field in struct.fields if field.required):
        return
    given = {name: options for name, options in values.items() if options}
    for number in range(max(map(len, given.values()), default=1)):
        yield {name: options[number % len(options)] for name, options in given.items()}


def _values(type_: inspect.Type, depth: int) -> Sequence[Any]:
    match type_:
        case inspect.UnionType(types=types):
            return [value for one in types for value in _values(one, depth)]
        case inspect.LiteralType(values=values):
            return values
        case inspect.EnumType(cls=cls):
            return [member.value for member in cls]
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return [_values(item, depth), []]
        case inspect.StructType() if depth < _MAX_DEPTH:
            return list(_structs(type_, depth + 1))
        case _:
            return _VALUES.get(type(type_), ())
