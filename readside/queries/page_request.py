"""The request for a page of a list: how many items, and the positions between which they lie."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

P_co = TypeVar("P_co", covariant=True)


class PageRequest(msgspec.Struct, Generic[P_co], frozen=True):
    """A page of a list in the order of the positions P_co, such as ids or versions."""

    size: int
    after: P_co | None = None
    """The page has items after this position only."""
    before: P_co | None = None
    """The page has items before this position only."""
    backward: bool = False
    """Whether the page has the last items of that range, and not the first."""

    def range(self, lowest: str, highest: str, *, ascending: bool = False) -> tuple[str, ...]:
        """Returns the bounds and the direction for ZRANGE: a backward page is read from its end.

        The list is in descending order of its positions, or `ascending`.
        """
        above, below = (self.after, self.before) if ascending else (self.before, self.after)
        bottom = lowest if above is None else f"({above}"
        top = highest if below is None else f"({below}"
        return (bottom, top) if self.backward != ascending else (top, bottom, "REV")
