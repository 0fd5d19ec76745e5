"""The types of operations, as the keywords they begin with."""

from __future__ import annotations

from typing import Final, Literal, get_args

OperationType = Literal["query", "mutation", "subscription"]
"""Plain text, because a lookup by graphql-core's enum takes longer than the whole admission."""

OperationTypes = frozenset[OperationType]

QUERIES: Final[OperationTypes] = frozenset({"query"})
MUTATIONS: Final[OperationTypes] = frozenset({"mutation"})
SUBSCRIPTIONS: Final[OperationTypes] = frozenset({"subscription"})
ANY: Final = QUERIES | MUTATIONS | SUBSCRIPTIONS

UNKNOWN: Final = "none"
"""Metric label of operations whose type is unknown, because there is no valid document."""

COUNTED: Final[tuple[str, ...]] = (*get_args(OperationType), UNKNOWN)
"""All values of the metric label."""
