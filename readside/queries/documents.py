"""Reads documents: one in a version or newer, those of a list, and each version as it is applied."""

from __future__ import annotations

from asyncio import get_running_loop
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Mapping
from functools import partial
from typing import Generic
from uuid import UUID

import msgspec

from readside.errors import (
    AggregateMissing,
    ChangesNoLongerKept,
    ReadModelBehind,
    ReadModelRebuilding,
)
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import CommandTemplate, pack
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import Keys
from readside.stored_document import HISTORY_LENGTH, D, StoredDocument

_NEEDS_RESYNC = -1
"""Stands for the version of an aggregate whose keys are incomplete: lower than any required version."""

_REPOLL_SECONDS = 5.0
"""How often a subscription reads the document without a notification: a rebuild publishes none."""


class Documents(Generic[D]):
    """Reads one kind of documents.

    A document with its version is the version and the row: 0 and None if the aggregate never existed, the
    version and None if it was erased, and _NEEDS_RESYNC and None if its keys are incomplete.
    """

    def __init__(self, stored: StoredDocument[D], *, index: str) -> None:
        """`index` is the name of the list of all ids: an id in it without a document has lost it."""
        self._aggregate = stored.aggregate
        self._row_type = stored.row
        self._history = stored.history
        self._index = index
        self._by_name = {field.encode_name: field for field in stored.fields}
        _, *names = self._by_name
        self._read_fields = CommandTemplate("HMGET", *names, "until")
        self._numbers = [
            at for at, field in enumerate(stored.fields[2:], start=1) if field.type is int
        ]
        """Where the reply has numbers, in addition to the version at its beginning."""

    async def fetch(
        self, read_model: ReadModel, aggregate_id: UUID, *, min_version: int = 0
    ) -> D | None:
        """Returns the document in `min_version` or newer; None if it does not exist or was erased.

        Waits for that version up to `version_timeout_seconds`, then raises ReadModelBehind. Raises
        ReadModelError.
        """
        partition, id_ = read_model.partition_of(aggregate_id), str(aggregate_id)
        version, row = await self._read(read_model, partition, id_)
        if version >= min_version:
            return row
        read_model, now = read_model.primary, get_running_loop().time
        deadline = now() + read_model.version_timeout_seconds
        async with read_model.subscribe(aggregate_id) as subscription:
            version, row = await self._read(read_model, partition, id_)
            while version < min_version:
                await subscription.wait(deadline - now())
                overdue = now() >= deadline
                version, row = await self._read(read_model, partition, id_)
                if version < min_version and overdue:
                    raise (
                        ReadModelRebuilding
                        if version == _NEEDS_RESYNC
                        else ReadModelBehind(min_version, version)
                    )
        return row

    async def fetch_many(self, read_model: ReadModel, partitions: Mapping[str, int]) -> list[D]:
        """Returns the documents with these ids, each with its partition, in this order; skips missing ones.

        Must be called right after the read that returned the ids. Raises ReadModelError.
        """
        if not partitions:
            return []
        keys = await read_model.active_keys(set(partitions.values()))
        commands = [
            self._read_fields.pack(keys[partition].document(self._aggregate, id_))
            for id_, partition in partitions.items()
        ]
        replies = await read_model.read_unchecked(commands, partitions.values())
        documents = dict(zip(partitions, map(self._row, partitions, replies), strict=True))
        missing = {id_: partitions[id_] for id_, (version, _) in documents.items() if version <= 0}
        return _rows(documents | await self._read_missing(read_model.primary, missing))

    async def find(self, read_model: ReadModel, ids: Iterable[UUID]) -> list[D]:
        """Returns the documents with these ids, without those that do not exist. Raises ReadModelError."""
        partitions = {str(id_): read_model.partition_of(id_) for id_ in ids}
        return _rows(await self._read_missing(read_model, partitions))

    async def changes(
        self,
        read_model: ReadModel,
        aggregate_id: UUID,
        after: int | None = None,
        *,
        min_version: int = 0,
    ) -> AsyncGenerator[D | None, None]:
        """Yields the present state, then each later version in order; with `after`, each version above it.

        Begins when the read model has `min_version`, as `fetch` does. Yields None for an aggregate that does
        not exist yet, and as the last item for one that was erased. Raises AggregateMissing if it does not
        exist after `version_timeout_seconds` and no event is still to be applied, ChangesNoLongerKept if the
        next version is no longer in the history, and ReadModelError.
        """
        partition, id_ = read_model.partition_of(aggregate_id), str(aggregate_id)
        if min_version:
            await self.fetch(read_model, aggregate_id, min_version=min_version)
        async with read_model.subscribe(aggregate_id) as subscription:
            waited = False
            while True:
                source = read_model if waited else read_model.primary  # which has what was notified
                version, row = await source.shared(
                    (self, id_), partial(self._read, source, partition, id_)
                )
                if row is None and version > 0:
                    yield None
                    return
                if version == 0 and waited and await self._is_missing(read_model, partition, id_):
                    raise AggregateMissing
                if version >= min_version if after is None else version == after + 1:
                    yield row
                    after = version
                elif after is not None and version > after:
                    for row in await source.shared(
                        (self, id_, after),
                        partial(self._versions_after, source, partition, id_, after),
                    ):
                        yield row
                        after = row.version
                waited = not await subscription.wait(
                    read_model.version_timeout_seconds if version == 0 else _REPOLL_SECONDS
                )

    async def _is_missing(self, read_model: ReadModel, partition: int, id_: str) -> bool:
        """Returns True if the log had no event of the aggregate; False if it has one, or if it is unknown."""
        complete = await read_model.generation_without_lag(partition)
        generation: str | None = None

        def commands(keys: Keys) -> list[bytes]:
            nonlocal generation
            generation = keys.generation
            return [pack(("EXISTS", keys.document(self._aggregate, id_)))]

        [exists] = await read_model.primary.read(partition, commands)
        return complete is not None and generation == complete and not exists

    async def _versions_after(
        self, read_model: ReadModel, partition: int, id_: str, after: int
    ) -> list[D]:
        """Returns the versions above `after`, of which there are some; none if it was erased meanwhile."""
        fields, history = await read_model.read(
            partition,  # the document first: what the history gained since then is ignored
            lambda keys: [
                self._read_fields.pack(keys.document(self._aggregate, id_)),
                pack(("LRANGE", keys.owned_key(self._history, id_), "0", "-1")),
            ],
        )
        version, present = self._row(id_, fields)
        if present is None:
            return []
        missed = [row for row in self._versions(present, history) if row.version > after]
        if not missed or missed[0].version != after + 1:
            if len(history) >= min(HISTORY_LENGTH, version) - 1:
                raise ChangesNoLongerKept(after)
            await read_model.request_resync(partition, id_)
            raise ReadModelRebuilding
        return missed

    def _versions(self, present: D, history: Replies) -> list[D]:
        """Returns the document in each version of the history, oldest first, derived from the present one."""
        rows = [present]
        for entry in reversed(history):
            pushed, updated_at, *changed = msgspec.json.decode(entry)
            version = int(pushed)
            if version > present.version:
                continue
            while rows[-1].version > version:  # a version without changes: its event was skipped
                rows.append(msgspec.structs.replace(rows[-1], version=rows[-1].version - 1))
            before = {"version": version - 1, "updated_at": updated_at}
            for name, value in zip(changed[::2], changed[1::2], strict=True):
                field = self._by_name[name]
                was = None if value is False else value  # false: the hash had no such field
                before[field.name] = int(was or 0) if field.type is int else was
            rows.append(msgspec.structs.replace(rows[-1], **before))
        return rows[::-1]

    async def _read(self, read_model: ReadModel, partition: int, id_: str) -> tuple[int, D | None]:
        [fields] = await read_model.read(
            partition, lambda keys: [self._read_fields.pack(keys.document(self._aggregate, id_))]
        )
        found = self._row(id_, fields)
        if found[0] > 0:
            return found
        return (await self._read_missing(read_model.primary, {id_: partition}))[id_]

    async def _read_missing(
        self, read_model: ReadModel, partitions: Mapping[str, int]
    ) -> dict[str, tuple[int, D | None]]:
        """Reads documents with their index; requests a resync of one that is missing and has its id there.

        That one is missing, or incomplete, is true only of the primary: it is read again there.
        """
        ids_in: defaultdict[int, list[str]] = defaultdict(list)
        for id_, partition in partitions.items():
            ids_in[partition].append(id_)
        replies = await read_model.read_partitions(
            {partition: partial(self._read_indexed, ids) for partition, ids in ids_in.items()}
        )
        documents: dict[str, tuple[int, D | None]] = {}
        unconfirmed: dict[str, int] = {}
        for partition, ids in ids_in.items():
            indexed, fields = replies[partition][::2], replies[partition][1::2]
            for id_, score, reply in zip(ids, indexed, fields, strict=True):
                documents[id_] = version, _ = self._row(id_, reply)
                if version <= 0 and read_model.primary is not read_model:
                    unconfirmed[id_] = partition
                elif version < 0 or (version == 0 and score is not None):
                    await read_model.request_resync(partition, id_)
                    documents[id_] = _NEEDS_RESYNC, None
        if unconfirmed:
            documents |= await self._read_missing(read_model.primary, unconfirmed)
        return documents

    def _read_indexed(self, ids: list[str], keys: Keys) -> list[bytes]:
        """Returns the commands for ids: first whether the index has it, then its document.

        In this order, because what is in the index and then has no document was not just being created.
        """
        return [
            command
            for id_ in ids
            for command in (
                pack(("ZSCORE", keys.index(self._index), id_)),
                self._read_fields.pack(keys.document(self._aggregate, id_)),
            )
        ]

    def _row(self, id_: str, fields: Replies) -> tuple[int, D | None]:
        """Converts the reply in place: this is the hot path of most queries."""
        if fields.pop() is not None:  # until
            return _NEEDS_RESYNC, None
        version = fields[0] = int(fields[0] or 0)
        if fields[1] is None:  # createdAt
            return version, None
        for at in self._numbers:
            fields[at] = int(fields[at] or 0)
        return version, self._row_type(id_, *fields)


def _rows(documents: Mapping[str, tuple[int, D | None]]) -> list[D]:
    """Returns the documents that exist. Raises ReadModelRebuilding rather than return an incomplete list."""
    if any(version == _NEEDS_RESYNC for version, _ in documents.values()):
        raise ReadModelRebuilding
    return [row for _, row in documents.values() if row is not None]
