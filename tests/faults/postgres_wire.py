"""What the proxy understands of PostgreSQL: which statements a round trip runs, and when it is over."""

from __future__ import annotations

SSL_REQUEST = 80877103


class PostgresTalk:
    """One connection. A round trip is over with ReadyForQuery, which comes after the COMMIT."""

    def __init__(self) -> None:
        self._from_client = b""
        self._from_server = b""
        self._started = False
        self._refused_ssl = False
        self._statements: dict[str, str] = {}
        self._runs: list[str] = []

    def asked(self, data: bytes) -> list[str]:
        """The statements of each round trip that is asked for by now, and was not before."""
        rest = self._from_client + data
        asked: list[str] = []
        while (whole := self._length(rest)) and len(rest) >= whole:
            message, rest = rest[:whole], rest[whole:]
            if not self._started:
                self._start(message, asked)
            elif (ended := self._hear(message[0:1], message[5:])) is not None:
                asked.append(ended)
        self._from_client = rest
        return asked

    def answered(self, data: bytes) -> int:
        """How many round trips came to their end with this."""
        rest = self._from_server + data
        if self._refused_ssl:
            self._refused_ssl, rest = False, rest[1:]
        place = ended = 0
        while place + 5 <= len(rest):
            end = place + 1 + int.from_bytes(rest[place + 1 : place + 5], "big")
            if end > len(rest):
                break
            ended += rest[place] == ord("Z")
            place = end
        self._from_server = rest[place:]
        return ended

    def _length(self, rest: bytes) -> int:
        """Of the message at the beginning, in bytes; 0 if that is not known yet."""
        kind = 1 if self._started else 0
        return kind + int.from_bytes(rest[kind : kind + 4], "big") if len(rest) >= kind + 4 else 0

    def _start(self, message: bytes, asked: list[str]) -> None:
        if int.from_bytes(message[4:8], "big") == SSL_REQUEST:
            self._refused_ssl = True
            return
        self._started = True
        asked.append("(start)")

    def _hear(self, kind: bytes, body: bytes) -> str | None:
        match kind:
            case b"P":
                name, sql, _ = body.split(b"\0", 2)
                self._statements[name.decode()] = sql.decode()
            case b"B":
                _, name, _ = body.split(b"\0", 2)
                self._runs.append(self._statements.get(name.decode(), ""))
            case b"Q":
                return body.rstrip(b"\0").decode()
            case b"S":
                runs, self._runs = self._runs, []
                return "; ".join(runs)
        return None
