"""What is asked of which peers, and what Tandem may take of the best one's CPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.benchmarks.peers.servers import (
    APOLLO,
    CONSTANT,
    MERCURIUS,
    MERCURIUS_STEPS,
    STOCK,
    TANDEM_1,
    TANDEM_2,
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
    request_ids: bool = False
    """Each request has a header that differs, as production sends it."""
    same: bool = True
    users: int = FEW


ASKED: tuple[Asked, ...] = (
    Asked(
        name="peers-user",
        title="user by id",
        workload="user_by_id",
        peers=(*READERS, CONSTANT),
        target=0.75,
    ),
    Asked(
        name="peers-user-ids",
        title="user by id, with request ids",
        workload="user_by_id",
        peers=(*READERS, CONSTANT),
        target=1.0,
        request_ids=True,
    ),
    Asked(name="peers-page", title="a page of 20 users", workload="users_page", target=0.45),
    Asked(name="peers-texts", title="50 different texts", workload="fifty_texts", target=0.8),
    Asked(
        name="peers-literals",
        title="texts that differ in a literal",
        workload="literals",
        users=MANY,
        target=0.5,
    ),
    Asked(name="peers-new-texts", title="texts never seen before", workload="new_texts"),
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
    Asked(  # last: it leaves many thousand users behind
        name="peers-create",
        title="createUser",
        workload="create_user",
        peers=(TANDEM_1, MERCURIUS, MERCURIUS_STEPS),
        target=1.0,
        same=False,  # each answers with an id of its own
    ),
)
