"""The migrations create the tables that the aggregates declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain.aggregate_contract import Aggregate
from domain.aggregates import AGGREGATES
from domain.event import personal_fields
from tests.domain.new_migration import COLUMNS

if TYPE_CHECKING:
    from tests.domain.write_model import WriteModel

ACCEPTED = {
    "bigint": {"bigint", "integer", "smallint"},
    "timestamptz": {"timestamp with time zone"},
}
CONSTRAINTS = (
    "select conname as name from pg_constraint where conrelid = to_regclass($1) and contype = 'u'"
)

DEFERRABLE = """
    select conname as name from pg_constraint
    where conrelid = to_regclass($1) and contype = 'u' and condeferrable
"""

UNIQUE_COLUMNS = """
    select attname as column
    from pg_constraint join pg_attribute on attrelid = conrelid and attnum = any(conkey)
    where conrelid = to_regclass($1) and contype = 'u'
"""


@pytest.mark.parametrize("aggregate", AGGREGATES.values(), ids=lambda one: one.name)
async def test_the_migrations_create_what_an_aggregate_declares(
    model: WriteModel, aggregate: Aggregate
) -> None:
    declared = {aggregate.table: aggregate.root.columns}
    for child in aggregate.child_tables.values():
        declared[child.name] = child.columns | {child.parent: "uuid"}
    for table, columns in declared.items():
        found = {row["name"]: row["type"] for row in await model.rows(COLUMNS, table)}
        assert found.keys() == columns.keys(), (
            f"add a migration: the columns of {table} are not the fields that are declared;"
            " `make migration NAME=...` writes it for new fields"
        )
        for name, type_ in columns.items():
            assert found[name] in ACCEPTED.get(type_, {type_}), f"add a migration: {table}.{name}"
    constraints = {
        row["name"] for table in declared for row in await model.rows(CONSTRAINTS, table)
    }
    assert aggregate.refusals.keys() == constraints
    for child in aggregate.child_tables.values():
        unique = {row["column"] for row in await model.rows(UNIQUE_COLUMNS, child.name)}
        assert not unique & personal_fields(child.struct), (
            f"a unique constraint of {child.name} has a column that an erasure blanks"
        )
    deferrable = {row["name"] for table in declared for row in await model.rows(DEFERRABLE, table)}
    assert deferrable == {name for one in aggregate.children.values() for name in one.unique}, (
        "unique constraints of children are deferrable, so that one command may exchange two values;"
        " those of an aggregate are not, since group commit could not insert"
    )
