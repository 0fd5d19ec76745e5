"""A request may name a trusted document by its hash; in the mode `require` no other text is executed."""

from __future__ import annotations

import json
from hashlib import md5, sha1, sha256, sha512
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from api.engine.documents import document_cache
from api.engine.documents.manifest import InvalidManifest
from api.engine.documents.trusted import Mode, TrustedDocuments, load
from api.engine.validation import validator
from api.http.graphql_http import Profile
from api.limits import Limits
from tests.api.http.test_graphql_ws import INIT, PROTOCOL, heard, tell
from tests.api.in_memory_app import Edge, edge, served

KNOWN = "{ __typename }"
OTHER = "{ other: __typename }"
HASH = sha256(KNOWN.encode()).hexdigest()
UNKNOWN = sha256(OTHER.encode()).hexdigest()
ANSWER = {"data": {"__typename": "Query"}}
JSON, RESPONSE = "application/json", "application/graphql-response+json"
APQ: list[tuple[Mode, str]] = [
    ("off", "PersistedQueryNotSupported"),
    ("allow", "PersistedQueryNotFound"),
    ("require", "PersistedQueryNotFound"),
]
CODES = {
    "PersistedQueryNotSupported": "PERSISTED_QUERY_NOT_SUPPORTED",
    "PersistedQueryNotFound": "PERSISTED_QUERY_NOT_FOUND",
}


def error_of(message: str) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": CODES[message]}}


def trusted(mode: Mode) -> TrustedDocuments:
    return TrustedDocuments(mode=mode, documents={HASH: KNOWN})


def apollo(hashed: object) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hashed}}}


async def answer(made: Edge, request: dict[str, Any]) -> Any:
    return (await made.client.post("/graphql", json=request)).json()


async def code(made: Edge, request: dict[str, Any]) -> str:
    [error] = (await answer(made, request))["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize("mode", ["allow", "require"])
@pytest.mark.parametrize(
    "request_",
    [
        {"documentId": HASH},
        {"documentId": f"sha256:{HASH}"},
        {"documentId": HASH.upper()},
        {"documentId": f"sha256:{HASH.upper()}"},
        apollo(f"sha256:{HASH}"),
        apollo(HASH.upper()),
        {"documentId": HASH, "query": KNOWN},
        {"query": None, **apollo(HASH)},
        {"query": KNOWN},
    ],
)
async def test_a_trusted_document_is_executed_by_its_hash_or_by_its_text(
    mode: Mode, request_: dict[str, Any]
) -> None:
    async with edge(trusted=trusted(mode)) as made:
        assert await answer(made, request_) == ANSWER


@pytest.mark.parametrize(
    ("mode", "request_", "expected"),
    [
        ("off", {"documentId": HASH}, "PERSISTED_QUERY_NOT_SUPPORTED"),
        ("off", apollo(HASH), "PERSISTED_QUERY_NOT_SUPPORTED"),
        ("allow", {"documentId": UNKNOWN}, "PERSISTED_QUERY_NOT_FOUND"),
        ("allow", {"documentId": ""}, "PERSISTED_QUERY_NOT_FOUND"),
        ("allow", apollo(UNKNOWN), "PERSISTED_QUERY_NOT_FOUND"),
        ("require", {"documentId": UNKNOWN}, "PERSISTED_QUERY_NOT_FOUND"),
        ("require", {"query": OTHER}, "QUERY_NOT_IN_SAFELIST"),
        ("require", {"query": KNOWN + " "}, "QUERY_NOT_IN_SAFELIST"),
        ("require", {"query": OTHER, "documentId": UNKNOWN}, "QUERY_NOT_IN_SAFELIST"),
        ("require", {"query": OTHER, "documentId": HASH}, "BAD_REQUEST"),
        ("allow", {"query": OTHER, **apollo(HASH)}, "BAD_REQUEST"),
        ("allow", {}, "BAD_REQUEST"),
        ("allow", {"documentId": 1}, "BAD_REQUEST"),
        ("allow", apollo(1), "BAD_REQUEST"),
        ("allow", {"extensions": {"persistedQuery": HASH}}, "BAD_REQUEST"),
    ],
)
async def test_an_untrusted_document_is_refused_with_a_code(
    mode: Mode, request_: dict[str, Any], expected: str
) -> None:
    async with edge(trusted=trusted(mode)) as made:
        assert await code(made, request_) == expected


@pytest.mark.parametrize("named", [{"documentId": UNKNOWN}, apollo(UNKNOWN)])
@pytest.mark.parametrize("accept", [JSON, RESPONSE])
@pytest.mark.parametrize("profile", ["compatible", "strict"])
@pytest.mark.parametrize(("mode", "message"), APQ)
async def test_an_unknown_hash_gets_the_message_that_clients_compare_with_status_200(
    mode: Mode, message: str, profile: Profile, accept: str, named: dict[str, Any]
) -> None:
    parameters = {name: v if isinstance(v, str) else json.dumps(v) for name, v in named.items()}
    headers = {"accept": accept}
    async with edge(trusted=trusted(mode), http_profile=profile) as made:
        for response in (
            await made.client.post("/graphql", json=named, headers=headers),
            await made.client.get("/graphql", params=parameters, headers=headers),
        ):
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(accept)
            assert response.headers["cache-control"] == "no-store"
            assert response.json() == {"errors": [error_of(message)]}


@pytest.mark.parametrize(("mode", "message"), APQ)
async def test_an_unknown_hash_gets_the_same_message_in_an_event_stream_and_over_websocket(
    mode: Mode, message: str
) -> None:
    async with edge(trusted=trusted(mode)) as made, served(made.app) as host:
        headers = {"accept": "text/event-stream"}
        stream = await made.client.post("/graphql", json=apollo(UNKNOWN), headers=headers)
        async with connect(f"ws://{host}/graphql", subprotocols=[PROTOCOL]) as socket:
            await tell(socket, INIT)
            await heard(socket)
            await tell(socket, {"type": "subscribe", "id": "1", "payload": apollo(UNKNOWN)})
            refusal = await heard(socket)
    assert stream.status_code == 200
    assert f'"message":"{message}"' in stream.text
    assert refusal == {"type": "error", "id": "1", "payload": [error_of(message)]}


@pytest.mark.parametrize("mode", ["off", "allow"])
async def test_any_text_is_executed_unless_trusted_documents_are_required(mode: Mode) -> None:
    async with edge(trusted=trusted(mode)) as made:
        for request in ({"query": OTHER}, {"query": OTHER, "documentId": UNKNOWN}):
            assert await answer(made, request) == {"data": {"other": "Query"}}


async def test_a_trusted_document_may_be_requested_in_a_url() -> None:
    async with edge(trusted=trusted("require")) as made:
        for parameters in (
            {"documentId": HASH},
            {"extensions": json.dumps(apollo(HASH)["extensions"])},
        ):
            got = await made.client.get("/graphql", params=parameters)
            assert got.json() == ANSWER


async def test_a_trusted_document_is_parsed_at_the_start_and_never_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with edge(trusted=trusted("require")) as made:
        monkeypatch.setattr(document_cache, "parse_document", None)
        monkeypatch.setattr(validator.Validator, "errors", None)
        assert await answer(made, {"documentId": HASH}) == ANSWER


def manifest(folder: Path, content: str | bytes) -> Path:
    path = folder / "trusted.json"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_a_manifest_is_texts_by_their_hashes(tmp_path: Path) -> None:
    path = manifest(tmp_path, json.dumps({HASH: KNOWN}))
    assert load("require", path) == trusted("require")
    assert load("off", path) == load("off", None) == TrustedDocuments()


@pytest.mark.parametrize("name", [HASH, f"sha256:{HASH}", HASH.upper(), f"sha256:{HASH.upper()}"])
def test_a_manifest_of_graphql_codegen_or_apollo_names_hashes_with_or_without_their_prefix(
    tmp_path: Path, name: str
) -> None:
    for content in ({name: KNOWN}, apollo_manifest((name, KNOWN))):
        path = manifest(tmp_path, json.dumps(content))
        assert load("require", path) == trusted("require")


def test_a_manifest_of_apollo_may_hold_no_operation_or_several(tmp_path: Path) -> None:
    both = apollo_manifest((HASH, KNOWN), (UNKNOWN, OTHER))
    path = manifest(tmp_path, json.dumps(both))
    assert load("allow", path).documents == {HASH: KNOWN, UNKNOWN: OTHER}
    path = manifest(tmp_path, json.dumps(apollo_manifest()))
    assert load("allow", path).documents == {}


def apollo_manifest(*operations: tuple[str, str], **changed: object) -> dict[str, Any]:
    return {
        "format": "apollo-persisted-query-manifest",
        "version": 1,
        "operations": [
            {"id": id_, "name": "A", "type": "query", "body": body, "clientName": "web"}
            for id_, body in operations
        ],
        **changed,
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (json.dumps({HASH: OTHER}), "another SHA-256"),
        (json.dumps({f"sha256:{HASH}": OTHER}), "another SHA-256"),
        (json.dumps(apollo_manifest((HASH, OTHER))), "another SHA-256"),
        (json.dumps(apollo_manifest((HASH, KNOWN), version=2)), "nor a persisted query manifest"),
        (json.dumps(apollo_manifest(format="other")), "nor a persisted query manifest"),
        (json.dumps(apollo_manifest(operations=[{"id": HASH}])), "nor a persisted query manifest"),
        (json.dumps(apollo_manifest(operations={HASH: KNOWN})), "nor a persisted query manifest"),
        (
            json.dumps({md5(KNOWN.encode()).hexdigest(): KNOWN}),
            "by its MD5: .* relay-compiler: algorithm",
        ),
        (
            json.dumps({sha1(KNOWN.encode()).hexdigest(): KNOWN}),
            "by its SHA-1: .* .graphql-codegen: hashAlgorithm",
        ),
        (json.dumps({sha512(KNOWN.encode()).hexdigest(): KNOWN}), "by its SHA-512"),
        (json.dumps({f"sha256:sha256:{HASH}": KNOWN}), "not named by its SHA-256"),
        (json.dumps({f"sha512:{HASH}": KNOWN}), "not named by its SHA-256"),
        (json.dumps(apollo_manifest(("GetUser", KNOWN))), "not named by .* no createOperationId"),
        (json.dumps({"": KNOWN}), "not named by its SHA-256"),
        (json.dumps([KNOWN]), "not a JSON object"),
        (json.dumps({HASH: 1}), "not a JSON object"),
        ("{", "not a JSON object"),
        (b"\xff", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
    ],
)
def test_a_bad_manifest_is_refused_in_one_sentence(
    tmp_path: Path, content: str | bytes, why: str
) -> None:
    with pytest.raises(InvalidManifest, match=why):
        load("require", manifest(tmp_path, content))


def test_a_manifest_that_is_not_named_or_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest, match="TRUSTED_DOCUMENTS_FILE is not set"):
        load("allow", None)
    with pytest.raises(InvalidManifest, match="cannot be read"):
        load("allow", tmp_path / "missing.json")
    with pytest.raises(InvalidManifest, match="cannot be read"):
        load("allow", tmp_path)


@pytest.mark.parametrize("text", ["{", "{ nothing }", "#" * 70_000])
def test_a_trusted_document_that_could_not_be_executed_refuses_the_start(text: str) -> None:
    hashed = sha256(text.encode()).hexdigest()
    with pytest.raises(
        InvalidManifest, match=f"The trusted document {hashed} cannot be executed: "
    ):
        Edge(Limits(), TrustedDocuments(mode="allow", documents={hashed: text}))
