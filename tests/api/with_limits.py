"""Limits with other values than by default, of those that are no settings too."""

from __future__ import annotations

from api.limits import Limits


def with_limits(**values: float) -> Limits:
    """Returns limits with these values. Raises KeyError for a limit that does not exist."""
    settings = {name: values[name] for name in values if name in Limits.model_fields}
    limits = Limits(**settings)  # type: ignore[arg-type]
    for name in values.keys() - settings.keys():
        if not hasattr(Limits, name):
            raise KeyError(name)
        object.__setattr__(limits, name, values[name])
    return limits
