"""How much one caller may ask for: the one place for the limits of the edge, each a setting."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


def _most(default: int, description: str) -> int:
    found: int = Field(default=default, ge=1, description=description)
    return found


def _seconds(default: float, description: str) -> float:
    found: float = Field(default=default, gt=0, description=description)
    return found


class Limits(BaseSettings):
    """A limit's environment variable is its name in capitals behind LIMIT_, such as LIMIT_DEPTH."""

    model_config = SettingsConfigDict(env_prefix="LIMIT_", frozen=True, extra="ignore")

    body_bytes: int = _most(
        256 * 1024, "Bytes of an HTTP body, counted while it arrives, and of a WebSocket message."
    )
    source_characters: int = _most(64 * 1024, "Characters of a document.")
    tokens: int = _most(2_000, "Tokens of a document.")
    name_characters: int = _most(
        100, "Characters of a name in a document: an alias comes back with every object."
    )
    comments: int = _most(200, "Comments in a document.")
    depth: int = _most(10, "Fields in one another, in an operation; introspection counts as one.")
    lists: int = _most(3, "Lists in one another, in an operation.")
    aliases: int = _most(
        15, "Aliases in an operation, its fragments counted as often as they are spread."
    )
    root_fields: int = _most(10, "Fields at the top of an operation.")
    selections: int = _most(500, "Fields and fragments that a document spells out.")
    repeats: int = _most(
        50,
        "Fields of a document that stand in their selection set already; comparing them costs the square.",
    )
    members: int = _most(
        200, "Members of the lists and objects that a document spells out; variables may have more."
    )
    directives: int = _most(50, "Directives in a document.")
    directives_of_node: int = _most(4, "Directives in one place.")
    fragments: int = _most(50, "Fragments that a document defines.")
    validation_errors: int = _most(20, "Mistakes in a document that are told.")
    coercion_errors: int = _most(20, "Mistakes in variables that are told.")
    response_fields: int = _most(
        20_000,
        "Fields that a response may have, one that is read or done for itself counted as 10.",
    )
    response_bytes: int = _most(
        8 * 1024 * 1024, "Bytes of a response, and of each event of a subscription."
    )
    response_errors: int = _most(100, "Errors in a response; one more says how many were left out.")
    page: int = _most(100, "Items that a list field gives at once.")
    cost_budget: int = _most(
        5_000, "Cost of an operation: the objects it may read, and 10 for each command."
    )
    cached_documents: int = _most(1_000, "Documents that are remembered parsed and valid.")
    cached_characters: int = _most(
        1024 * 1024, "Characters of those documents; a parsed one is some 100 times its text."
    )
    plans: int = _most(1_000, "Operations that are kept compiled.")
    plan_characters: int = _most(
        4 * 1024 * 1024,
        "Characters of what they were compiled from; a plan is some 10 times as large.",
    )
    queries: int = _most(1_000, "Queries that one process executes at once.")
    mutations: int = _most(
        1_000, "Mutations that one process executes at once, beside the queries."
    )
    reads: int = _most(
        20_000, "Commands to Redis that the queries of one process have under way at once."
    )
    subscriptions: int = _most(
        10_000, "Subscriptions that one process has open, over WebSocket and as event streams."
    )
    query_seconds: float = _seconds(15, "Seconds that a query may take.")
    mutation_seconds: float = _seconds(60, "Seconds that a mutation may take.")
    operations: int = _most(100, "Operations at once on one WebSocket connection.")
    init_seconds: float = _seconds(10, "Seconds from the WebSocket handshake to connection_init.")
    connections: int = _most(10_000, "Connections of one process, HTTP and WebSocket together.")
    sockets: int = _most(5_000, "WebSocket connections of one process.")
    frames: int = _most(1_000, "Frames of one WebSocket connection in a second.")
    request_seconds: float = _seconds(
        10, "Seconds for the headers of a request to arrive, and as many for its body."
    )
    idle_seconds: float = _seconds(
        75,
        "Seconds for which a connection without a request stays open; above the load balancer's.",
    )
    send_seconds: float = _seconds(
        10, "Seconds in which a client must take 16 KiB of what waits for it."
    )
    unsent_bytes: int = _most(
        100 * 1024 * 1024,
        "Bytes of responses that one process holds for clients that do not read them; above, the connection"
        " with the most is cut.",
    )
    ping_seconds: float = _seconds(
        20, "Seconds between pings to a WebSocket client, and for it to answer one."
    )
    keep_alive_seconds: float = _seconds(
        15, "Seconds between the comments that keep a silent event stream open."
    )
