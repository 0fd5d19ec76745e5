"""Who asks, and what that allows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final


class Scope(StrEnum):
    """What a token may allow. A field says which one it needs where it is declared."""

    READ = "users:read"
    WRITE = "users:write"
    ERASE = "users:erase"


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who sent a request, as far as its token tells."""

    known: bool = True
    """Whether there is a token, or none is needed."""
    scopes: frozenset[str] = frozenset()
    subject: str | None = None
    expires: float | None = None
    """Seconds since 1970."""
    address: str | None = None
    """Where the request comes from, if anybody wants to know."""

    @property
    def mark(self) -> str | None:
        """Stands for the subject in logs and keys, which hold nothing personal."""
        if self.subject is None:
            return None
        return blake2b(self.subject.encode("utf-8", "replace"), digest_size=8).hexdigest()

    @property
    def account(self) -> str:
        """Whose allowance the request spends."""
        return self.mark or self.address or "unknown"

    @property
    def seconds_left(self) -> float | None:
        """Until the token expires; None if it does not. Not above 0 once it has."""
        return None if self.expires is None else self.expires - time.time()


UNRESTRICTED: Final = Caller(scopes=frozenset(Scope))
"""The caller of every request where no tokens are asked for."""

ANONYMOUS: Final = Caller(known=False)
"""The caller of a request without a token where tokens are asked for."""
