"""updateUserEmail, as a decision."""

from __future__ import annotations

from domain.refusal import VersionConflict
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.events import UserCreated, UserEmailUpdated, UserErased
from domain.users.refusals import UserNotFound
from domain.users.values import parse_email
from tests.domain.users.given import ALICE, given

CREATED = UserCreated(name="Alice", email="alice@example.com")
UPDATE = UpdateUserEmail(user_id=ALICE, email=parse_email("new@example.com"))


def test_updating_an_email_records_the_new_one() -> None:
    given(CREATED).when(UPDATE).then(UserEmailUpdated(email="new@example.com"))


def test_another_case_of_the_same_email_is_a_new_spelling_worth_recording() -> None:
    command = UpdateUserEmail(user_id=ALICE, email=parse_email("Alice@example.com"))
    given(CREATED).when(command).then(UserEmailUpdated(email="Alice@example.com"))


def test_the_email_of_a_user_who_does_not_exist_cannot_be_updated() -> None:
    given().when(UPDATE).refused(UserNotFound())


def test_the_email_of_an_erased_user_cannot_be_updated() -> None:
    given(CREATED, UserErased()).when(UPDATE).refused(UserNotFound())


def test_an_email_is_not_updated_on_a_user_who_changed_meanwhile() -> None:
    command = UpdateUserEmail(
        user_id=ALICE, email=parse_email("new@example.com"), expected_version=2
    )
    given(CREATED).when(command).refused(VersionConflict(expected=2, actual=1))


def test_updating_to_the_email_it_already_has_changes_nothing() -> None:
    command = UpdateUserEmail(user_id=ALICE, email=parse_email("alice@example.com"))
    given(CREATED).when(command).quiet()
