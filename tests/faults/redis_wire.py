"""What the proxy understands of Redis's protocol: which commands are asked, and how many were answered."""

from __future__ import annotations

import hiredis

_WORDS = 2
"""How much of a command is kept: its name, and the function of an FCALL."""


class RedisTalk:
    """One connection. Once it has subscribed, messages come unasked, and it is left alone."""

    def __init__(self) -> None:
        self._from_client = hiredis.Reader()
        self._from_server = hiredis.Reader()
        self._subscribed = False

    def asked(self, data: bytes) -> list[str]:
        """The commands that are complete by now, and were not before."""
        if self._subscribed:
            return []
        asked = []
        self._from_client.feed(data)
        while (words := self._from_client.gets()) is not False:
            assert isinstance(words, list)
            asked.append(b" ".join(words[:_WORDS]).decode(errors="replace"))
        self._subscribed = any(command.startswith("SUBSCRIBE") for command in asked)
        return asked

    def answered(self, data: bytes) -> int:
        """How many commands were answered with this."""
        if self._subscribed:
            return 0
        count = 0
        self._from_server.feed(data)
        while self._from_server.gets() is not False:
            count += 1
        return count
