"""The error that ends a command with one line; every command imports this module."""

from __future__ import annotations


class OperatorError(Exception):
    """An error that an operator can fix. str() is one sentence that says what to do."""
