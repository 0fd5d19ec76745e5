"""The settings of access control: authentication, origins, rate limits, and visibility of the schema."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from api.auth.web_origin import normalised
from api.limits import Positive
from api.server_urls import UNREADABLE, is_readable, register

SHARED_SECRET_ALGORITHMS = ("HS256", "HS384", "HS512")
"""Algorithms for a secret that is shared with the issuer."""

PUBLIC_KEY_ALGORITHMS = (
    "RS256",
    "PS256",
    "ES256",
    "EdDSA",
    "RS384",
    "RS512",
    "PS384",
    "PS512",
    "ES384",
    "ES512",
)
"""Algorithms for public keys of the issuer; the first four are in common use."""

_MIN_SECRET_BYTES = 32
"""Bytes of a secret: the length of the hash of HS256 (RFC 7518, section 3.2)."""

_LOOPBACK_HOSTS = {"localhost", "127.0.0.1", "::1"}


def _split(text: object) -> object:
    return tuple(text.replace(",", " ").split()) if isinstance(text, str) else text


Names = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_split)]
"""Names, separated by commas or spaces in the environment."""


class AccessSettings(BaseSettings):
    """The part of Settings that controls access."""

    tandem_env: Literal["development", "production"] = "development"
    """`production` hides the schema and GraphiQL by default."""
    introspection: bool | None = None
    """Whether the schema and GraphiQL are shown; by default as TANDEM_ENV says."""
    allow_anonymous: bool = False
    """Listen on any address although authentication is off."""
    allowed_origins: Names = None
    """Other origins whose pages may use the API (CORS, WebSocket), such as https://app.example.com."""

    auth_secret: SecretStr | None = None
    """Shared secret that tokens are signed with; at least 32 bytes."""
    auth_jwks_url: str | None = None
    """URL of the issuer's JSON Web Key Set; https."""
    auth_audience: str | None = None
    """Audience that tokens must be for."""
    auth_issuer: str | None = None
    """Issuer that tokens must be from."""
    auth_algorithms: Names = None
    """Accepted algorithms; by default HS256, or RS256 PS256 ES256 EdDSA with AUTH_JWKS_URL."""
    auth_scope_claims: Names = None
    """Claims that hold scopes, such as realm_access.roles; by default scope, scp, scopes."""
    auth_scope_names: Names = None
    """The issuer's name of each scope, an equals sign and ours; no other scope counts then."""
    rate_limit: Positive | None = None
    """Cost of the operations of one caller per second, or a twentieth of their fields if that is more."""
    rate_burst: Positive | None = None
    """Cost of a burst of operations of one caller; by default that of ten seconds."""

    @field_validator("auth_secret")
    @classmethod
    def _is_long(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and len(secret.get_secret_value().encode()) < _MIN_SECRET_BYTES:
            raise ValueError(f"it must have at least {_MIN_SECRET_BYTES} bytes")
        return secret

    @field_validator("auth_scope_names")
    @classmethod
    def _are_pairs(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if any("" in name.rpartition("=") for name in names or ()):
            raise ValueError("each must be the issuer's name, an equals sign and the scope")
        return names

    @field_validator("auth_jwks_url")
    @classmethod
    def _is_safe(cls, url: str | None) -> str | None:
        if url is not None:
            if not is_readable(url):
                raise ValueError(UNREADABLE)
            register(url)
            parts = urlsplit(url)
            if parts.scheme != "https" and (parts.scheme, parts.hostname in _LOOPBACK_HOSTS) != (
                "http",
                True,
            ):
                raise ValueError(
                    "it must start with https://, or an attacker on the network could replace the keys"
                )
        return url

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.auth_secret and self.auth_jwks_url:
            raise ValueError("set one of AUTH_SECRET and AUTH_JWKS_URL")
        has_more = any(
            getattr(self, name) for name in type(self).model_fields if name[:5] == "auth_"
        )
        if has_more and not self.has_auth:
            raise ValueError(
                "AUTH_* needs AUTH_SECRET or AUTH_JWKS_URL; without, authentication is off"
            )
        if self.auth_jwks_url and not self.auth_audience:
            raise ValueError(
                "AUTH_JWKS_URL needs AUTH_AUDIENCE; its tokens may be for other services"
            )
        if not set(self.algorithms) <= set(
            SHARED_SECRET_ALGORITHMS if self.auth_secret else PUBLIC_KEY_ALGORITHMS
        ):
            kind = "AUTH_SECRET" if self.auth_secret else "AUTH_JWKS_URL"
            raise ValueError(f"AUTH_ALGORITHMS has one that is not supported with {kind}")
        return self

    @property
    def has_auth(self) -> bool:
        return self.auth_secret is not None or self.auth_jwks_url is not None

    @property
    def local_only(self) -> bool:
        """True if only local requests are served, because authentication is off."""
        return not (self.has_auth or self.allow_anonymous)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The accepted algorithms. Never both kinds, or a public key could be used as a secret."""
        return self.auth_algorithms or (
            SHARED_SECRET_ALGORITHMS[:1] if self.auth_secret else PUBLIC_KEY_ALGORITHMS[:4]
        )

    @property
    def scope_names(self) -> list[tuple[str, str]]:
        """The issuer's name of each scope, and ours."""
        return [
            (foreign, own)
            for foreign, _, own in (name.rpartition("=") for name in self.auth_scope_names or ())
        ]

    @field_validator("allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if origins is None else tuple(map(normalised, origins))

    @property
    def shows_schema(self) -> bool:
        """True if clients may introspect the schema, and browsers get GraphiQL."""
        return self.tandem_env != "production" if self.introspection is None else self.introspection
