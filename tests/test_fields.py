"""A field of an aggregate is in every place between the input of a mutation and the GraphQL type."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints
from uuid import UUID

import msgspec
import pytest

from api.schema.merged import SCHEMA
from domain.aggregate_contract import Aggregate
from domain.aggregates import AGGREGATES
from readside.projection import ProjectedEvent
from readside.read_models import READ_MODELS
from readside.redis_functions.keys import Keys, Partition
from readside.stored_document import Document
from tests.domain.written_events import WRITTEN_EVENTS
from tests.processes import ROOT
from tests.test_registries import commands

ID = "019b0c9e-7d4e-7bbb-8a51-0a6f3c1d2e4f"
AT = "2026-01-01T00:00:00.000Z"
KEYS = Keys(Partition(0), "generation")

Documented = tuple[Aggregate, ModuleType, type[Document]]


def documents() -> Iterator[Documented]:
    """The aggregates, each with the file and the row of its document."""
    for name, models in READ_MODELS.items():
        if name not in AGGREGATES:
            continue  # which test_registries.py reports
        for model in models:
            for row in vars(model).values():
                if isinstance(row, type) and issubclass(row, Document) and row is not Document:
                    yield AGGREGATES[name], model, row


each_document = pytest.mark.parametrize(
    "documented", list(documents()), ids=lambda documented: documented[2].__name__
)


def missing(folder: Path, structs: dict[str, type[msgspec.Struct]]) -> Iterator[str]:
    """Yields the fields that are not given where the code of a folder makes one of these structs."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                struct = structs.get(node.func.id)
                given = {keyword.arg for keyword in node.keywords}
                for field in set(struct.__struct_fields__) - given if struct else ():
                    yield f"{path.relative_to(ROOT)}:{node.lineno} does not set {node.func.id}.{field}."


def test_a_mutation_sets_every_field_of_its_command() -> None:
    structs = {command.__name__: command for command in commands()}
    for sentence in missing(ROOT / "api/schema", dict(structs)):
        raise AssertionError(sentence)


def test_a_command_sets_every_field_of_its_events() -> None:
    for aggregate in AGGREGATES.values():
        structs = {event.__name__: event for event in aggregate.event_types}
        folder = aggregate.state.__module__.split(".")[1]
        for sentence in missing(ROOT / "domain" / folder, dict(structs)):
            raise AssertionError(sentence)


@pytest.mark.parametrize("aggregate", AGGREGATES.values(), ids=lambda one: one.name)
def test_the_state_has_what_the_first_event_says(aggregate: Aggregate) -> None:
    first, before = aggregate.event_types[0], aggregate.state(id=UUID(ID))
    shared = set(first.__struct_fields__) & set(before.__struct_fields__)
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(first):
        values[field.name] = 7 if field.type is int else field.name
    after = aggregate.after(before, first(**values), datetime.now(UTC))
    for name in shared:
        assert getattr(after, name) == values[name], (
            f"evolve does not set {type(after).__name__}.{name} when {first.__name__} happens."
        )


@each_document
def test_a_field_of_the_first_event_is_one_of_the_document(documented: Documented) -> None:
    aggregate, _, row = documented
    first = aggregate.event_types[0]
    for field in set(first.__struct_fields__) - set(row.__struct_fields__):
        raise AssertionError(f"{first.__name__}.{field} is no field of {row.__name__}.")


@each_document
def test_the_first_event_sets_every_text_of_the_document(documented: Documented) -> None:
    aggregate, model, row = documented
    first = aggregate.event_types[0].__name__
    written = [event for tag, _, _, event in WRITTEN_EVENTS.get(aggregate.name, ()) if tag == first]
    if not written:
        pytest.skip("tests/domain/test_written_events.py reports that an event is missing")
    projected = ProjectedEvent[Any](
        aggregate=aggregate.name, aggregate_id=ID, version=1, occurred_at=AT, data=written[-1]
    )
    commands = model.project(KEYS, projected)
    document = KEYS.document(aggregate.name, ID)
    words = [command[2::2] for command in commands if command[:2] == ("HSET", document)]
    given = {"id"}.union(*words)
    for field in msgspec.structs.fields(row):
        if field.type is str and field.encode_name not in given:
            raise AssertionError(f"{first} does not set {row.__name__}.{field.name}.")


@each_document
def test_a_field_of_the_document_is_one_of_the_graphql_type(documented: Documented) -> None:
    _, _, row = documented
    types = {
        definition.origin
        for type_ in SCHEMA.type_map.values()
        if (definition := type_.extensions.get("strawberry-definition"))
        and (from_row := getattr(getattr(definition, "origin", None), "from_row", None))
        and get_type_hints(from_row)["row"] is row
    }
    for type_ in types:
        for field in set(row.__struct_fields__) - set(type_.__annotations__):
            raise AssertionError(
                f"{row.__name__}.{field} is no field of the GraphQL type {type_.__name__}."
            )
