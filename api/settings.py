"""The settings, read from the environment. The defaults suit `tandem up`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from api.auth.auth_settings import AccessSettings
from api.limits import Limits, Positive
from api.operator_error import OperatorError
from api.postgres_url import names_standby
from api.redis_url import has_unsupported_servers, is_cluster
from api.server_urls import LAST_PORT, UNREADABLE, is_readable, register

_SCHEMES = {
    "database_url": ("postgresql://", "postgres://"),
    "redis_url": ("redis://", "rediss://", "unix://"),
    "read_replicas": ("redis://", "rediss://", "unix://"),
    "otel_exporter_otlp_endpoint": ("http://", "https://"),
}

_CLUSTER = "cluster"

Port = Annotated[int, Field(ge=0, le=LAST_PORT)]

_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,32}")
"""Without the colon that ends the prefix in names, and without wildcards of SCAN and ACLs."""


_DIRECTIVE = r"[\w!#$%&'*+.^`|~-]+(?:=(?:[\w!#$%&'*+.^`|~-]+|\"[^\"\\\x00-\x1f\x7f]*\"))?"
_DIRECTIVES = re.compile(rf"{_DIRECTIVE}(?: *, *{_DIRECTIVE})*", re.ASCII)
"""The value of Cache-Control (RFC 9111, section 5.2)."""

_DESCRIPTOR = re.compile(r"fd:[0-9]{1,5}")
"""Not an IPv6 address, which has two colons."""

_MAX_PATH_BYTES = 108
"""Size of sun_path, of which the last byte is 0."""


class Settings(AccessSettings):
    """A setting's environment variable is its name in capitals, such as DATABASE_URL."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: str | None = None
    """URL of PostgreSQL, also with several hosts (postgresql://a,b/tandem); `up` runs its own."""
    redis_url: str | None = None
    """URL of Redis or Valkey, also of a cluster (redis://a:6379,b:6379/?cluster=true); `up` runs its own."""

    @property
    def has_cluster(self) -> bool:
        """True if REDIS_URL is that of a cluster."""
        return is_cluster(self.redis_url or "")

    redis_password: SecretStr | None = None
    """Password for Redis, not percent-encoded; in REDIS_URL it must be."""

    read_replicas: str | None = None
    """Replicas for queries: URL of a reader endpoint, or `cluster` for those of the cluster."""

    redis_prefix: str = "tandem"
    """Prefix of all names in Redis; services that share one Redis need different ones."""

    @field_validator("redis_prefix")
    @classmethod
    def _is_prefix(cls, prefix: str) -> str:
        if _PREFIX.fullmatch(prefix) is None:
            raise ValueError(
                "it must be 1 to 32 letters, digits, dots, hyphens or underscores (a-z, A-Z, 0-9)"
            )
        return prefix

    @field_validator("read_replicas")
    @classmethod
    def _fits_redis_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        has_cluster = is_cluster(info.data.get("redis_url") or "")
        if value is not None and (value == _CLUSTER, is_cluster(value)) != (has_cluster, False):
            raise ValueError(
                "it must be `cluster` if REDIS_URL is that of a cluster, else the URL of one server"
            )
        return value

    @field_validator(*_SCHEMES)
    @classmethod
    def _is_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url == _CLUSTER and info.field_name == "read_replicas":
            return url
        schemes = _SCHEMES[str(info.field_name)]
        is_redis = info.field_name in {"redis_url", "read_replicas"}
        if url is not None and is_redis and has_unsupported_servers(url):
            raise ValueError(
                "Sentinel and several hosts are not supported; it must be the URL of the primary or of an"
                " address that follows it in a failover, as redis://host:6379/0 does, or of a cluster, as"
                " redis://host:6379,host:6379/?cluster=true"
            )
        if url is not None and not url.startswith(schemes):
            raise ValueError(f"it must start with {' or '.join(schemes)}")
        if url is not None and not is_readable(url):
            raise ValueError(UNREADABLE)
        if url is not None and info.field_name == "database_url" and names_standby(url):
            raise ValueError(
                "target_session_attrs must be read-write, primary or any, or be left out: of several hosts"
                " the one that accepts writes is used"
            )
        if url is not None:
            register(url)
        return url

    host: str = "127.0.0.1"
    """Address to listen on; or unix:/path, or fd:3, a socket that systemd passes."""

    @field_validator("host")
    @classmethod
    def _is_host(cls, host: str) -> str:
        scheme, _, path = host.partition(":")
        if scheme == "unix" and not (path.startswith("/") and len(path.encode()) < _MAX_PATH_BYTES):
            raise ValueError(
                f"the path of a Unix socket must be absolute and shorter than {_MAX_PATH_BYTES} bytes,"
                " such as unix:/run/tandem/api.sock"
            )
        if scheme == "fd" and host.count(":") == 1 and _DESCRIPTOR.fullmatch(host) is None:
            raise ValueError("a descriptor must be a number, such as fd:3")
        return host

    @property
    def listens_on_port(self) -> bool:
        """False if HOST is a Unix socket or a descriptor, so that PORT has no meaning."""
        return not self.host.startswith("unix:") and _DESCRIPTOR.fullmatch(self.host) is None

    port: Port = 8000
    """Port to listen on; 0 takes a free one."""
    health_port: Port | None = None
    """First of the workers' ports for /livez, /readyz and /metrics alone."""
    data_dir: Path = Path(".data")
    """Directory of the stores that `up` runs."""
    partitions: int = Field(default=8, ge=1, le=1024)
    """Partitions of the event log; fixed at the first migration."""
    log_format: Literal["auto", "pretty", "json"] = "auto"
    """`auto` is pretty on a terminal and JSON elsewhere."""
    log_level: Literal["debug", "info", "warning"] = "info"
    """`debug` logs each step of each command, with its trace and command id."""
    otel_exporter_otlp_endpoint: str | None = None
    """URL to export OpenTelemetry spans to (OTLP over HTTP); needs tandem[otel]."""
    http_profile: Literal["compatible", "strict"] = "compatible"
    """`strict` also uses the statuses 422 and 294 for graphql-response+json."""
    batch_limit: int = Field(default=0, ge=0)
    """Operations that one POST may have in a list; 0 refuses lists."""
    compress_above: int = Field(default=0, ge=0)
    """Bytes of a response above which it is compressed; 0 compresses none."""
    cache_control: str | None = None
    """Cache-Control of successful GET queries, such as max-age=60; without it, no-store."""

    @field_validator("cache_control")
    @classmethod
    def _is_directives(cls, value: str | None) -> str | None:
        if value and _DIRECTIVES.fullmatch(value) is None:
            raise ValueError("it must be directives, separated by commas, such as max-age=60")
        return value

    federation: bool = False
    """Serve the schema as a subgraph of Apollo Federation 2."""
    trusted_documents: Literal["off", "allow", "require", "register"] = "off"
    """Trusted documents, sent by hash: `allow` them besides others, or `require` them; `register` also lets
    clients register others (APQ)."""
    trusted_documents_file: Path | None = None
    """Manifest of the trusted documents: a JSON object, SHA-256 to text, or Apollo's format."""
    database_connections: int = Field(default=10, ge=2, le=1000)
    """Size of each of the two PostgreSQL pools: for commands, and for everything else."""
    command_timeout: Positive = 10.0
    """Seconds until a statement of a command is cancelled."""
    read_timeout: Positive = 2.0
    """Seconds until a read of Redis, or the wait for a version, fails."""
    shutdown_timeout: Positive = 10.0
    """Seconds that requests in flight have to finish at shutdown."""
    idempotency_retention: float = Field(default=30.0, ge=0, le=36_500)
    """Days for which idempotency keys are kept; 0 keeps them indefinitely."""
    limits: Limits = Field(default_factory=Limits)
    """The limits of the API."""


def require_settings(settings: Settings, *names: str) -> None:
    """Raises OperatorError unless these settings, which have no default, are set."""
    for name in names:
        if getattr(settings, name) is None:
            raise OperatorError(
                f"{name.upper()} is not set; set it, or use `tandem up`, which needs none."
            )
