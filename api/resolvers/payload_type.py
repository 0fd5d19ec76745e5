"""The payload of every mutation: id and version right after COMMIT, the aggregate once it can be read."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Optional, Protocol, Self
from uuid import UUID

import strawberry

from api.resolvers import fields
from api.resolvers.context import Info
from domain.aggregate_contract import Aggregate


class RowType(Protocol):
    """A GraphQL type that is made of a row of a read model."""

    @classmethod
    def from_row(cls, row: Any) -> Self: ...


Fetch = Callable[..., Awaitable[Any]]
"""Reads the aggregate with an id from a read model, in `min_version` or newer; None if it does not exist."""


@strawberry.type
class Payload:
    """The fields of every payload, besides `errors` and a field for the aggregate."""

    aggregate: ClassVar[Aggregate]

    id: strawberry.ID | None = strawberry.field(
        default=None, description="The id of what was created or changed; null if refused."
    )
    version: int | None = strawberry.field(
        default=None, description="The version now: the minVersion to read your own write."
    )
    aggregate_id: strawberry.Private[UUID | None] = None


def payload_of(aggregate: Aggregate, type_: type[RowType], fetch: Fetch) -> type[Payload]:
    """Returns the payload of commands on an aggregate, with a field that has its name and this type."""

    async def read(self: Payload, info: Info) -> Any:
        if self.aggregate_id is None or self.version is None:
            return None
        row = await fetch(info.context.read_model, self.aggregate_id, min_version=self.version)
        return None if row is None else type_.from_row(row)

    read.__annotations__["return"] = Optional[type_]  # noqa: UP045 (a class that is passed)
    field = fields.field(
        description=f"The {aggregate.name} as the read model has it, at this version or newer. If the read"
        " model cannot answer, this is null with an error, and the command was executed nevertheless.",
        scope=aggregate.scope("read"),
    )(read)
    return strawberry.type(
        type("Payload", (Payload,), {"aggregate": aggregate, aggregate.name: field})
    )
