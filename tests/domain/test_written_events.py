"""What holds for the events of every aggregate in the registry."""

from __future__ import annotations

import pytest

from domain.aggregate_contract import Aggregate
from domain.aggregates import AGGREGATES
from domain.envelope import schema_of
from tests.domain.written_events import WRITTEN_EVENTS


@pytest.mark.parametrize("aggregate", AGGREGATES.values(), ids=lambda one: one.name)
def test_every_schema_of_every_event_is_kept_as_json(aggregate: Aggregate) -> None:
    kept = {(tag, schema) for tag, schema, _, _ in WRITTEN_EVENTS.get(aggregate.name, ())}
    missing = {
        (event.__name__, schema)
        for event in aggregate.event_types
        for schema in range(1, 1 + schema_of(aggregate.name, event.__name__))
    } - kept
    assert not missing, f"add the JSON of {sorted(missing)} to WRITTEN_EVENTS"
