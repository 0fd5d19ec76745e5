"""The position of a stream of changes, which a transport sends to its client and gets back on a reconnect."""

from __future__ import annotations


class StreamPosition:
    """Where a stream begins and how far it has come, as versions of its aggregate."""

    __slots__ = ("after", "last")

    def __init__(self, after: int | None) -> None:
        """`after` is the last version that the client has received; None if it resumes nothing."""
        self.after = after
        self.last: int | None = None
        """The version of the result that was yielded last; None if it has none."""
