"""Addresses that no driver can read are refused by their setting's name, with nothing of the password."""

from __future__ import annotations

import sys

import pytest
from pydantic import ValidationError

from api.settings import Settings


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("database_url", "postgresql://tandem:s3/cret@postgres/tandem"),
        ("database_url", "postgresql://tandem:s3#cret@postgres:5432/tandem"),
        ("database_url", "postgresql://one:5432,two:s3/tandem"),
        ("database_url", "postgresql://[::1/tandem"),
        ("redis_url", "redis://:s3/cret@valkey:6379"),
        ("redis_url", "redis://valkey:65536"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_sentence(name: str, url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({name: url})
    [error] = refused.value.errors()
    assert error["loc"] == (name,)
    assert "%2F" in error["msg"]
    assert "s3" not in error["msg"]


@pytest.mark.parametrize(
    "prefix", ["", "a:b", "{a}", "a*", "a?", "[a]", "a b", "a\n", "a\\", "ä", "a" * 33]
)
def test_a_prefix_with_a_meaning_of_its_own_in_redis_is_one_sentence(prefix: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"redis_prefix": prefix})
    [error] = refused.value.errors()
    assert error["loc"] == ("redis_prefix",)
    assert "letters, digits, dots, hyphens or underscores" in error["msg"]


@pytest.mark.parametrize("prefix", ["tandem", "a", "0", "Shop-2.eu_west", "a" * 32])
def test_a_plain_prefix_is_taken_as_it_is(prefix: str) -> None:
    assert Settings.model_validate({"redis_prefix": prefix}).redis_prefix == prefix


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("database_url", "postgresql://tandem:s3%2Fcret@postgres/tandem"),
        ("database_url", "postgresql://one:5432,two:5433,three/tandem?application_name=x"),
        pytest.param(
            "database_url",
            "postgresql://one:5432,[::1]:5433,two/tandem",
            marks=pytest.mark.skipif(
                sys.version_info >= (3, 14),
                reason="Python reads no such address, so asyncpg cannot.",
            ),
        ),
        ("database_url", "postgresql:///tandem?host=/run/postgresql"),
        ("database_url", "postgresql://tandem@%2Frun%2Fpostgresql/tandem"),
        ("redis_url", "redis://:s3%2Fcret@valkey:6379/0"),
        ("redis_url", "redis://:one,two;3@valkey:6379/0?client_name=x"),
        ("redis_url", "redis://sentinel:cluster@master-1.example:6379"),
        ("redis_url", "unix:///run/valkey,sentinel.sock?db=1"),
        ("redis_url", "rediss://[::1]"),
    ],
)
def test_an_address_as_the_drivers_read_it_is_taken_as_it_is(name: str, url: str) -> None:
    assert getattr(Settings.model_validate({name: url}), name) == url


@pytest.mark.parametrize(
    ("redis_url", "replicas", "fits"),
    [
        ("redis://one", "rediss://:s3cret@reader:6379/0", True),
        ("redis://one,two/?cluster=true", "cluster", True),
        ("redis://one", "cluster", False),
        ("redis://one,two/?cluster=true", "redis://:s3cret@reader", False),
        ("redis://one", "redis://:s3cret@one,two/?cluster=true", False),
        ("redis://one", "redis://:s3cret@one,two", False),
        ("redis://one", "reader:6379", False),
    ],
)
def test_replicas_fit_the_redis_that_they_replicate(
    redis_url: str, replicas: str, fits: bool
) -> None:
    settings = {"redis_url": redis_url, "read_replicas": replicas}
    if fits:
        assert Settings.model_validate(settings).read_replicas == replicas
    else:
        with pytest.raises(ValidationError) as refused:
            Settings.model_validate(settings)
        assert [error["loc"] for error in refused.value.errors()] == [("read_replicas",)]
        assert "s3cret" not in refused.value.errors()[0]["msg"]


@pytest.mark.parametrize(
    "url",
    [
        "redis://one:6379,two:6379/0",
        "redis://:s3cret@one,two",
        "redis://one:6379/0,two:6379/0",
        "redis://one%2Ctwo:6379",
        "redis://one:6379;two:6379",
        "redis+sentinel://one:26379/mymaster",
        "redis-sentinel://one:26379,two:26379/mymaster/0",
        "rediss+sentinel://one:26379/mymaster",
        "redis://one:26379/mymaster/0",
        "redis://one:26379/0?sentinel_master=mymaster",
        "redis://one,two/1?cluster=true",
        "redis://one/?cluster=false",
        "unix:///run/valkey.sock?cluster=true",
        "redis://one;two/?cluster=true",
        "redis+cluster://one:6379",
    ],
)
def test_several_servers_of_redis_are_refused_in_one_sentence(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate({"redis_url": url})
    [error] = refused.value.errors()
    assert error["loc"] == ("redis_url",)
    assert "Sentinel and several hosts are not supported" in error["msg"]
    assert "s3cret" not in error["msg"]
