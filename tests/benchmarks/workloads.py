"""What a closed loop asks, question by question, with the mark by which a right answer is known.

Questions are put together from bytes, because the load generator has to be cheaper than any service.
"""

from __future__ import annotations

import random
import uuid
from itertools import count, cycle
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from tests.benchmarks import questions
from tests.benchmarks.wire import head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.plan import Plan

SEED = 20
"""The same users, pages and texts in the same order for every service."""

TEXTS = 50
NEW_IN_A_ROUND = 10_000_000
"""More than any service answers in one."""

_FIELDS = questions.FIELDS.split()


class Question(NamedTuple):
    """`needle` is in a right answer so many `times`."""

    request: bytes
    needle: bytes
    times: int = 1


def asked(plan: Plan) -> Iterator[Question]:
    """Without end."""
    before = head(urlsplit(plan.url).netloc)
    for number, (body, needle, times) in enumerate(bodies(plan)):
        request = before % len(body) + body
        if plan.request_ids:
            request = request.replace(b"\r\n", b"\r\nX-Request-Id: %032x\r\n" % number, 1)
        yield Question(request, needle, times) if plan.checked else Question(request, b'"data"')


Body = tuple[bytes, bytes, int]


def bodies(plan: Plan) -> Iterator[Body]:
    match plan.workload:
        case "user_by_id":
            return _user_by_id(plan)
        case "users_page":
            return _users_page(plan)
        case "fifty_texts":
            return _with_id(plan, cycle(fifty_texts()))
        case "new_texts":
            return _with_id(plan, new_texts(plan.round * NEW_IN_A_ROUND))
        case "literals":
            return _literals(plan)
        case "create_user":
            return _create_user()
        case "visible" | "waited_for":
            raise ValueError("nothing that a closed loop asks")


def _shuffled(values: list[str]) -> Iterator[str]:
    order = list(values)
    random.Random(SEED).shuffle(order)
    return cycle(order)


def _user_by_id(plan: Plan) -> Iterator[Body]:
    for user in _shuffled(plan.ids):
        yield questions.body(questions.USER, id=user), f'"{user}"'.encode(), 1


def _users_page(plan: Plan) -> Iterator[Body]:
    bodies = [questions.body(questions.PAGE, after=cursor) for cursor in plan.cursors]
    random.Random(SEED).shuffle(bodies)
    for body in cycle(bodies):
        yield body, b'"id"', questions.PAGE_SIZE


def _with_id(plan: Plan, texts: Iterator[str]) -> Iterator[Body]:
    for text, user in zip(texts, _shuffled(plan.ids), strict=False):
        body = f'{{"query":"{text}","variables":{{"id":"{user}"}}}}'
        yield body.encode(), f'"{user}"'.encode(), 1


def _literals(plan: Plan) -> Iterator[Body]:
    """The id is in the text. All users in turn: no text comes again before all others have come."""
    for user in _shuffled(plan.ids):
        body = f'{{"query":"{{ user(id: \\"{user}\\") {{ {questions.FIELDS} }} }}"}}'
        yield body.encode(), f'"{user}"'.encode(), 1


def _create_user() -> Iterator[Body]:
    run = uuid.uuid4().hex[:12]
    for number in count():
        name = f"bench-{run}-{number}"
        given = {"name": name, "email": f"{name}@example.com"}
        yield questions.body(questions.CREATE_USER, input=given), b'"id"', 1


def fifty_texts() -> list[str]:
    """Fifty selections of a user: which fields, in which order, under which names."""
    choose = random.Random(SEED)
    return [_selection(choose, f"Q{number}", f"f{number}") for number in range(TEXTS)]


def new_texts(start: int) -> Iterator[str]:
    """Selections of which none was ever asked for."""
    choose = random.Random(SEED)
    for number in count(start):
        yield _selection(choose, "New", f"n{number}x")


def _selection(choose: random.Random, name: str, alias: str) -> str:
    fields = choose.sample(_FIELDS[1:], choose.randint(2, 6))
    renamed = f"{alias}: {fields[0]}"
    return f"query {name}($id: ID!) {{ user(id: $id) {{ id {renamed} {' '.join(fields[1:])} }} }}"
