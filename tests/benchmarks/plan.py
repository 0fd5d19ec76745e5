"""What the benchmark asks of its load generator (a plan) and what that hands back (what it saw)."""

from __future__ import annotations

from typing import Literal

import msgspec

Workload = Literal[
    "create_user",
    "create_product",
    "orders",
    "place_order",
    "user_by_id",
    "users_page",
    "fifty_texts",
    "literals",
    "new_texts",
    "visible",
    "waited_for",
]

OPEN = ("visible", "waited_for")
"""Those of the open loop: it follows each mutation by asking again and again, or once with minVersion."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. Times in seconds; `rate` in mutations a second, for the open loop alone."""

    workload: Workload
    url: str
    connections: int
    seconds: float
    warm_up: float
    rate: float = 0.0
    round: int = 0  # so that what was new in one round is not asked for again in the next
    request_ids: bool = False  # whether each request has a header that no other has
    token_secret: str = ""  # signs the JWT of each user that is asked for; empty without tokens
    checked: bool = True  # whether the answers have what was asked for
    ids: list[str] = []
    cursors: list[str | None] = []
    service: list[int] = []  # pids whose CPU is the service's
    stores: list[int] = []  # pids whose CPU is PostgreSQL's and Valkey's


class CpuUsed(msgspec.Struct, frozen=True, kw_only=True):
    """CPU seconds used while measuring; None where the operating system does not say."""

    service: float | None
    stores: float | None
    generator: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What happened in the measured seconds; latencies in seconds, failures as a sentence."""

    seconds: float
    latencies: dict[str, list[float]]
    polls: int
    failed: int
    first_failure: str | None
    cpu: CpuUsed


class Tally:
    """Collects while a measurement runs. `measuring` is false in the warm-up and after the end."""

    def __init__(self) -> None:
        self.measuring = False
        self.latencies: dict[str, list[float]] = {}
        self.polls = 0
        self.failed = 0
        self.first_failure: str | None = None

    def took(self, measure: str, seconds: float) -> None:
        self.latencies.setdefault(measure, []).append(seconds)

    def fail(self, reason: str) -> None:
        """Counts in the warm-up too: a wrong answer is wrong at any time."""
        self.failed += 1
        self.first_failure = self.first_failure or reason


class WatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Subscriptions to `userChanged`, to each of `ids` in turn; the users change one after another."""

    over: Literal["SSE", "WebSocket"]
    url: str
    pid: int  # of the process that is watched
    writer: str  # URL of another process, which changes the users
    ids: list[str]
    watchers: int
    changes: int
    rate: float = 0.0  # changes a second; 0: the next once all have received the last


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """`latencies`: seconds of each delivery from the answer to the change; `last`: of each change's last one.

    CPU in seconds of the watched process, for all subscriptions, and for all deliveries; memory in bytes.
    """

    latencies: list[float]
    last: list[float]
    opening_cpu: float
    cpu: float
    memory: int
