"""The caller of a request and the scopes of its token: those of each aggregate, such as users:read."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, get_args

from domain.aggregate_contract import Permission
from domain.aggregates import AGGREGATES

SCOPE: Final = "scope"
"""The key, in the metadata of a field, of the scope that a caller needs."""


def scopes(*permissions: Permission) -> tuple[str, ...]:
    """Returns the scopes of these permissions, aggregate by aggregate."""
    return tuple(
        each.scope(permission) for each in AGGREGATES.values() for permission in permissions
    )


ALL_SCOPES: Final = scopes(*get_args(Permission))


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The sender of a request, from its token."""

    is_authenticated: bool = True
    """True if the request has a valid token, or authentication is off."""
    scopes: frozenset[str] = frozenset()
    subject: str | None = None
    expires: float | None = None
    """The expiry of the token in seconds since 1970, with the leeway."""
    address: str | None = None
    """The network of the client, if an allowance is counted by it."""

    @property
    def subject_hash(self) -> str | None:
        """A hash of the subject, for logs and keys, which hold no personal data."""
        if self.subject is None:
            return None
        return blake2b(self.subject.encode("utf-8", "replace"), digest_size=8).hexdigest()

    @property
    def rate_key(self) -> str:
        """The key of the allowances that the request spends."""
        return self.subject_hash or self.address or "unknown"

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the token expires, negative once it has expired; None if there is no token."""
        return None if self.expires is None else self.expires - time.time()


UNRESTRICTED: Final = Caller(scopes=frozenset(ALL_SCOPES))
"""The caller of every request while authentication is off."""

ANONYMOUS: Final = Caller(is_authenticated=False)
"""The caller of a request without a token while authentication is on."""
