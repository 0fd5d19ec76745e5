"""eraseUser: forgets a person, for good."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import AboutUser, Reading, carry_out
from api.payload import Payload
from api.refusals import IdempotencyKeyReused, InvalidInput, UserNotFound, VersionConflict
from domain import values
from domain.commands.erase_user import EraseUser
from domain.events import UserId


@strawberry.input(description="The user to forget.")
class EraseUserInput(AboutUser):
    pass


EraseUserError = Annotated[
    InvalidInput | UserNotFound | VersionConflict | IdempotencyKeyReused,
    strawberry.union("EraseUserError", description="Why eraseUser can be refused."),
]


@strawberry.type(description="What eraseUser answers.")
class EraseUserPayload(Payload[EraseUserError]):
    pass


@declare.mutation(
    description="Forgets a person for good: name and e-mail address are blanked everywhere.",
    scope=Scope.ERASE,
)
async def erase_user(
    info: Info,
    given: Annotated[
        EraseUserInput, strawberry.argument(name="input", description="The user to forget.")
    ],
) -> EraseUserPayload | None:
    read = Reading()
    command = EraseUser(
        user_id=UserId(read("userId", given.user_id, values.identifier)),
        expected_version=given.expected_version,
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, EraseUserPayload)
