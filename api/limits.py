"""How much one caller may ask for: the one place for the limits of the edge."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    body_bytes: int = 256 * 1024
    """Of an HTTP body, counted while it arrives, and of a WebSocket message."""
    source_characters: int = 64 * 1024
    tokens: int = 2_000
    comments: int = 200
    validation_errors: int = 20
    coercion_errors: int = 20
    page: int = 100
    """The most items a list field gives at once."""
    cached_documents: int = 1_000
    cached_characters: int = 1024 * 1024
    """Of source text in the document cache. A parsed document is some 100 times its text."""
    operations: int = 100
    """At once, on one WebSocket connection."""
    init_seconds: float = 10
    """From the WebSocket handshake to connection_init."""
    keep_alive_seconds: float = 15
    """Between the comments that keep a silent event stream open."""
