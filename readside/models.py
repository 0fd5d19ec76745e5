"""The read models there are. Adding one: a file in projections/, its name in this list, a query field."""

from __future__ import annotations

from readside.fingerprint import fingerprint
from readside.projections import customers, directory, emails, orders, users

_MODELS = (users, emails, directory, customers, orders)

PROJECTIONS = tuple(model.project for model in _MODELS)
FINGERPRINT = fingerprint(model.__name__ for model in _MODELS)
"""Changes whenever a projection stores something else; then a new generation is built."""
