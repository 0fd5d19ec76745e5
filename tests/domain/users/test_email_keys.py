# ruff: noqa: RUF001
"""Addresses are unique by their letters without case and the domain of the DNS; older keys are renewed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from api.runtime import drivers
from api.settings import Settings
from domain.log.audit import Audit, Mismatch
from domain.migrate import migrate
from domain.users import email_keys
from domain.users.commands.erase_user import EraseUser
from domain.users.commands.rename_user import RenameUser
from domain.users.commands.update_user_email import UpdateUserEmail
from domain.users.email_keys import migrate_email_keys
from domain.users.events import UserId, email_key
from domain.users.refusals import EmailAlreadyRegistered
from domain.users.values import parse_email
from domain.value_parsing import Invalid
from tests.domain.write_model import PARTITIONS, WriteModel, create

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SAME = [
    ("ΟΔΥΣΣΕΥΣ@example.com", "οδυσσευσ@example.com", "οδυσσευς@example.com"),
    ("Straße@example.com", "STRASSE@example.com", "strasse@EXAMPLE.com"),
    ("jose\u0301@example.com", "jos\u00e9@example.com", "JOSÉ@example.com"),
    (
        "a@Bücher.example",
        "a@BU\u0308CHER.example",
        "A@xn--bcher-kva.example",
        "a@XN--BCHER-KVA.EXAMPLE",
    ),
    ("a@例え.example", "a@xn--r8jz45g.example", "a@例え。example"),
]
DIFFERENT = [
    ("a@straße.example", "a@strasse.example"),
    ("ı@example.com", "i@example.com"),
    ("a+b@example.com", "a@example.com"),
]


@pytest.mark.parametrize("addresses", SAME)
def test_spellings_of_one_address_have_one_key(addresses: tuple[str, ...]) -> None:
    assert len({parse_email(address).key for address in addresses}) == 1
    assert len({email_key(address) for address in addresses if "。" not in address}) == 1


@pytest.mark.parametrize("addresses", DIFFERENT)
def test_different_addresses_have_different_keys(addresses: tuple[str, ...]) -> None:
    assert len({parse_email(address).key for address in addresses}) == len(addresses)


@pytest.mark.parametrize(
    "domain",
    ["xn--a.com", "-ü.com", "ü-.com", "a\u200db.com", "☃\ufe0f.com", "ü" * 64 + ".com", "ü..com"],
)
def test_a_domain_that_idna_does_not_know_is_refused(domain: str) -> None:
    with pytest.raises(Invalid, match="not an e-mail address"):
        parse_email(f"a@{domain}")


@pytest.mark.parametrize(
    "text", ["", "@", "ü", "ü@", "@ü", "ü@" + "ü" * 99, "a@\ud800", "ΟΣ@-Σ-", "a b@ü"]
)
def test_whatever_an_old_event_holds_has_a_key(text: str) -> None:
    assert email_key(email_key(text)) == email_key(text)
    assert email_key(text.upper()) == email_key(text)


@pytest.mark.parametrize("addresses", SAME)
async def test_no_second_user_gets_another_spelling(
    model: WriteModel, addresses: tuple[str, ...]
) -> None:
    first, *others = addresses
    await model.user(address=first)
    other = await model.user("Bob", "bob@example.com")
    for address in others:
        refusal = await model.refused(create("Mallory", address))
        assert isinstance(refusal, EmailAlreadyRegistered)
        change = UpdateUserEmail(user_id=other, email=parse_email(address))
        assert isinstance(await model.refused(change), EmailAlreadyRegistered)
    [row] = await model.rows("select email from users where email_key <> 'bob@example.com'")
    assert row["email"] == parse_email(first).address


@pytest.mark.parametrize(
    ("address", "stored"),
    [
        (
            "ΟΔΥΣΣΕΥΣ@Bücher.example",
            "43c2304b17310e8f146039ea7c4487722582c62102c1b0bd840ab64f34a48977",
        ),
        ("Alice@example.com", "b3acad59f88b8b3433ab648f9d2cab9976c680f6e0b5fbc96e8f74d43e1f70ba"),
    ],
)
def test_the_request_digest_of_a_command_equals_that_of_older_code(
    address: str, stored: str
) -> None:
    command = UpdateUserEmail(user_id=UserId(UUID(int=1)), email=parse_email(address))
    assert command.request_digest(UUID(int=7))[32:].hex() == stored


@asynccontextmanager
async def of_older_code(database_url: str) -> AsyncIterator[WriteModel]:
    """A database without the migration 0005, whose users older code has written."""
    async with drivers.database(Settings(database_url=database_url)) as pool:
        await pool.execute("drop index users_email_keys")
        await pool.execute("delete from migrations where name = '0005_email_keys.sql'")
        yield WriteModel(pool, timeout_seconds=30)


async def as_by_older_code(model: WriteModel, address: str) -> UserId:
    """A user whose key is the address in lower case, although today another user may have that address."""
    user = await model.user("Old", f"u{await model.count('users')}@example.com")
    data = '{"name": "Old", "email": "' + address + '"}'
    await model.pool.execute("update events set data = $2::jsonb where user_id = $1", user, data)
    statement = "update users set email = $2, email_key = $3 where id = $1"
    await model.pool.execute(statement, user, address, address.lower())
    return user


async def keys(model: WriteModel) -> dict[UUID, str]:
    return {
        row["id"]: row["email_key"] for row in await model.rows("select id, email_key from users")
    }


async def migrated(model: WriteModel) -> list[email_keys.SharedAddress]:
    async with model.pool.acquire() as connection:
        await migrate(connection, PARTITIONS)  # type: ignore[arg-type]
        return await migrate_email_keys(connection)  # type: ignore[arg-type]


async def differences(model: WriteModel) -> list[Mismatch]:
    return [one async for page in Audit(model.pool).run() for one in page]


async def test_older_keys_are_migrated_and_users_who_share_an_address_are_listed(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_keys, "PAGE", 3)
    async with of_older_code(database_url) as model:
        addresses = [
            "οδυσσευς@example.com",
            "οδυσσευσ@example.com",
            "a@bücher.example",
            "x@example.com",
        ]
        addresses += ["strasse@example.com", "straße@example.com", "İ@example.com", "é@example.com"]
        older, younger, book, plain, road, street, _, _ = [
            await as_by_older_code(model, address) for address in addresses
        ]
        shared = await migrated(model)
        assert [(one.holder, one.other, one.address) for one in shared] == [
            (older, younger, "ο***@example.com"),
            (road, street, "s***@example.com"),
        ]
        found = await keys(model)
        assert found[book] == "a@xn--bcher-kva.example"
        assert found[plain] == "x@example.com"
        assert found[older] == "οδυσσευσ@example.com"
        assert found[younger] == f"οδυσσευσ@example.com {younger}"
        assert await differences(model) == []
        assert await migrated(model) == shared
        assert await keys(model) == found
        # Older code beside this writes the address in lower case, whatever was there.
        lower = "update users set email_key = lower(email) where id = any($1::uuid[])"
        await model.pool.execute(lower, [older, book])
        assert {(one.field, one.aggregate) for one in await differences(model)} == {
            ("email_key", str(older)),
            ("email_key", str(book)),
        }
        assert await migrated(model) == shared
        assert await keys(model) == found


async def test_users_who_share_an_address_can_do_everything_that_others_can(
    database_url: str,
) -> None:
    async with of_older_code(database_url) as model:
        spelled = [f"{name}@example.com" for name in ("ας", "ασ", "Ας", "ΑΣ")]
        oldest, *others = [await as_by_older_code(model, address) for address in spelled[:2]]
        [younger] = others
        await migrated(model)
        for user in (oldest, younger):
            await model.ask(RenameUser(user_id=user, name="New"))
            await model.order(user)
        assert await differences(model) == []
        refusal = await model.refused(
            UpdateUserEmail(user_id=younger, email=parse_email(spelled[2]))
        )
        assert isinstance(refusal, EmailAlreadyRegistered)
        await model.ask(UpdateUserEmail(user_id=oldest, email=parse_email("other@example.com")))
        assert await migrated(model) == []
        assert (await keys(model))[younger] == "ασ@example.com"
        await model.ask(EraseUser(user_id=younger))
        await model.user("Next", spelled[3])
        assert await differences(model) == []


async def test_an_erased_user_who_shared_an_address_leaves_nothing_of_it(database_url: str) -> None:
    async with of_older_code(database_url) as model:
        first, second = [
            await as_by_older_code(model, f"{name}@example.com") for name in ("ας", "ασ")
        ]
        await migrated(model)
        for user in (second, first):
            await model.ask(EraseUser(user_id=user))
        dump = await model.dump()
        assert "ασ@" not in dump
        assert "ας@" not in dump
        assert await migrated(model) == []


async def test_keys_are_migrated_during_commands_and_after_any_interruption(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(email_keys, "PAGE", 4)
    async with of_older_code(database_url) as model:
        users = [
            await as_by_older_code(model, f"{name}{number}@example.com")
            for number in range(4)
            for name in ("ας", "ασ")
        ]

        async def commands(user: UserId, number: int) -> None:
            await model.ask(RenameUser(user_id=user, name=f"Name {number}"))
            if number % 5 == 0:
                address = parse_email(f"new{number}ς@example.com")
                await model.ask(UpdateUserEmail(user_id=user, email=address))

        async def interrupted() -> None:
            for seconds in (0.0, 0.01, 0.02, 0.04):
                task = asyncio.create_task(migrated(model))
                await asyncio.wait([task], timeout=seconds)
                task.cancel()
                await asyncio.wait([task])

        await asyncio.gather(interrupted(), *(commands(user, n) for n, user in enumerate(users)))
        shared = await migrated(model)
        assert {one.holder for one in shared} < set(users)
        assert await differences(model) == []
        found = await keys(model)
        plain = [key for key in found.values() if " " not in key]
        assert len(plain) + len(shared) == len(users)


async def test_processes_that_migrate_concurrently_update_the_same_keys(database_url: str) -> None:
    async with of_older_code(database_url) as model:
        for name in ("ας", "ασ"):
            await as_by_older_code(model, f"{name}@example.com")
        shared = await asyncio.gather(*(migrated(model) for _ in range(4)))
        assert [len(one) for one in shared] == [1] * 4
