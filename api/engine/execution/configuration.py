"""The configuration of the engine: limits, trusted documents, introspection, and where measurements go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from api.engine.documents.trusted import TrustedDocuments
from api.limits import Limits

Measure = Callable[[str, str, float], None]
"""Called with the type of an operation, its error code or `ok`, and its duration in seconds."""


def _discard(_type: str, _code: str, _seconds: float) -> None:
    """Discards the measurement."""


@dataclass(frozen=True, kw_only=True)
class EngineConfiguration:
    """The configuration of one engine; resolvers do not see it."""

    limits: Limits = field(default_factory=Limits)
    trusted_documents: TrustedDocuments = field(default_factory=TrustedDocuments)
    introspection: bool = True
    """Whether clients may query the schema."""
    partitions: int = 1
    """Partitions of the read model, which some fields read all of."""
    measure: Measure = _discard
    """Called after each operation."""
