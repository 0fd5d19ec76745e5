"""What is asked of which peers, and what Tandem may take of the best one's CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.peers.servers import (
    APOLLO,
    CONSTANT,
    MERCURIUS,
    MERCURIUS_STEPS,
    REDIS_READ,
    STOCK,
    TANDEM_1,
    TANDEM_2,
    TANDEM_JWT,
    Peer,
)

if TYPE_CHECKING:
    from tests.benchmarks.plan import Workload

FEW = 1_000
MANY = 10_000
"""More than any peer keeps texts of: each of them is new again when it comes again."""

READERS = (TANDEM_1, MERCURIUS, APOLLO, STOCK)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`target`: Tandem's CPU over that of `against`, at most; `p99_target`: its milliseconds, at most."""

    name: str
    title: str
    workload: Workload
    peers: tuple[Peer, ...] = READERS
    against: str | None = MERCURIUS.name
    target: float | None = None
    p99_target: float | None = None
    connections: int | None = None
    request_ids: bool = True
    """Each request has a header that differs, as production sends it."""
    same: bool = True
    own_users: bool = False
    """Each peer is asked for users that it has created itself, since it will change them."""
    users: int = FEW


ASKED: tuple[Asked, ...] = (
    Asked(
        name="peers-user",
        title="user by id",
        workload="user_by_id",
        peers=(*READERS, CONSTANT, REDIS_READ),
        target=0.8,
    ),
    Asked(
        name="peers-user-same-head",
        title="user by id, identical headers",
        workload="user_by_id",
        peers=(TANDEM_1, MERCURIUS),
        request_ids=False,
    ),
    Asked(
        name="peers-user-jwt",
        title="user by id, with a token of its own caller",
        workload="user_by_id",
        peers=(TANDEM_JWT, TANDEM_1),
        against=TANDEM_1.name,
        target=1.1,
        same=False,
    ),
    Asked(name="peers-page", title="a page of 20 users", workload="users_page", target=0.4),
    Asked(name="peers-texts", title="50 different texts", workload="fifty_texts", target=0.8),
    Asked(
        name="peers-literals",
        title="texts that differ in a literal",
        workload="literals",
        users=MANY,
        target=0.25,
    ),
    Asked(
        name="peers-new-texts", title="texts never seen before", workload="new_texts", target=1.5
    ),
    Asked(
        name="peers-latency",
        title="user by id, 1 connection",
        workload="user_by_id",
        connections=1,
        p99_target=3.0,
    ),
    Asked(
        name="peers-workers",
        title="user by id, tandem api --workers 1 and 2",
        workload="user_by_id",
        peers=(TANDEM_1, TANDEM_2),
        against=None,
    ),
    Asked(
        name="peers-orders",
        title="placeOrder, then completeOrder; figures for one command",
        workload="orders",
        peers=(TANDEM_1, MERCURIUS),
        target=1.0,
        same=False,  # each answers with ids of its own
        own_users=True,
    ),
    Asked(  # last: it leaves many thousand users behind
        name="peers-create",
        title="createUser",
        workload="create_user",
        peers=(TANDEM_1, MERCURIUS, MERCURIUS_STEPS),
        target=0.9,
        same=False,
    ),
)
