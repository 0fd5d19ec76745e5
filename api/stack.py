"""An error for the log: its kind and where it was raised; no path, and no value its message may quote."""

from __future__ import annotations

import traceback


def kind(error: BaseException) -> str:
    """The name of an error's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def stack(error: BaseException) -> str:
    """The functions that the error and its causes came through, innermost and causes last."""
    places = " > ".join(
        f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    )
    cause = error.__cause__ or error.__context__
    return places if cause is None else f"{places}; caused by {kind(cause)} in {stack(cause)}"
