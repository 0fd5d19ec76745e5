"""A service that listens beyond localhost needs authentication, or --allow-anonymous."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from api.operator_error import OperatorError
from api.runtime.listeners import bind_api, close
from api.settings import Settings
from tests.acceptance.test_processes import refused
from tests.processes import ROOT


def bind(host: str, **settings: Any) -> str:
    listeners = bind_api(Settings(host=host, port=0, **settings))
    bound: str = listeners[0].getsockname()[0]
    close(listeners)
    return bound


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost"])
def test_this_machine_alone_is_served_without_a_word(host: str) -> None:
    assert bind(host).startswith("127.")


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_other_machines_are_not_served_unless_the_settings_say_so(host: str) -> None:
    with pytest.raises(OperatorError, match=r"AUTH_SECRET or AUTH_JWKS_URL.*--allow-anonymous"):
        bind(host)
    assert bind(host, allow_anonymous=True) == "0.0.0.0"


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6 here")
def test_the_same_goes_for_ipv6() -> None:
    try:
        assert bind("::1") == "::1"
    except OSError:
        pytest.skip("there is no IPv6 here")
    with pytest.raises(OperatorError, match="reachable from other machines"):
        bind("::")


def test_a_refused_address_is_free_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(OperatorError, match="reachable from other machines"):
        bind_api(Settings(host="0.0.0.0", port=port))
    close(bind_api(Settings(host="127.0.0.1", port=port)))


async def test_every_command_that_serves_refuses_in_one_sentence(
    tmp_path: Any, database_url: str, redis_url: str
) -> None:
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PYTHONPATH": str(ROOT)}
    for command in ("up", "serve", "api"):
        said = await refused(command, HOST="0.0.0.0", PORT="0", DATA_DIR=str(tmp_path), **stores)
        assert "--allow-anonymous" in said
