"""Why the read model cannot answer a query. Each error has the code and a message for clients."""

from __future__ import annotations

from typing import ClassVar, Final

from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import TimeoutError as RedisTimeoutError


class ReadModelError(Exception):
    """The read model cannot answer now; a retry may succeed."""

    code: ClassVar[str]
    message: ClassVar[str] = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.message)


class ReadModelBehind(ReadModelError):
    """The aggregate did not reach the required version within the deadline."""

    code = "READ_MODEL_BEHIND"

    def __init__(self, required: int, current: int) -> None:
        super().__init__(
            f"The read model has version {current} of this aggregate, version {required} is required;"
            " retry in a moment."
        )
        self.required = required
        self.current = current


class ChangesNoLongerKept(ReadModelError):
    """A subscription needs changes that are no longer in the aggregate's change history."""

    code = "CHANGES_FORGOTTEN"

    def __init__(self, after: int) -> None:
        super().__init__(
            f"The changes after version {after} are no longer kept;"
            " subscribe without afterVersion to continue from the present state."
        )


class AggregateMissing(Exception):
    """A subscription waits for an aggregate of which the log has no event."""


class ReadModelRebuilding(ReadModelError):
    """No generation is active, or the aggregate is being resynced."""

    code = "READ_MODEL_REBUILDING"
    message = "The read model is being built; retry in a moment."


class ReadModelUnavailable(ReadModelError):
    """Redis does not reply."""

    code = "READ_MODEL_UNAVAILABLE"
    message = "The read model cannot be reached; retry in a moment."


UNREACHABLE: Final = (ReadModelUnavailable, Disconnected, RedisTimeoutError, OSError)
"""Errors of a server of Redis that cannot be reached."""


class ReadModelOverloaded(ReadModelError):
    """As many commands as allowed are waiting for Redis."""

    code = "OVERLOADED"
    message = "The read model is overloaded; retry in a moment."


class NotServing(Exception):
    """A partition has no active generation; str() is a message for operators."""

    def __init__(self, partition: int) -> None:
        super().__init__(
            f"Partition {partition} has no active read model; is `tandem projector` running?"
        )
