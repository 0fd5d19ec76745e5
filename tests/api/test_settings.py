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
        ("redis_url", "unix:///run/valkey.sock?db=1"),
        ("redis_url", "rediss://[::1]"),
    ],
)
def test_an_address_as_the_drivers_read_it_is_taken_as_it_is(name: str, url: str) -> None:
    assert getattr(Settings.model_validate({name: url}), name) == url
