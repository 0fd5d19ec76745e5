"""renameUser, as a decision."""

from __future__ import annotations

from domain.refusal import VersionConflict
from domain.users.commands.rename_user import RenameUser
from domain.users.events import UserCreated, UserErased, UserRenamed
from domain.users.refusals import UserNotFound
from tests.domain.users.given import ALICE, given

CREATED = UserCreated(name="Alice", email="alice@example.com")
RENAME = RenameUser(user_id=ALICE, name="Alicia")


def test_renaming_a_user_records_the_new_name() -> None:
    given(CREATED).when(RENAME).then(UserRenamed(name="Alicia"))


def test_a_user_in_the_expected_version_is_renamed() -> None:
    command = RenameUser(user_id=ALICE, name="Alicia", expected_version=1)
    given(CREATED).when(command).then(UserRenamed(name="Alicia"))


def test_a_user_who_does_not_exist_cannot_be_renamed() -> None:
    given().when(RENAME).refused(UserNotFound())


def test_an_erased_user_cannot_be_renamed() -> None:
    given(CREATED, UserErased()).when(RENAME).refused(UserNotFound())


def test_a_user_who_changed_meanwhile_is_not_renamed() -> None:
    command = RenameUser(user_id=ALICE, name="Alicia", expected_version=1)
    changed = UserRenamed(name="Ally")
    given(CREATED, changed).when(command).refused(VersionConflict(expected=1, actual=2))


def test_an_expected_version_of_zero_is_a_conflict_and_not_no_expectation() -> None:
    command = RenameUser(user_id=ALICE, name="Alicia", expected_version=0)
    given(CREATED).when(command).refused(VersionConflict(expected=0, actual=1))


def test_renaming_a_user_to_the_name_it_already_has_changes_nothing() -> None:
    given(CREATED).when(RenameUser(user_id=ALICE, name="Alice")).quiet()
