"""createUser: registers a user."""

from typing import Annotated

import strawberry

from api.auth.scopes import Scope
from api.resolvers import fields
from api.resolvers.context import Info
from api.resolvers.scalars import EmailAddress
from api.schema.users.payload import Payload
from api.schema.users.refusal_types import (
    EmailAlreadyRegistered,
    IdempotencyKeyReused,
    InvalidInput,
)
from api.schema.users.run_command import IdempotentInput, InputParser, run_command
from domain.ids import new_id
from domain.users import values
from domain.users.commands.create_user import CreateUser
from domain.users.events import UserId


@strawberry.input(description="The user to register.")
class CreateUserInput(IdempotentInput):
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


@fields.mutation(description="Registers a user.", scope=Scope.WRITE)
async def create_user(
    info: Info,
    given: Annotated[
        CreateUserInput, strawberry.argument(name="input", description="The user to register.")
    ],
) -> CreateUserPayload | None:
    read = InputParser()
    command = CreateUser(
        user_id=UserId(new_id()),
        name=read("name", given.name, values.parse_name),
        email=read("email", given.email, values.parse_email),
        idempotency_key=read.key(given),
    )
    return await run_command(info, read, command, CreateUserPayload)
