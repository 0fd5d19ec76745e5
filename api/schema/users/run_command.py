"""From a mutation's raw input to the command, and from the store's answer to the payload."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry

from api.errors import failure
from api.resolvers.context import Info
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import as_data, as_error
from api.trace import current_trace
from domain.command import Command
from domain.ids import new_id
from domain.refusal import InvalidInput, Refusal
from domain.users import values
from domain.write.database import WriteModelUnavailable

T = TypeVar("T")
P = TypeVar("P", bound=Payload[Any])


@strawberry.input
class IdempotentInput:
    """What every command's input has."""

    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A text you make up for this request. The same request with the same key is"
        " carried out once, and answered the same each time, for as long as keys are kept: 30 days,"
        " unless the service says otherwise.",
    )


@strawberry.input
class UserCommandInput(IdempotentInput):
    """What the input of a command about a user has."""

    user_id: strawberry.ID = strawberry.field(description="The user's id.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refuse with VersionConflict unless the user has this version."
    )


@strawberry.input
class OrderCommandInput(IdempotentInput):
    """What the input of a command about an order has."""

    order_id: strawberry.ID = strawberry.field(description="The order's id.")


class InputParser:
    """Reads the fields of an input; remembers what is unusable, so that all of it is told."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def __call__(self, field: str, text: str, parse: Callable[[str], T]) -> T:
        """The value of the input field with this GraphQL name."""
        try:
            return parse(text)
        except values.Invalid as error:
            self.refusals.append(InvalidInput(message=str(error), path=(field,)))
            # The command is thrown away when anything is unusable, so nobody meets this None.
            return cast("T", None)

    def key(self, given: IdempotentInput) -> str | None:
        """The idempotency key, if there is one."""
        text = given.idempotency_key
        return None if text is None else self("idempotencyKey", text, values.parse_idempotency_key)


async def run_command(info: Info, read: InputParser, command: Command, payload: type[P]) -> P:
    """The payload of the command, or of its refusal. Raises WRITE_MODEL_UNAVAILABLE."""
    if read.refusals:
        return _refuse(info, read.refusals, payload)
    try:
        answer = await info.context.store.execute(command, metadata=_circumstances())
    except WriteModelUnavailable as error:
        raise failure("WRITE_MODEL_UNAVAILABLE", str(error)) from error
    if isinstance(answer, Refusal):
        return _refuse(info, [answer], payload)
    return payload(id=strawberry.ID(str(answer.id)), version=answer.version, user_id=answer.user_id)


def _circumstances() -> dict[str, str]:
    """What the events of a command say of where they come from: its id, and the trace of its request."""
    command_id = new_id()
    if (trace := current_trace()) is None:
        return {"commandId": str(command_id)}
    trace.command_id = command_id
    trace.set_attributes(command_id=str(command_id))
    return {"commandId": str(command_id), "traceparent": trace.traceparent}


def _refuse(info: Info, refusals: list[Refusal], payload: type[P]) -> P:
    if info.selects("errors"):
        return payload(errors=[as_data(refusal) for refusal in refusals])
    raise as_error(refusals[0])
