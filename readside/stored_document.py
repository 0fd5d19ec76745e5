"""A document: the hash of an aggregate with what queries ask for most, and a list of its last changes.

A read model of this kind is the struct of its fields, and a projection that returns one change for each
event. queries/documents.py reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from readside.projection import Command, ProjectedEvent

if TYPE_CHECKING:
    from readside.redis_functions.keys import Keys

HISTORY_LENGTH = 100
"""Versions of an aggregate, with the present one, that a subscription can start from."""


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
        self.fields = {field.name: field for field in msgspec.structs.fields(row)}
        for field in self.fields.values():
            if field.type not in _TYPES:
                raise TypeError(
                    f"{row.__name__}.{field.name} cannot be stored in a hash: make it str, str | None or int."
                )

    def created(self, keys: Keys, event: ProjectedEvent[Any], **fields: str | int) -> list[Command]:
        """Returns the commands for the first event: they also remove what a replay finds."""
        at = event.occurred_at
        values = self._words(fields)
        document = self._document(keys, event)
        created: Command = ("HSET", document, *values, "createdAt", at, "updatedAt", at)
        return [*self.erased(keys, event), created]

    def changed(self, keys: Keys, event: ProjectedEvent[Any], **fields: str | int) -> list[Command]:
        """Returns the commands for an event that sets fields, or changes none of those that are read."""
        document = self._document(keys, event)
        updated = "updatedAt", event.occurred_at
        return [
            self._push_history(keys, event, fields),
            ("HSET", document, *updated, *self._words(fields)),
        ]

    def increased(self, keys: Keys, event: ProjectedEvent[Any], **fields: int) -> list[Command]:
        """Returns the commands for an event that adds to numbers."""
        document = self._document(keys, event)
        words = self._words(fields)
        return [
            self._push_history(keys, event, fields),
            ("HSET", document, "updatedAt", event.occurred_at),
            *[
                ("HINCRBY", document, name, number)
                for name, number in zip(words[::2], words[1::2], strict=True)
            ],
        ]

    def erased(self, keys: Keys, event: ProjectedEvent[Any]) -> list[Command]:
        """Returns the commands for the last event: the gate then writes a version and nothing else."""
        return [("DEL", self._document(keys, event), self._history(keys, event))]

    def _push_history(
        self, keys: Keys, event: ProjectedEvent[Any], changed: dict[str, Any]
    ) -> Command:
        history, document = self._history(keys, event), self._document(keys, event)
        names = [self.fields[name].encode_name for name in changed]
        length, version = str(HISTORY_LENGTH - 1), str(event.version)
        return ("HISTORY_PUSH", history, document, length, version, "updatedAt", *names)

    def _document(self, keys: Keys, event: ProjectedEvent[Any]) -> str:
        return keys.document(self.aggregate, event.aggregate_id)

    def _history(self, keys: Keys, event: ProjectedEvent[Any]) -> str:
        return keys.owned_key(self.history, event.aggregate_id)

    def _words(self, fields: dict[str, Any]) -> list[str]:
        return [
            word
            for name, value in fields.items()
            for word in (self.fields[name].encode_name, str(value))
        ]
