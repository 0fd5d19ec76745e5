"""Mutants: Tandem with one of its mechanisms taken out. The checker must catch every one of them.

MUTANT=name applies one to a process. Each is what a plausible simpler implementation would do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from domain.aggregates import AGGREGATES
from domain.command import Command
from domain.ids import new_id
from domain.log.cursor import Snapshot
from domain.log.relay_log import RelayLog, VisibleEntries
from domain.write.database import WriteDatabase, WriteModelUnavailable
from domain.write.store import Store
from readside.generations.rebuild import Rebuild
from readside.generations.registry import Generations
from readside.projections import users
from readside.projector.projector import Projector
from readside.queries.documents import Documents
from readside.queries.reader import PartitionPointer, ReadModel
from readside.redis_functions.keys import ACTIVE_PREFIX, Keys
from tests.chaos import (
    mutants_of_assignment,
    mutants_of_erasure,
    mutants_of_identity,
    mutants_of_products,
)
from tests.chaos.mutation import get as _get
from tests.chaos.mutation import lua as _lua
from tests.chaos.mutation import put as _set
from tests.chaos.mutation import write as _write
from tests.chaos.scripted_run import (
    LOSSES,
    REFILLS,
    Step,
    disturb,
    lose_an_index,
    lose_answers,
    overtake,
    refill_begun,
    repeat,
)
from tests.products.projections import products

Patch = Callable[[], None]


def apply(name: str) -> None:
    """Takes the mechanism out of this process; '' takes out none."""
    if name:
        others = (
            *(mutants_of_erasure, mutants_of_identity, mutants_of_assignment),
            mutants_of_products,
        )
        patches = MUTANTS | {name: patch for one in others for name, patch in one.MUTANTS.items()}
        patches[name]()


def cursor_by_last_position() -> None:
    """The relay goes on behind the highest position it has seen, as if events were seen in order."""
    since, last = RelayLog.visible_since, dict[int, int]()

    async def by_position(
        self: RelayLog, snapshot: Snapshot, partitions: list[int], limit: int
    ) -> VisibleEntries:
        news = await since(self, snapshot, partitions, limit)
        fresh = [entry for entry in news.entries if entry.position > last.get(entry.partition, 0)]
        for entry in fresh:
            last[entry.partition] = entry.position
        return msgspec.structs.replace(news, entries=fresh)

    _set(RelayLog, "visible_since", by_position)


def no_compare_in_append() -> None:
    """A relay appends whatever the cursor in Redis is."""
    _lua(
        "if (redis.call('GET', keys[2]) or '') ~= args[1] then return 0 end\n  for i = 3",
        "for i = 3",
    )


def no_version_gate() -> None:
    """Whatever comes is applied, however often and in whatever order."""
    _lua("if version <= current then return DUPLICATE end")
    _lua("if version > current + 1 and not (is_final or folded) then", "if false then")


def rebuild_without_the_gate() -> None:
    """Until it serves, a generation applies whatever comes, from the log and from the stream."""
    _lua(
        "if version <= current then return DUPLICATE end",
        "if version <= current and redis.call('HEXISTS', counters, 'ungated') == 0 then return DUPLICATE end",
    )
    build, serve = _get(Generations, "create"), _get(Generations, "activate")

    async def built(self: Generations, consumer: str) -> Keys | None:
        keys: Keys | None = await build(self, consumer)
        if keys is not None:
            await _get(self, "_redis").hset(keys.counters, "ungated", 1)
        return keys

    async def served(self: Generations, keys: Keys) -> bool:
        flipped: bool = await serve(self, keys)
        if flipped:
            await _get(self, "_redis").hdel(keys.counters, "ungated")
        return flipped

    _set(Generations, "create", built)
    _set(Generations, "activate", served)


def acknowledge_before_applying() -> None:
    """A projector that dies between reading and applying takes with it what it had read."""
    read = _get(Projector, "_read")

    async def and_acknowledge(self: Projector, keys: Keys, wait: float) -> Any:
        found = await read(self, keys, wait)
        if found:
            names = [entry for entry, _ in found]
            await _get(self, "_redis").xack(keys.partition.stream, keys.generation, *names)
        return found

    _set(Projector, "_read", and_acknowledge)


def no_idempotency_row() -> None:
    """What was answered to a key is not remembered."""
    _write(
        "_INSERT_RESULT", "as r (key, fingerprint, id)", "as r (key, fingerprint, id) where false"
    )


_EVENT = """
    insert into events (aggregate, user_id, occurred_at, partition, version, type, schema, data, metadata)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""


def events_before_rows() -> None:
    """The events are written in transactions of their own, before the rows."""
    fetch = _get(WriteDatabase, "_fetch")

    async def apart(self: WriteDatabase, text: str, given: Any, **mode: bool) -> Any:
        rest, logged, _ = text.partition("insert into events")
        if not logged:
            return await fetch(self, text, given, **mode)
        of_rows = len(set(re.findall(r"\$[0-9]+", rest)))
        name = re.findall(r"partition, '([a-z]+)'", text)[0]
        updated_at = given[list(AGGREGATES[name].root.columns).index("updated_at")]
        for first in range(of_rows, len(given), 6):
            event = given[first : first + 6]
            await fetch(self, _EVENT, [name, given[0], updated_at, *event], **mode)
        return await fetch(self, f"{rest} select id from written", given[:of_rows], **mode)

    _set(WriteDatabase, "_fetch", apart)


def naive_retry() -> None:
    """A command whose answer was lost is simply carried out again, as a new one."""
    execute = Store.execute

    async def again(self: Store, command: Command, **circumstances: Any) -> Any:
        try:
            return await execute(self, command, **circumstances)
        except WriteModelUnavailable:
            return await execute(self, _anew(command), **circumstances)

    _set(Store, "execute", again)


def _anew(command: Command) -> Command:
    fields = {field: new_id() for field in command.server_generated}
    return msgspec.structs.replace(command, **fields)


def trim_by_length() -> None:
    """The stream is kept short by its length, whoever has read it."""
    _lua(
        "redis.call('SET', keys[2], args[2])\n  return 1\nend\n\n-- Replaces",
        "redis.call('XTRIM', keys[1], 'MAXLEN', 3)\n"
        "  redis.call('SET', keys[2], args[2])\n  return 1\nend\n\n-- Replaces",
    )


def flip_before_filling() -> None:
    """A new generation serves from its first moment, and is filled while it serves."""
    build = _get(Rebuild, "resume")

    async def flipped(self: Rebuild, keys: Keys, *rest: Any) -> Any:
        pointer = f"{ACTIVE_PREFIX}{_get(_get(self, '_generations'), '_fingerprint')}"
        await _get(self, "_redis").hset(keys.partition.generations, pointer, keys.generation)
        return await build(self, keys, *rest)

    _set(Rebuild, "resume", flipped)


def answer_from_any_generation() -> None:
    """A query does not look again which generation serves."""
    hear = _get(PartitionPointer, "check_generation")

    def heard(self: PartitionPointer, keys: Keys | None, serving: Any) -> bool:
        return bool(hear(self, keys, keys.generation if keys else serving))

    _set(PartitionPointer, "check_generation", heard)


def min_version_ignored() -> None:
    """A read answers what is there, whatever version was asked for."""
    for documents in (users, products):
        _set(documents, "fetch", partial(_at_once, documents.fetch))


async def _at_once(fetch: Any, reads: ReadModel, id_: UUID, *, min_version: int = 0) -> Any:
    return await fetch(reads, id_, min_version=min(min_version, 0))


def no_version_guard() -> None:
    """The write does not ask whether the user is still as it was when the command was decided."""
    _write("_update", "and version = ", "and 0 < ")


def changes_conflated() -> None:
    """Whoever watches a user is told what it is now, and not what it was in between."""
    since = _get(Documents, "_versions_after")

    async def latest(*given: Any) -> Any:
        return (await since(*given))[-1:]

    _set(Documents, "_versions_after", latest)


def losses_unnoticed() -> None:
    """Nobody looks whether Redis still has what it was given."""

    async def unseen(*_: object) -> None:
        pass

    _set(Generations, "check_intact", unseen)


STEPS: dict[Patch, tuple[Step, ...]] = {
    cursor_by_last_position: (overtake,),
    no_compare_in_append: (disturb,),
    no_version_gate: (repeat,),
    rebuild_without_the_gate: (refill_begun,),
    acknowledge_before_applying: (disturb,),
    no_idempotency_row: (disturb,),
    events_before_rows: (disturb,),
    naive_retry: (lose_answers,),
    trim_by_length: (disturb,),
    flip_before_filling: REFILLS,
    answer_from_any_generation: LOSSES,
    min_version_ignored: (disturb,),
    no_version_guard: (disturb,),
    changes_conflated: (disturb,),
    losses_unnoticed: (lose_an_index,),
}
"""The steps that show each mutant."""

MUTANTS: dict[str, Patch] = {patch.__name__: patch for patch in STEPS}
