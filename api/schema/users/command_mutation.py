"""The decorator @command_mutation: makes a mutation field of a function that builds a command from an input.

The field runs the command and returns a payload, or the refusals: as data, or as an error.
"""

from collections.abc import Callable, Sequence
from types import new_class
from typing import Annotated, Any, Optional, TypeVar, Union

import strawberry
from strawberry.types import get_object_definition
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from api.auth.scopes import Scope
from api.errors import failure
from api.resolvers import fields
from api.resolvers.context import Info
from api.schema.users.command_input import IdempotentInput, InputParser
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import TYPES, as_data, as_error
from api.trace import current_trace
from domain.command import Command
from domain.ids import new_id
from domain.refusal import IdempotencyKeyReused, InvalidInput, Refusal
from domain.write.database import WriteModelUnavailable

I = TypeVar("I", bound=IdempotentInput)  # noqa: E741
Parse = Callable[[I, InputParser], Command]


def command_mutation(
    input_class: type[I],
    description: str,
    *,
    refusals: Sequence[type[Refusal]],
    scope: Scope = Scope.WRITE,
) -> Callable[[Parse[I]], StrawberryField]:
    """Declares the field renameUser, RenameUserPayload and RenameUserError for a function `rename_user`.

    `refusals` are those of the command, besides the two that every command has: InvalidInput and
    IdempotencyKeyReused. `scope` is what a caller's token must allow.
    """

    def declare(parse: Parse[I]) -> StrawberryField:
        name = to_camel_case(parse.__name__)
        payload = _payload_class(name, refusals)

        async def resolve(info: Info, given: Any) -> Any:
            parser = InputParser()
            command = parse(given, parser)
            if parser.refusals:
                return _refuse(info, parser.refusals, payload)
            try:
                result = await info.context.store.execute(command, metadata=_metadata())
            except WriteModelUnavailable as error:
                raise failure("WRITE_MODEL_UNAVAILABLE", str(error)) from error
            if isinstance(result, Refusal):
                return _refuse(info, [result], payload)
            return payload(
                id=strawberry.ID(str(result.id)),
                version=result.version,
                user_id=result.aggregate_id,
            )

        definition = get_object_definition(input_class, strict=True)
        argument = strawberry.argument(name="input", description=definition.description)
        resolve.__annotations__["given"] = Annotated[input_class, argument]
        resolve.__annotations__["return"] = Optional[payload]  # noqa: UP045 (a class made here)
        return fields.mutation(description, scope=scope)(resolve)

    return declare


def _payload_class(field: str, refusals: Sequence[type[Refusal]]) -> type[Payload[Any]]:
    name = field[0].upper() + field[1:]
    refusals = (InvalidInput, *refusals, IdempotencyKeyReused)
    members = tuple(TYPES[refusal] for refusal in refusals)
    errors: Any = Annotated[
        Union[members],  # noqa: UP007 (a union of classes made at import)
        strawberry.union(f"{name}Error", description=f"Why {field} can be refused."),
    ]
    class_: type[Payload[Any]] = new_class(f"{name}Payload", (Payload[errors],))
    return strawberry.type(class_, description=f"What {field} answers.")


def _refuse(info: Info, refusals: Sequence[Refusal], payload: type[Payload[Any]]) -> Payload[Any]:
    """Returns the refusals as data if the client selected `errors`; else raises the first."""
    if info.selects("errors"):
        return payload(errors=[as_data(refusal) for refusal in refusals])
    raise as_error(refusals[0])


def _metadata() -> dict[str, str]:
    """Returns the metadata of the command's events: its id, and the trace of its request."""
    command_id = new_id()
    if (trace := current_trace()) is None:
        return {"commandId": str(command_id)}
    trace.command_id = command_id
    trace.set_attributes(command_id=str(command_id))
    return {"commandId": str(command_id), "traceparent": trace.traceparent}
