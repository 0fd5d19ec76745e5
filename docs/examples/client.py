"""A client in Python, with the standard library alone: python docs/examples/client.py http://127.0.0.1:8000

Creates a user, reads it in the version that was written, shows a refusal, and receives changes.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

CREATE = """
mutation($input: CreateUserInput!) {
  createUser(input: $input) { id version errors { ... on CommandError { code message } } }
}"""
READ = (
    "query($id: ID!, $version: Int) { user(id: $id, minVersion: $version) { name email version } }"
)
RENAME = "mutation($input: RenameUserInput!) { renameUser(input: $input) { version } }"
WATCH = "subscription($id: ID!) { userChanged(id: $id) { name version } }"

UNKNOWN_OUTCOME = {"WRITE_MODEL_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED"}


def request(url: str, accept: str, query: str, variables: dict[str, Any]) -> Request:
    body = json.dumps({"query": query, "variables": variables}).encode()
    headers = {"Content-Type": "application/json", "Accept": accept}
    # With AUTH_SECRET or AUTH_JWKS_URL set: headers["Authorization"] = f"Bearer {token}"
    return Request(f"{url}/graphql", body, headers)


def execute(url: str, query: str, **variables: Any) -> dict[str, Any]:
    """Returns `data`. Raises RuntimeError with the code of the first error."""
    with urlopen(request(url, "application/json", query, variables), timeout=30) as response:
        result = json.load(response)
    if "errors" in result:
        raise RuntimeError(result["errors"][0]["extensions"]["code"])
    data: dict[str, Any] = result["data"]
    return data


def command(url: str, mutation: str, **given: Any) -> dict[str, Any]:
    """Carries out a command once. With one idempotency key it may be sent again after an unknown outcome."""
    given["idempotencyKey"] = str(uuid.uuid4())
    for attempt in range(5):
        try:
            return execute(url, mutation, input=given)
        except RuntimeError as error:
            if str(error) not in UNKNOWN_OUTCOME:
                raise
        except URLError:
            pass
        time.sleep(0.2 * 2**attempt)
    raise TimeoutError("the command's outcome is still unknown")


def subscribe(url: str, query: str, **variables: Any) -> Iterator[dict[str, Any]]:
    """Yields the `data` of each event (server-sent events; WebSocket with graphql-transport-ws works too)."""
    with urlopen(request(url, "text/event-stream", query, variables), timeout=60) as stream:
        for line in stream:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name == "data" and value:
                yield json.loads(value)["data"]


def main(url: str) -> None:
    email = f"ada-{uuid.uuid4()}@example.com"
    created = command(url, CREATE, name="Ada", email=email)["createUser"]
    print("created", created["version"])

    # minVersion: the version just written or a newer one, never older data.
    read = execute(url, READ, id=created["id"], version=created["version"])["user"]
    print("read", read["name"], read["version"])

    refused = command(url, CREATE, name="Ada", email=email)["createUser"]
    print("refused", refused["errors"][0]["code"])

    # The present state first, then every version once and in order.
    for change in subscribe(url, WATCH, id=created["id"]):
        version = change["userChanged"]["version"]
        print("changed", change["userChanged"]["name"], version)
        if version == 3:
            break
        command(url, RENAME, userId=created["id"], name=f"Ada {version + 1}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000")
