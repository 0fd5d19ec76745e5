"""Builds the statements that write, each with its arguments: all rows and events of a command in one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from itertools import count
from typing import NamedTuple

from domain.aggregate_contract import Aggregate, AggregateState
from domain.command import Command, CommandResult
from domain.envelope import STORED_ID, encode
from domain.event import DomainEvent, personal_fields
from domain.log.erasures import SLICE, blanked_data
from domain.tables import ChildTable, RootTable, listed
from domain.write import rows

Statement = tuple[str, Sequence[object]]
"""The text of a statement, and its arguments in the order of their numbers."""


class Write(NamedTuple):
    """The change that a command makes: the state before and after it, and the events that made it."""

    command: Command
    before: AggregateState
    after: AggregateState
    events: Sequence[DomainEvent]
    metadata: str
    """The metadata of the events, as JSON."""
    partition: int
    children: Sequence[Sequence[object]]
    """By table, the children that the command has added or changed."""
    removed: Sequence[Sequence[object]]
    """By table, the ids of the children that it has removed."""

    @property
    def group(self) -> tuple[Aggregate, type] | None:
        """What all writes of one bulk insert have in common: they only create, with one event each."""
        if self.before.version or len(self.events) != 1 or any(self.children):
            return None
        return self.command.aggregate, type(self.events[0])


def changed_children(
    aggregate: Aggregate, before: AggregateState, after: AggregateState
) -> tuple[list[list[object]], list[list[object]]]:
    """Returns, by table, the children that were added or changed, and the ids of those that were removed."""
    changed, removed = [], []
    for field in aggregate.children:
        old: dict[object, object] = getattr(before, field)
        new: dict[object, object] = getattr(after, field)
        changed.append([child for key, child in new.items() if old.get(key) != child])
        removed.append([key for key in old if key not in new])
    return changed, removed


_RESULT = ("bytea", "bytea", "uuid")

_INSERT_RESULT = f""", stored_result as (
    insert into commands (key, fingerprint, id, {STORED_ID}, version, answered_at)
    select r.key, r.fingerprint, r.id, w.id, w.version, w.updated_at
    from written w, (values {{}}) as r (key, fingerprint, id)
)"""


def result_values(command: Command, state: AggregateState) -> tuple[object, ...]:
    """Returns key, digest and id; no values if the command has no idempotency key."""
    if command.idempotency_key is None:
        return ()
    key = rows.key_digest(command.idempotency_key)
    return key, command.request_digest(state.secret), command.result_id


_EVENT = ("smallint", "integer", "text", "smallint", "jsonb", "jsonb")

_INSERT_EVENTS = f"""
    insert into events
        (partition, aggregate, {STORED_ID}, version, type, schema, data, metadata, occurred_at)
    select e.partition, '{{aggregate}}', w.id, e.version, e.type, e.schema, e.data, e.metadata, w.updated_at
    from written w, (values {{values}}) as e (partition, version, type, schema, data, metadata)
    order by e.version
    returning version
"""


def build_write(write: Write) -> Statement:
    """Builds the statement that writes everything in one round trip and one transaction.

    It writes and returns no row if the aggregate is no longer in the version that the command was decided on.
    """
    command, before, after, events, metadata, partition, children, removed = write
    aggregate = command.aggregate
    result = result_values(command, before)
    text = write_statement(
        aggregate,
        creates=not before.version,
        children=tuple(map(len, children)),
        removed=tuple(map(bool, removed)),
        keyed=bool(result),
        erases=after.erased_at is not None,
        events=len(events),
    )
    arguments = aggregate.root.values(after)
    if before.version:
        arguments.append(before.version)
    if any(children):
        for table, changed in zip(aggregate.child_tables.values(), children, strict=True):
            for child in changed:
                arguments += [getattr(child, column) for column in table.columns]
    arguments += filter(None, removed)
    arguments += result
    for version, event in enumerate(events, before.version + 1):
        arguments += (partition, version, *encode(aggregate.name, event), metadata)
    return text, arguments


@cache
def write_statement(
    aggregate: Aggregate,
    *,
    creates: bool,
    children: tuple[int, ...],
    removed: tuple[bool, ...],
    keyed: bool,
    erases: bool,
    events: int,
) -> str:
    """Returns the text of a write, with so many rows of each child table and so many events.

    `removed`: by child table, whether rows are removed; `keyed`: with an idempotency key; `erases`: with the
    event that ends the aggregate.
    """
    root = aggregate.root
    numbers = count(len(root.columns) + 1 if creates else len(root.columns) + 2)

    def values(rows: int, types: Sequence[str]) -> str:
        return ", ".join(
            "(" + ", ".join(f"${next(numbers)}::{type_}" for type_ in types) + ")"
            for _ in range(rows)
        )

    written = _insert(root) if creates else _update(root)
    tables = list(zip(aggregate.child_tables.values(), children, removed, strict=True))
    return "".join(
        (
            f"with written as ({written} returning id, version, updated_at)",
            *(
                _upsert(table, values(number, tuple(table.columns.values())))
                for table, number, _ in tables
                if number
            ),
            *(_remove(table, f"${next(numbers)}") for table, _, gone in tables if gone),
            _INSERT_RESULT.format(values(1, _RESULT)) if keyed else "",
            _blank(aggregate, tables) if erases else "",
            _INSERT_EVENTS.format(aggregate=aggregate.name, values=values(events, _EVENT)),
        )
    )


def _insert(root: RootTable) -> str:
    parameters = ", ".join(f"${number}" for number in range(1, len(root.columns) + 1))
    return f"insert into {root.name} ({listed(root.columns)}) values ({parameters})"


def _update(root: RootTable) -> str:
    """INSERT ... ON CONFLICT could do both, but with concurrent writes of one aggregate it may report the
    aggregate's own key as taken."""
    parameters = {column: f"${number}" for number, column in enumerate(root.columns, 1)}
    values = dict(parameters)
    for column, (source, _) in root.derived.items():
        # The key stays for as long as its source does: it may have got a suffix, see `suffixed_key`.
        same = f'{root.name}."{source}" = {parameters[source]}'
        values[column] = f'case when {same} then {root.name}."{column}" else {values[column]} end'
    assignments = ", ".join(
        f'"{column}" = {value}' for column, value in values.items() if column != "id"
    )
    return f"update {root.name} set {assignments} where id = $1 and version = ${len(values) + 1}"


def _upsert(table: ChildTable, values: str) -> str:
    columns = listed(table.columns)
    updated = ", ".join(f'"{name}" = excluded."{name}"' for name in table.columns if name != "id")
    return f""", upserted_{table.name} as (
        insert into {table.name} ({table.parent}, {columns})
        select w.id, c.* from written w, (values {values}) as c
        on conflict (id) do update set {updated}
        returning id
    )"""


def _remove(table: ChildTable, ids: str) -> str:
    return f""", removed_{table.name} as (
        delete from {table.name} c using written w where c.{table.parent} = w.id and c.id = any({ids}::uuid[])
        returning c.id
    )"""


def _blank(aggregate: Aggregate, tables: Iterable[tuple[ChildTable, int, bool]]) -> str:
    """Blanks the children that the command does not write, and the first slice of events.

    `domain/log/erasures.py` blanks later events, and hides their data from readers until then.
    """
    data = blanked_data(aggregate)
    children = [
        _blank_children(table, upserted=bool(number), removed=gone)
        for table, number, gone in tables
        if personal_fields(table.struct)
    ]
    return f"""{"".join(children)}, blanked as (
        update events e set data = {data}
        from written w where e.{STORED_ID} = w.id and e.version <= {SLICE} and e.data <> {data}
    ), unfinished as (
        insert into erasures ({STORED_ID}, blanked, last, erased_at)
        select id, {SLICE}, version - 1, updated_at from written where version - 1 > {SLICE}
    )"""


def _blank_children(table: ChildTable, *, upserted: bool, removed: bool) -> str:
    blank = ", ".join(f""""{field}" = ''""" for field in sorted(personal_fields(table.struct)))
    others = f"and c.id not in (select id from upserted_{table.name})" if upserted else ""
    others += f" and c.id not in (select id from removed_{table.name})" if removed else ""
    return f""", blanked_{table.name} as (
        update {table.name} c set {blank} from written w where c.{table.parent} = w.id {others}
    )"""


@cache
def _store_result(aggregate: Aggregate) -> str:
    return f"""
        insert into commands (key, fingerprint, id, {STORED_ID}, version, answered_at)
        select $1::bytea, $2::bytea, $3::uuid, id, version, $6::timestamptz
        from {aggregate.table} where id = $4 and version = $5
        returning version
    """


def build_store_result(
    command: Command, state: AggregateState, result: CommandResult, now: datetime
) -> Statement:
    """Builds the statement that stores the result of a command without events, under its key.

    It returns no row if the aggregate no longer has the version of the result.
    """
    values = result_values(command, state)
    return _store_result(command.aggregate), (*values, result.aggregate_id, result.version, now)
