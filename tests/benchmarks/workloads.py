"""What a closed loop asks, question by question, with the mark by which a right answer is known.

Questions are put together from bytes, because the load generator has to be cheaper than any service.
"""

from __future__ import annotations

import random
import time
import uuid
from itertools import count, cycle
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import jwt
import msgspec

from tests.benchmarks import questions
from tests.benchmarks.wire import AnswerError, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.benchmarks.plan import Plan

SEED = 20
"""The same users, pages and texts in the same order for every service."""

TEXTS = 50
TOKEN_SECONDS = 3600
NEW_IN_A_ROUND = 10_000_000
"""More than any service answers in one."""

_FIELDS = questions.FIELDS.split()


class Question(NamedTuple):
    """`needle` is in a right answer so many `times`; `then` makes the connection's next question of it."""

    request: bytes
    needle: bytes
    times: int = 1
    then: Callable[[bytes], Question] | None = None


def asked(plan: Plan) -> Iterator[Question]:
    """Without end."""
    request = _requests(plan)
    if plan.workload == "orders":
        yield from _orders(plan, request)
    for body, needle, times in bodies(plan):
        made = request(body)
        yield Question(made, needle, times) if plan.checked else Question(made, b'"data"')


def _requests(plan: Plan) -> Callable[[bytes], bytes]:
    """Puts the head before a body: with an id of its own and with a token, if the plan says so."""
    before, numbers, tokens = head(urlsplit(plan.url).netloc), count(), _tokens(plan)

    def request(body: bytes) -> bytes:
        more = b"\r\nX-Request-Id: %032x" % next(numbers) if plan.request_ids else b""
        if plan.token_secret:
            more += b"\r\nAuthorization: Bearer " + next(tokens)
        made = before % len(body) + body
        return made.replace(b"\r\n", more + b"\r\n", 1) if more else made

    return request


def _tokens(plan: Plan) -> Iterator[bytes]:
    """Of each user in the order in which `_user_by_id` asks for them, so that each asks for itself."""
    if not plan.token_secret:
        return iter(())
    tokens = [token_of(user, plan.token_secret) for user in plan.ids]
    return (token.encode() for token in _shuffled(tokens))


def token_of(user: str, secret: str) -> str:
    """A JWT with which the user may read."""
    claims = {"sub": user, "exp": int(time.time()) + TOKEN_SECONDS, "scope": "users:read"}
    return jwt.encode(claims, secret)


def _orders(plan: Plan, request: Callable[[bytes], bytes]) -> Iterator[Question]:
    """On each connection placeOrder, then completeOrder of what was placed."""

    def complete(answer: bytes) -> Question:
        found = msgspec.json.decode(answer, type=questions.Answer[questions.PlacedOrder]).data
        if found is None or found.place_order is None:
            raise AnswerError(f"placeOrder was answered with {answer!r}")
        order = found.place_order.id
        return Question(request(questions.body(questions.COMPLETE_ORDER, id=order)), order.encode())

    for body, needle, times in _place_order(plan):
        yield Question(request(body), needle, times, complete)


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
        case "create_product":
            return _create_product()
        case "place_order":
            return _place_order(plan)
        case "orders" | "visible" | "waited_for":
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


def _create_product() -> Iterator[Body]:
    run = uuid.uuid4().hex[:12]
    for number in count():
        given = {"sku": f"{run}-{number}", "name": f"Product {number}", "price": "12.50"}
        yield questions.body(questions.CREATE_PRODUCT, input=given), b'"id"', 1


def _place_order(plan: Plan) -> Iterator[Body]:
    for user in _shuffled(plan.ids):
        given = {"userId": user, "total": "12.50"}
        yield questions.body(questions.PLACE_ORDER, input=given), b'"id"', 1


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
