"""Loads what a command needs in one row: aggregate, child, and the stored result of its idempotency key."""

from __future__ import annotations

import hashlib
from functools import cache
from itertools import islice
from typing import Any
from uuid import UUID

import asyncpg

from domain.aggregate_contract import Aggregate, AggregateState
from domain.command import ByChild, ById, Command, CommandResult, Target
from domain.envelope import STORED_ID
from domain.refusal import IdempotencyKeyReused, Refusal
from domain.tables import listed

NO_ID = UUID(int=0)
"""The id of the aggregate of a child that does not exist."""


@cache
def load_statement(aggregate: Aggregate, field: str | None, children: tuple[str, ...] = ()) -> str:
    """Returns the text of the statement that loads an aggregate: $1 is an id, $2 the digest of a key.

    The id is that of the aggregate, or with `field` that of a child in this field of the state. A row has
    the columns of the aggregate's table, those of the child if there is one, an array for each column of the
    fields in `children`, and the five of a result.
    """
    root = aggregate.root
    columns = listed(root.columns, "a.")
    for table in map(aggregate.child_tables.__getitem__, children):
        for column in table.columns:
            rows = f"from {table.name} c where c.{table.parent} = a.id order by c.id"
            columns += f', array(select c."{column}" {rows})'
    source = f"left join {root.name} a on a.id = wanted.id"
    if field is not None:
        child = aggregate.child_tables[field]
        columns += ", " + listed(child.columns, "c.")
        source = f"""
            left join {child.name} c on c.id = wanted.id
            left join {root.name} a on a.id = c.{child.parent}
        """
    return f"""
        select {columns}, result.fingerprint, result.id, result.{STORED_ID}, result.version, owner.secret
        from (select $1::uuid as id, $2::bytea as key) as wanted
        {source}
        left join commands result on result.key = wanted.key
        left join {root.name} owner on owner.id = result.{STORED_ID}
    """


def state_from_row(row: asyncpg.Record, aggregate: Aggregate, target: Target) -> AggregateState:
    """Returns the state in a row that was loaded, with the child; a new one if the row has none."""
    columns = aggregate.root.columns
    values: dict[str, Any] = dict(zip(columns, row, strict=False))
    if values["id"] is None:
        return aggregate.new(NO_ID if isinstance(target, ByChild) else target.id)
    for column in aggregate.root.derived:
        del values[column]
    rest = iter(row[len(columns) :])
    if isinstance(target, ByChild):
        table = aggregate.child_tables[target.field]
        values[target.field] = {target.id: table.child(islice(rest, len(table.columns)))}
    elif isinstance(target, ById):
        for field in target.children:
            table = aggregate.child_tables[field]
            found = zip(*islice(rest, len(table.columns)), strict=True)
            values[field] = {child.id: child for child in map(table.child, found)}
    return aggregate.state(**values)


def stored_result(row: asyncpg.Record, command: Command) -> CommandResult | Refusal | None:
    """Returns the result stored for the command's idempotency key; a refusal if the request was another."""
    stored_digest, result_id, aggregate_id, version, secret = row[-5:]
    if stored_digest is None:
        return None
    digest = command.request_digest(secret)
    # One is shorter if the aggregate is erased, or if it was stored before digests were keyed.
    if stored_digest[: len(digest)] != digest[: len(stored_digest)]:
        return IdempotencyKeyReused()
    return CommandResult(id=result_id, aggregate_id=aggregate_id, version=version)


def key_digest(key: str | None) -> bytes | None:
    """Returns the digest under which an idempotency key is stored: a key may contain personal data."""
    return None if key is None else hashlib.sha256(key.encode()).digest()
