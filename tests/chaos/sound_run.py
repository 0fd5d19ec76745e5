"""A short run that kept every promise, written out by hand, for tests that break it in one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from readside.redis_functions.keys import ACTIVE_PREFIX, Keys, Partition
from tests.chaos.checker import Violation, check
from tests.chaos.evidence import Evidence, Logged, fingerprint
from tests.chaos.history import Called, History, ProductRow, Row, Seen, Shown, Watched
from tests.chaos.model import kept
from tests.chaos.restore_rules import Restored, uncertain

ALICE, BOB = "01a209c1-d957-77bb-948a-8ffd6764b693", "01a209c1-e291-722a-b928-28e240c81feb"
ORDER = "01a209c9-828b-7f7d-bcc1-2ec48fa8bb68"
LAMP = "01a209ca-1111-7f7d-bcc1-2ec48fa8bb68"
OTHER = "01a209c9-9999-7f7d-bcc1-2ec48fa8bb68"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLACE = Partition(0)
KEYS = Keys(PLACE, "1a2-beef")


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


def logged(id_: str, version: int, kind: str, **data: Any) -> Logged:
    aggregate = "product" if id_ == LAMP else "user"
    return Logged(id_, version, kind, data, at(version), 0, version, aggregate)


class Run:
    """Alice is renamed, and completes an order of 12.50; Bob is erased; a lamp gets another price."""

    def __init__(self) -> None:
        self.parked: frozenset[str] = frozenset()
        self.restores: list[Restored] = []
        self.events = [
            logged(ALICE, 1, "UserCreated", name="Alice", email="alice@example.com"),
            logged(ALICE, 2, "UserRenamed", name="Alice 2"),
            logged(ALICE, 3, "OrderPlaced", order_id=ORDER, total=1250),
            logged(ALICE, 4, "OrderCompleted", order_id=ORDER, total=1250),
            logged(BOB, 1, "UserCreated", name="", email=""),
            logged(BOB, 2, "UserErased"),
            logged(LAMP, 1, "ProductCreated", sku="L-1", name="Lamp", price=900),
            logged(LAMP, 2, "PriceChanged", price=950),
        ]
        self.history, self.commands = History(), dict[str, dict[str, Any]]()
        self.call("createUser", ALICE, 1, name="Alice", email="alice@example.com")
        self.call("renameUser", ALICE, 2, userId=ALICE, name="Alice 2")
        self.call("placeOrder", ALICE, 3, ORDER, userId=ALICE, total="12.50")
        self.call("completeOrder", ALICE, 4, ORDER, orderId=ORDER)
        self.call("createUser", BOB, 1, name="Bob", email="bob@example.com")
        self.call("eraseUser", BOB, 2, userId=BOB)
        self.call("createProduct", LAMP, 1, sku="L-1", name="Lamp", price="9.00")
        self.call("changePrice", LAMP, 2, productId=LAMP, price="9.50")
        self.see(1, name="Alice")
        self.see(4, orderCount=1, lifetimeValue="12.50")
        self.users = {
            ALICE: _user_row(4, "Alice 2", "alice@example.com"),
            BOB: {**_user_row(2, "", ""), "email_key": None, "erased_at": at(2), "secret": None},
        }
        self.products: dict[str, dict[str, Any]] | None = {LAMP: _product_row()}
        order = {"user_id": ALICE, "total": 1250, "status": "COMPLETED"}
        self.orders = {ORDER: {**order, "placed_at": at(3), "closed_at": at(4)}}
        self.keys = _keys()
        self.groups = {0: [{"name": KEYS.generation, "pending": 0, "unread": False}]}

    def call(
        self, command: str, user: str, version: int, made: str | None = None, **given: Any
    ) -> None:
        """Acknowledged, under a key of its own: "key 1", "key 2" and so on."""
        number = len(self.history.calls) + 1
        called = Called(
            client="c",
            number=number,
            command=command,
            input=given,
            key=f"key {number}",
            started=number,
            ended=number + 0.5,
            outcome="ok",
            id=made or user,
            version=version,
        )
        self.history.calls.append(called)
        self.commands[f"key {number}"] = {"id": called.id, "user_id": user, "version": version}

    @property
    def last(self) -> int:
        """The number of the last command."""
        return len(self.history.calls)

    def see(self, version: int, **shown: Any) -> None:
        """A query for Alice that answers her second name, and no order, unless told otherwise."""
        self.ask(rows=[alice(version, **shown)])

    def watch(self, *versions: int, resubscribed: tuple[int, ...] = ()) -> None:
        """Adds a watch of Alice with these versions, which started again at the places `resubscribed`."""
        told: list[tuple[bool, Shown]] = [
            (place in resubscribed, _told(version)) for place, version in enumerate(versions)
        ]
        self.history.watches.append(Watched(client="w", user=ALICE, told=told))

    def ask(self, **circumstances: Any) -> None:
        """A query for Alice, by the client c, behind all others, unless told otherwise."""
        number = 100 + len(self.history.reads)
        known: dict[str, Any] = {
            "client": "c",
            "number": number,
            "query": "user",
            "arguments": {"id": ALICE},
            "started": number,
            "ended": number + 0.5,
        }
        self.history.reads.append(Seen(**{**known, **circumstances}))

    def recall(self, number: int, **changes: Any) -> None:
        """What is known of the n-th command is something else."""
        calls = self.history.calls
        calls[number - 1] = msgspec.structs.replace(calls[number - 1], **changes)

    def again(self, number: int, **changes: Any) -> None:
        """One more attempt of the n-th command."""
        calls = self.history.calls
        changes = {"number": len(calls) + 1, **changes}
        calls.append(msgspec.structs.replace(calls[number - 1], **changes))

    def rewrite(self, place: int, **changes: Any) -> None:
        """The event at this place of the log, from 0, is another."""
        self.events[place] = msgspec.structs.replace(self.events[place], **changes)

    def violations(self) -> list[Violation]:
        evidence = Evidence(
            events=self.events,
            users=self.users,
            orders=self.orders,
            products=self.products,
            commands={kept(key): row for key, row in self.commands.items()},
            partitions=1,
            keys=self.keys,
            groups=self.groups,
        )
        return check(uncertain(self.history, self.restores), evidence, parked=self.parked)

    def broken(self) -> set[str]:
        """The rules that this run breaks."""
        return {violation.rule for violation in self.violations()}


def alice(version: int, **shown: Any) -> Row:
    known: dict[str, Any] = {
        "id": ALICE,
        "version": version,
        "name": "Alice 2",
        "email": "alice@example.com",
        "createdAt": at(1).isoformat(),
        "updatedAt": at(version).isoformat(),
        "orderCount": 0,
        "lifetimeValue": "0.00",
    }
    return Row(**{**known, **shown})


def lamp(version: int, **shown: Any) -> ProductRow:
    known: dict[str, Any] = {
        "id": LAMP,
        "version": version,
        "sku": "L-1",
        "name": "Lamp",
        "price": "9.50",
        "discontinuedAt": None,
    }
    return ProductRow(**{**known, **shown})


def _product_row() -> dict[str, Any]:
    return {
        "id": UUID(LAMP),
        "version": 2,
        "created_at": at(1),
        "updated_at": at(2),
        "erased_at": None,
        "secret": UUID(int=2),
        "sku": "L-1",
        "name": "Lamp",
        "price": 950,
        "discontinued_at": None,
    }


def _told(version: int) -> Row:
    """Alice as she was."""
    name = "Alice" if version == 1 else "Alice 2"
    orders, value = int(version > 2), "12.50" if version > 3 else "0.00"
    return alice(version, name=name, orderCount=orders, lifetimeValue=value)


def _user_row(version: int, name: str, email: str) -> dict[str, Any]:
    return {
        "name": name,
        "email": email,
        "email_key": email,
        "version": version,
        "created_at": at(1),
        "updated_at": at(version),
        "erased_at": None,
        "secret": UUID(int=1),
    }


def _keys() -> dict[str, Any]:
    """All of Redis."""
    hash_of_alice = {
        "version": "4",
        "name": "Alice 2",
        "email": "alice@example.com",
        "createdAt": "2026-03-01T12:00:01.000Z",
        "updatedAt": "2026-03-01T12:00:04.000Z",
        "orderCount": "1",
        "lifetimeValue": "1250",
        "closedCount": "1",
    }
    pointer = {f"{ACTIVE_PREFIX}{fingerprint(1, products=True)}": KEYS.generation}
    return {
        KEYS.document("user", ALICE): hash_of_alice,
        KEYS.document("user", BOB): {"version": "2"},
        KEYS.index("users"): {ALICE: 0.0},
        KEYS.shared_key("emails"): {f"alice@example.com\t{ALICE}": 0.0},
        KEYS.shared_key("emails-of"): {ALICE: "alice@example.com"},
        KEYS.shared_key("names"): {f"alice 2\t{ALICE}": 0.0},
        KEYS.shared_key("names-of"): {ALICE: "alice 2"},
        KEYS.shared_key("lifetime-values"): {f"{1250:019}\t{ALICE}": 0.0},
        KEYS.shared_key("lifetime-values-of"): {ALICE: "1250"},
        KEYS.shared_key("orders-by-id"): {f"{ORDER} 3 {ALICE}": 0.0},
        KEYS.owned_key("orders", ALICE): {f"{ORDER} 1250 1772366403000": 3.0},
        KEYS.owned_key("closed", ALICE): {ORDER: "COMPLETED 2026-03-01T12:00:04.000Z"},
        KEYS.owned_key("recent", ALICE): [
            ["2", "2026-03-01T12:00:01.000Z", "name", "Alice"],
            ["3", "2026-03-01T12:00:02.000Z", "orderCount", False],
            ["4", "2026-03-01T12:00:03.000Z", "lifetimeValue", False],
        ],
        KEYS.document("product", LAMP): {
            "version": "2",
            "sku": "L-1",
            "name": "Lamp",
            "price": "950",
            "createdAt": "2026-03-01T12:00:01.000Z",
            "updatedAt": "2026-03-01T12:00:02.000Z",
        },
        KEYS.owned_key("recent-prices", LAMP): [["2", "2026-03-01T12:00:01.000Z", "price", "900"]],
        KEYS.index("products"): {LAMP: 0.0},
        KEYS.shared_key("products-by-price"): {f"{950:019}\t{LAMP}": 0.0},
        KEYS.shared_key("products-by-price-of"): {LAMP: "950"},
        KEYS.shared_key("prices"): {"sold": "950"},
        KEYS.shared_key("prices-of"): {LAMP: "950 sold"},
        KEYS.shared_key("created"): {"2026-03 user": "1", "2026-03 product": "1"},
        KEYS.shared_key("created-of"): {ALICE: "1 2026-03 user", LAMP: "1 2026-03 product"},
        KEYS.counters: {"applied": "6", f"size:{KEYS.index('users')}": "1"},
        PLACE.generations: {KEYS.generation: "live", **pointer},
        PLACE.cursor: "{}",
        PLACE.stream: 0,
        PLACE.lease("f"): "me",
    }
