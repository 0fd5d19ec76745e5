"""Describes an error for the log by its class and its functions, without messages, values and paths."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final

_MAX_FRAMES: Final = 40
"""Innermost frames of one error that are described: an endless recursion has a thousand."""

_MAX_CAUSES: Final = 5


def class_name(error: BaseException) -> str:
    """Returns the qualified name of the class of an error."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def safe_stack(error: BaseException) -> str:
    """Returns the functions that the error and its causes passed, innermost and causes last."""
    first, *causes = islice(_chain(error), _MAX_CAUSES)
    return _functions(first) + "".join(
        f"; caused by {class_name(cause)} in {_functions(cause)}" for cause in causes
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _functions(error: BaseException) -> str:
    return " > ".join(
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{line}"
        for frame, line in deque(traceback.walk_tb(error.__traceback__), _MAX_FRAMES)
    )
