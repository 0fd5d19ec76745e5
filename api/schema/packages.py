"""The list of GraphQL packages, one for each aggregate. To add one: a folder beside users/, a name here."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from api.schema import users

PACKAGES: Final[list[ModuleType]] = [users]
"""Their Query, Mutation and Subscription are merged, and their NODES, if they have some, are found by id."""
