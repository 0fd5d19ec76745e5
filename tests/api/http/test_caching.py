"""Caching of GET queries: Cache-Control by setting, ETag and If-None-Match; nothing else is ever cached."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from api.auth.access import Access
from api.settings import Settings
from tests.api.in_memory_app import ALICE, Edge, edge
from tests.api.tokens import bearer, signed, with_tokens
from tests.api.wire import head, request, wired

if TYPE_CHECKING:
    import httpx

HELLO = "{ __typename }"
USER = f'{{ user(id: "{ALICE}") {{ name }} }}'
CREATE = 'mutation { createUser(input: {name: "A", email: "a@example.com"}) { id } }'
RESPONSE = "application/graphql-response+json"
MAX_AGE = "max-age=60"


async def get(made: Edge, query: str = HELLO, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await made.client.get("/graphql", params={"query": query}, headers=named)


async def test_a_successful_get_query_has_the_setting_and_an_entity_tag() -> None:
    async with edge(cache_control=MAX_AGE) as made:
        response = await get(made)
        assert response.headers["cache-control"] == MAX_AGE
        assert response.headers["vary"] == "accept"
        assert response.headers["etag"].startswith('W/"')
        assert (await get(made)).headers["etag"] == response.headers["etag"]
        other = await get(made, "{ other: __typename }")
        assert other.headers["etag"] != response.headers["etag"]


@pytest.mark.parametrize("setting", [None, ""])
async def test_nothing_is_cached_by_default(setting: str | None) -> None:
    async with edge(cache_control=setting) as made:
        response = await get(made, if_none_match="*")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


@pytest.mark.parametrize("accept", ["application/json", RESPONSE])
@pytest.mark.parametrize(
    "query",
    [
        "{",
        "{ nothing }",
        "",
        "{ users(first: 0) { totalCount } }",
        "{ __typename a: users(first: 0) { totalCount } }",
        CREATE,
    ],
)
async def test_no_error_is_cached(query: str, accept: str) -> None:
    async with edge(cache_control=MAX_AGE) as made:
        response = await get(made, query, accept=accept, if_none_match="*")
        assert "errors" in response.json()
        assert response.headers["cache-control"] == "no-store"
        assert "etag" not in response.headers


async def test_a_post_is_never_cached() -> None:
    async with edge(cache_control=MAX_AGE) as made:
        for query in (HELLO, CREATE):
            response = await made.post(query, headers={"if-none-match": "*"})
            assert response.status_code == 200
            assert response.headers["cache-control"] == "no-store"
            assert "etag" not in response.headers


async def test_an_event_stream_over_get_is_never_cached() -> None:
    async with edge(cache_control=MAX_AGE) as made:
        response = await get(made, accept="text/event-stream", if_none_match="*")
        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (MAX_AGE, f"private, {MAX_AGE}"),
        ("s-maxage=60, must-revalidate", "private, s-maxage=60, must-revalidate"),
        ("public, max-age=60", "public, max-age=60"),
        ("Public, max-age=60", "Public, max-age=60"),
        ("max-age=60, private", "max-age=60, private"),
        ('private="x", max-age=60', 'private="x", max-age=60'),
    ],
)
async def test_the_response_to_a_token_is_private_unless_the_setting_states_it(
    setting: str, expected: str
) -> None:
    async with edge(access=with_tokens(), cache_control=setting) as made:
        made.reads.put(ALICE, "Alice")
        response = await get(made, USER, **bearer(signed()))
        assert response.headers["cache-control"] == expected
        assert response.headers["vary"] == "accept, authorization"
        public = await get(made)
        assert public.headers["cache-control"] == setting
        assert public.headers["vary"] == "accept, authorization"


@pytest.mark.parametrize("token", [None, "x", signed(exp=1), signed(scope="users:write")])
async def test_an_entity_tag_gives_nothing_to_a_caller_without_the_right(token: str | None) -> None:
    async with edge(access=with_tokens(), cache_control=MAX_AGE) as made:
        made.reads.put(ALICE, "Alice")
        tag = (await get(made, USER, **bearer(signed()))).headers["etag"]
        for condition in (tag, "*"):
            headers = {} if token is None else bearer(token)
            refused = await get(made, USER, if_none_match=condition, **headers)
            assert refused.status_code != 304
            assert "errors" in refused.json()
            assert refused.headers["cache-control"] == "no-store"


async def test_a_changed_result_has_another_tag() -> None:
    async with edge(cache_control="no-cache") as made:
        made.reads.put(ALICE, "Alice")
        before = (await get(made, USER)).headers["etag"]
        assert (await get(made, USER, if_none_match=before)).status_code == 304
        made.reads.put(ALICE, "Alice 2", 2)
        after = await get(made, USER, if_none_match=before)
        assert after.status_code == 200
        assert after.json() == {"data": {"user": {"name": "Alice 2"}}}


async def test_the_two_media_types_have_different_tags() -> None:
    async with edge(cache_control=MAX_AGE) as made:
        one = await get(made, accept="application/json")
        other = await get(made, accept=RESPONSE, if_none_match=one.headers["etag"])
        assert other.status_code == 200


TAG = "W/%s"
CONDITIONS = {
    "%s": True,
    "W/%s": True,
    "*": True,
    " * ": True,
    '"a", W/%s': True,
    'W/"a",%s,"b"': True,
    '"a"' + ', "b"' * 2_000 + ", %s": True,
    "": False,
    '"a"': False,
    'W/"a"': False,
    "**": False,
    '*, "a"': False,
    "w": False,
    '"': False,
    '""': False,
    'W/""': False,
    '"' * 10_001: False,
    'W/"' * 3_000: False,
}


@pytest.mark.parametrize("condition", CONDITIONS)
async def test_a_list_with_the_tag_by_weak_comparison_is_304(condition: str) -> None:
    async with edge(cache_control=MAX_AGE) as made:
        first = await get(made)
        tag = first.headers["etag"].removeprefix("W/")
        response = await get(made, if_none_match=condition.replace("%s", tag))
        assert response.status_code == (304 if CONDITIONS[condition] else 200)


async def test_a_tag_without_its_quotes_or_in_another_case_does_not_match() -> None:
    async with edge(cache_control=MAX_AGE) as made:
        tag = (await get(made)).headers["etag"]
        for other in (tag.replace('"', ""), tag.upper(), tag[:-2] + '"', f'"{tag[3:]}'[:-1]):
            assert (await get(made, if_none_match=other)).status_code == 200


async def test_a_304_has_the_headers_and_no_body_and_the_connection_goes_on() -> None:
    line = b"GET /graphql?query=%7B__typename%7D HTTP/1.1"
    async with (
        wired(http={"cache_control": MAX_AGE, "compress_above": 1}) as ask,
        ask.opened() as wire,
    ):
        await wire.send(head(line))
        first: Any = await wire.response()
        condition = b"if-none-match: " + first.headers["etag"].encode()
        gzip = b"accept-encoding: gzip, identity;q=0"
        await wire.send(head(line, condition, gzip) + request(HELLO))
        second: Any = await wire.response(method="HEAD")
        third: Any = await wire.response()
        assert second.status == 304
        for name in ("etag", "cache-control", "vary"):
            assert second.headers[name] == first.headers[name]
        assert {"content-length", "content-encoding", "content-type"}.isdisjoint(second.headers)
        assert json.loads(third.body) == {"data": {"__typename": "Query"}}


async def test_responses_of_all_codings_have_one_weak_tag_and_vary_by_them() -> None:
    line = b"GET /graphql?query=%7B__typename%7D HTTP/1.1"
    async with wired(http={"cache_control": MAX_AGE, "compress_above": 1}) as ask:
        [plain] = await ask(head(line))
        [packed] = await ask(head(line, b"accept-encoding: gzip"))
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.headers["etag"] == plain.headers["etag"]
        assert packed.headers["vary"] == plain.headers["vary"] == "accept, accept-encoding"


async def test_a_cached_response_varies_by_origin_where_others_are_allowed() -> None:
    access = Access(origins=("https://app.example.com",))
    async with edge(access=access, cache_control=MAX_AGE) as made:
        plain = await get(made)
        assert plain.headers["vary"].lower() == "accept, origin"
        foreign = await get(made, origin="https://app.example.com")
        assert "origin" in foreign.headers["vary"].lower()
        assert foreign.headers["access-control-allow-origin"] == "https://app.example.com"


@pytest.mark.parametrize(
    "value", ["max-age=60", "public, s-maxage=60", 'private="set-cookie", no-cache', "no-store", ""]
)
def test_directives_are_accepted(value: str) -> None:
    assert Settings.model_validate({"cache_control": value}).cache_control == value


@pytest.mark.parametrize(
    "value",
    [
        "max-age=60\r\nset-cookie: a=b",
        "a b",
        "max-age=",
        ",",
        "max-age=60,",
        'a="\n"',
        "ä",
        " ",
        "a;b",
    ],
)
def test_what_is_no_list_of_directives_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="directives"):
        Settings.model_validate({"cache_control": value})
