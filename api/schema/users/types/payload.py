"""The payload of commands on users and orders, with the user as soon as it can be read."""

from api.resolvers.payload_type import payload_of
from api.schema.users.types.user_types import User
from domain.users.aggregate import USER
from readside.projections import users

UserPayload = payload_of(USER, User, users.fetch)
