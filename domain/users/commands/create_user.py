"""CreateUser: creates a user. A unique index ensures that no other user has the e-mail address."""

from __future__ import annotations

from domain.command import Command, Decision, New, Target
from domain.users.aggregate import USER
from domain.users.events import UserCreated, UserId
from domain.users.state import User
from domain.users.values import Email


class CreateUser(Command, frozen=True, kw_only=True):
    aggregate = USER
    server_generated = ("user_id",)

    user_id: UserId
    name: str
    email: Email

    @property
    def target(self) -> Target:
        return New(self.user_id)

    def decide(self, user: User) -> Decision:
        if user.version:
            return []  # the id is generated for each command, so this command is being retried
        return [UserCreated(name=self.name, email=self.email.address)]
