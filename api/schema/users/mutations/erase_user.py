"""eraseUser: forgets a person, for good."""

from typing import Annotated

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import (
    IdempotencyKeyReused,
    InvalidInput,
    UserNotFound,
    VersionConflict,
)
from api.schema.users.run_command import InputParser, UserCommandInput, run_command
from domain.users import values
from domain.users.commands.erase_user import EraseUser
from domain.users.events import UserId


@strawberry.input(description="The user to forget.")
class EraseUserInput(UserCommandInput):
    pass


EraseUserError = Annotated[
    InvalidInput | UserNotFound | VersionConflict | IdempotencyKeyReused,
    strawberry.union("EraseUserError", description="Why eraseUser can be refused."),
]


@strawberry.type(description="What eraseUser answers.")
class EraseUserPayload(Payload[EraseUserError]):
    pass


@fields.mutation(
    description="Forgets a person for good: name and e-mail address are blanked everywhere.",
    scope=Scope.ERASE,
)
async def erase_user(
    info: Info,
    given: Annotated[
        EraseUserInput, strawberry.argument(name="input", description="The user to forget.")
    ],
) -> EraseUserPayload | None:
    read = InputParser()
    command = EraseUser(
        user_id=UserId(read("userId", given.user_id, values.parse_identifier)),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, EraseUserPayload)
