"""Commands as they go to Redis. Packing is the dearest step of a read: hiredis takes 2 us for ten words."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from hiredis import pack_command

from readside.projection import Command

pack = cast("Callable[[Command], bytes]", pack_command)


class CommandTemplate:
    """A command of which only the key differs: all else is packed once."""

    def __init__(self, verb: str, *behind: str) -> None:
        """`behind`: the words that follow the key; all in ASCII."""
        self._head = f"*{2 + len(behind)}\r\n{_word(verb)}"
        self._tail = "".join(map(_word, behind))

    def of(self, key: str) -> bytes:
        """For this key, in ASCII too, as all of ours are."""
        return f"{self._head}${len(key)}\r\n{key}\r\n{self._tail}".encode("ascii")


def _word(text: str) -> str:
    return f"${len(text)}\r\n{text}\r\n"
