"""What a process may do, and the name of the read models that all of them share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from readside.read_models import FINGERPRINT
from readside.redis_functions.keys import Namespace

if TYPE_CHECKING:
    from api.settings import Settings


class Role(StrEnum):
    API = "api"
    RELAY = "relay"
    PROJECTOR = "projector"


ALL: Final = frozenset(Role)


def fingerprint(settings: Settings) -> str:
    """Read models of another number of partitions are other read models, so nobody mixes them up."""
    return f"{FINGERPRINT}-{settings.partitions}"


def namespace(settings: Settings) -> Namespace:
    """The names in Redis of the service that has these settings."""
    return Namespace(settings.redis_prefix)
