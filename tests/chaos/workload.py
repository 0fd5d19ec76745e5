"""What the clients of a run do: a random mix of commands and queries, the same one for the same seed.

A command whose outcome is unknown is mostly sent again with its key until it is known. Names, addresses and
totals hold the number of the command, so that every event shows which command made it; but for some commands
that change nothing, and some addresses that others have too.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from tests.chaos.case import CREATES
from tests.chaos.client import Client, numbers
from tests.chaos.history import Watched
from tests.chaos.watcher import Watcher
from tests.limited import limited

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chaos.client import Query
    from tests.chaos.history import Called, History

PATIENCE = 4.0
"""Seconds that a client waits for an answer."""

PRODUCTS = 0.3
"""The part of all steps that is about products."""

RETRIES = 40
"""Attempts to learn what became of a command."""


WATCHERS = 3
"""Clients that watch a user each, and another when that one is erased; the last one watches a product."""


class Person(msgspec.Struct):
    """What the clients know of a user."""

    id: str
    name: str
    email: str
    version: int
    orders: list[str] = []
    """The ids of open orders."""
    erased: bool = False


class Item(msgspec.Struct):
    """What the clients know of a product."""

    id: str
    sku: str
    price: str
    version: int
    discontinued: bool = False


class Workload:
    """Clients that share what they know. `async with running(...)` lets them work."""

    def __init__(
        self,
        port: int,
        history: History,
        *,
        seed: int,
        clients: int,
        people: int,
        pause_seconds: float = 0.0,
    ) -> None:
        """`people`: the most users at a time; `pause_seconds`: the pause of a client after each step."""
        self.history = history
        self._clients = clients
        self._people = people
        self._pause_seconds = pause_seconds
        self._port = port
        self._seed = seed
        self._known: list[Person] = []
        self._items: list[Item] = []
        self._numbers = numbers()
        self._names = itertools.count(1)
        self._watching: dict[int, Watcher] = {}

    def client(self, name: str, *, patience: float = PATIENCE) -> Client:
        """Another client, whose calls count in the same history."""
        return Client(name, self._port, self.history, self._numbers, patience=patience)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Every client works inside; on the way out each finishes the step it is in."""
        stop = asyncio.Event()
        tasks = [asyncio.create_task(self._work(number, stop)) for number in range(self._clients)]
        watching = [asyncio.create_task(self._watch(number)) for number in range(WATCHERS)]
        try:
            yield
        finally:
            stop.set()
            for task in watching:
                task.cancel()
            await asyncio.gather(*tasks)
            await asyncio.wait(watching)
            for task in watching:
                assert task.cancelled(), task.exception()

    async def read_everyone(
        self, users: Iterable[str], products: Iterable[str], *, within: float
    ) -> None:
        """Until each of them is answered: whoever reads finds what is lost, and has it mended."""
        client = self.client(f"reader {self.unique()}")
        async with limited(within):
            for user in users:
                while await self._missing(client, user):
                    await asyncio.sleep(0.05)
            for product in products:
                while (await client.query("product", id=product)).code is not None:
                    await asyncio.sleep(0.05)
        client.close()

    async def _missing(self, client: Client, user: str) -> bool:
        seen = await client.query("user", id=user)
        return seen.code is not None or not await client.sees_orders(user)

    async def _work(self, number: int, stop: asyncio.Event) -> None:
        # Another seed in each round of the same client, so that a long run does not repeat itself.
        agent = Agent(
            self,
            self.client(f"client-{number}"),
            Random(f"{self._seed} {number} {next(self._names)}"),
        )
        try:
            while not stop.is_set():
                await agent.step()
                await asyncio.sleep(self._pause_seconds)
        finally:
            agent.client.close()

    async def _watch(self, number: int) -> None:
        """Goes on, in the next round too, behind the last version it was told."""
        random = Random(f"{self._seed} watcher {number}")
        while True:
            if number in self._watching:
                await self._watching[number].run()
            aggregate = "product" if number == WATCHERS - 1 else "user"
            one = self.something(random) if aggregate == "product" else self.someone(random)
            if one is not None:
                watched = Watched(
                    client=f"watcher-{number}", user=one.id, aggregate=aggregate, told=[], times=[]
                )
                self.history.watches.append(watched)
                self._watching[number] = Watcher(self._port, watched)
            await asyncio.sleep(0.05)

    def unique(self) -> int:
        return next(self._names)

    @property
    def crowded(self) -> bool:
        return sum(not person.erased for person in self._known) >= self._people

    def meet(self, person: Person) -> None:
        self._known.append(person)

    def stock(self, item: Item) -> None:
        self._items.append(item)

    def something(self, random: Random) -> Item | None:
        """Mostly one of the oldest products that can still change."""
        items = [item for item in self._items[-2 * self._people :] if not item.discontinued]
        return items[int(random.random() ** 2 * len(items))] if items else None

    def known(self, number: int) -> Person | None:
        """The n-th user of those who are not erased."""
        alive = [person for person in self._known if not person.erased]
        return alive[number] if number < len(alive) else None

    def someone(self, random: Random) -> Person | None:
        """Mostly one of the oldest, so that some users get many events, and are written by many at once."""
        alive = [person for person in self._known[-4 * self._people :] if not person.erased]
        return alive[int(random.random() ** 2 * len(alive))] if alive else None


class Agent:
    """One client and its dice."""

    def __init__(self, workload: Workload, client: Client, random: Random) -> None:
        self.client = client
        self._workload = workload
        self._random = random
        self._steps: list[tuple[Callable[[Person], Awaitable[object]], int]] = [
            (self._rename, 14),
            (self._update_email, 8),
            (self._place, 18),
            (self._close, 14),
            (self._same_name, 3),
            (self._taken_email, 3),
            (self._expected, 4),
            (self._erase, 1),
            (self._read, 20),
            (self._read_latest, 20),
            (self._read_by_email, 8),
            (self._read_lists, 4),
        ]
        self._item_steps: list[tuple[Callable[[Item], Awaitable[object]], int]] = [
            (self._reprice, 30),
            (self._same_price, 3),
            (self._expected_price, 4),
            (self._taken_sku, 4),
            (self._discontinue, 2),
            (self._read_item, 20),
            (self._read_latest_item, 20),
            (self._read_items, 4),
        ]

    async def step(self) -> None:
        if self._random.random() < PRODUCTS:
            await self._product_step()
            return
        person = self._workload.someone(self._random)
        if person is None or (not self._workload.crowded and self._random.random() < 0.2):
            await self._create()
            return
        steps, weights = zip(*self._steps, strict=True)
        [step] = self._random.choices(steps, weights)
        await step(person)

    async def _product_step(self) -> None:
        item = self._workload.something(self._random)
        if item is None or self._random.random() < 0.1:
            await self._create_item()
            return
        steps, weights = zip(*self._item_steps, strict=True)
        [step] = self._random.choices(steps, weights)
        await step(item)

    async def _command(self, command: str, given: dict[str, Any]) -> Called:
        """Sent until its outcome is known; some without a key, so once only; some twice at the same time."""
        kind, key = self._random.random(), f"{self.client.name} {self._workload.unique()}"
        if kind < 0.1:
            return await self.client.command(command, given)
        if kind < 0.15:
            await self._twice(command, given, key)
        impatient = 0.03 if kind > 0.95 else None
        called = await self.client.command(command, given, key, patience=impatient)
        for _ in range(RETRIES if kind < 0.9 else 1):
            if called.outcome != "unknown" and called.code != "NOT_SENT":
                break
            await asyncio.sleep(0.02)
            called = await self.client.command(command, given, key)
        if called.outcome == "ok":
            await self._look(called)
        return called

    async def _twice(self, command: str, given: dict[str, Any], key: str) -> None:
        other = self._workload.client(f"{self.client.name} twin")
        await asyncio.gather(
            other.command(command, given, key), self.client.command(command, given, key)
        )
        other.close()

    async def _look(self, called: Called) -> None:
        """Some read at once what they wrote."""
        given, made = called.input, called.id if called.command in CREATES else None
        query: Query = "product" if "sku" in given or "productId" in given else "user"
        subject = given.get("userId") or given.get("productId") or made
        if subject and self._random.random() < 0.3:
            await self.client.query(query, id=subject, minVersion=called.version)

    async def _create(self) -> None:
        number = self._workload.unique()
        given = {"name": f"User {number}", "email": f"user{number}@example.com"}
        called = await self._command("createUser", given)
        if called.outcome == "ok":
            assert called.id is not None
            self._workload.meet(
                Person(id=called.id, version=1, name=given["name"], email=given["email"], orders=[])
            )

    async def _rename(self, person: Person) -> None:
        name = f"Name {self._workload.unique()}"
        if (await self._change("renameUser", person, name=name)).outcome == "ok":
            person.name = name

    async def _update_email(self, person: Person) -> None:
        email = f"mail{self._workload.unique()}@example.com"
        if (await self._change("updateUserEmail", person, email=email)).outcome == "ok":
            person.email = email

    async def _same_name(self, person: Person) -> None:
        await self._change("renameUser", person, name=person.name)

    async def _taken_email(self, person: Person) -> None:
        number = self._workload.unique()
        if self._random.random() < 0.5:
            await self._command("createUser", {"name": f"User {number}", "email": person.email})
        elif (other := self._workload.someone(self._random)) is not None:
            await self._change("updateUserEmail", other, email=person.email)

    async def _expected(self, person: Person) -> None:
        """Whoever expects an old version is refused."""
        expected = max(1, person.version - self._random.randrange(2))
        name = f"Name {self._workload.unique()}"
        called = await self._command(
            "renameUser", {"userId": person.id, "name": name, "expectedVersion": expected}
        )
        self._learn(person, called)

    async def _place(self, person: Person) -> None:
        number = self._workload.unique()
        called = await self._change(
            "placeOrder", person, total=f"{number // 100}.{number % 100:02}"
        )
        if called.outcome == "ok" and called.id is not None:
            person.orders.append(called.id)

    async def _close(self, person: Person) -> None:
        """Now and then two close the same order."""
        if not person.orders:
            return
        order = self._random.choice(person.orders)
        if self._random.random() < 0.9:
            person.orders.remove(order)
        command = self._random.choice(["completeOrder", "completeOrder", "cancelOrder"])
        self._learn(person, await self._command(command, {"orderId": order}))

    async def _erase(self, person: Person) -> None:
        if self._workload.crowded:
            person.erased = True
            await self._change("eraseUser", person)

    async def _change(self, command: str, person: Person, **given: Any) -> Called:
        called = await self._command(command, {"userId": person.id, **given})
        self._learn(person, called)
        return called

    def _learn(self, one: Person | Item, called: Called) -> None:
        if called.outcome == "ok" and called.version is not None:
            one.version = max(one.version, called.version)

    async def _read(self, person: Person) -> None:
        await self.client.query("user", id=person.id)

    async def _read_latest(self, person: Person) -> None:
        await self.client.query("user", id=person.id, minVersion=person.version)

    async def _read_by_email(self, person: Person) -> None:
        await self.client.query("userByEmail", email=person.email)

    async def _read_lists(self, _: Person) -> None:
        if self._random.random() < 0.5:
            await self.client.query("users", first=self._random.randint(1, 20))
        else:
            await self.client.query("topCustomers", first=self._random.randint(1, 20))

    async def _create_item(self) -> None:
        number = self._workload.unique()
        given = {"sku": f"SKU-{number}", "name": f"Lamp {number}", "price": _price(number)}
        called = await self._command("createProduct", given)
        if called.outcome == "ok":
            assert called.id is not None
            self._workload.stock(
                Item(id=called.id, sku=given["sku"], price=given["price"], version=1)
            )

    async def _reprice(self, item: Item) -> None:
        price = _price(self._workload.unique())
        if (await self._sell("changePrice", item, price=price)).outcome == "ok":
            item.price = price

    async def _same_price(self, item: Item) -> None:
        await self._sell("changePrice", item, price=item.price)

    async def _expected_price(self, item: Item) -> None:
        expected = max(1, item.version - self._random.randrange(2))
        price = _price(self._workload.unique())
        await self._sell("changePrice", item, price=price, expectedVersion=expected)

    async def _taken_sku(self, item: Item) -> None:
        number = self._workload.unique()
        given = {"sku": item.sku, "name": f"Lamp {number}", "price": _price(number)}
        await self._command("createProduct", given)

    async def _discontinue(self, item: Item) -> None:
        item.discontinued = True
        await self._sell("discontinueProduct", item)

    async def _sell(self, command: str, item: Item, **given: Any) -> Called:
        called = await self._command(command, {"productId": item.id, **given})
        self._learn(item, called)
        return called

    async def _read_item(self, item: Item) -> None:
        await self.client.query("product", id=item.id)

    async def _read_latest_item(self, item: Item) -> None:
        await self.client.query("product", id=item.id, minVersion=item.version)

    async def _read_items(self, _: Item) -> None:
        await self.client.query("products", first=self._random.randint(1, 20))


def _price(number: int) -> str:
    return f"{number // 100 + 1}.{number % 100:02}"
