"""Judges a run by its history and by what is left in the stores: an empty list means every promise was kept.

The rules are those of docs/guarantees.md. Each finds out by itself: none trusts what another has checked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from readside.keys import Partition
from tests.faults.evidence import Evidence, Logged
from tests.faults.history import Called, History, Row, Seen
from tests.faults.model import Personal, State, Story, fold, read_model

MOST = 20
"""Violations of one rule that are told one by one."""

Token = tuple[str, ...]
"""What an event is known by: its type, what it is about, and the value that its command gave."""

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
}
"""How a command or a query of a run may fail."""


class Violation(msgspec.Struct, frozen=True):
    rule: str
    what: str


class Case:
    """What all rules look at: the history, the evidence, and what follows from both at once."""

    def __init__(self, history: History, evidence: Evidence, parked: frozenset[str]) -> None:
        self.history = history
        self.evidence = evidence
        self.parked = parked
        self.groups: dict[str, list[Called]] = defaultdict(list)
        """The attempts of each command, by key; a command without one has one attempt."""
        for call in history.calls:
            self.groups[call.key or f"number {call.number}"].append(call)
        personal = self._personal()
        self.stories = fold(evidence.events, personal)
        self.tokens = {
            (event.user, event.version): _written(
                event.type, event.user, _told_again(event, personal)
            )
            for event in evidence.events
        }

    def _personal(self) -> Personal:
        """What each command that took effect said about names and addresses, by user and version."""
        told: Personal = {}
        for attempts in self.groups.values():
            if (place := self.place(attempts)) is not None:
                given = attempts[0].input
                found = {field: given[field] for field in ("name", "email") if field in given}
                told[place] = told.get(place, {}) | found
        return told

    def place(self, attempts: list[Called]) -> tuple[str, int] | None:
        """The user and the version at which a command took effect, or found nothing to do."""
        if (row := self.evidence.commands.get(attempts[0].key or "")) is not None:
            return str(row["user_id"]), row["version"]
        for call in attempts:
            if call.outcome == "ok":
                return self.user_of(call), call.version or 0
        return None

    def user_of(self, call: Called) -> str:
        if call.command == "createUser":
            return str(call.id)
        if order := call.input.get("orderId"):
            return str(self.evidence.orders.get(order, {}).get("user_id"))
        return str(call.input["userId"])


def check(
    history: History, evidence: Evidence, *, parked: frozenset[str] = frozenset()
) -> list[Violation]:
    """Every violation of every rule, at most MOST of each. `parked`: users who should be set aside."""
    case = Case(history, evidence, parked)
    return [
        Violation(rule.__name__.replace("_", "-"), what)
        for rule in RULES
        for what in islice(rule(case), MOST)
    ]


# What was written ------------------------------------------------------------------------------------------


def acknowledged_once(case: Case) -> Iterator[str]:
    """What was acknowledged is in the log, at the version answered, unless there was nothing to do."""
    for attempts in case.groups.values():
        for call in attempts:
            if call.outcome == "ok" and not _took_effect(case, call):
                yield f"{_told(call)} has no event there"


def nothing_twice(case: Case) -> Iterator[str]:
    """No more events than commands that may have caused them; none of a command that was refused."""
    may: Counter[Token] = Counter()
    for attempts in case.groups.values():
        if any(call.outcome != "fail" for call in attempts):
            may[_token(attempts[0], attempts[0].input.get("userId", ""))] += 1
    for token, times in Counter(case.tokens.values()).items():
        if "" not in token and times > may[token]:  # what was blanked cannot be told apart
            yield f"{token} was written {times} times, {may[token]} commands may have done so"


def command_rows(case: Case) -> Iterator[str]:
    """The answer to a key is kept when it was given, kept once, and not kept for what was refused."""
    for key, attempts in case.groups.items():
        if attempts[0].key is None:
            continue
        row = case.evidence.commands.get(key)
        if row is None:
            answered = [call for call in attempts if call.outcome == "ok"]
            yield from (f"{_told(call)} has no row in commands" for call in answered[:1])
        elif all(call.outcome == "fail" for call in attempts):
            yield f"{_told(attempts[0])} was refused and has a row in commands"


def same_answer(case: Case) -> Iterator[str]:
    """Whoever repeats a command gets the answer it had."""
    for key, attempts in case.groups.items():
        answers = {(call.id, call.version) for call in attempts if call.outcome == "ok"}
        if (row := case.evidence.commands.get(key)) is not None:
            answers.add((str(row["id"]), row["version"]))
        if len(answers) > 1:
            yield f"the key {key!r} was answered differently: {sorted(answers)}"


def versions_without_hole(case: Case) -> Iterator[str]:
    for user, story in case.stories.items():
        yield from (f"user {user}: {problem}" for problem in story.problems)


def tables_are_the_fold(case: Case) -> Iterator[str]:
    for user in case.stories.keys() | case.evidence.users.keys():
        yield from _user_row(case.stories.get(user), case.evidence.users.get(user), user)
    orders = {id_: order for story in case.stories.values() for id_, order in story.orders.items()}
    for order_id in orders.keys() | case.evidence.orders.keys():
        order, row = orders.get(order_id), case.evidence.orders.get(order_id)
        if order is None or row is None:
            yield f"order {order_id} is {'not in the log' if order is None else 'no row'}"
            continue
        wanted = (order.user, order.total, order.status, order.placed, order.closed)
        found = (
            str(row["user_id"]),
            row["total"],
            row["status"],
            row["placed_at"],
            row["closed_at"],
        )
        if wanted != found:
            yield f"order {order_id} is {found}, the log says {wanted}"


def _user_row(story: Story | None, row: dict[str, Any] | None, user: str) -> Iterator[str]:
    if story is None or row is None or not story.states:
        yield f"user {user} is {'not in the log' if row else 'no row'}"
        return
    last = story.last
    wanted = (last.version, last.name, last.email, last.created, last.updated, last.erased)
    found = (
        *(row[name] for name in ("version", "name", "email", "created_at", "updated_at")),
        row["erased_at"] is not None,
    )
    if wanted != found:
        yield f"user {user} is {found}, the log says {wanted}"


# What is shown ---------------------------------------------------------------------------------------------


def read_model_is_the_fold(case: Case) -> Iterator[str]:
    """Every key of the generation that serves, to the letter."""
    stories = {user: story for user, story in case.stories.items() if user not in case.parked}
    for partition in range(case.evidence.partitions):
        keys = case.evidence.serving(partition)
        if keys is None:
            yield f"nothing serves partition {partition}"
            continue
        prefix = keys.of("")
        wanted = read_model(stories, partition, case.evidence.partitions)
        found = {
            key.removeprefix(prefix): value
            for key, value in case.evidence.keys.items()
            if key.startswith(prefix) and not _is_bookkeeping(key.removeprefix(prefix), case)
        }
        for name in sorted(wanted.keys() | found.keys()):
            if wanted.get(name) != found.get(name):
                difference = _difference(wanted.get(name), found.get(name))
                yield f"partition {partition}, {name}: {difference}"


def _is_bookkeeping(name: str, case: Case) -> bool:
    kind, _, user = name.partition(":")
    return kind in {"counters", "parked", "lost"} or user in case.parked


def nobody_parked(case: Case) -> Iterator[str]:
    for partition in range(case.evidence.partitions):
        if (keys := case.evidence.serving(partition)) is not None:
            for user, why in case.evidence.keys.get(keys.parked, {}).items():
                if user not in case.parked:
                    yield f"user {user} is parked: {why}"


def no_orphans(case: Case) -> Iterator[str]:
    """Every key belongs to a generation that is known, so that it will be removed with it."""
    for partition in range(case.evidence.partitions):
        place = Partition(partition)
        known = case.evidence.keys.get(place.generations, {})
        apart = {place.stream, place.cursor, place.generations}
        for key in case.evidence.keys:
            if key.startswith(f"{place.prefix}:") and key not in apart:
                name = key.removeprefix(f"{place.prefix}:").partition(":")[0]
                if name != "owner" and name not in known:
                    yield f"{key} belongs to no generation"
        for group in case.evidence.groups[partition]:
            if group["name"] not in known:
                yield f"group {group['name']} of partition {partition} belongs to no generation"


def all_acknowledged(case: Case) -> Iterator[str]:
    """The group of the generation that serves has read everything, and nothing is pending."""
    for partition in range(case.evidence.partitions):
        if (keys := case.evidence.serving(partition)) is None:
            continue
        mine = [g for g in case.evidence.groups[partition] if g["name"] == keys.generation]
        if not mine:
            yield f"the generation that serves partition {partition} has no group"
        for group in mine:
            if group["pending"] or group["unread"]:
                yield f"partition {partition} has entries that are not acknowledged: {group}"


# What was read ---------------------------------------------------------------------------------------------


def read_is_a_prefix(case: Case) -> Iterator[str]:
    """Whatever was shown is the user after some event, whole."""
    for seen in case.history.reads:
        for row in seen.rows:
            story = case.stories.get(row.id)
            if story is None or not 1 <= row.version <= len(story.states):
                yield f"{_asked(seen)} showed version {row.version} of {row.id}, which the log does not have"
            elif not _is(row, story.states[row.version - 1]):
                yield f"{_asked(seen)} showed {row}, the log says {story.states[row.version - 1]}"


def no_going_back(case: Case) -> Iterator[str]:
    """A reader never sees an older version of a user than before. One client's requests do not overlap."""
    if case.history.lossy:
        return
    latest: dict[tuple[str, str], int] = {}
    for seen in sorted(case.history.reads, key=lambda seen: seen.started):
        for row in seen.rows:
            before = latest.get((seen.client, row.id), 0)
            if row.version < before:
                yield f"{_asked(seen)} showed version {row.version} of {row.id} after version {before}"
            latest[seen.client, row.id] = max(before, row.version)


def min_version_obeyed(case: Case) -> Iterator[str]:
    for seen in case.history.reads:
        wanted = seen.arguments.get("minVersion") or 0
        for row in seen.rows:
            if row.version < wanted:
                yield f"{_asked(seen)} showed version {row.version}"


def no_wrong_null(case: Case) -> Iterator[str]:
    """There is no such user: only before it was seen or known to be, and after its erasure was asked for."""
    erased_from = _erasures(case.history.calls)
    shown: set[tuple[str, str]] = set()
    for seen in sorted(case.history.reads, key=lambda seen: seen.started):
        shown |= {(seen.client, row.id) for row in seen.rows}
        if seen.query != "user" or seen.rows or seen.code is not None:
            continue
        user = seen.arguments["id"]
        known = (seen.arguments.get("minVersion") or 0) > 0
        known |= (seen.client, user) in shown and not case.history.lossy
        if known and erased_from.get(user, float("inf")) > seen.ended:
            yield f"{_asked(seen)} found nobody"


def _erasures(calls: list[Called]) -> dict[str, float]:
    """When the first erasure that may have taken effect was begun."""
    found: dict[str, float] = {}
    for call in calls:
        if call.command == "eraseUser" and call.outcome != "fail":
            user = call.input["userId"]
            found[user] = min(call.started, found.get(user, call.started))
    return found


def every_failure_typed(case: Case) -> Iterator[str]:
    for call in case.history.calls:
        if call.code not in TYPED:
            yield f"{_told(call)} failed as {call.code}"
    for seen in case.history.reads:
        if seen.code not in TYPED:
            yield f"{_asked(seen)} failed as {seen.code}"


RULES: tuple[Callable[[Case], Iterator[str]], ...] = (
    acknowledged_once,
    nothing_twice,
    command_rows,
    same_answer,
    versions_without_hole,
    tables_are_the_fold,
    read_model_is_the_fold,
    nobody_parked,
    no_orphans,
    all_acknowledged,
    read_is_a_prefix,
    no_going_back,
    min_version_obeyed,
    no_wrong_null,
    every_failure_typed,
)


# Commands and their events ---------------------------------------------------------------------------------

_ABOUT = {
    "createUser": "UserCreated",
    "renameUser": "UserRenamed",
    "updateUserEmail": "UserEmailUpdated",
    "placeOrder": "OrderPlaced",
    "completeOrder": "OrderCompleted",
    "cancelOrder": "OrderCancelled",
    "eraseUser": "UserErased",
}


def _token(call: Called, user: str) -> Token:
    """Of the event that a command asks for; the ids that the service makes up are not in it."""
    kind, given = _ABOUT[call.command], call.input
    match call.command:
        case "createUser":
            return kind, given["name"], given["email"]
        case "renameUser":
            return kind, user, given["name"]
        case "updateUserEmail":
            return kind, user, given["email"]
        case "placeOrder":
            return kind, user, str(int(Decimal(given["total"]) * 100))
        case "completeOrder" | "cancelOrder":
            return kind, given["orderId"]
        case _:
            return kind, user


def _written(kind: str, user: str, data: dict[str, Any]) -> Token:
    """Of an event of the log."""
    match kind:
        case "UserCreated":
            return kind, data["name"], data["email"]
        case "UserRenamed":
            return kind, user, data["name"]
        case "UserEmailUpdated":
            return kind, user, data["email"]
        case "OrderPlaced":
            return kind, user, str(data["total"])
        case "OrderCompleted" | "OrderCancelled":
            return kind, data["order_id"]
        case _:
            return kind, user


def _told_again(event: Logged, personal: Personal) -> dict[str, Any]:
    """The data of an event, with what its erasure has blanked, as far as its command tells."""
    told = personal.get((event.user, event.version), {})
    return {field: value or told.get(field, "") for field, value in event.data.items()}


def _took_effect(case: Case, call: Called) -> bool:
    user, version = case.user_of(call), call.version or 0
    if case.tokens.get((user, version)) == _token(call, user):
        return True
    story = case.stories.get(user)
    if story is None or not 1 <= version <= len(story.states):
        return False
    state = story.states[version - 1]
    match call.command:
        case "renameUser":
            return state.name in {call.input["name"], None}
        case "updateUserEmail":
            return state.email in {call.input["email"], None}
        case _:
            return False


def _is(row: Row, state: State) -> bool:
    return (
        row.version == state.version
        and state.name in {row.name, None}
        and state.email in {row.email, None}
        and _instant(row.createdAt) == _shown(state.created)
        and _instant(row.updatedAt) == _shown(state.updated)
        and row.orderCount == state.orders
        and int(Decimal(row.lifetimeValue) * 100) == state.value
        and not state.erased
    )


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _shown(at: datetime) -> datetime:
    """As the API shows it: in milliseconds."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _difference(wanted: Any, found: Any) -> str:
    if not isinstance(wanted, dict) or not isinstance(found, dict):
        return f"{_short(found)}, the log says {_short(wanted)}"
    differ = [name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)]
    told = {name: (found.get(name), wanted.get(name)) for name in sorted(differ)[:3]}
    return f"{len(differ)} fields differ, such as (found, log says) {told}"


def _short(value: Any) -> str:
    return "missing" if value is None else repr(value)[:300]


def _told(call: Called) -> str:
    told = f"number {call.number}, key {call.key}, {call.outcome} {call.version}"
    return f"{call.command} {call.input} ({told})"


def _asked(seen: Seen) -> str:
    return f"{seen.query} {seen.arguments} of {seen.client} (number {seen.number})"
