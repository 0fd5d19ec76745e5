"""createUser: a new user, whose e-mail address no other user has (the store's index decides that)."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from domain.command import Command, Decision
from domain.users.events import UserCreated, UserId
from domain.users.state import User
from domain.users.values import Email


class CreateUser(Command, frozen=True, kw_only=True):
    generated: ClassVar[tuple[str, ...]] = ("user_id",)

    user_id: UserId
    name: str
    email: Email

    @property
    def subject(self) -> UUID:
        return self.user_id

    def decide(self, user: User) -> Decision:
        if user.version:
            return []  # the id is new, so this is the very same command once more
        return [UserCreated(name=self.name, email=self.email.address)]
