"""What the proxy understands of PostgreSQL: which statements a round trip runs, and where its answer ends."""

from __future__ import annotations

import struct

_HEAD = struct.Struct(">BI")
"""Of a message: its kind, and its length without the kind."""

_READY = ord("Z")
_READY_SIZE = 6
"""ReadyForQuery. It ends a round trip, and comes after the COMMIT."""

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
"""What may stand in the place of the protocol's version at the beginning of a connection."""

START = "(start)"
"""What the first round trip is called, in which a client says who it is."""


class PostgresTalk:
    """One connection."""

    opaque = False

    def __init__(self) -> None:
        self._started = False
        self._begun = b""
        self._statements: dict[bytes, str] = {}
        self._runs: list[str] = []
        self._over = 0  # bytes of the present message of the answer that are still to come
        self._head = b""  # the beginning of a message

    def asked(self, data: bytes) -> list[str]:
        """The statements of each round trip that is asked for by now, and was not before.

        A round trip that only prepares a statement, or asks about one, is called "".
        """
        data = self._begun + data
        asked: list[str] = []
        at = 0
        while (end := self._end_of_message(data, at)) and end <= len(data):
            if not self._started:
                asked += self._start(int.from_bytes(data[at + 4 : at + 8], "big"))
            elif (ended := self._hear(data[at], data[at + 5 : end])) is not None:
                asked.append(ended)
            at = end
        self._begun = data[at:]
        return asked

    def ends(self, data: bytes) -> list[int]:
        """Where in this the answers to round trips end."""
        before, data = len(self._head), self._head + data
        at, ends = self._over, []
        # No message is so short that waiting for six bytes misses an end.
        while at + _READY_SIZE <= len(data):
            kind, length = _HEAD.unpack_from(data, at)
            at += 1 + length
            if kind == _READY:
                ends.append(at - before)
        self._over, self._head = max(0, at - len(data)), data[at:]
        return ends

    def _end_of_message(self, data: bytes, at: int) -> int:
        """Where the message ends that begins here; 0 if its length is still to come."""
        at += self._started  # the first message has no kind
        return at + int.from_bytes(data[at : at + 4], "big") if len(data) >= at + 4 else 0

    def _start(self, version: int) -> list[str]:
        if version in (_SSL, _GSS):
            self._over += 1  # answered with a single byte
            return []
        self._started = True
        return [] if version == _CANCEL else [START]

    def _hear(self, kind: int, body: bytes) -> str | None:
        match chr(kind):
            case "P":
                name, sql, _ = body.split(b"\0", 2)
                self._statements[name] = sql.decode()
            case "B":
                _, name, _ = body.split(b"\0", 2)
                self._runs.append(self._statements.get(name, ""))
            case "Q":
                return body[:-1].decode()
            case "S":
                runs, self._runs = self._runs, []
                return "; ".join(runs)
        return None
