"""Authentication of the multiplexed connection: the URL as redis-py reads it; failures are logged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
from structlog.testing import capture_logs

from api.runtime import drivers
from api.settings import Settings
from readside.errors import ReadModelUnavailable
from readside.redis_connection.encoding import pack
from tests.processes import HOST
from tests.readside.redis_connection.tls import behind_tls, self_signed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from redis.asyncio import Redis

WHO = pack(("ACL", "WHOAMI"))
SECRET = "p@ss/w%rd:ß"


async def asked(url: str, *commands: bytes, times: int = 1) -> list[Any]:
    """Returns the replies to commands sent so many times, or the errors."""
    found: list[Any] = []
    async with drivers.connection_for_reads(Settings(redis_url=url, read_timeout=10)) as link:
        for _ in range(times):
            try:
                found += await link.send(commands)
            except ReadModelUnavailable as error:
                found.append(error)
    return found


@pytest.fixture
async def reader(redis: Redis) -> AsyncIterator[None]:
    """A user who may read, and not say its name."""
    await redis.acl_setuser(
        "reader",
        enabled=True,
        passwords=[f"+{SECRET}"],
        keys=["*"],
        categories=["+@read"],
        commands=["+acl|whoami"],
    )
    yield
    await redis.acl_deluser("reader")


def as_user(url: str, user: str, password: str) -> str:
    return url.replace("unix://", f"unix://{quote(user)}:{quote(password, safe='')}@")


async def test_it_authenticates_as_the_user_of_the_url_even_without_access_to_setname(
    redis_url: str, reader: None
) -> None:
    assert await asked(as_user(redis_url, "reader", SECRET), WHO) == ["reader"]


@pytest.mark.parametrize("password", ["wrong", ""])
async def test_a_wrong_password_is_unavailable_and_is_logged_once(
    redis_url: str, reader: None, password: str
) -> None:
    with capture_logs() as logs:
        found = await asked(as_user(redis_url, "reader", password), WHO, times=5)
    assert {type(error) for error in found} == {ReadModelUnavailable}
    assert [(line["event"], line["why"]) for line in logs] == [
        ("redis.connection_failed", "WRONGPASS")
    ]


async def test_a_password_alone_is_that_of_the_default_user(redis_url: str, redis: Redis) -> None:
    await redis.config_set("requirepass", SECRET)
    try:
        assert await asked(as_user(redis_url, "", SECRET), WHO) == ["default"]
        assert isinstance((await asked(redis_url, WHO))[0], ReadModelUnavailable)
    finally:
        await redis.config_set("requirepass", "")


async def test_it_reads_the_database_of_the_url(redis_url: str) -> None:
    other = f"{redis_url}{'&' if urlsplit(redis_url).query else '?'}db=3"
    assert await asked(other, pack(("SET", "where", "3"))) == ["OK"]
    assert await asked(redis_url, pack(("GET", "where"))) == [None]
    assert await asked(other, pack(("GET", "where"))) == ["3"]


async def test_a_missing_database_is_unavailable(redis_url: str) -> None:
    other = f"{redis_url}{'&' if urlsplit(redis_url).query else '?'}db=999"
    assert isinstance((await asked(other, WHO))[0], ReadModelUnavailable)


async def test_a_user_without_access_to_the_database_does_not_read_another(
    redis_url: str, reader: None
) -> None:
    other = f"{as_user(redis_url, 'reader', SECRET)}{'&' if urlsplit(redis_url).query else '?'}db=3"
    assert isinstance((await asked(other, WHO))[0], ReadModelUnavailable)


async def test_tls_verifies_the_server(redis_url: str, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(self_signed())
    path = urlsplit(redis_url).path
    async with behind_tls(lambda: asyncio.open_unix_connection(path), certificate) as port:
        trusting = f"rediss://{HOST}:{port}/0?ssl_ca_certs={certificate}&ssl_check_hostname=false"
        assert await asked(trusting, WHO) == ["default"]
        assert isinstance((await asked(f"rediss://{HOST}:{port}", WHO))[0], ReadModelUnavailable)
        assert await asked(f"rediss://{HOST}:{port}?ssl_cert_reqs=none", WHO) == ["default"]
        assert isinstance((await asked(f"redis://{HOST}:{port}", WHO))[0], ReadModelUnavailable)
