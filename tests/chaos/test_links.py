"""The store on a link that breaks: whatever happens on the way, one key is one event and one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from random import Random

import msgspec
import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.command import Command, CommandResult
from domain.ids import new_id
from domain.users.commands.cancel_order import CancelOrder
from domain.users.commands.complete_order import CompleteOrder
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.place_order import PlaceOrder
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import OrderId, UserId
from domain.users.values import parse_email
from domain.write.database import WriteModelUnavailable
from tests.chaos.proxy import Proxy, proxy
from tests.domain.write_model import WriteModel, create
from tests.limited import limited

COMMANDS: dict[str, Callable[[UserId, OrderId], Command]] = {
    "create": lambda _, __: create("Bob", "bob@example.com", key="k"),
    "rename": lambda user, _: RenameUser(user_id=user, name="Zoë", idempotency_key="k"),
    "email": lambda user, _: UpdateUserEmail(
        user_id=user, email=parse_email("z@example.com"), idempotency_key="k"
    ),
    "place": lambda user, _: PlaceOrder(
        user_id=user, order_id=OrderId(new_id()), total=5, idempotency_key="k"
    ),
    "complete": lambda _, order: CompleteOrder(order_id=order, idempotency_key="k"),
    "cancel": lambda _, order: CancelOrder(order_id=order, idempotency_key="k"),
    "erase": lambda user, _: EraseUser(user_id=user, idempotency_key="k"),
}


OTHERS = """
    select pid, application_name, state, query from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()
"""


@pytest.fixture
async def wire(database_url: str) -> AsyncIterator[Proxy]:
    async with proxy(database_url) as wire:
        yield wire


@asynccontextmanager
async def model_at(
    url: str, *, connections: int = 2, seconds: float = 10.0
) -> AsyncIterator[WriteModel]:
    settings = Settings(database_url=url, command_timeout=seconds)
    few = settings.model_copy(update={"database_connections": connections})  # fewer than may be set
    async with drivers.database(few) as pool:
        try:
            yield WriteModel(pool)
        finally:
            pool.terminate()


@pytest.fixture
async def model(wire: Proxy) -> AsyncIterator[WriteModel]:
    """Through the proxy."""
    async with model_at(wire.url) as model:
        yield model


@pytest.fixture
async def hasty(wire: Proxy) -> AsyncIterator[WriteModel]:
    """One that gives up soon."""
    async with model_at(wire.url, seconds=0.6) as hasty:
        yield hasty


@pytest.fixture
async def past(database_url: str) -> AsyncIterator[WriteModel]:
    """Past the proxy, as another process would be; on one connection, so that no other backend is its own."""
    async with model_at(database_url, connections=1) as model:
        yield model


async def persistently(model: WriteModel, command: Callable[[], Command]) -> CommandResult:
    """As a client that asks until it is answered, each time in other words with the same meaning."""
    async with limited(10):
        while True:
            try:
                return await model.ask(command())
            except WriteModelUnavailable:
                await asyncio.sleep(0)


async def exactly_once(past: WriteModel, *, keys: int = 1) -> None:
    """Each key has one row and the one event it names, and the tables are the fold of the log."""
    unique = await past.rows("select c.key from commands c join events e using (user_id, version)")
    assert len(unique) == await past.count("commands") == keys
    await past.assert_tables_are_the_fold_of_the_log()


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_whose_commit_was_not_heard_of_is_answered_when_it_is_sent_again(
    wire: Proxy, model: WriteModel, past: WriteModel, name: str
) -> None:
    user_id = await model.user()
    order_id = await model.order(user_id)
    command = COMMANDS[name](user_id, order_id)
    lost = wire.cut_at_commit()
    with pytest.raises(WriteModelUnavailable, match=r"not known .* same idempotencyKey"):
        await model.ask(command)
    assert lost.fired.is_set()
    events = await past.count("events")
    [row] = await past.rows("select id, user_id, version from commands")
    again = await model.ask(COMMANDS[name](user_id, order_id))
    assert (again.id, again.aggregate_id, again.version) == tuple(row.values())
    assert events == await past.count("events") == 3
    await exactly_once(past)


@pytest.mark.parametrize("seed", range(3))
async def test_on_a_link_cut_at_any_byte_every_key_is_one_event(
    wire: Proxy, model: WriteModel, past: WriteModel, seed: int
) -> None:
    random = Random(seed)
    user_id = await past.user()
    answers = []
    for number in range(40):
        wire.cut_after(random.randrange(900), random.choice(["requests", "answers"]))

        def command(number: int = number) -> Command:
            if number % 2:
                return create("B", f"b{number}@example.com", key=f"{number}")
            return RenameUser(user_id=user_id, name=f"{number}", idempotency_key=f"{number}")

        answers.append((await persistently(model, command), command))
    wire.heal()
    assert [answer for answer, _ in answers] == [
        await past.ask(command()) for _, command in answers
    ]
    assert await past.count("events") == 41
    await exactly_once(past, keys=40)


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_write_that_arrives_after_its_retry_changes_nothing(
    wire: Proxy, hasty: WriteModel, past: WriteModel, name: str
) -> None:
    user_id = await past.user()
    order_id = await past.order(user_id)
    await warm(hasty)
    await warm_of_every_kind(hasty)
    if name == "create":
        wire.blackhole()
        given_up = asyncio.create_task(hasty.ask(COMMANDS[name](user_id, order_id)))
    else:
        loaded = wire.hold_next("left join users")
        given_up = asyncio.create_task(hasty.ask(COMMANDS[name](user_id, order_id)))
        await loaded.reached
        loaded.release()
        wire.blackhole()
    wire.asked.clear()
    with pytest.raises(WriteModelUnavailable, match="not known"):
        await given_up
    answer = await past.ask(COMMANDS[name](user_id, order_id))
    written = await past.dump()
    wire.flow()
    await until_alone(past)
    assert sum(wire.asked[each] for each in wire.asked if "insert into events" in each) == 1
    assert await past.dump() == written
    assert await past.ask(COMMANDS[name](user_id, order_id)) == answer


async def test_a_command_that_nobody_answers_is_given_up_when_its_time_is_over(
    wire: Proxy,
) -> None:
    async with model_at(wire.url, seconds=3.0) as model:
        await warm(model)
        wire.blackhole()
        async with limited(3.0 + 2.5):  # and not after the time limit once more
            with pytest.raises(WriteModelUnavailable):
                await model.ask(create("Bob", "bob@example.com"))
        wire.flow(drop=True)


async def warm(hasty: WriteModel) -> None:
    """It has a connection on which its statements are prepared."""
    await persistently(hasty, lambda: create("Warm", "warm@example.com", key="warm"))
    refused = create("Warm", "warm@example.com")
    with suppress(WriteModelUnavailable):
        await hasty.store.execute(refused)


async def warm_of_every_kind(hasty: WriteModel) -> None:
    """The statement of every command with a key is prepared on its connection."""
    user = await hasty.user("Warmer", "warmer@example.com")
    order = await hasty.order(user)
    kinds = [
        RenameUser(user_id=user, name="Hot"),
        PlaceOrder(user_id=user, order_id=OrderId(new_id()), total=5),
        CompleteOrder(order_id=order),
        EraseUser(user_id=user),
    ]
    for number, command in enumerate(kinds):
        await hasty.ask(msgspec.structs.replace(command, idempotency_key=f"warmer {number}"))


async def until_alone(past: WriteModel) -> None:
    """Returns once PostgreSQL has done with everybody else."""
    others: list[dict[str, object]] = []
    try:
        async with limited(30):
            while others := await past.rows(OTHERS):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"still connected: {others}") from None


async def test_on_links_that_are_half_open_commands_are_given_up_and_then_carried_out_once(
    wire: Proxy, hasty: WriteModel, past: WriteModel
) -> None:
    await asyncio.gather(warm(hasty), warm(hasty))
    wire.half_open()
    command = create("Bob", "bob@example.com", key="k")
    with pytest.raises(WriteModelUnavailable, match="not known"):
        await hasty.ask(command)
    await persistently(hasty, lambda: create("Bob", "bob@example.com", key="k"))
    assert await past.count("events") == 2
    await exactly_once(past, keys=2)


async def test_a_task_cancelled_between_commit_and_answer_is_answered_when_it_asks_again(
    wire: Proxy, model: WriteModel, past: WriteModel
) -> None:
    await model.user()
    held = wire.hold_next("insert into events")
    task = asyncio.create_task(model.ask(create("Bob", "bob@example.com", key="k")))
    await held.reached
    task.cancel()
    held.release()  # or the driver would wait until the statement's time is over
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await model.ask(create("Bob", "bob@example.com", key="k"))).version == 1
    assert await past.count("events") == 2
    await exactly_once(past)


@pytest.mark.parametrize("seed", range(3))
async def test_a_task_cancelled_at_any_moment_is_carried_out_once_by_its_retry(
    wire: Proxy, model: WriteModel, past: WriteModel, seed: int
) -> None:
    random = Random(seed)
    for number in range(40):

        def command(number: int = number) -> Command:
            return create("B", f"b{number}@example.com", key=f"{number}")

        task = asyncio.create_task(model.store.execute(command()))
        await asyncio.sleep(random.uniform(0, 0.004))
        task.cancel()
        await asyncio.wait([task])
        assert (await persistently(model, command)).version == 1
    assert await past.count("events") == 40
    await exactly_once(past, keys=40)


async def test_an_answer_that_comes_too_late_is_not_taken_for_that_of_the_next_command(
    wire: Proxy, hasty: WriteModel, past: WriteModel
) -> None:
    alice, bob = await past.user(), await past.user("Bob", "bob@example.com")
    await warm(hasty)
    held = wire.hold_next("left join users")
    with pytest.raises(WriteModelUnavailable, match="nothing was written"):
        await hasty.ask(RenameUser(user_id=alice, name="Zoë"))
    assert held.fired.is_set()
    held.release()
    for number in range(2, 5):

        def command(number: int = number) -> Command:
            return RenameUser(user_id=bob, name=f"{number}", idempotency_key=f"{number}")

        answer = await persistently(hasty, command)
        assert (answer.aggregate_id, answer.version) == (bob, number)


async def test_a_truncated_answer_is_an_error_and_never_a_value(
    wire: Proxy, model: WriteModel, past: WriteModel
) -> None:
    await model.user()
    for _ in range(20):
        cut = wire.truncate_next("left join users")
        taken = create("Alice", "alice@example.com")  # is refused after a look
        with pytest.raises(WriteModelUnavailable):
            await model.store.execute(taken)
        assert cut.fired.is_set()
    assert await past.count("events") == 1


async def test_a_connection_whose_server_has_said_goodbye_is_unavailable_and_replaced(
    wire: Proxy, model: WriteModel, past: WriteModel
) -> None:
    await model.user()
    [link] = wire.links
    link.deaf = True  # the goodbye arrives, the end of the connection does not
    await past.pool.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )
    while not link.server.ended:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)  # the goodbye is on its way through the kernel
    with pytest.raises(WriteModelUnavailable):
        await model.user("Bob", "bob@example.com")
    await model.user("Carol", "carol@example.com")
