"""The list of GraphQL packages, one for each aggregate. To add one: a folder beside users/, a name here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.schema import users

if TYPE_CHECKING:
    from types import ModuleType

PACKAGES: Final[list[ModuleType]] = [users]
"""Their Query, Mutation and Subscription are merged."""
