"""What nobody foresaw is masked: the client gets an id, and the log has the rest, without personal data."""

from __future__ import annotations

from structlog.testing import capture_logs

from tests.api.edge import ALICE, edge

SECRET = "select * from users where email = 'alice@example.com' -- /srv/tandem"
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'


async def test_a_surprise_is_masked_and_logged_once_under_its_id() -> None:
    async with edge() as made:
        made.store.outcome = RuntimeError(SECRET)
        with capture_logs() as logs:
            error = await made.error(CREATE)
        [logged] = logs
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logged["error_id"]}
        assert error["path"] == ["createUser"]
        assert logged["event"] == "request_failed"
        assert logged["error"] == "builtins.RuntimeError"
        assert "tests.api.edge.ScriptedStore.execute:" in logged["stack"]


async def test_nothing_secret_is_told_or_logged() -> None:
    async with edge() as made:
        surprise = RuntimeError(SECRET)
        surprise.__cause__ = KeyError("alice@example.com")
        made.store.outcome = surprise
        with capture_logs() as logs:
            response = await made.post(CREATE)
        for told in (response.text, str(logs)):
            assert "alice" not in told
            assert "select *" not in told
        assert "caused by builtins.KeyError" in logs[0]["stack"]


async def test_a_surprise_of_a_query_is_masked_too() -> None:
    async with edge() as made:
        made.reads.failure = RuntimeError(SECRET)
        with capture_logs() as logs:
            error = await made.error(f'{{ user(id: "{ALICE}") {{ id }} }}')
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logs[0]["error_id"]}
        assert "select" not in error["message"]


async def test_a_surprise_of_the_edge_itself_is_a_500_that_says_nothing() -> None:
    async with edge() as made:
        del made.executor.admission.documents
        with capture_logs() as logs:
            response = await made.post("{ __typename }")
        assert response.status_code == 500
        [error] = response.json()["errors"]
        assert error["extensions"] == {"code": "INTERNAL", "errorId": logs[0]["error_id"]}
