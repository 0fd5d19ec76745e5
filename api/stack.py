"""An error for the log: its kind and its frames, and none of the values that its message may quote."""

from __future__ import annotations

import traceback


def kind(error: BaseException) -> str:
    """The name of an error's class."""
    return f"{type(error).__module__}.{type(error).__qualname__}"


def stack(error: BaseException) -> str:
    """The frames and the kinds of an error and of its causes, causes last."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    cause = error.__cause__ or error.__context__
    return frames if cause is None else f"{frames}caused by {kind(cause)}\n{stack(cause)}"
