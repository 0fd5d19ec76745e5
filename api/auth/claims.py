"""The claims of issuers' access tokens: where the scopes are, their names, and the audience."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

DEFAULT_SCOPE_CLAIMS: Final = ("scope", "scp", "scopes")
"""The claim of RFC 8693 and RFC 9068, and two others in common use."""

_CLIENT_CLAIMS: Final = ("client_id", "azp")
"""Claims that name the client that a token was issued to (RFC 9068; OpenID Connect Core)."""


class ScopeClaims:
    """Finds the scopes of a token in some of its claims, and translates them."""

    def __init__(
        self,
        paths: Iterable[str] = DEFAULT_SCOPE_CLAIMS,
        names: Collection[tuple[str, str]] = (),
    ) -> None:
        """`paths` are names of claims; dots lead into objects. `names` are pairs: the issuer's name, ours.

        With `names`, no other scope counts, not even one that has the name of one of ours.
        """
        self._paths = tuple(paths)
        self._names = names

    def scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Returns the scopes. A claim of another type than a string of words or a list has none."""
        found = {word for path in self._paths for word in _words(_at(claims, path))}
        if not self._names:
            return frozenset(found)
        return frozenset(own for foreign, own in self._names if foreign in found)


def is_for_client(claims: Mapping[str, Any], audience: str) -> bool:
    """Returns True if every claim that names the client of a token, without `aud`, names this audience."""
    named = [claims[name] for name in _CLIENT_CLAIMS if name in claims]
    return bool(named) and all(name == audience for name in named)


def is_access_token(claims: Mapping[str, Any]) -> bool:
    """Returns False for an ID token of Cognito or Keycloak, which identifies a person to a client."""
    return claims.get("token_use", "access") == "access" and claims.get("typ") != "ID"


def _at(claims: object, path: str) -> object:
    """Returns the value at a path; None without one. A name may have dots itself, such as a URL."""
    if not isinstance(claims, dict):
        return None
    if path in claims:
        return claims[path]
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        found = _at(claims.get(".".join(parts[:length])), ".".join(parts[length:]))
        if found is not None:
            return found
    return None


def _words(value: object) -> Iterator[str]:
    match value:
        case str(words):
            yield from words.split()
        case list(words):
            yield from (word for word in words if isinstance(word, str))
