"""Errors of the embedded stores."""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded stores cannot run; str() is one sentence that says what is wrong and what to do."""
