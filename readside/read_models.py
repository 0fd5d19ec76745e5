"""The list of read models. To add one: a file in projections/, its name in this list, a query field."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from readside.projections import orders, top_customers, user_list, users, users_by_email

READ_MODELS: Final[dict[str, tuple[ModuleType, ...]]] = {
    "user": (users, users_by_email, user_list, top_customers, orders)
}
"""By the name of an aggregate, the read models that its events change: one may be under several."""
