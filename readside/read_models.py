"""The list of read models. To add one: a file in projections/, its name in this list, a query field."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from readside.projections import (
    orders,
    user_list,
    users,
    users_by_email,
    users_by_lifetime_value,
    users_by_name,
)

READ_MODELS: Final[dict[str, tuple[ModuleType, ...]]] = {
    "user": (users, users_by_email, users_by_name, users_by_lifetime_value, user_list, orders)
}
"""By the name of an aggregate, the read models that its events change: one may be under several."""
