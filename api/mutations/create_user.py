"""createUser: registers a user."""

from typing import Annotated

import strawberry

from api import declare
from api.access.scopes import Scope
from api.context import Info
from api.mutations.carry_out import Reading, Repeatable, carry_out
from api.payload import Payload
from api.refusals import EmailAlreadyRegistered, IdempotencyKeyReused, InvalidInput
from api.scalars import EmailAddress
from domain import values
from domain.commands.create_user import CreateUser
from domain.events import UserId
from domain.ids import new_id


@strawberry.input(description="The user to register.")
class CreateUserInput(Repeatable):
    name: str = strawberry.field(
        description="What the user is called: 1 to 100 characters, at least one of them visible, none that"
        " reorders or hides text. Blanks around it are removed."
    )
    email: EmailAddress = strawberry.field(description="Where mail reaches the user.")


CreateUserError = Annotated[
    InvalidInput | EmailAlreadyRegistered | IdempotencyKeyReused,
    strawberry.union("CreateUserError", description="Why createUser can be refused."),
]


@strawberry.type(description="What createUser answers.")
class CreateUserPayload(Payload[CreateUserError]):
    pass


@declare.mutation(description="Registers a user.", scope=Scope.WRITE)
async def create_user(
    info: Info,
    given: Annotated[
        CreateUserInput, strawberry.argument(name="input", description="The user to register.")
    ],
) -> CreateUserPayload | None:
    read = Reading()
    command = CreateUser(
        user_id=UserId(new_id()),
        name=read("name", given.name, values.name),
        email=read("email", given.email, values.email),
        idempotency_key=read.key(given),
    )
    return await carry_out(info, read, command, CreateUserPayload)
