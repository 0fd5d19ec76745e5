"""UpdateUserEmail: changes a user's e-mail address; the present address changes nothing."""

from __future__ import annotations

from domain.command import Decision
from domain.users.commands import UserCommand
from domain.users.events import UserEmailUpdated
from domain.users.state import User
from domain.users.values import Email


class UpdateUserEmail(UserCommand, frozen=True, kw_only=True):
    email: Email

    def decide_existing(self, user: User) -> Decision:
        if self.email.address == user.email:
            return []
        return [UserEmailUpdated(email=self.email.address)]
