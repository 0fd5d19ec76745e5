"""Verify finds whatever is not as the log says, says where, and cries no false alarm under load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from domain.users.events import (
    OrderCancelled,
    OrderCompleted,
    OrderPlaced,
    UserCreated,
    UserEmailUpdated,
    UserErased,
    UserRenamed,
)
from readside.errors import NotServing
from readside.projection_set import FINGERPRINT
from readside.projector import projector as projecting
from readside.redis_functions.keys import Keys, Partition
from readside.timestamps import to_epoch_millis
from readside.verify import verify
from readside.verify.repair import repair
from readside.verify.verify import NoSuchAggregate
from tests.limited import limited
from tests.readside.envelopes import moment_of, order, spoilt, user_in

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from readside.projector.projector import Projector
    from readside.verify.verify import VerifyResult
    from tests.readside.harness import World

ALICE, BOB, CAROL, DAVE = (user_in(0, number) for number in range(4))
UNKNOWN_USER = user_in(0, 99)
STREAM = Partition(0).stream
ORDER = f"{order(1)} 500 {to_epoch_millis(moment_of(2))}"
"""The first one of ALICE, as it is kept."""


async def filled(world: World) -> Keys:
    """A read model with something of every kind in it, and nobody at work."""
    world.commit(
        ALICE,
        UserCreated(name="Alice", email="alice@example.com"),
        OrderPlaced(order_id=order(1), total=500),
        OrderPlaced(order_id=order(2), total=700),
        OrderCompleted(order_id=order(1), total=500),
        OrderCancelled(order_id=order(2)),
        UserEmailUpdated(email="Alice/A@example.org"),
        UserRenamed(name='Alicia "É" \\ /'),
    )
    world.commit(BOB, UserCreated(name="Bob", email="bob@example.com"))
    world.commit(CAROL, UserCreated(name="Carol", email="carol@example.com"), UserErased())
    await world.build()
    keys = await world.serving()
    assert keys is not None
    return keys


def places(findings: VerifyResult) -> set[tuple[str, str]]:
    return {(one.key, one.field) for one in findings.differences}


async def test_a_read_model_that_is_right_has_no_difference(world: World) -> None:
    await filled(world)
    told: list[int] = []
    findings = await world.verify().run(told.append)
    assert (findings.differences, findings.parked) == ([], [])
    assert (findings.aggregates, told) == (3, [3])


Tamper = Callable[["Redis", Keys], Awaitable[Any]]

TAMPERED: dict[str, tuple[Tamper, set[tuple[str, str]]]] = {
    "a field changed": (
        lambda r, k: r.hset(k.document("user", ALICE), "name", "Mallory"),
        {("user", "name")},
    ),
    "a field removed": (
        lambda r, k: r.hdel(k.document("user", ALICE), "email"),
        {("user", "email")},
    ),
    "a field added": (
        lambda r, k: r.hset(k.document("user", BOB), "admin", "1"),
        {("user", "admin")},
    ),
    "the order count": (
        lambda r, k: r.hincrby(k.document("user", ALICE), "orderCount", 1),
        {("user", "orderCount")},
    ),
    "a hash deleted": (lambda r, k: r.delete(k.document("user", ALICE)), {("version", "")}),
    "a hash of another kind": (
        lambda r, k: _of_another_kind(r, k.document("user", ALICE)),
        {("version", "")},
    ),
    "a tombstone filled": (
        lambda r, k: r.hset(k.document("user", CAROL), "name", "Carol"),
        {("user", "name")},
    ),
    "an older version": (
        lambda r, k: r.hset(k.document("user", ALICE), "version", 6),
        {
            *(("version", ""), ("user", "name"), ("user", "updatedAt"), ("recent", "5")),
            *(("names", f"alice\t{ALICE}"), ("names", f'alicia "é" \\ /\t{ALICE}')),
            ("names-of", str(ALICE)),
        },
    ),
    "a version of the future": (
        lambda r, k: r.hset(k.document("user", BOB), "version", 9),
        {("version", ""), ("user", "version")},
    ),
    "an order gone": (
        lambda r, k: r.zrem(k.owned_key("orders", ALICE), ORDER),
        {("orders", ORDER)},
    ),
    "an order of nobody": (
        lambda r, k: r.zadd(k.owned_key("orders", BOB), {str(order(9)): 1}),
        {("orders", "")},
    ),
    "the place of an order": (
        lambda r, k: r.zadd(k.owned_key("orders", ALICE), {ORDER: 9}),
        {("orders", ORDER)},
    ),
    "the end of an order": (
        lambda r, k: r.hset(k.owned_key("closed", ALICE), str(order(1)), "CANCELLED 9"),
        {("closed", str(order(1)))},
    ),
    "the recent list deleted": (
        lambda r, k: r.delete(k.owned_key("recent", ALICE)),
        {("recent", str(place)) for place in range(6)},
    ),
    "the recent list changed": (
        lambda r, k: r.lset(k.owned_key("recent", ALICE), 1, "[]"),
        {("recent", "1")},
    ),
    "the recent list longer": (
        lambda r, k: r.rpush(k.owned_key("recent", ALICE), "what"),
        {("recent", "6")},
    ),
    "a recent list of a user that never changed": (
        lambda r, k: r.rpush(k.owned_key("recent", BOB), "what"),
        {("recent", "")},
    ),
    "a member gone": (
        lambda r, k: r.zrem(k.index("users"), str(BOB)),
        {("users", str(BOB)), ("users", "(members)")},
    ),
    "a member added": (
        lambda r, k: r.zadd(k.index("users"), {str(CAROL): 0}),
        {("users", str(CAROL)), ("users", "(members)")},
    ),
    "a member of nobody": (
        lambda r, k: r.zadd(k.index("users"), {str(UNKNOWN_USER): 0}),
        {("users", str(UNKNOWN_USER)), ("users", "(members)")},
    ),
    "a member that is no user": (
        lambda r, k: r.zadd(k.index("users"), {"what": 0}),
        {("users", "what"), ("users", "(members)")},
    ),
    "an index entry renamed": (
        lambda r, k: _renamed(
            r, k.shared_key("emails"), f"bob@example.com\t{BOB}", f"rob@example.com\t{BOB}"
        ),
        {("emails", f"bob@example.com\t{BOB}"), ("emails", f"rob@example.com\t{BOB}")},
    ),
    "an index entry of another user": (
        lambda r, k: _renamed(
            r, k.shared_key("emails"), f"bob@example.com\t{BOB}", f"bob@example.com\t{ALICE}"
        ),
        {("emails", f"bob@example.com\t{BOB}"), ("emails", f"bob@example.com\t{ALICE}")},
    ),
    "an old address": (
        lambda r, k: r.zadd(k.shared_key("emails"), {f"alice@example.com\t{ALICE}": 0}),
        {("emails", f"alice@example.com\t{ALICE}"), ("emails", "(members)")},
    ),
    "the reverse index": (
        lambda r, k: r.hset(k.shared_key("emails-of"), str(BOB), "rob@example.com"),
        {("emails-of", str(BOB))},
    ),
    "a number in the reverse index": (
        lambda r, k: r.hincrby(k.shared_key("lifetime-values-of"), str(ALICE), 1),
        {("lifetime-values-of", str(ALICE))},
    ),
    "a second number in an index": (
        lambda r, k: r.zadd(k.shared_key("lifetime-values"), {f"{5:019}\t{BOB}": 0}),
        {("lifetime-values", f"{5:019}\t{BOB}"), ("lifetime-values", "(members)")},
    ),
    "an old name": (
        lambda r, k: r.zadd(k.shared_key("names"), {f"alice\t{ALICE}": 0}),
        {("names", f"alice\t{ALICE}"), ("names", "(members)")},
    ),
    "the name of an erased user": (
        lambda r, k: r.hset(k.shared_key("names-of"), str(CAROL), "carol"),
        {("names-of", str(CAROL)), ("names-of", "(members)")},
    ),
    "a hash without a user": (
        lambda r, k: r.hset(k.document("user", UNKNOWN_USER), "name", "X"),
        {("user", "")},
    ),
    "a key of a user that no projection writes": (
        lambda r, k: r.set(k.owned_key("odd", BOB), "1"),
        {("odd", "")},
    ),
    "a shared key that no projection writes": (
        lambda r, k: r.set(k.shared_key("odd"), "1"),
        {("odd", "")},
    ),
    "an index of another kind": (
        lambda r, k: _of_another_kind(r, k.shared_key("lifetime-values")),
        {
            ("lifetime-values", field)
            for field in ("", "(members)", f"{500:019}\t{ALICE}", f"{0:019}\t{BOB}")
        },
    ),
    "a user left half-way": (
        lambda r, k: r.hset(k.document("user", BOB), "until", 2),
        {("user", "until"), ("lost", "")},
    ),
    "the cursor": (lambda r, k: r.delete(k.partition.cursor), {("cursor", "")}),
    "an entry nobody reads": (lambda r, _: r.xadd(STREAM, {"e": "x"}), {("stream", "")}),
}


async def _of_another_kind(redis: Redis, key: str) -> None:
    await redis.delete(key)
    await redis.set(key, "what is this")


async def _renamed(redis: Redis, key: str, old: str, new: str) -> None:
    await redis.zrem(key, old)
    await redis.zadd(key, {new: 0})


@pytest.mark.parametrize("what", TAMPERED)
async def test_tampered_entries_are_found_and_named(world: World, what: str) -> None:
    keys = await filled(world)
    tamper, expected = TAMPERED[what]
    await tamper(world.redis, keys)
    assert places(await world.verify().run()) == expected


@pytest.mark.parametrize("what", TAMPERED)
async def test_a_repair_corrects_what_was_found(world: World, what: str) -> None:
    keys = await filled(world)
    await TAMPERED[what][0](world.redis, keys)
    findings = await world.verify().run()
    await world.relay()  # which notices a cursor that was lost
    await repair(world.steering(), 0, findings)
    assert places(await world.verify().run()) == set()


async def test_a_user_whose_own_keys_differ_is_resynced_and_nothing_else(world: World) -> None:
    keys = await filled(world)
    await world.redis.hset(keys.document("user", ALICE), "name", "Mallory")
    done = await repair(world.steering(), 0, await world.verify().run())
    assert (done.aggregates, done.rebuilt) == ([str(ALICE)], False)
    assert await world.serving() == keys


async def test_where_nothing_serves_a_repair_builds(world: World) -> None:
    keys = await filled(world)
    await world.redis.hset(keys.partition.generations, keys.generation, "void")
    await world.redis.hdel(keys.partition.generations, f"serving:{FINGERPRINT}")
    with pytest.raises(NotServing):
        await world.verify().run()
    assert (await repair(world.steering(), 0, None)).rebuilt
    assert places(await world.verify().run()) == set()


async def test_one_user_is_verified_alone(world: World) -> None:
    keys = await filled(world)
    await world.redis.hset(keys.document("user", ALICE), "name", "Mallory")
    assert places(await world.verify().of_aggregate(ALICE)) == {("user", "name")}
    assert places(await world.verify().of_aggregate(BOB)) == set()


async def test_an_entry_that_was_read_and_not_applied_is_found(world: World) -> None:
    await filled(world)
    await world.redis.xadd(STREAM, {"e": "x"})
    assert await world.read_and_die() == 1
    assert places(await world.verify().run()) == {("stream", "")}


async def test_parked_users_are_reported_apart_from_differences(world: World) -> None:
    world.commit(ALICE, UserCreated(name="Alice", email="alice@example.com"), UserRenamed(name="A"))
    world.log.committed[0][1] = spoilt(world.log.committed[0][1], type="UserPromoted")
    world.commit(ALICE, UserRenamed(name="B"))
    await world.build()
    findings = await world.verify().run()
    assert findings.differences == []
    [aside] = findings.parked
    assert (aside.aggregate_id, aside.version, aside.type) == (str(ALICE), 2, "UserPromoted")


async def test_what_is_on_its_way_is_no_difference_and_what_stays_away_is_one(
    world: World,
) -> None:
    await filled(world)
    world.commit(ALICE, UserRenamed(name="Al"))
    world.commit(DAVE, UserCreated(name="Dave", email="dave@example.com"))
    findings = await world.verify().run()
    assert {(one.key, one.should, one.found) for one in findings.differences} == {
        ("version", 8, 7),
        ("version", 1, 0),
    }
    async with world.projector() as projector:
        await world.settle(projector)
    assert places(await world.verify().run()) == set()


async def test_an_erasure_on_its_way_has_blanked_the_log_and_is_no_other_difference(
    world: World,
) -> None:
    await filled(world)
    world.commit(BOB, UserErased())
    events = world.log.committed[0]
    [at] = [n for n, event in enumerate(events) if event.aggregate_id == BOB and event.version == 1]
    events[at] = spoilt(events[at], data=msgspec.Raw(b'{"name":"","email":""}'))
    assert places(await world.verify().run()) == {("version", "")}


async def test_nothing_that_serves_is_said_to_be_so(world: World) -> None:
    with pytest.raises(NotServing, match="Partition 0 has no active read model"):
        await world.verify().run()


async def test_a_flip_in_the_middle_is_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await filled(world)
    events_of, flips = world.log.events_of, [1]

    async def and_flip(*arguments: Any) -> Any:
        if flips.pop() if flips else False:
            await world.steering().rebuild()
            await world.redis.delete(old.document("user", ALICE), old.document("user", BOB))
        async for page in events_of(*arguments):
            yield page

    monkeypatch.setattr(world.log, "events_of", and_flip)
    assert places(await world.verify().run()) == set()
    assert not flips


async def test_a_user_who_changes_between_any_two_reads_is_no_difference(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(world)
    changes = count()
    async with world.projector() as projector:

        def and_change(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def change(*arguments: Any) -> Any:
                known = await read(*arguments)
                number = next(changes)
                placed = OrderPlaced(order_id=order(number + 100), total=100)
                world.commit(BOB, UserRenamed(name=f"Bob {number}"), placed)
                await world.settle(projector)
                return known

            return change

        await world.settle(projector)
        for name in ("history", "newest"):
            monkeypatch.setattr(world.log, name, and_change(getattr(world.log, name)))
        assert places(await world.verify().of_aggregate(BOB)) == set()
        assert next(changes) > 2


async def test_a_user_whom_the_log_does_not_know_is_an_error(world: World) -> None:
    await filled(world)
    with pytest.raises(NoSuchAggregate, match=f"The event log has no aggregate {UNKNOWN_USER}"):
        await world.verify().of_aggregate(UNKNOWN_USER)


async def test_verify_changes_nothing(world: World) -> None:
    keys = await filled(world)
    await world.redis.zrem(keys.index("users"), str(BOB))
    await world.verify().run()
    assert await world.redis.hget(keys.partition.generations, keys.generation) == "live"
    assert await world.redis.exists(keys.needs_resync) == 0


ROUNDS, LOOKS = 20, 4
"""At least."""


async def test_no_false_alarm_while_users_change_all_the_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every round changes everybody, erases one, and creates one, while users are compared two at a time."""
    monkeypatch.setattr(verify, "PAGE", 2)
    monkeypatch.setattr(projecting, "MAX_ENTRIES", 3)
    await filled(world)
    ended, failed, looks = False, False, 0

    async def change(projector: Projector) -> None:
        nonlocal ended
        crowd = [user_in(0, number) for number in range(10, 20)]
        for number, user in enumerate(crowd):
            world.commit(user, UserCreated(name=f"U{number}", email=f"u{number}@example.com"))
        for number in count():
            if number >= ROUNDS and (looks >= LOOKS or failed):
                break
            for user in crowd:
                world.commit(user, UserEmailUpdated(email=f"{number}.{user}@example.com"))
                world.commit(user, OrderPlaced(order_id=order(1000 + number), total=1))
                await world.relay()
                await projector.run_once()
            late = user_in(0, 20 + number)
            world.commit(late, UserCreated(name="L", email=f"late{number}@example.com"))
            world.commit(crowd.pop(0), UserErased())
            crowd.append(late)
        ended = True
        await world.settle(projector)

    async with world.projector() as projector, limited(120):
        await world.settle(projector)
        changing = asyncio.create_task(change(projector))
        try:
            while not ended:
                findings = await world.verify(patience=5.0).run()
                assert findings.differences == []
                looks += 1
        finally:
            failed = not ended
            await changing
    assert looks > 3
    assert places(await world.verify().run()) == set()
