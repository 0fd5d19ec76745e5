"""The kinds of operations, by the words they begin with."""

from __future__ import annotations

from typing import Final, Literal, get_args

OperationType = Literal["query", "mutation", "subscription"]
"""Plain text, because graphql-core's enum takes longer to look up than an operation takes to be let in."""

OperationTypes = frozenset[OperationType]

QUERIES: Final[OperationTypes] = frozenset({"query"})
MUTATIONS: Final[OperationTypes] = frozenset({"mutation"})
SUBSCRIPTIONS: Final[OperationTypes] = frozenset({"subscription"})
ANY: Final = QUERIES | MUTATIONS | SUBSCRIPTIONS

NOTHING: Final = "none"
"""What is counted as the kind of an operation that nobody could tell it from its document."""

COUNTED: Final[tuple[str, ...]] = (*get_args(OperationType), NOTHING)
