"""A client that speaks GraphQL over one connection, opens another when it breaks, and records everything."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from tests.benchmarks.wire import Connection
from tests.chaos.history import Called, History, ProductRow, Row, Seen, Shown
from tests.processes import HOST

ROW = "id version name email createdAt updatedAt orderCount lifetimeValue"

PRODUCT_ROW = "id version sku name price discontinuedAt"

_QUERIES = {
    "user": f"query($id: ID!, $minVersion: Int) {{ user(id: $id, minVersion: $minVersion) {{ {ROW} }} }}",
    "userByEmail": f"query($email: EmailAddress!) {{ userByEmail(email: $email) {{ {ROW} }} }}",
    "users": f"query($first: Int!) {{ users(first: $first) {{ nodes {{ {ROW} }} }} }}",
    "topCustomers": f"query($first: Int!) {{ topCustomers(first: $first) {{ {ROW} }} }}",
    "product": f"""query($id: ID!, $minVersion: Int) {{
        product(id: $id, minVersion: $minVersion) {{ {PRODUCT_ROW} }}
    }}""",
    "products": f"query($first: Int!) {{ products(first: $first) {{ {PRODUCT_ROW} }} }}",
}

_ORDERS = """query($id: ID!, $after: String) {
    user(id: $id) { orders(first: 100, after: $after) { nodes { id } pageInfo { hasNextPage endCursor } } }
}"""

Query = Literal["user", "userByEmail", "users", "topCustomers", "product", "products"]

_SAYS_UNKNOWN = "not known"


class NotSentError(Exception):
    """There was no connection, so the request cannot have had an effect."""


class NoAnswerError(Exception):
    """The request may have been carried out or not."""


class Client:
    """One request at a time. `numbers` is shared by all clients of a run."""

    def __init__(
        self, name: str, port: int, history: History, numbers: Iterator[int], *, patience: float
    ) -> None:
        """`patience`: seconds to wait for an answer."""
        self.name = name
        self.history = history
        self.patience = patience
        self._port = port
        self._numbers = numbers
        self._connection: Connection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    async def command(
        self,
        command: str,
        given: dict[str, Any],
        key: str | None = None,
        *,
        patience: float | None = None,
    ) -> Called:
        """Carries a command out once; whatever comes of it is in the answer and in the history."""
        number, started = next(self._numbers), time.monotonic()
        outcome, answer = await self._outcome(command, given, key, patience)
        called = Called(
            client=self.name,
            number=number,
            command=command,
            input=given,
            key=key,
            started=started,
            ended=time.monotonic(),
            outcome=outcome,
            **answer,
        )
        self.history.calls.append(called)
        return called

    async def _outcome(
        self, command: str, given: dict[str, Any], key: str | None, patience: float | None
    ) -> tuple[Literal["ok", "fail", "unknown"], dict[str, Any]]:
        kind = f"{command[0].upper()}{command[1:]}Input"
        text = (
            f"mutation($input: {kind}!) {{ {command}(input: $input)"
            " { id version errors { ... on CommandError { code } } } }"
        )
        variables = {"input": {**given, **({"idempotencyKey": key} if key else {})}}
        try:
            answer = await self._send(text, variables, patience)
        except NotSentError:
            return "fail", {"code": "NOT_SENT"}
        except NoAnswerError:
            return "unknown", {"code": ""}
        if error := next(iter(answer.get("errors", ())), None):
            code = error["extensions"]["code"]
            unknown = code == "INTERNAL" or _SAYS_UNKNOWN in error["message"]
            return "unknown" if unknown else "fail", {"code": code}
        payload = answer["data"][command]
        if refused := payload["errors"]:
            return "fail", {"code": refused[0]["code"]}
        return "ok", {"id": payload["id"], "version": payload["version"]}

    async def query(self, query: Query, **arguments: Any) -> Seen:
        """Asks once; what was seen is in the answer and in the history."""
        number, started = next(self._numbers), time.monotonic()
        rows, code = await self._rows(query, arguments)
        seen = Seen(
            client=self.name,
            number=number,
            query=query,
            arguments=arguments,
            started=started,
            ended=time.monotonic(),
            rows=rows,
            code=code,
        )
        self.history.reads.append(seen)
        return seen

    async def sees_orders(self, user: str) -> bool:
        """Whether all orders of a user can be read. What they are is not recorded."""
        after = None
        while True:
            try:
                answer = await self._send(_ORDERS, {"id": user, "after": after}, None)
            except (NotSentError, NoAnswerError):
                return False
            if "errors" in answer:
                return False
            found = answer["data"]["user"]
            if found is None or not found["orders"]["pageInfo"]["hasNextPage"]:
                return True
            after = found["orders"]["pageInfo"]["endCursor"]

    async def _rows(
        self, query: Query, arguments: dict[str, Any]
    ) -> tuple[list[Shown], str | None]:
        try:
            answer = await self._send(_QUERIES[query], arguments, None)
        except (NotSentError, NoAnswerError):
            return [], ""
        if error := next(iter(answer.get("errors", ())), None):
            return [], error["extensions"]["code"]
        found = answer["data"][query]
        if query == "users":
            found = found["nodes"]
        found = found if isinstance(found, list) else [found] if found else []
        kind = ProductRow if query in {"product", "products"} else Row
        return msgspec.convert(found, list[kind]), None  # type: ignore[valid-type]

    async def _send(
        self, query: str, variables: dict[str, Any], patience: float | None
    ) -> dict[str, Any]:
        connection = await self._connected()
        body = msgspec.json.encode({"query": query, "variables": variables})
        try:
            async with asyncio.timeout(self.patience if patience is None else patience):
                answer: dict[str, Any] = json.loads(await connection.post(body))
        except (OSError, TimeoutError) as error:
            self.close()  # an answer that comes too late must not pass for that of the next request
            raise NoAnswerError from error
        except BaseException:
            self.close()
            raise
        return answer

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            try:
                _, self._connection = await asyncio.get_running_loop().create_connection(
                    lambda: Connection(HOST), HOST, self._port
                )
            except OSError as error:
                await asyncio.sleep(0.02)  # nobody listens at the moment: not as fast as we can ask
                raise NotSentError from error
        return self._connection


def numbers() -> Iterator[int]:
    return itertools.count(1)
