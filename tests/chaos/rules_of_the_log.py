"""The rules about what was written: answers, events, and the tables of the write model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from tests.chaos import product_model
from tests.chaos.case import Case, Place, Token, asked, minor, token_of, told
from tests.chaos.history import Called
from tests.chaos.model import BLANK, Story, kept, partition_of

PERSONAL = ("name", "email")

MAY_CHANGE_NOTHING = ("renameUser", "updateUserEmail", "changePrice", "discontinueProduct")
"""Commands that succeed without an event if there is nothing to do."""

TYPED = {
    None,
    "",
    "NOT_SENT",
    "READ_MODEL_BEHIND",
    "READ_MODEL_REBUILDING",
    "READ_MODEL_UNAVAILABLE",
    "WRITE_MODEL_UNAVAILABLE",
    "EMAIL_ALREADY_REGISTERED",
    "USER_NOT_FOUND",
    "ORDER_NOT_FOUND",
    "ORDER_NOT_OPEN",
    "VERSION_CONFLICT",
    "SKU_TAKEN",
    "PRODUCT_NOT_FOUND",
    "PRODUCT_IS_DISCONTINUED",
}
"""How a command or a query of a run may fail."""


def acknowledged_once(case: Case) -> Iterator[str]:
    """What was acknowledged is in the log, at the version answered, unless there was nothing to do."""
    for attempts in case.groups.values():
        for call in _different(case.answers(attempts)):
            if problem := _effect(case, call):
                yield f"{told(call)} {problem}"
    yield from _shared(case)


def _different(answers: list[Called]) -> Iterable[Called]:
    return {(call.id, call.version): call for call in answers}.values()


def _effect(case: Case, call: Called) -> str | None:
    """What is wrong with the effect of a command that was answered like this."""
    user, version = case.user_of(call), call.version or 0
    event, token = case.log.get((user, version), (None, ()))
    expected = call.input.get("expectedVersion")
    if event is not None and token == token_of(call):
        subject = event.data["order_id"] if call.command == "placeOrder" else _subject(call, user)
        if call.id != subject:
            return f"was answered the id {call.id}, and made {subject}"
        if expected not in {None, version, version - 1}:
            return f"took effect as version {version} of {user}"
        return None
    story = case.stories.get(user)
    if story is None or not 1 <= version <= len(story.states):
        return f"has no event there: {user} has {len(story.states) if story else 0} versions"
    if call.command not in MAY_CHANGE_NOTHING:
        return f"has no event there: version {version} of {user} is {event}"
    state = story.states[version - 1]
    if not _has_it_already(call, state):
        return f"has no event there, and version {version} of {user} is {state}"
    if expected not in {None, version}:
        return f"found version {version} of {user}"
    return None if call.id == user else f"was answered the id {call.id}"


def _has_it_already(call: Called, state: Any) -> bool:
    """Whether a command changes nothing in this state."""
    given = call.input
    match call.command:
        case "renameUser":
            return state.name in {given["name"], None}
        case "updateUserEmail":
            return state.email in {given["email"], None}
        case "changePrice":
            return bool(state.price == minor(given["price"]))
        case _:
            return state.discontinued is not None


def _subject(call: Called, user: str) -> str:
    return str(call.input.get("orderId", user))


def _shared(case: Case) -> Iterator[str]:
    """Two commands that each must have an event have not the same one."""
    taken: dict[Place, Called] = {}
    for attempts in case.groups.values():
        place = case.place(attempts)
        if place is None or attempts[0].command in MAY_CHANGE_NOTHING:
            continue
        other = taken.setdefault(place, attempts[0])
        if other is not attempts[0]:
            yield f"{told(attempts[0])} and {told(other)} share version {place[1]} of {place[0]}"


def nothing_twice(case: Case) -> Iterator[str]:
    """No more events than commands that may have caused them; none of a command that was refused."""
    may: Counter[Token] = Counter()
    for attempts in case.groups.values():
        if case.may_have_effect(attempts):
            token = token_of(attempts[0])
            may[token] += 1
            if case.place(attempts) is None:
                may[_unknown(token)] += 1  # it may be one of those that were blanked
    times = Counter(case.tokens)
    blanked: Counter[Token] = Counter()
    for token, number in times.items():
        if BLANK in token:
            blanked[_unknown(token)] += number
        elif number > may[token]:
            yield f"{token} was written {number} times, {may[token]} commands may have done so"
    for token, number in blanked.items():
        if number > may[token]:
            unknown = f"{may[token]} commands of unknown outcome"
            yield f"there are {number} events like {token}, which are blanked, and {unknown}"
    for digest in case.evidence.commands.keys() - set(map(kept, case.groups)):
        yield f"the key of digest {digest} has a row in commands, and nobody sent it"


def _unknown(token: Token) -> Token:
    """What is left of a token whose name and address are blanked."""
    kind, user, *_ = token
    return (kind, BLANK, BLANK) if kind == "UserCreated" else (kind, user, BLANK)


def command_rows(case: Case) -> Iterator[str]:
    """The answer to a key is kept when it was given, kept once, and not kept for what was refused."""
    for attempts in case.groups.values():
        if attempts[0].key is None:
            continue
        row = case.row(attempts)
        if row is None:
            answered = [call for call in attempts if call.outcome == "ok"]
            yield from (f"{told(call)} has no row in commands" for call in answered[:1])
        elif all(call.outcome == "fail" for call in attempts):
            yield f"{told(attempts[0])} was refused and has a row in commands"
        elif str(row["user_id"]) != (user := case.user_of(case.answers(attempts)[0])):
            yield f"{told(attempts[0])} is about {user}, its row in commands about {row['user_id']}"


def same_answer(case: Case) -> Iterator[str]:
    """Whoever repeats a command gets the answer it had."""
    for key, attempts in case.groups.items():
        answers = {(str(call.id), call.version or 0) for call in case.answers(attempts)}
        if len(answers) > 1:
            yield f"the key {key!r} was answered differently: {sorted(answers)}"


def versions_without_hole(case: Case) -> Iterator[str]:
    """One event for each version, in the partition of its user, and written in that order."""
    for user, story in case.stories.items():
        yield from (f"user {user}: {problem}" for problem in story.problems)
    for event in case.evidence.events:
        if event.partition != (own := partition_of(event.user, case.evidence.partitions)):
            yield f"version {event.version} of {event.user} is in partition {event.partition}, not {own}"
    for one, two in pairwise(case.evidence.events):
        if one.user == two.user and one.position >= two.position:
            yield (
                f"version {two.version} of {two.user} is at position {two.position},"
                f" version {one.version} at {one.position}"
            )


def erased_is_forgotten(case: Case) -> Iterator[str]:
    """Names and addresses are blank in the events of whoever is erased, and in nobody else's."""
    for event in case.evidence.events:
        story = case.stories[event.user]
        erased = bool(story.states) and story.last.erased
        for field in PERSONAL:
            if field in event.data and (event.data[field] == BLANK) != erased:
                yield (
                    f"{event.user} is {'erased' if erased else 'not erased'}, and the {field} of"
                    f" version {event.version} is {event.data[field]!r}"
                )


def erased_secret_is_gone(case: Case) -> Iterator[str]:
    """Without it nobody can try names on what is kept of the commands of whoever is erased."""
    for user, story in case.stories.items():
        row = _rows(case, story.aggregate).get(user)
        if row is not None and story.states and (row["secret"] is None) != story.last.erased:
            yield f"user {user}: its secret is {row['secret']}, erased at {row['erased_at']}"


def _rows(case: Case, aggregate: str) -> dict[str, dict[str, Any]]:
    return case.evidence.users if aggregate == "user" else case.evidence.products or {}


def tables_are_the_fold(case: Case) -> Iterator[str]:
    users = {id_: story for id_, story in case.stories.items() if story.aggregate == "user"}
    for user in users.keys() | case.evidence.users.keys():
        yield from _user_row(users.get(user), case.evidence.users.get(user), user)
    yield from _products(case)
    orders = {id_: order for story in case.stories.values() for id_, order in story.orders.items()}
    for order_id in orders.keys() | case.evidence.orders.keys():
        order, row = orders.get(order_id), case.evidence.orders.get(order_id)
        if order is None or row is None:
            yield f"order {order_id} is {'not in the log' if order is None else 'no row'}"
            continue
        wanted = (order.user, order.total, order.status, order.placed, order.closed)
        names = ("user_id", "total", "status", "placed_at", "closed_at")
        found = (str(row[names[0]]), *(row[name] for name in names[1:]))
        if wanted != found:
            yield f"order {order_id} is {found}, the log says {wanted}"


def _products(case: Case) -> Iterator[str]:
    wanted = product_model.rows(
        (id_, story.last)
        for id_, story in case.stories.items()
        if story.aggregate == "product" and story.states
    )
    rows = case.evidence.products or {}
    for product in wanted.keys() | rows.keys():
        row = rows.get(product, {})
        found = {name: value for name, value in row.items() if name not in {"id", "secret"}}
        if found != wanted.get(product, {}):
            yield f"product {product} is {found}, the log says {wanted.get(product)}"


def _user_row(story: Story | None, row: dict[str, Any] | None, user: str) -> Iterator[str]:
    if story is None or row is None or not story.states:
        yield f"user {user} is {'not in the log' if row else 'no row'}"
        return
    last = story.last
    key = None if last.erased or last.email is None else last.email.lower()
    wanted = (last.version, last.name, last.email, key, last.created, last.updated, last.ended)
    names = ("version", "name", "email", "email_key", "created_at", "updated_at", "erased_at")
    found = tuple(row[name] for name in names)
    if wanted != found:
        yield f"user {user} is {found}, the log says {wanted}"


def unique_keys_are_unique(case: Case) -> Iterator[str]:
    """No two users who exist have the same address, and no two products the same SKU."""
    owners: dict[tuple[str, str], str] = {}
    for id_, story in case.stories.items():
        if not story.states or story.last.erased:
            continue
        last = story.last
        key = last.sku if story.aggregate == "product" else last.email and last.email.lower()
        if key is None:
            continue
        other = owners.setdefault((story.aggregate, key), id_)
        if other != id_:
            yield f"{story.aggregate} {id_} and {other} have both {key!r}"


def every_failure_typed(case: Case) -> Iterator[str]:
    for call in case.history.calls:
        if call.code not in TYPED:
            yield f"{told(call)} failed as {call.code}"
    for seen in case.history.reads:
        if seen.code not in TYPED:
            yield f"{asked(seen)} failed as {seen.code}"


RULES = (
    acknowledged_once,
    nothing_twice,
    command_rows,
    same_answer,
    versions_without_hole,
    erased_is_forgotten,
    erased_secret_is_gone,
    tables_are_the_fold,
    unique_keys_are_unique,
    every_failure_typed,
)
