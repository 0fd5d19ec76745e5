"""The list of aggregates. To add one: a folder beside the others, and its name here."""

from __future__ import annotations

from typing import Final

from domain.aggregate_contract import Aggregate, registry
from domain.users.aggregate import USER

AGGREGATES: Final[dict[str, Aggregate]] = registry(USER)
