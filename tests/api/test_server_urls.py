"""No part of a password is printed with a URL, whatever its characters."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

import pytest
from asyncpg import ClientConfigurationError
from pydantic import ValidationError

from api.cli.checks import postgres, process_settings
from api.cli.checks import redis as redis_doctor
from api.operator_error import OperatorError
from api.runtime.drivers import database, redis_for_functions
from api.runtime.migrations import pending_migrations
from api.server_urls import is_readable, reason, redacted
from api.settings import Settings
from tests.processes import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD, TAIL = "hEaD", "tAiL"

NASTY = [
    f"{HEAD}{between}{TAIL}"
    for between in (
        *"@:/#?%&=+ ;[]\\'\"\t,",
        "ü",
        "℀",
        "@h/",
        "/@",
        "?a=b@",
        "#@",
        "@@",
        "://",
        "%zz",
    )
]
"""Passwords as people paste them, with nothing escaped."""

DIGITS = [f"64{between}{TAIL}" for between in ("/", "?", "#", "/x@", "?x=y@", "#x@", "@", "@x:1/")]
"""Passwords that begin like a port."""

FORMS = (
    "postgresql://tandem:{}@{}/db",
    "postgresql://tandem:{}@{},{}/db?application_name=x",
    "postgresql://tandem:{}@/db?host=/nowhere",
    "postgresql://tandem@{1}/db?password={0}",
    "postgresql://{1}/db?pass%77ord={0}&user=tandem",
    "redis://:{}@{}/0",
    "redis://tandem:{}@{}",
    "redis://{}@{}",
    "unix://:{}@/nowhere/valkey.sock?db=0",
    "redis://{1}?password={0}",
)


def addresses() -> Iterator[str]:
    server = f"{HOST}:{free_port()}"
    for form in FORMS:
        for password in (*NASTY, *DIGITS):
            yield form.format(password, server, server)
            yield form.format(quote(password, safe=""), server, server)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:word@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:wo@rd@host:1/db", "postgresql://me:***@host:1/db"),
        ("postgresql://me:wo:rd@one:1,two:2/db", "postgresql://me:***@one:1,two:2/db"),
        ("postgresql://me:w@/db?host=/run/x", "postgresql://me:***@/db?host=/run/x"),
        ("postgresql://me:@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("postgresql://host:1/db?user=me@azure", "postgresql://host:1/db?user=me@azure"),
        ("postgresql://host/db?password=w@rd&a=b", "postgresql://host/db?password=***&a=b"),
        (
            "postgresql://h/db?sslpassword=w&PASSWORD=x",
            "postgresql://h/db?sslpassword=***&PASSWORD=***",
        ),
        ("postgresql://host/db?password=wo&rd", "postgresql://host/db?password=***&***"),
        ("postgresql://me:wo/rd@host/db", "postgresql://***"),
        ("redis://:wo@rd@host:1", "redis://:***@host:1"),
        ("redis://token@host:1/2", "redis://***@host:1/2"),
        ("unix:///run/a:b@c/valkey.sock?db=1", "unix:///run/a:b@c/valkey.sock?db=1"),
        ("https://token@host/keys", "https://***@host/keys"),
        ("rediss://[::1]:6379", "rediss://[::1]:6379"),
        ("no address: me:word@host", "no address: me:word@host"),
    ],
)
def test_an_address_is_printed_without_its_secrets(address: str, shown: str) -> None:
    assert redacted(address) == shown


def test_no_part_of_any_password_is_printed() -> None:
    leaks = [each for each in addresses() if TAIL in redacted(each) and is_readable(each)]
    assert leaks == []


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("database_url", "postgresql://tandem:{}@host/db"),
        ("redis_url", "redis://:{}@host"),
        ("auth_jwks_url", "https://tandem:{}@host/keys"),
    ],
)
def test_no_setting_is_refused_with_a_part_of_a_password(name: str, form: str) -> None:
    for password in (*NASTY, *DIGITS):
        try:
            Settings.model_validate({name: form.format(password)})
        except ValidationError as refused:
            said = " ".join(error["msg"] for error in refused.errors())
            assert HEAD not in said
            assert TAIL not in said


async def test_neither_the_doctor_nor_a_verb_nor_the_log_prints_a_part_of_a_password(
    caplog: pytest.LogCaptureFixture,
) -> None:
    default = Settings()
    for address in filter(is_readable, list(addresses())[::2]):  # those that are not escaped
        name = "database_url" if address.startswith("postgres") else "redis_url"
        settings = default.model_copy(update={name: address, "read_timeout": 1})
        found = process_settings.check(settings)
        if name == "database_url":
            async with database(settings) as pool:
                found += await postgres.check(pool, settings)
            with pytest.raises(OperatorError) as refused:
                await pending_migrations(settings)
            assert TAIL not in str(refused.value)
        else:
            async with redis_for_functions(settings) as client:
                found += await redis_doctor.check(client, settings)
        assert [each for each in found if TAIL in each.says] == []
        assert found[-1].level == "wrong"
    assert TAIL not in caplog.text


def test_an_address_in_the_error_of_a_driver_is_redacted() -> None:
    error = ClientConfigurationError("cannot use 'postgresql://me:wo@rd@host/db'\nmore")
    assert reason(error) == "cannot use 'postgresql://me:***@host/db'"
    assert reason(OSError()) == "OSError"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("password", [*NASTY, "hEaD\ttA\"i'L", "hEaD\ntAiL"])
def test_no_part_of_a_password_of_a_setting_is_in_the_error_of_a_driver(
    form: str, password: str
) -> None:
    """Drivers quote a URL as it is, as Python writes it, or without its percent-encoding."""
    for secret in (password, quote(password, safe="")):
        url = form.format(secret, "host:1", "host:2")
        name = "database_url" if url.startswith("postgres") else "redis_url"
        try:
            Settings.model_validate({name: url})
        except ValidationError:
            continue
        userinfo = urlsplit(url).netloc.rpartition("@")[0]
        for text in (url, repr(url), unquote(url), f"{userinfo}@", repr(unquote(f"{userinfo}@"))):
            said = reason(ClientConfigurationError(f"cannot use {text}: it is wrong"))
            assert TAIL not in said
            assert password not in said


def test_a_url_of_a_setting_without_a_secret_is_printed() -> None:
    Settings.model_validate({"database_url": "postgresql://me@host/db?application_name=x"})
    assert reason(OSError("no postgresql://me@host/db?application_name=x")) == (
        "no postgresql://me@host/db?application_name=x"
    )
