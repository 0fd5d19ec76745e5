"""An error for the log: its kind and where it was raised; no path, and no value its message may quote."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

_FRAMES: Final = 40
"""Frames of one error, the innermost ones: an endless recursion has a thousand."""

_CAUSES: Final = 5


def kind(error: BaseException) -> str:
    """The name of an error's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def stack(error: BaseException) -> str:
    """The functions that the error and its causes came through, innermost and causes last."""
    first, *causes = islice(_chain(error), _CAUSES)
    return _places(first) + "".join(
        f"; caused by {kind(cause)} in {_places(cause)}" for cause in causes
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _places(error: BaseException) -> str:
    return " > ".join(
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{line}"
        for frame, line in deque(traceback.walk_tb(error.__traceback__), _FRAMES)
    )
