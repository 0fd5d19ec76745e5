"""A document: the hash of an aggregate with what queries ask for most, and a list of its last changes.

A read model of this kind is the struct of its fields, and a projection that returns one change for each
event. queries/documents.py reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from readside.projection import Command, ProjectedEvent, RefusedCommand

if TYPE_CHECKING:
    from readside.redis_functions.keys import Keys

HISTORY_LENGTH = 100
"""Versions of an aggregate, with the present one, that a subscription can start from."""


_PUSHED = str(HISTORY_LENGTH - 1)


class Document(msgspec.Struct, frozen=True, rename="camel"):
    """The base of documents: the fields that each has. Those of the hash have the names in camel case.

    The type of a field is str, `str | None`, or int, whose default in the hash is 0. Documents are made from
    their fields in order. A field of the type `str | None` that is None is not in the hash.
    """

    id: str
    version: int
    created_at: str
    updated_at: str


D = TypeVar("D", bound=Document)

_TYPES: Final = (str, str | None, int)


class _Names(dict[str, str]):
    """The names in the hash of the fields that have one of some types, by the names in the struct."""

    def __init__(self, row: type[Document], kind: str, *types: object) -> None:
        fields = msgspec.structs.fields(row)
        super().__init__({one.name: one.encode_name for one in fields if one.type in types})
        self._kind = f"{row.__name__} has no {kind}"

    def __missing__(self, field: str) -> str:
        raise RefusedCommand(f"{self._kind} {field}.")


class StoredDocument(Generic[D]):
    """The commands that store one kind of documents. Fields are given by the names that the struct has.

    Raises RefusedCommand for a field that the struct does not have, or not with a type for this value.
    """

    def __init__(self, aggregate: str, row: type[D], *, history: str) -> None:
        """`history` is the name of the lists of changes. Raises TypeError for a field of another type."""
        self.aggregate = aggregate
        self.row = row
        self.history = history
        self.fields = msgspec.structs.fields(row)
        self._names = _Names(row, "field", *_TYPES)
        self._optional = _Names(row, "field of the type `str | None`", str | None)
        self._numbers = _Names(row, "number", int)
        for field in self.fields:
            if field.type not in _TYPES:
                raise TypeError(
                    f"{row.__name__}.{field.name} cannot be stored in a hash: make it str, str | None or int."
                )

    def created(
        self, keys: Keys, event: ProjectedEvent[Any], **fields: str | int | None
    ) -> list[Command]:
        """Returns the commands for the first event: they also remove what a replay finds."""
        [erased] = self.erased(keys, event)
        at = event.occurred_at
        words, _ = self._words(fields)
        return [erased, ("HSET", erased[1], *words, "createdAt", at, "updatedAt", at)]

    def changed(
        self, keys: Keys, event: ProjectedEvent[Any], **fields: str | int | None
    ) -> list[Command]:
        """Returns the commands for an event that sets fields, or changes none of those that are read.

        A field that is set to None is cleared.
        """
        pushed, updated = self._updated(keys, event, fields)
        words, cleared = self._words(fields)
        commands: list[Command] = [pushed, (*updated, *words)]
        if cleared:
            commands.append(("HDEL", updated[1], *cleared))
        return commands

    def increased(self, keys: Keys, event: ProjectedEvent[Any], **fields: int) -> list[Command]:
        """Returns the commands for an event that adds to numbers."""
        commands = self._updated(keys, event, fields)
        document = commands[1][1]
        for name, number in fields.items():
            commands.append(("HINCRBY", document, self._numbers[name], str(number)))
        return commands

    def erased(self, keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
        """Returns the commands for the last event: the gate then writes a version and nothing else."""
        id_ = event.aggregate_id
        return [("DEL", keys.document(self.aggregate, id_), keys.owned_key(self.history, id_))]

    def _updated(
        self, keys: Keys, event: ProjectedEvent[Any], fields: Iterable[str]
    ) -> list[Command]:
        """Returns the commands that record the present values of these fields, and the time."""
        id_ = event.aggregate_id
        document, history = keys.document(self.aggregate, id_), keys.owned_key(self.history, id_)
        names = [self._names[field] for field in fields]
        return [
            ("HISTORY_PUSH", history, document, _PUSHED, str(event.version), "updatedAt", *names),
            ("HSET", document, "updatedAt", event.occurred_at),
        ]

    def _words(self, fields: Mapping[str, str | int | None]) -> tuple[list[str], list[str]]:
        """Returns the names and values of fields that are set, and the names of those that are cleared."""
        words: list[str] = []
        cleared: list[str] = []
        for name, value in fields.items():
            if value is None:
                cleared.append(self._optional[name])
            else:
                words += self._names[name], str(value)
        return words, cleared
