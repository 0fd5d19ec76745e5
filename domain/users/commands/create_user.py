"""CreateUser: creates a user. A unique index ensures that no other user has the e-mail address."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from domain.command import Command, Decision
from domain.users.events import UserCreated, UserId
from domain.users.state import User
from domain.users.values import Email


class CreateUser(Command, frozen=True, kw_only=True):
    server_generated: ClassVar[tuple[str, ...]] = ("user_id",)

    user_id: UserId
    name: str
    email: Email

    @property
    def target_id(self) -> UUID:
        return self.user_id

    def decide(self, user: User) -> Decision:
        if user.version:
            return []  # the id is generated for each command, so this command is being retried
        return [UserCreated(name=self.name, email=self.email.address)]
