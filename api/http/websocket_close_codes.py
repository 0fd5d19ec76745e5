"""Close codes of WebSocket connections.

The client graphql-ws retries after 1001, 1005, 1006, 1012, 1013, 1014 and most of 4xxx. Every other 1xxx and
4400, 4401, 4406, 4409, 4429 and 4500 end its subscriptions. So a fault of the client closes with a fatal
code, and everything else (a limit, a timeout, a restart, a failure) with one that it retries.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Close(NamedTuple):
    """A close code and its reason, of which a frame carries 123 bytes."""

    code: int
    reason: str


# Fatal: a retry would fail again.
MESSAGE_TOO_BIG: Final = Close(1009, "Message too big")
NOT_TEXT: Final = Close(4400, "Messages are text frames")
NOT_A_MESSAGE: Final = Close(4400, "Invalid message")
NOT_INITIALISED: Final = Close(4401, "Unauthorized")
NO_SUBPROTOCOL: Final = Close(4406, "Subprotocol not acceptable")
DUPLICATE_ID: Final = Close(4409, "Subscriber for this id already exists")
SECOND_INIT: Final = Close(4429, "Too many initialisation requests")

# Retried.
SHUTDOWN: Final = Close(1012, "Service restart")
TOO_MANY_CONNECTIONS: Final = Close(1013, "Too many connections")
TOO_MANY_FRAMES: Final = Close(1013, "Too many messages")
TOO_SLOW: Final = Close(1013, "Messages are not read in time")
FAILED: Final = Close(1013, "Internal error")
FOREIGN_PAGE: Final = Close(4403, "Forbidden: the page is of another origin")
INIT_TIMEOUT: Final = Close(4408, "Connection initialisation timeout")
PONG_TIMEOUT: Final = Close(4408, "Pong timeout")


def forbidden(reason: object) -> Close:
    """Returns the code for a token that is missing, invalid or expired; the client may retry with another."""
    return Close(4403, f"Forbidden: {reason}")
