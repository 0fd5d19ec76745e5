"""Who may come in by a head that is known: the way past everything asks the same of everybody."""

from __future__ import annotations

from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from api.access.door import Access
from api.access.rate import Rate
from tests.api.test_straight import USER, line, request
from tests.api.tokens import signed, with_tokens


def asking(token: str | None) -> bytes:
    return request(USER, *([] if token is None else [f"authorization: Bearer {token}"]))


def broken(asked: bytes) -> bytes:
    """A body of the same length that is no request."""
    return asked.replace(b'{"query"', b'}"query"')


def failures(logs: list[Any]) -> list[dict[str, Any]]:
    """What the log is told of each, but for how long it took."""
    told = [dict(one) for one in logs if one["event"] == "operation_failed"]
    for one in told:
        one.pop("ms", None)
    return told


@pytest.mark.parametrize(
    "token",
    [None, "nonsense", signed(exp=1), signed(scope="users:write")],
    ids=["none", "nonsense", "expired", "of another scope"],
)
async def test_whoever_may_not_is_refused_each_time_and_the_log_told(token: str | None) -> None:
    async with line(access=with_tokens()) as ask:
        with capture_logs() as logs:
            answers = [await ask(asking(token)) for _ in range(3)]
        assert ask.heads.taken == 2
    assert answers[0] == answers[1] == answers[2]
    assert b"Alice" not in answers[0][0]
    first, second, third = failures(logs)
    assert first == second == third


async def test_whoever_may_is_answered_each_time() -> None:
    asked = asking(signed())
    async with line(access=with_tokens()) as ask:
        answers = [await ask(asked) for _ in range(3)]
        assert ask.heads.taken == 2
    assert answers[0] == answers[1] == answers[2]
    assert b"Alice" in answers[0][0]


async def test_the_log_is_told_whose_body_was_no_request() -> None:
    async with line(access=with_tokens()) as ask:
        asked = asking(signed())
        await ask(asked)
        with capture_logs() as logs:
            await ask(broken(asked))
        assert ask.heads.taken == 1
    [told] = failures(logs)
    assert told["caller"]


async def test_the_log_is_told_of_a_body_that_was_no_request_where_everybody_may() -> None:
    async with line() as ask:
        await ask(request())
        with capture_logs() as logs:
            await ask(broken(request()))
        assert ask.heads.taken == 1
    assert len(failures(logs)) == 1


async def test_the_rate_counts_each_by_its_address() -> None:
    accounts = []

    class Counting:
        async def take(self, who: str, _: int) -> None:
            accounts.append(who)

    async with line(access=Access(rate=cast("Rate", Counting()))) as ask:
        for _ in range(3):
            await ask(request())
        assert ask.heads.taken == 2
    assert accounts == ["127.0.0.1"] * 3
