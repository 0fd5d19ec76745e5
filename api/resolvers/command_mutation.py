"""The decorator @command_mutation: makes a mutation field of a function that builds a command from an input.

The parser turns the texts of the input into values. The field runs the command and returns a payload, or the
refusals: as data, or as an error.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Optional, TypeVar, Union, cast
from uuid import UUID

import strawberry
from strawberry.types import get_object_definition
from strawberry.types.field import StrawberryField
from strawberry.utils.str_converters import to_camel_case

from api.engine.cost.directives import ListSize
from api.errors import failure
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.payload_type import Payload
from api.resolvers.refusal_types import CommandError, as_data, as_error, refusal_type
from api.trace import TRACE_ID, current_trace
from domain.aggregate_contract import Permission
from domain.command import Command
from domain.ids import new_id
from domain.refusal import IdempotencyKeyReused, InvalidInput, Refusal, VersionConflict
from domain.value_parsing import Invalid, parse_idempotency_key, parse_identifier
from domain.write.database import WriteModelUnavailable

T = TypeVar("T")


@strawberry.input
class IdempotentInput:
    """Fields of the input of every command."""

    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A text you make up for this request. The same request with the same key is"
        " carried out once, and answered the same each time, for as long as keys are kept: 30 days,"
        " unless the service says otherwise.",
    )


@strawberry.input
class VersionedInput(IdempotentInput):
    """Fields of the input of every command on an aggregate that exists."""

    expected_version: int | None = strawberry.field(
        default=None, description="Refuse with VersionConflict unless this is the present version."
    )


class InputParser:
    """A parser of the fields of one input, which collects a refusal for each unusable field."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def __call__(self, field: str, text: str, parse: Callable[[str], T]) -> T:
        """Returns the value of the input field with this GraphQL name."""
        try:
            return parse(text)
        except Invalid as error:
            self.refusals.append(InvalidInput(message=str(error), path=(field,)))
            # The command is discarded when there are refusals, so this None is never used.
            return cast("T", None)

    def id(self, field: str, text: str) -> UUID:
        return self(field, text, parse_identifier)

    def idempotency_key(self, given: IdempotentInput) -> str | None:
        key = given.idempotency_key
        return None if key is None else self("idempotencyKey", key, parse_idempotency_key)


I = TypeVar("I", bound=IdempotentInput)  # noqa: E741
Parse = Callable[[I, InputParser], Command]
RefusalType = type[Refusal] | type[CommandError]


def command_mutation(
    payload_base: type[Payload],
    input_class: type[I],
    description: str,
    *,
    refusals: Sequence[RefusalType],
    permission: Permission = "write",
) -> Callable[[Parse[I]], StrawberryField]:
    """Declares the field renameUser, RenameUserPayload and RenameUserError for a function `rename_user`.

    `refusals` are those of the command, besides InvalidInput, IdempotencyKeyReused, and VersionConflict if
    the input has an expected version. A caller's token must have the scope of the `permission`.
    """
    versioned = [VersionConflict] if issubclass(input_class, VersionedInput) else []

    def declare(parse: Parse[I]) -> StrawberryField:
        name = to_camel_case(parse.__name__)
        payload = _payload_class(payload_base, name, [*refusals, *versioned])

        async def resolve(info: Info, given: Any) -> Any:
            parser = InputParser()
            command = parse(given, parser)
            if parser.refusals:
                return _refuse(info, parser.refusals, payload)
            try:
                result = await info.context.store.execute(command, metadata=_metadata(info))
            except WriteModelUnavailable as error:
                raise failure("WRITE_MODEL_UNAVAILABLE", str(error)) from error
            if isinstance(result, Refusal):
                return _refuse(info, [result], payload)
            return payload(
                id=strawberry.ID(str(result.id)),
                version=result.version,
                aggregate_id=result.aggregate_id,
            )

        definition = get_object_definition(input_class, strict=True)
        argument = strawberry.argument(name="input", description=definition.description)
        resolve.__annotations__["given"] = Annotated[input_class, argument]
        resolve.__annotations__["return"] = Optional[payload]  # noqa: UP045 (a class made here)
        return fields.mutation(description, scope=payload_base.aggregate.scope(permission))(resolve)

    return declare


def _payload_class(
    base: type[Payload], field: str, refusals: Sequence[RefusalType]
) -> type[Payload]:
    name = field[0].upper() + field[1:]
    members = tuple(
        refusal_type(refusal) if issubclass(refusal, Refusal) else refusal
        for refusal in (InvalidInput, *refusals, IdempotencyKeyReused)
    )
    union: Any = Annotated[
        Union[members],  # noqa: UP007 (a union of classes made at import)
        strawberry.union(f"{name}Error", description=f"Why {field} can be refused."),
    ]
    errors = strawberry.field(
        default_factory=list,
        description="Why the command was refused; empty if it was carried out. Without this field in the"
        " selection, the refusal is a top-level error.",
        directives=[ListSize(assumed_size=5)],
    )
    namespace = {"__annotations__": {"errors": list[union]}, "errors": errors}
    class_ = type(f"{name}Payload", (base,), namespace)
    return strawberry.type(class_, description=f"The result of {field}.")


def _refuse(info: Info, refusals: Sequence[Refusal], payload: type[Payload]) -> Payload:
    """Returns the refusals as data if the client selected `errors`; else raises the first."""
    if info.selects("errors"):
        return payload(errors=[as_data(refusal) for refusal in refusals])  # type: ignore[call-arg]
    raise as_error(refusals[0])


def _metadata(info: Info) -> dict[str, str]:
    """Returns the metadata of the command's events: its id, the trace of its request, and the actor.

    The trace is the correlation id; the actor is a hash of the token's subject, the same as in the log.
    """
    command_id = new_id()
    metadata = {"commandId": str(command_id)}
    if (trace := current_trace()) is not None:
        trace.command_id = command_id
        trace.set_attributes(command_id=metadata["commandId"])
        metadata["traceparent"] = traceparent = trace.traceparent
        metadata["correlationId"] = traceparent[TRACE_ID]
    caller = info.context.caller
    if caller.subject is not None:
        metadata["actor"] = caller.subject_hash or ""
    return metadata
