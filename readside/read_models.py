"""The list of read models. To add one: a file in projections/, its name in this list, a query field."""

from __future__ import annotations

from readside.fingerprint.fingerprint import fingerprint
from readside.projections import orders, top_customers, user_list, users, users_by_email

_MODELS = (users, users_by_email, user_list, top_customers, orders)

PROJECTIONS = tuple(model.project for model in _MODELS)
FINGERPRINT = fingerprint(model.__name__ for model in _MODELS)
"""Changes when a projection stores something else, which causes a rebuild."""
