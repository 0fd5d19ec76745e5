"""The projections of all read models, and their fingerprint, as of the import of this module."""

from __future__ import annotations

from itertools import chain

from readside.declared import require_allowed
from readside.fingerprint.fingerprint import fingerprint
from readside.projection import Projections
from readside.read_models import READ_MODELS

PROJECTIONS: Projections = {
    aggregate: tuple(model.project for model in models) for aggregate, models in READ_MODELS.items()
}
require_allowed(PROJECTIONS)
FINGERPRINT = fingerprint(
    dict.fromkeys(model.__name__ for model in chain.from_iterable(READ_MODELS.values()))
)
"""Changes when a projection stores something else, which causes a rebuild."""
