"""RESP encoding of commands: the most expensive step of a read, hiredis takes 2 us for ten words."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from hiredis import pack_command

from readside.projection import Command

pack = cast("Callable[[Command], bytes]", pack_command)


class CommandTemplate:
    """A command of which only the key varies: everything else is packed once."""

    def __init__(self, verb: str, *after_key: str) -> None:
        """In the words, U+DC80 to U+DCFF stand for the bytes 128 to 255."""
        self._head = b"*%d\r\n%b" % (2 + len(after_key), _word(verb))
        self._tail = b"".join(map(_word, after_key))

    def pack(self, key: str) -> bytes:
        """Returns the packed command for an ASCII key."""
        return self._head + f"${len(key)}\r\n{key}\r\n".encode("ascii") + self._tail


def _word(text: str) -> bytes:
    word = text.encode(errors="surrogateescape")
    return b"$%d\r\n%b\r\n" % (len(word), word)
