"""DATABASE_URL of several hosts: the URL of each, and the servers that it may demand."""

from __future__ import annotations

import pytest

from api.postgres_url import urls_of_hosts
from api.settings import Settings


@pytest.mark.parametrize(
    ("url", "urls"),
    [
        ("postgresql://one/tandem", ["postgresql://one/tandem"]),
        ("postgresql:///tandem?host=/run/a", ["postgresql:///tandem?host=/run/a"]),
        (
            "postgresql://me:p%40,s@one:1,[::1]:2,three/tandem?target_session_attrs=read-write",
            [
                "postgresql://me:p%40,s@one:1/tandem?target_session_attrs=read-write",
                "postgresql://me:p%40,s@[::1]:2/tandem?target_session_attrs=read-write",
                "postgresql://me:p%40,s@three/tandem?target_session_attrs=read-write",
            ],
        ),
        (
            "postgresql://me@/tandem?host=/a,/b&sslmode=disable",
            [
                "postgresql://me@/tandem?host=%2Fa&sslmode=disable",
                "postgresql://me@/tandem?host=%2Fb&sslmode=disable",
            ],
        ),
        (
            "postgresql://me@/tandem?host=one,two&port=1,2",
            [
                "postgresql://me@/tandem?host=one&port=1",
                "postgresql://me@/tandem?host=two&port=2",
            ],
        ),
        (
            "postgresql://me@/tandem?host=one,two&port=7",
            [
                "postgresql://me@/tandem?host=one&port=7",
                "postgresql://me@/tandem?host=two&port=7",
            ],
        ),
    ],
)
def test_each_host_has_a_url_with_all_else_unchanged(url: str, urls: list[str]) -> None:
    assert urls_of_hosts(Settings(database_url=url).database_url or "") == urls


@pytest.mark.parametrize("value", ["read-write", "primary", "any"])
def test_the_server_that_accepts_writes_may_be_demanded(value: str) -> None:
    Settings(database_url=f"postgresql://one,two/tandem?target_session_attrs={value}")


@pytest.mark.parametrize("value", ["standby", "prefer-standby", "read-only", "x"])
def test_no_other_server_can_be_demanded(value: str) -> None:
    with pytest.raises(ValueError, match=r"must be read-write, primary or any.*accepts writes"):
        Settings(database_url=f"postgresql://one,two/tandem?target_session_attrs={value}")
