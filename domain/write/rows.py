"""Loads what a command needs in one row: aggregate, child, and the stored result of its idempotency key."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from domain.aggregate import Aggregate, AggregateState
from domain.command import ByChild, Command, CommandResult, Target
from domain.refusal import IdempotencyKeyReused, Refusal
from domain.tables import child_table, root_table

if TYPE_CHECKING:
    import asyncpg

NO_ID = UUID(int=0)
"""The id of the aggregate of a child that does not exist."""


@cache
def load_statement(aggregate: Aggregate, field: str | None) -> str:
    """Returns the text of the statement that loads an aggregate: $1 is an id, $2 the digest of a key.

    The id is that of the aggregate, or with `field` that of a child in this field of the state.
    """
    root = root_table(aggregate)
    columns = [f"a.{column}" for column in root.fields]
    source = f"left join {root.name} a on a.id = wanted.id"
    if field is not None:
        child = child_table(aggregate, field)
        columns += [f"child.{column} as child_{column}" for column in child.columns]
        source = f"""
            left join {child.name} child on child.id = wanted.id
            left join {root.name} a on a.id = child.{child.parent}
        """
    return f"""
        select {", ".join(columns)}, result.fingerprint, result.id as result_id,
               result.aggregate_id as result_aggregate_id, result.version as result_version,
               owner.secret as result_secret
        from (select $1::uuid as id, $2::bytea as key) as wanted
        {source}
        left join command_results result on result.key = wanted.key
        left join {root.name} owner on owner.id = result.aggregate_id
    """


def new_state(aggregate: Aggregate, aggregate_id: UUID) -> AggregateState:
    """Returns the state of an aggregate that is not created yet."""
    return aggregate.state(id=aggregate_id, secret=uuid4())


def state_from_row(row: asyncpg.Record, aggregate: Aggregate, target: Target) -> AggregateState:
    """Returns the state in a row that was loaded, with the child; a new one if the row has none."""
    if row["id"] is None:
        return new_state(aggregate, NO_ID if isinstance(target, ByChild) else target.id)
    values: dict[str, Any] = {field: row[field] for field in root_table(aggregate).fields}
    if isinstance(target, ByChild) and row["child_id"] is not None:
        child = child_table(aggregate, target.field)
        struct = child.struct(**{column: row[f"child_{column}"] for column in child.columns})
        values[target.field] = {row["child_id"]: struct}
    return aggregate.state(**values)


def stored_result(row: asyncpg.Record, command: Command) -> CommandResult | Refusal | None:
    """Returns the result stored for the command's idempotency key; a refusal if the request was another."""
    stored_digest = row["fingerprint"]
    if stored_digest is None:
        return None
    digest = command.request_digest(row["result_secret"])
    # One is shorter if the aggregate is erased, or if it was stored before digests were keyed.
    if stored_digest[: len(digest)] != digest[: len(stored_digest)]:
        return IdempotencyKeyReused()
    return CommandResult(
        id=row["result_id"], aggregate_id=row["result_aggregate_id"], version=row["result_version"]
    )


def key_digest(key: str | None) -> bytes | None:
    """Returns the digest under which an idempotency key is stored: a key may contain personal data."""
    return None if key is None else hashlib.sha256(key.encode()).digest()
