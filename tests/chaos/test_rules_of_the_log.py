"""The checker's rules about what was written: each is broken by hand, and each lets pass what it must."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from tests.chaos.sound_run import ALICE, BOB, LAMP, ORDER, OTHER, Run, at, logged


def lose_event(run: Run) -> None:
    """As if it had never been: the later ones have moved up."""
    del run.events[1]
    run.rewrite(1, version=2)
    run.rewrite(2, version=3)


def answer_another_order(run: Run) -> None:
    run.recall(3, id=OTHER)
    run.commands["key 3"]["id"] = OTHER


def complete_twice_at_once(run: Run) -> None:
    run.call("completeOrder", ALICE, 4, ORDER, orderId=ORDER)


def place_twice_as_one(run: Run) -> None:
    run.call("placeOrder", ALICE, 3, ORDER, userId=ALICE, total="12.50")


def keep_an_answer_without_an_event(run: Run) -> None:
    run.call("placeOrder", ALICE, 5, OTHER, userId=ALICE, total="7.00")
    run.recall(run.last, outcome="unknown", id=None, version=None)


def ignore_the_expected_version(run: Run) -> None:
    run.recall(2, input={"userId": ALICE, "name": "Alice 2", "expectedVersion": 3})


def change_nothing_that_is_otherwise(run: Run) -> None:
    run.call("renameUser", ALICE, 4, userId=ALICE, name="Alice")


def write_twice(run: Run) -> None:
    run.events.insert(4, logged(ALICE, 5, "OrderPlaced", order_id=OTHER, total=1250))


def write_refused(run: Run) -> None:
    run.recall(3, outcome="fail", id=None, version=None, code="VERSION_CONFLICT")


def write_unknown_without_its_key(run: Run) -> None:
    run.recall(3, outcome="unknown", id=None, version=None)
    del run.commands["key 3"]


def write_what_nobody_asked_for(run: Run) -> None:
    del run.history.calls[1], run.commands["key 2"]


def write_more_of_the_erased_than_anybody_asked_for(run: Run) -> None:
    run.events.insert(5, logged(BOB, 2, "UserRenamed", name=""))
    run.rewrite(6, version=3)


def keep_a_key_that_nobody_sent(run: Run) -> None:
    run.commands["key 99"] = run.commands["key 2"]


def forget_answer(run: Run) -> None:
    del run.commands["key 2"]


def keep_refused(run: Run) -> None:
    run.call("renameUser", ALICE, 4, userId=ALICE, name="Alice 2")
    run.recall(run.last, outcome="fail", id=None, version=None, code="VERSION_CONFLICT")


def keep_the_answer_of_another_user(run: Run) -> None:
    run.commands["key 2"]["user_id"] = BOB


def answer_otherwise(run: Run) -> None:
    run.again(2, version=3)


def keep_another_answer(run: Run) -> None:
    run.commands["key 4"]["version"] = 3


def leave_hole(run: Run) -> None:
    run.rewrite(3, version=5)


def double_event(run: Run) -> None:
    run.events.insert(2, run.events[1])


def begin_without_a_creation(run: Run) -> None:
    run.rewrite(0, type="UserRenamed", data={"name": "Alice"})


def go_on_after_the_erasure(run: Run) -> None:
    run.events.append(logged(BOB, 3, "UserErased"))


def write_into_another_partition(run: Run) -> None:
    run.rewrite(1, partition=1)


def write_in_another_order(run: Run) -> None:
    run.rewrite(1, position=9)


def remember_the_erased(run: Run) -> None:
    run.rewrite(4, data={"name": "", "email": "bob@example.com"})


def blank_somebody_else(run: Run) -> None:
    run.rewrite(1, data={"name": ""})


def sell_under_another_number(run: Run) -> None:
    run.rewrite(6, data={"sku": "L-2", "name": "Lamp", "price": 900})


def keep_the_price_that_is_there(run: Run) -> None:
    run.call("changePrice", LAMP, 2, productId=LAMP, price="9.51")


def discontinue_nothing(run: Run) -> None:
    run.call("discontinueProduct", LAMP, 2, productId=LAMP)


def change_the_price_after_the_end(run: Run) -> None:
    run.events += [
        logged(LAMP, 3, "ProductDiscontinued"),
        logged(LAMP, 4, "PriceChanged", price=1000),
    ]


def share_a_sku(run: Run) -> None:
    run.call("createProduct", OTHER, 1, sku="L-1", name="Other", price="1.00")
    created = logged(LAMP, 1, "ProductCreated", sku="L-1", name="Other", price=100)
    run.events.append(msgspec.structs.replace(created, user=OTHER, position=9))


def mix_aggregates(run: Run) -> None:
    run.rewrite(7, aggregate="user")


def change_product(field: str, value: object) -> Callable[[Run], None]:
    return lambda run: (run.products or {})[LAMP].update({field: value})


def change_user(field: str, value: object) -> Callable[[Run], None]:
    return lambda run: run.users[ALICE].update({field: value})


def change_order(field: str, value: object) -> Callable[[Run], None]:
    return lambda run: run.orders[ORDER].update({field: value})


BROKEN: list[tuple[str, Callable[[Run], None]]] = [
    ("acknowledged-once", lose_event),
    ("acknowledged-once", answer_another_order),
    ("acknowledged-once", complete_twice_at_once),
    ("acknowledged-once", place_twice_as_one),
    ("acknowledged-once", keep_an_answer_without_an_event),
    ("acknowledged-once", ignore_the_expected_version),
    ("acknowledged-once", change_nothing_that_is_otherwise),
    ("acknowledged-once", sell_under_another_number),
    ("acknowledged-once", keep_the_price_that_is_there),
    ("acknowledged-once", discontinue_nothing),
    ("nothing-twice", write_twice),
    ("nothing-twice", write_refused),
    ("nothing-twice", write_unknown_without_its_key),
    ("nothing-twice", write_what_nobody_asked_for),
    ("nothing-twice", write_more_of_the_erased_than_anybody_asked_for),
    ("nothing-twice", keep_a_key_that_nobody_sent),
    ("command-rows", forget_answer),
    ("command-rows", keep_refused),
    ("command-rows", keep_the_answer_of_another_user),
    ("same-answer", answer_otherwise),
    ("same-answer", keep_another_answer),
    ("versions-without-hole", leave_hole),
    ("versions-without-hole", double_event),
    ("versions-without-hole", begin_without_a_creation),
    ("versions-without-hole", go_on_after_the_erasure),
    ("versions-without-hole", change_the_price_after_the_end),
    ("versions-without-hole", mix_aggregates),
    ("versions-without-hole", write_into_another_partition),
    ("versions-without-hole", write_in_another_order),
    ("erased-is-forgotten", remember_the_erased),
    ("erased-is-forgotten", blank_somebody_else),
    ("erased-secret-is-gone", lambda run: run.users[BOB].update({"secret": "left"})),
    ("erased-secret-is-gone", change_user("secret", None)),
    ("tables-are-the-fold", change_user("name", "Alice")),
    ("tables-are-the-fold", change_user("email_key", None)),
    ("tables-are-the-fold", change_user("updated_at", at(9))),
    ("tables-are-the-fold", change_user("erased_at", at(4))),
    ("tables-are-the-fold", lambda run: run.users.clear()),
    ("tables-are-the-fold", change_order("status", "CANCELLED")),
    ("tables-are-the-fold", change_order("total", 1251)),
    ("tables-are-the-fold", lambda run: run.orders.clear()),
    ("tables-are-the-fold", change_product("price", 900)),
    ("tables-are-the-fold", change_product("discontinued_at", at(2))),
    ("tables-are-the-fold", lambda run: (run.products or {}).clear()),
    ("unique-keys-are-unique", share_a_sku),
    ("every-failure-typed", lambda run: run.recall(2, outcome="unknown", code="INTERNAL")),
    ("every-failure-typed", lambda run: run.ask(code="INTERNAL")),
]


@pytest.mark.parametrize(("rule", "break_it"), BROKEN)
def test_what_was_written_wrong_is_found(rule: str, break_it: Callable[[Run], None]) -> None:
    run = Run()
    break_it(run)
    assert rule in run.broken()


def unknown_that_happened(run: Run) -> None:
    run.recall(3, outcome="unknown", id=None, version=None)


def unknown_that_did_not_happen(run: Run) -> None:
    run.again(3, key="key 9", outcome="unknown", id=None, version=None)


def unknown_without_a_key(run: Run) -> None:
    run.recall(3, outcome="unknown", key=None, id=None, version=None)
    del run.commands["key 3"]


def unknown_that_was_refused_when_asked_again(run: Run) -> None:
    """The first attempt committed after the second was refused."""
    run.recall(4, outcome="unknown", id=None, version=None)
    run.again(4, outcome="fail", id=None, version=None, code="ORDER_NOT_OPEN")


def the_same_answer_again(run: Run) -> None:
    run.again(3)


def a_command_that_changes_nothing(run: Run) -> None:
    run.call("renameUser", ALICE, 4, userId=ALICE, name="Alice 2", expectedVersion=4)


def one_that_expects_what_it_finds(run: Run) -> None:
    run.recall(2, input={"userId": ALICE, "name": "Alice 2", "expectedVersion": 1})


def an_unknown_renaming_of_the_erased(run: Run) -> None:
    """Which name it was cannot be known any more."""
    run.call("renameUser", BOB, 2, userId=BOB, name="Robert")
    run.recall(run.last, outcome="unknown", key=None, id=None, version=None)
    del run.commands[f"key {run.last}"]
    run.events.insert(5, logged(BOB, 2, "UserRenamed", name=""))
    run.rewrite(6, version=3, at=at(3), position=3)
    run.users[BOB]["version"] = 3
    run.recall(6, version=3)
    run.commands["key 6"]["version"] = 3
    run.users[BOB].update(updated_at=at(3), erased_at=at(3))


SOUND = [
    unknown_that_happened,
    unknown_that_did_not_happen,
    unknown_without_a_key,
    unknown_that_was_refused_when_asked_again,
    the_same_answer_again,
    a_command_that_changes_nothing,
    one_that_expects_what_it_finds,
    an_unknown_renaming_of_the_erased,
]


@pytest.mark.parametrize("happen", SOUND)
def test_what_may_happen_breaks_no_rule(happen: Callable[[Run], None]) -> None:
    run = Run()
    happen(run)
    of_redis = {"read-model-is-the-fold"}  # which is not told of it
    assert run.broken() <= of_redis
