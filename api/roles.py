"""The roles of a process, and the names in Redis that all processes of a service share."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from api.settings import Settings
from readside.projection_set import FINGERPRINT
from readside.redis_functions.keys import Namespace


class Role(StrEnum):
    API = "api"
    RELAY = "relay"
    PROJECTOR = "projector"


ALL: Final = frozenset(Role)


def read_model_fingerprint(settings: Settings) -> str:
    """Returns the fingerprint of the projections with the number of partitions."""
    return f"{FINGERPRINT}-{settings.partitions}"


def namespace(settings: Settings) -> Namespace:
    """Returns the namespace in Redis of the service with these settings."""
    return Namespace(settings.redis_prefix, spread=settings.has_cluster)
