"""The audits that graphql-http runs on servers of GraphQL over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.interop.graphql_clients.conftest import Serve
    from tests.interop.graphql_clients.node import Node

AUDITS = 61
# The audits are older than the draft that `strict` follows, and wait for 400 where it has 422:
BY_DESIGN = {
    "423L",  # JSON that is no GraphQL request, here without `query`
    "86EE",  # variables of the wrong type
}


@pytest.mark.parametrize(
    ("profile", "failing"),
    [("compatible", set()), ("strict", BY_DESIGN)],
    ids=["compatible", "strict"],
)
async def test_every_audit_passes_but_those_that_strict_fails_by_design(
    node: Node, serve: Serve, profile: str, failing: set[str]
) -> None:
    async with serve(HTTP_PROFILE=profile) as address:
        audits = await node.tell("audit.mjs", f"http://{address}/graphql")
    assert len({audit["id"] for audit in audits}) == AUDITS
    failed = [audit for audit in audits if audit["status"] != "ok"]
    told = "\n".join("{id} {name}: {reason}".format(**audit) for audit in failed)
    assert {audit["id"] for audit in failed} == failing, told
