"""createUser: registers a user."""

import strawberry

from api.resolvers.command_mutation import IdempotentInput, InputParser, command_mutation
from api.resolvers.scalars import EmailAddress
from api.schema.users.types.payload import UserPayload
from domain.ids import new_id
from domain.users import values
from domain.users.commands.create_user import CreateUser
from domain.users.events import UserId
from domain.users.refusals import EmailAlreadyRegistered


@strawberry.input(description="The user to register.")
class CreateUserInput(IdempotentInput):
    name: str = strawberry.field(
        description="What the user is called: 1 to 100 characters, at least one of them visible, none that"
        " reorders or hides text. Blanks around it are removed."
    )
    email: EmailAddress = strawberry.field(description="Where mail reaches the user.")


@command_mutation(
    UserPayload, CreateUserInput, "Registers a user.", refusals=[EmailAlreadyRegistered]
)
def create_user(given: CreateUserInput, parse: InputParser) -> CreateUser:
    return CreateUser(
        user_id=UserId(new_id()),
        name=parse("name", given.name, values.parse_name),
        email=parse("email", given.email, values.parse_email),
        idempotency_key=parse.idempotency_key(given),
    )
