"""The check that an index is complete: an empty result of an incomplete one is not returned."""

from __future__ import annotations

from collections.abc import Iterable

from readside.errors import ReadModelRebuilding
from readside.redis_connection.encoding import pack
from readside.redis_connection.protocol import Replies
from readside.redis_functions.keys import Keys


def completeness_commands(keys: Keys, name: str) -> list[bytes]:
    """Returns the commands that read whether the sorted set of this name is complete."""
    return [
        pack(("ZCARD", keys.shared_key(name))),
        pack(("HGET", keys.counters, keys.size_field(name))),
    ]


def require_complete(replies: Iterable[Replies]) -> None:
    """Raises ReadModelRebuilding if a partition's replies, of which these are the last, have a loss."""
    for *_, size, recorded_size in replies:
        if size != int(recorded_size or 0):
            raise ReadModelRebuilding
