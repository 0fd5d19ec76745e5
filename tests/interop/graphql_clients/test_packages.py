"""How the packages get here: from the npm registry, once, and never half of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.graphql_clients.packages import HERE, NotFetched, fetched
from tests.processes import HOST, free_port


def test_without_the_registry_the_reason_is_one_sentence_and_nothing_counts_as_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("npm_config_registry", f"http://{HOST}:{free_port()}")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    for _ in range(2):
        with pytest.raises(NotFetched, match=r"npm could not fetch them.*ECONNREFUSED") as failure:
            fetched(tmp_path)
        assert len(str(failure.value).splitlines()) == 1


def test_the_lock_file_names_no_registry_and_pins_what_it_holds() -> None:
    lock = (HERE / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
