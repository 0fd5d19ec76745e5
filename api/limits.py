"""Limits on what clients may request: the settings among them, and those that are derived or fixed."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, ClassVar

from pydantic import AliasChoices, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

Ceiling = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class Limits(BaseSettings):
    """The limits of one process. Each field is a setting, such as LIMIT_DEPTH; the other limits are not."""

    model_config = SettingsConfigDict(
        env_prefix="LIMIT_",
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        loc_by_alias=False,
    )

    body_bytes: Ceiling = 256 * 1024
    """Bytes of an HTTP body, counted while it arrives, and of a WebSocket message."""
    tokens: Ceiling = 2_000
    """Tokens of a document."""
    depth: Ceiling = 10
    """Levels of nested fields in an operation; introspection counts as one level."""
    aliases: Ceiling = 15
    """Aliases of fields that read or write by themselves; a fragment's count each time it is spread."""
    page: Ceiling = 100
    """Items that a list field returns."""
    cost_budget: Ceiling = 5_000
    """Cost of an operation: the objects it may read, and 10 for each command."""
    response_bytes: Ceiling = 8 * 1024 * 1024
    """Bytes of a response, and of each event of a subscription."""
    concurrency: Ceiling = Field(
        default=1_000,
        validation_alias=AliasChoices("LIMIT_CONCURRENCY", "LIMIT_QUERIES", "LIMIT_MUTATIONS"),
    )
    """Queries that one process executes concurrently, and as many mutations."""
    subscriptions: Ceiling = 10_000
    """Open subscriptions of one process, over WebSocket and as event streams."""
    connections: Ceiling = 10_000
    """Connections of one process; half of them may be WebSocket connections."""
    query_seconds: Positive = 15
    """Seconds that a query may take."""
    mutation_seconds: Positive = 60
    """Seconds that a mutation may take."""
    request_seconds: Positive = 10
    """Seconds for the headers of a request to arrive, and as many for its body."""
    idle_seconds: Positive = 75
    """Seconds until an idle connection closes; must exceed the load balancer's idle timeout."""

    @cached_property
    def sockets(self) -> int:
        """WebSocket connections of one process."""
        return max(1, self.connections // 2)

    @cached_property
    def response_fields(self) -> int:
        """Fields that a response may have; a field that reads or writes by itself counts as 10."""
        return max(20_000, 4 * self.cost_budget)

    source_characters: ClassVar[int] = 64 * 1024
    """Characters of a document."""
    name_characters: ClassVar[int] = 100
    """Characters of a name in a document: an alias is repeated in the response for every object."""
    comments: ClassVar[int] = 200
    """Comments in a document."""
    lists: ClassVar[int] = 3
    """Levels of nested lists in an operation."""
    root_fields: ClassVar[int] = 10
    """Root fields of an operation."""
    selections: ClassVar[int] = 500
    """Fields, fragment spreads and inline fragments in a document."""
    repeats: ClassVar[int] = 50
    """Fields that repeat a response key of their selection set: validating them takes quadratic time."""
    members: ClassVar[int] = 200
    """Items of the list and object literals in a document; variables may have more."""
    directives: ClassVar[int] = 50
    """Directives in a document."""
    directives_of_node: ClassVar[int] = 4
    """Directives of one field, fragment, variable or operation."""
    fragments: ClassVar[int] = 50
    """Fragments that a document defines."""
    validation_errors: ClassVar[int] = 20
    """Errors that are reported for a document."""
    coercion_errors: ClassVar[int] = 20
    """Errors that are reported for variables."""
    response_errors: ClassVar[int] = 100
    """Errors in a response; one more says how many were left out."""

    cached_documents: ClassVar[int] = 1_000
    """Documents that are cached after parsing and validation."""
    cached_characters: ClassVar[int] = 1024 * 1024
    """Characters of the cached documents; a parsed document takes about 100 bytes for each."""
    plans: ClassVar[int] = 1_000
    """Compiled operations that are cached."""
    plan_characters: ClassVar[int] = 4 * 1024 * 1024
    """Characters of the source of the cached plans; a plan takes about 10 bytes for each."""

    reads: ClassVar[int] = 20_000
    """Redis commands of queries in flight in one process."""
    operations: ClassVar[int] = 100
    """Operations in flight on one WebSocket connection."""
    frames: ClassVar[int] = 1_000
    """Frames that one WebSocket connection may send in a second."""
    unsent_bytes: ClassVar[int] = 100 * 1024 * 1024
    """Unsent bytes of responses in one process; above, the connection with the most is aborted."""
    init_seconds: ClassVar[float] = 10
    """Seconds from the WebSocket handshake to connection_init."""
    send_seconds: ClassVar[float] = 10
    """Seconds in which a client must read 16 KiB of the bytes that wait for it."""
    ping_seconds: ClassVar[float] = 20
    """Seconds between pings to a WebSocket client, and until its pong."""
    keep_alive_seconds: ClassVar[float] = 15
    """Seconds between the comments or empty parts that keep a silent stream open."""
