"""The request for a page of a list: how many items, and the positions between which they lie."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

P = TypeVar("P")


class PageRequest(msgspec.Struct, Generic[P], frozen=True):
    """A page of a list in descending order of the positions P, such as ids or versions."""

    size: int
    after: P | None = None
    """The page has items below this position only."""
    before: P | None = None
    """The page has items above this position only."""
    backward: bool = False
    """Whether the page has the last items of that range, and not the first."""

    def range(self, lowest: str, highest: str) -> tuple[str, ...]:
        """Returns the bounds and the direction for ZRANGE: a backward page is read from its end."""
        top = highest if self.after is None else f"({self.after}"
        bottom = lowest if self.before is None else f"({self.before}"
        return (bottom, top) if self.backward else (top, bottom, "REV")
