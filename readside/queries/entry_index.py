"""An index: in each partition a sorted set of entries, "key words", whose last word is the aggregate's id.

All partitions are read at once, so that a key is found without knowing its aggregate.
"""

from __future__ import annotations

from collections.abc import Sequence

from readside.queries.completeness import completeness_commands, require_complete
from readside.queries.reader import ReadModel
from readside.redis_connection.encoding import pack
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import Keys

Found = dict[str, list[list[str]]]
"""By key, the words after it in each of its entries."""

_MAX_COMMANDS = 800
"""Commands of one round trip: 100 keys in 8 partitions. More keys are read one round trip after another."""


class EntryIndex:
    """Reads the sorted sets `Keys.shared_key` of one name, whose entries a projection adds and removes."""

    def __init__(self, name: str, *, words: int = 1) -> None:
        """`words` is the number of words after a key, which may contain spaces itself."""
        self._name = name
        self._words = words

    async def find(self, read_model: ReadModel, keys: Sequence[str]) -> Found:
        """Returns the entries of these keys. Raises ReadModelError."""
        size = max(1, _MAX_COMMANDS // len(read_model.partitions))
        found: Found = {}
        for start in range(0, len(keys), size):
            found |= await self._find(read_model, keys[start : start + size])
        return found

    async def _find(self, read_model: ReadModel, keys: Sequence[str]) -> Found:
        replies = await read_model.read_all(lambda names: self._commands(names, keys))
        found = self._found(keys, replies)
        if missing := [key for key in keys if not found[key]]:
            found |= await self._find_missing(read_model.primary, missing)
        return found

    async def _find_missing(self, read_model: ReadModel, keys: Sequence[str]) -> Found:
        """Reads keys without entries again; raises ReadModelRebuilding if the index is incomplete."""
        replies = await read_model.read_all(
            lambda names: [
                *self._commands(names, keys),
                *completeness_commands(names, self._name),
            ]
        )
        found = self._found(keys, replies)
        if not all(found.values()):
            require_complete(replies)
        return found

    def _commands(self, names: Keys, keys: Sequence[str]) -> list[bytes]:
        # In ASCII the exclamation mark follows the space.
        index = names.shared_key(self._name)
        return [pack(("ZRANGE", index, f"[{key} ", f"({key}!", "BYLEX")) for key in keys]

    def _found(self, keys: Sequence[str], replies: list[Replies]) -> Found:
        found: Found = {}
        for at, key in enumerate(keys):
            entries = (entry.rsplit(" ", self._words) for reply in replies for entry in reply[at])
            found[key] = [words for entry_key, *words in entries if entry_key == key]
        return found
