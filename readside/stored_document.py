"""A document: the hash of an aggregate with what queries ask for most, and a list of its last changes.

A read model of this kind is the struct of its fields, and a projection that returns one change for each
event. queries/documents.py reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from readside.projection import Command, ProjectedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from readside.redis_functions.keys import Keys

HISTORY_LENGTH = 100
"""Versions of an aggregate, with the present one, that a subscription can start from."""


_PUSHED = str(HISTORY_LENGTH - 1)


class Document(msgspec.Struct, frozen=True, rename="camel"):
    """The base of documents: the fields that each has. Those of the hash have the names in camel case.

    The type of a field is str, `str | None`, or int, whose default in the hash is 0. Documents are made from
    their fields in order.
    """

    id: str
    version: int
    created_at: str
    updated_at: str


D = TypeVar("D", bound=Document)

_TYPES: Final = (str, str | None, int)


class StoredDocument(Generic[D]):
    """The commands that store one kind of documents. Fields are given by the names that the struct has."""

    def __init__(self, aggregate: str, row: type[D], *, history: str) -> None:
        """`history` is the name of the lists of changes. Raises TypeError for a field of another type."""
        self.aggregate = aggregate
        self.row = row
        self.history = history
        self.fields = msgspec.structs.fields(row)
        self._names = {field.name: field.encode_name for field in self.fields}
        for field in self.fields:
            if field.type not in _TYPES:
                raise TypeError(
                    f"{row.__name__}.{field.name} cannot be stored in a hash: make it str, str | None or int."
                )

    def created(self, keys: Keys, event: ProjectedEvent[Any], **fields: str | int) -> list[Command]:
        """Returns the commands for the first event: they also remove what a replay finds."""
        [erased] = self.erased(keys, event)
        at = event.occurred_at
        words = self._words(fields)
        return [erased, ("HSET", erased[1], *words, "createdAt", at, "updatedAt", at)]

    def changed(self, keys: Keys, event: ProjectedEvent[Any], **fields: str | int) -> list[Command]:
        """Returns the commands for an event that sets fields, or changes none of those that are read."""
        pushed, updated = self._updated(keys, event, fields)
        return [pushed, (*updated, *self._words(fields))]

    def increased(self, keys: Keys, event: ProjectedEvent[Any], **fields: int) -> list[Command]:
        """Returns the commands for an event that adds to numbers."""
        commands = self._updated(keys, event, fields)
        document = commands[1][1]
        for name, number in fields.items():
            commands.append(("HINCRBY", document, self._names[name], str(number)))
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

    def _words(self, fields: dict[str, str | int]) -> list[str]:
        words: list[str] = []
        for name, value in fields.items():
            words += self._names[name], str(value)
        return words
