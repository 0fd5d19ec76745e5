"""Access tokens as Auth0, Keycloak, Entra and Cognito make them, and hostile ones of their shapes."""

from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from api.auth.claims import DEFAULT_SCOPE_CLAIMS, ScopeClaims
from api.operator_error import OperatorError
from api.runtime.api_role import _scope_claims
from api.settings import Settings
from tests.api.in_memory_app import ALICE, edge
from tests.api.tokens import SECRET, bearer, forged_with, with_tokens

READ = f'{{ user(id: "{ALICE}") {{ name }} }}'
RENAME = f'mutation {{ renameUser(input: {{userId: "{ALICE}", name: "B"}}) {{ id }} }}'
SUBJECT = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
COGNITO_CLIENT = "1example23456789"
COGNITO_NAMES = [("tandem/users:read", "users:read"), ("tandem/users:write", "users:write")]
KEYCLOAK_NAMES = [("reader", "users:read"), ("writer", "users:write")]

AUTH0 = {
    "iss": "https://my-domain.eu.auth0.com/",
    "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
    "aud": ["https://tandem.example.com", "https://my-domain.eu.auth0.com/userinfo"],
    "azp": "my_client_id",
    "scope": "openid profile users:write",
    "permissions": ["users:read"],
}
KEYCLOAK = {
    "jti": "onrtac:4f0d4d9a",
    "iss": "https://sso.example.com/realms/shop",
    "sub": SUBJECT,
    "typ": "Bearer",
    "azp": "web.shop",
    "sid": "3c3ba5d1",
    "acr": "1",
    "allowed-origins": ["https://shop.example.com"],
    "realm_access": {"roles": ["offline_access", "reader", "default-roles-shop"]},
    "resource_access": {
        "web.shop": {"roles": ["writer"]},
        "account": {"roles": ["manage-account", "view-profile"]},
    },
    "scope": "openid email profile",
    "email_verified": True,
    "preferred_username": "alice",
}
ENTRA = {
    "aud": "6e74172b-be56-4843-9ff4-e66a39bb12e3",
    "iss": "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
    "azp": "1fec8e78-bce4-4aaf-ab1b-5451cc387264",
    "azpacr": "1",
    "oid": SUBJECT,
    "scp": "users:read Mail.Read",
    "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
    "tid": "72f988bf-86f1-41af-91ab-2d7cd011db47",
    "ver": "2.0",
}
ENTRA_APP = {**ENTRA, "scp": None, "roles": ["users:read"], "idtyp": "app"}
COGNITO = {
    "sub": SUBJECT,
    "iss": "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_example",
    "version": 2,
    "client_id": COGNITO_CLIENT,
    "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
    "token_use": "access",
    "scope": "openid tandem/users:read",
    "auth_time": 1676312777,
    "jti": SUBJECT,
    "username": "my-test-user",
}
COGNITO_ID = {
    **COGNITO,
    "client_id": None,
    "aud": COGNITO_CLIENT,
    "token_use": "id",
    "cognito:groups": ["test-group-a"],
}

CLIENT_ROLES = "resource_access.web.shop.roles"


def token(given: dict[str, Any], **changed: Any) -> dict[str, str]:
    """The header with a token of these claims, which expires in an hour; None leaves a claim out."""
    now = int(time.time())
    claims = {"iat": now, "exp": now + 3600, **given, **changed}
    kept = {name: value for name, value in claims.items() if value is not None}
    return bearer(forged_with(SECRET.encode(), {"alg": "HS256", "kid": "1", "typ": "JWT"}, kept))


async def allowed(
    header: dict[str, str],
    audience: str,
    paths: tuple[str, ...] = DEFAULT_SCOPE_CLAIMS,
    names: list[tuple[str, str]] = [],  # noqa: B006 (is not changed)
) -> set[str] | int:
    """What the token allows, or the status if it is refused."""
    access = with_tokens(audience=audience, issuer=None, scope_claims=ScopeClaims(paths, names))
    async with edge(access=access) as made:
        made.reads.put(ALICE, "Alice")
        found = set()
        for name, query in {"read": READ, "write": RENAME}.items():
            response = await made.post(query, headers=header)
            if response.status_code != 200:
                return response.status_code
            if "errors" not in response.json():
                found.add(name)
        return found


@pytest.mark.parametrize(
    ("given", "audience", "paths", "names", "expected"),
    [
        (AUTH0, "https://tandem.example.com", ("permissions",), [], {"read"}),
        (AUTH0, "https://tandem.example.com", ("scope",), [], {"write"}),
        (KEYCLOAK, "web.shop", ("realm_access.roles",), KEYCLOAK_NAMES, {"read"}),
        (KEYCLOAK, "web.shop", (CLIENT_ROLES,), KEYCLOAK_NAMES, {"write"}),
        (
            KEYCLOAK,
            "web.shop",
            ("realm_access.roles", CLIENT_ROLES),
            KEYCLOAK_NAMES,
            {"read", "write"},
        ),
        ({**KEYCLOAK, "aud": ["tandem", "account"]}, "tandem", (), [], set()),
        (ENTRA, str(ENTRA["aud"]), ("scp", "roles"), [], {"read"}),
        (ENTRA_APP, str(ENTRA["aud"]), ("scp", "roles"), [], {"read"}),
        (COGNITO, COGNITO_CLIENT, ("scope",), COGNITO_NAMES, {"read"}),
        (
            {"https://a.example/roles": "users:read", "aud": "a"},
            "a",
            ("https://a.example/roles",),
            [],
            {"read"},
        ),
    ],
)
async def test_a_token_of_an_issuer_allows_its_scopes_and_no_others(
    given: dict[str, Any],
    audience: str,
    paths: tuple[str, ...],
    names: list[tuple[str, str]],
    expected: set[str],
) -> None:
    assert await allowed(token(given), audience, paths, names) == expected


@pytest.mark.parametrize(
    ("given", "audience"),
    [
        (COGNITO, "another-client"),
        (COGNITO, "1example2345678"),
        ({**COGNITO, "client_id": None}, COGNITO_CLIENT),
        ({**COGNITO, "client_id": [COGNITO_CLIENT]}, COGNITO_CLIENT),
        ({**COGNITO, "client_id": {COGNITO_CLIENT: 1}}, COGNITO_CLIENT),
        ({**COGNITO, "client_id": True}, COGNITO_CLIENT),
        ({**COGNITO, "azp": "another-client"}, COGNITO_CLIENT),
        ({**COGNITO, "aud": "another"}, COGNITO_CLIENT),
        ({**COGNITO, "aud": ""}, COGNITO_CLIENT),
        ({**COGNITO, "aud": []}, COGNITO_CLIENT),
        ({**COGNITO, "aud": {}}, COGNITO_CLIENT),
        ({**COGNITO, "aud": [[COGNITO_CLIENT]]}, COGNITO_CLIENT),
        ({**COGNITO, "token_use": "id"}, COGNITO_CLIENT),
        ({**COGNITO, "token_use": ["access"]}, COGNITO_CLIENT),
        (COGNITO_ID, COGNITO_CLIENT),
        ({**KEYCLOAK, "typ": "ID", "aud": "web.shop"}, "web.shop"),
        ({**KEYCLOAK, "aud": "account"}, "web.shop"),
        (AUTH0, "my_client_id"),
        (ENTRA, str(ENTRA["azp"])),
    ],
)
async def test_a_token_for_another_audience_or_purpose_is_401(
    given: dict[str, Any], audience: str
) -> None:
    assert await allowed(token(given), audience) == 401


async def test_a_null_audience_is_no_missing_one() -> None:
    now = int(time.time())
    claims = {**COGNITO, "exp": now + 60, "aud": None}
    header = bearer(forged_with(SECRET.encode(), {"alg": "HS256"}, claims))
    assert await allowed(header, COGNITO_CLIENT) == 401


@pytest.mark.parametrize(
    "roles",
    [
        None,
        1,
        True,
        {"users:read": True},
        {"roles": ["users:read"]},
        [["users:read"]],
        [{"users:read": 1}, ["users:read"], None, 1],
        ["users:read "],
        ["users:reader", "xusers:read", "users", "users:", ":read", "users:*", "USERS:READ"],
        "users:read,users:write",
        ["a"] * 1_000,
        "a " * 2_500,
        "[" * 500,
    ],
)
async def test_a_claim_of_another_form_allows_nothing(roles: object) -> None:
    header = token({"aud": "a", "realm_access": {"roles": roles}})
    assert await allowed(header, "a", ("realm_access.roles",)) == set()


@pytest.mark.parametrize("realm", [None, "roles", ["roles"], [{"roles": ["users:read"]}], 7, {}])
async def test_a_path_leads_through_objects_only(realm: object) -> None:
    header = token({"aud": "a", "realm_access": realm, "roles": ["users:read"]})
    assert await allowed(header, "a", ("realm_access.roles",)) == set()


@pytest.mark.parametrize(
    "scope",
    [
        "users:read",
        "users:write",
        "other/users:read",
        "tandem/users:read2",
        "xtandem/users:read",
        "tandem/",
    ],
)
async def test_with_names_no_other_scope_counts(scope: str) -> None:
    given = {**COGNITO, "scope": scope}
    assert await allowed(token(given), COGNITO_CLIENT, ("scope",), COGNITO_NAMES) == set()


async def test_one_name_may_stand_for_several_scopes() -> None:
    names = [("admin", "users:read"), ("admin", "users:write")]
    header = token({"aud": "a", "roles": ["admin"]})
    assert await allowed(header, "a", ("roles",), names) == {"read", "write"}


def test_the_settings_name_claims_and_scopes() -> None:
    settings = Settings(
        auth_secret=SecretStr(SECRET),
        auth_scope_claims="permissions, realm_access.roles",  # type: ignore[arg-type]
        auth_scope_names="a=b=users:read x/users:write=users:write",  # type: ignore[arg-type]
    )
    found = _scope_claims(settings).scopes(
        {"permissions": ["a=b"], "realm_access": {"roles": "x/users:write"}, "scope": "users:erase"}
    )
    assert found == {"users:read", "users:write"}


@pytest.mark.parametrize("name", ["users:read", "=users:read", "a=", "="])
def test_a_name_without_both_sides_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="an equals sign"):
        Settings(auth_secret=SecretStr(SECRET), auth_scope_names=(name,))


def test_a_name_of_a_scope_that_does_not_exist_is_refused() -> None:
    settings = Settings(auth_secret=SecretStr(SECRET), auth_scope_names=("a=users:fly",))
    with pytest.raises(OperatorError, match="AUTH_SCOPE_NAMES has users:fly, which is no scope"):
        _scope_claims(settings)


@pytest.mark.parametrize("name", ["auth_scope_claims", "auth_scope_names"])
def test_settings_of_claims_need_authentication(name: str) -> None:
    with pytest.raises(ValidationError, match="AUTH_SECRET or AUTH_JWKS_URL"):
        Settings(**{name: ("a=users:read",)})  # type: ignore[arg-type]
