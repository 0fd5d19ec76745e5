"""The rules about what was shown: whole users, in versions that do not go back, and never a wrong null."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Any

from tests.chaos.case import Case, asked, minor
from tests.chaos.history import ProductRow, Seen, Shown
from tests.chaos.model import State
from tests.chaos.product_model import ProductState


def read_is_a_prefix(case: Case) -> Iterator[str]:
    """Whatever was shown is the user after some event, whole."""
    for seen in case.history.reads:
        for row in seen.rows:
            story = case.stories.get(row.id)
            if story is None or not 1 <= row.version <= len(story.states):
                yield f"{asked(seen)} showed version {row.version} of {row.id}, which the log does not have"
            elif not _is(row, story.states[row.version - 1]):
                yield f"{asked(seen)} showed {row}, the log says {story.states[row.version - 1]}"


def answers_what_was_asked(case: Case) -> Iterator[str]:
    """An answer belongs to its question: this user, this address, so many, in their order."""
    for seen in case.history.reads:
        ids, given = [row.id for row in seen.rows], seen.arguments
        match seen.query:
            case "user" | "product":
                right = ids in ([], [given["id"]])
            case "userByEmail":
                right = len(ids) < 2 and all(_had(case, id_, given["email"]) for id_ in ids)
            case "users" | "products":  # newest first, and ids sort by age
                right = len(ids) <= given["first"] and all(a > b for a, b in pairwise(ids))
            case "topCustomers":
                right = len(ids) <= given["first"] and len(set(ids)) == len(ids)
        if not right:
            yield f"{asked(seen)} was answered {ids}"


def _had(case: Case, user: str, email: str) -> bool:
    """The address is looked up first and the user read then, so it may be another by now."""
    states = case.stories[user].states if user in case.stories else []
    return any(state.email is None or state.email.lower() == email.lower() for state in states)


def no_going_back(case: Case) -> Iterator[str]:
    """A reader never sees an older version of a user than in a read that was over before."""
    if case.history.lossy:
        return
    latest: dict[tuple[str, str], int] = {}
    for seen, over in _in_time(case.history.reads):
        for one in over:
            for row in one.rows:
                reader = one.client, row.id
                latest[reader] = max(row.version, latest.get(reader, 0))
        for row in seen.rows:
            before = latest.get((seen.client, row.id), 0)
            if row.version < before:
                yield f"{asked(seen)} showed version {row.version} of {row.id} after version {before}"


def min_version_obeyed(case: Case) -> Iterator[str]:
    for seen in case.history.reads:
        wanted = seen.arguments.get("minVersion") or 0
        for row in seen.rows:
            if row.version < wanted:
                yield f"{asked(seen)} showed version {row.version}"


def watched_in_order(case: Case) -> Iterator[str]:
    """Whoever watches is told every version once, in order, and as it was; also across its connections."""
    for watched in case.history.watches:
        story, before = case.stories.get(watched.user), 0
        states = story.states if story is not None else []
        for anew, row in watched.told:
            if not 1 <= row.version <= len(states) or not _is(row, states[row.version - 1]):
                yield f"{watched.client} was told {row}, which the log does not have"
            free = anew or case.history.lossy
            if not free and row.version != before + 1:
                yield f"{watched.client} was told {row.version} of {row.id} after version {before}"
            before = row.version


def no_wrong_null(case: Case) -> Iterator[str]:
    """There is no such user: only before it was seen or known to be, and after its erasure was asked for."""
    erased_from = _erasures(case)
    shown: set[tuple[str, str]] = set()
    for seen, over in _in_time(case.history.reads):
        shown |= {(one.client, row.id) for one in over for row in one.rows}
        if seen.query not in {"user", "product"} or seen.rows or seen.code is not None:
            continue
        user = seen.arguments["id"]
        known = (seen.arguments.get("minVersion") or 0) > 0
        known |= (seen.client, user) in shown and not case.history.lossy
        if known and erased_from.get(user, float("inf")) > seen.ended:
            yield f"{asked(seen)} found nothing"


def _erasures(case: Case) -> dict[str, float]:
    """When the first erasure was begun that may have been the one, of those who are erased."""
    found: dict[str, float] = {}
    for attempts in case.groups.values():
        user = attempts[0].input.get("userId")
        story = case.stories.get(str(user))
        if attempts[0].command != "eraseUser" or not case.may_have_effect(attempts):
            continue
        if story is not None and story.states and story.last.erased:
            began = min(call.started for call in attempts)
            found[str(user)] = min(began, found.get(str(user), began))
    return found


def _in_time(reads: Iterable[Seen]) -> Iterator[tuple[Seen, list[Seen]]]:
    """Each read in the order of the starts, with those that have ended since the read before it started."""
    by_end = sorted(reads, key=attrgetter("ended"))
    done = 0
    for seen in sorted(reads, key=attrgetter("started")):
        since = done
        while by_end[done].ended < seen.started:
            done += 1
        yield seen, by_end[since:done]


def _is(row: Shown, state: Any) -> bool:
    try:
        if isinstance(row, ProductRow):
            return _is_product(row, state)
        return (
            isinstance(state, State)
            and row.version == state.version
            and state.name in {row.name, None}
            and state.email in {row.email, None}
            and datetime.fromisoformat(row.createdAt) == _shown(state.created)
            and datetime.fromisoformat(row.updatedAt) == _shown(state.updated)
            and row.orderCount == state.orders
            and minor(row.lifetimeValue) == state.value
            and not state.erased
        )
    except (ValueError, ArithmeticError, TypeError):
        return False  # what is shown is no instant, or no amount


def _is_product(row: ProductRow, state: Any) -> bool:
    ended = row.discontinuedAt and datetime.fromisoformat(row.discontinuedAt)
    return (
        isinstance(state, ProductState)
        and (row.version, row.sku, row.name) == (state.version, state.sku, state.name)
        and minor(row.price) == state.price
        and ended == (state.discontinued and _shown(state.discontinued))
    )


def _shown(at: datetime) -> datetime:
    """As the API shows it: in milliseconds."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


RULES = (
    read_is_a_prefix,
    answers_what_was_asked,
    no_going_back,
    min_version_obeyed,
    watched_in_order,
    no_wrong_null,
)
