"""Builds the parts of the role `api`: the GraphQL API with its access control."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from api.auth.access import Access
from api.auth.claims import DEFAULT_SCOPE_CLAIMS, ScopeClaims
from api.auth.jwks import KeySetClient
from api.auth.rate_limit import RateLimiter
from api.auth.scopes import ALL_SCOPES
from api.auth.stream_tokens import StreamTokens
from api.auth.tokens import LEEWAY_SECONDS, Tokens, shared_secret
from api.engine.documents import registered, trusted
from api.engine.documents.registered import RegisteredDocuments
from api.engine.execution.configuration import EngineConfiguration
from api.engine.operation_type import COUNTED
from api.http.graphql_http import HTTPOptions
from api.observability.metrics import ALARMING
from api.operator_error import OperatorError
from api.resolvers.context import Context
from api.roles import read_model_fingerprint
from api.runtime import drivers
from api.runtime.app import create_app
from api.runtime.service import ServiceBuilder
from api.runtime.wake_up import RedisWakeUp
from api.settings import Settings
from domain.write.store import Store
from readside.queries.reader import ReadModel
from readside.queries.replica_reads import ReplicaReadModel


async def add_api(parts: ServiceBuilder) -> None:
    """Adds the GraphQL API, which executes commands in PostgreSQL and answers queries from Redis."""
    settings, metrics = parts.settings, parts.metrics
    redis = await parts.open(drivers.connection_for_reads(settings, parts.expiry))
    wake_up = parts.relay_wake_up or RedisWakeUp(redis, parts.namespace)
    store = Store(
        parts.command_pool,
        partitions=settings.partitions,
        now=partial(datetime.now, UTC),
        wake=wake_up.notify,
        measure=metrics.commands.count,
    )
    create_read_model: Callable[..., ReadModel] = ReadModel
    if settings.read_replicas is not None:
        replicas = await parts.open(drivers.replica_connections(settings))
        create_read_model = partial(ReplicaReadModel, replicas)
    read_model = create_read_model(
        redis,
        parts.pubsub,
        partitions=settings.partitions,
        fingerprint=read_model_fingerprint(settings),
        version_timeout_seconds=settings.read_timeout,
        namespace=parts.namespace,
        generation_without_lag=parts.monitoring.pipeline.generation_without_lag,
    )
    context = Context(store=store, read_model=read_model, max_page_size=settings.limits.page)
    configuration = EngineConfiguration(
        limits=settings.limits,
        trusted_documents=trusted.load(settings.trusted_documents, settings.trusted_documents_file),
        introspection=settings.shows_schema,
        partitions=settings.partitions,
        measure=metrics.operations.count,
    )
    access = Access(
        tokens=await _tokens(parts) if settings.has_auth else None,
        stream_tokens=await _stream_tokens(parts) if settings.has_auth else None,
        origins=settings.allowed_origins or (),
        graphiql=settings.shows_schema,
        rate=await _rate_limiter(parts),
        local_only=settings.local_only,
    )
    http = HTTPOptions(
        profile=settings.http_profile,
        batch_limit=settings.batch_limit,
        compress_above=settings.compress_above,
        cache_control=settings.cache_control,
    )
    documents = await _registered_documents(parts)
    app = create_app(
        context,
        configuration,
        access,
        parts.monitoring,
        http=http,
        registered=documents,
        federation=settings.federation,
    )
    metrics.reads = redis
    metrics.operations.initialise(COUNTED, ALARMING)
    metrics.execution_paths = app.state.executor.engine.execution_paths
    parts.apps.append(app)


async def _tokens(parts: ServiceBuilder) -> Tokens:
    """Returns the verifier of tokens, with the shared secret or the keys of the issuer."""
    settings = parts.settings
    if settings.auth_secret is not None:
        find = shared_secret(settings.auth_secret.get_secret_value())
    else:
        fetch = await parts.open(drivers.issuer(settings.auth_jwks_url or ""))
        keys = KeySetClient(fetch)
        parts.stack.push_async_callback(keys.close)
        find = keys.find
    return Tokens(
        find,
        algorithms=settings.algorithms,
        audience=settings.auth_audience,
        issuer=settings.auth_issuer,
        leeway=LEEWAY_SECONDS,
        scope_claims=_scope_claims(settings),
    )


async def _registered_documents(parts: ServiceBuilder) -> RegisteredDocuments | None:
    settings = parts.settings
    if settings.trusted_documents != "register":
        return None
    redis = await parts.open(drivers.redis_for_rate_limits(settings, parts.expiry))
    rate = RateLimiter(
        redis,
        per_second=registered.REGISTRATIONS_PER_SECOND,
        burst=registered.REGISTRATION_BURST,
        namespace=parts.namespace,
    )
    return RegisteredDocuments(redis, rate, settings.limits, namespace=parts.namespace)


def _scope_claims(settings: Settings) -> ScopeClaims:
    """Raises OperatorError for a name of a scope that does not exist."""
    names = settings.scope_names
    if unknown := {own for _, own in names}.difference(ALL_SCOPES):
        raise OperatorError(
            f"AUTH_SCOPE_NAMES has {min(unknown)}, which is no scope; the scopes are {', '.join(ALL_SCOPES)}."
        )
    return ScopeClaims(settings.auth_scope_claims or DEFAULT_SCOPE_CLAIMS, names)


async def _stream_tokens(parts: ServiceBuilder) -> StreamTokens:
    redis = await parts.open(drivers.redis_for_rate_limits(parts.settings, parts.expiry))
    return StreamTokens(redis, namespace=parts.namespace)


async def _rate_limiter(parts: ServiceBuilder) -> RateLimiter | None:
    settings = parts.settings
    if settings.rate_limit is None:
        return None
    redis = await parts.open(drivers.redis_for_rate_limits(settings, parts.expiry))
    burst = settings.rate_burst or 10 * settings.rate_limit
    return RateLimiter(
        redis, per_second=settings.rate_limit, burst=burst, namespace=parts.namespace
    )
