"""What the proxy understands of Redis's protocol: which commands are asked, and where each answer ends."""

from __future__ import annotations

_BLOBS = b"$=!"
_AGGREGATES = {ord("*"): 1, ord("~"): 1, ord(">"): 1, ord("%"): 2, ord("|"): 2}
"""How many values follow for each that is counted."""

_ATTRIBUTE = ord("|")
"""It stands before a value, and is none."""

_BEGINNING = 256
"""How many bytes of a command are looked at."""

_OPAQUE = ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR")


class RedisTalk:
    """One connection. Once it has subscribed, messages come unasked, and it is left alone."""

    def __init__(self) -> None:
        self.opaque = False
        self._asked = _Values()
        self._answered = _Values()
        self._begun = b""

    def asked(self, data: bytes) -> list[str]:
        """The commands that are whole by now and were not before, by their first two words."""
        if self.opaque:
            return []
        asked, start = [], 0
        for end in self._asked.ends(data):
            asked.append(_named(self._begun + data[start : min(end, start + _BEGINNING)]))
            self._begun, start = b"", end
        self._begun += data[start : start + _BEGINNING]
        self.opaque = any(command.startswith(_OPAQUE) for command in asked)
        return asked

    def ends(self, data: bytes) -> list[int]:
        """Where in this the answers to commands end."""
        return [] if self.opaque else self._answered.ends(data)


class _Values:
    """Finds where values end in a stream of them, of RESP2 or RESP3, without looking into them."""

    def __init__(self) -> None:
        self._left = 1  # values until the present one is whole
        self._over = 0  # bytes of the present blob that are still to come
        self._line = b""  # the beginning of a line

    def ends(self, data: bytes) -> list[int]:
        before, data = len(self._line), self._line + data
        at, left, ends = self._over, self._left, []
        while at <= len(data):
            if not left:
                ends.append(at - before)
                left = 1
            line = data.find(b"\r\n", at)
            if line < 0:
                break
            kind = data[at]
            if kind in _BLOBS:
                size = int(data[at + 1 : line])
                line += size + 2 if size >= 0 else 0
            elif kind in _AGGREGATES:
                left += max(0, int(data[at + 1 : line])) * _AGGREGATES[kind]
            left -= kind != _ATTRIBUTE
            at = line + 2
        self._over, self._line, self._left = max(0, at - len(data)), data[at:], left
        return ends


def _named(command: bytes) -> str:
    """FCALL with its function, GET with its key."""
    words = command.split(b"\r\n", 5)[2:5:2]
    return b" ".join(words).decode(errors="replace")
