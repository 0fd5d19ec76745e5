"""What goes wrong while the stores of a laptop start: always one sentence for a person."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded stores cannot run. `str()` is one sentence: what is wrong, where, what to do."""
