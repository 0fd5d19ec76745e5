"""The list of aggregates. To add one: a folder beside users/, and one line here."""

from __future__ import annotations

from typing import Final

from domain.aggregate import Aggregate
from domain.users.aggregate import USER

AGGREGATES: Final[dict[str, Aggregate]] = {aggregate.name: aggregate for aggregate in (USER,)}
"""By name."""
