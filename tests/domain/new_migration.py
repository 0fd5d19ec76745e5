"""Writes the migration of fields that the tables do not have yet: `make migration NAME=phone`."""

from __future__ import annotations

import asyncio
import re
import sys

import asyncpg
import msgspec

from domain.aggregate_contract import Aggregate
from domain.aggregates import AGGREGATES
from domain.migrate import DIRECTORY, load_migrations
from domain.tables import column_types
from tests.stores import own_stores

COLUMNS = """
    select attname as name, format_type(atttypid, null) as type from pg_attribute
    where attrelid = to_regclass($1) and attnum > 0 and not attisdropped
"""


async def added_columns(connection: asyncpg.Connection, aggregate: Aggregate) -> list[str]:
    """Returns a statement for each field that the aggregate's tables, which exist, do not have.

    Raises SystemExit, with a sentence, for a field without a constant as its default.
    """
    structs = {aggregate.table: aggregate.state} | {
        table.name: table.struct for table in aggregate.child_tables.values()
    }
    statements = []
    for table, struct in structs.items():
        found = {row["name"] for row in await connection.fetch(COLUMNS, table)}
        types = column_types(struct, apart_from=aggregate.children.keys())
        for field in msgspec.structs.fields(struct):
            if not found or field.name in found or field.name not in types:
                continue
            if field.default is msgspec.NODEFAULT:
                raise SystemExit(
                    f"{struct.__name__}.{field.name} has no default for the rows that exist;"
                    " write this migration by hand."
                )
            name = await connection.fetchval("select quote_ident($1)", field.name)
            column = f"{name} {types[field.name]}"
            if field.default is not None:
                default = str(field.default).lower()
                if isinstance(field.default, str):
                    default = await connection.fetchval("select quote_literal($1)", field.default)
                column += f" not null default {default}"
            statements.append(f"alter table {table} add column {column};\n")
    return statements


async def _write(url: str, name: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        statements = [
            statement
            for aggregate in AGGREGATES.values()
            for statement in await added_columns(connection, aggregate)
        ]
    finally:
        await connection.close()
    if not statements:
        return "The tables have a column for every field."
    path = DIRECTORY / f"{len(load_migrations()) + 1:04}_{name}.sql"
    path.write_text("".join(statements), "utf-8")
    return f"{path.relative_to(DIRECTORY.parent.parent)} is written."


if __name__ == "__main__":
    if len(sys.argv) != 2 or not re.fullmatch("[a-z0-9_]+", sys.argv[1]):
        raise SystemExit("make migration needs a name, such as NAME=phone.")
    with own_stores() as stores, stores.database() as url:
        sys.stdout.write(asyncio.run(_write(url, sys.argv[1])) + "\n")
