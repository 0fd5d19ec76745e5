"""tandem token: signs a bearer token (JWT, RFC 7519) with AUTH_SECRET."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.run import AsJson, print_result, run_sync

if TYPE_CHECKING:
    from api.settings import Settings


def token(
    subject: Annotated[str, typer.Argument(help="Whom the token identifies (claim sub).")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="What the token allows, such as users:erase; may be repeated."
            "  [default: to read and to write everything]"
        ),
    ] = None,
    lifetime: Annotated[
        int, typer.Option(metavar="SECONDS", min=1, help="Seconds until the token expires.")
    ] = 3600,
    as_json: AsJson = False,
) -> None:
    """Print a bearer token that is signed with AUTH_SECRET.

    It has AUTH_AUDIENCE as its audience and AUTH_ISSUER as its issuer, if these are set.

    Example: curl -H "authorization: Bearer $(tandem token alice)" ...

    Exit status: 0 printed; 1 there is no AUTH_SECRET to sign it with.
    """

    def run(settings: Settings) -> None:
        import jwt

        from api.auth.scopes import ALL_SCOPES, scopes
        from api.operator_error import OperatorError

        if unknown := set(scope or ()).difference(ALL_SCOPES):
            raise OperatorError(
                f"There is no scope {min(unknown)}; the scopes are {', '.join(ALL_SCOPES)}."
            )
        if settings.auth_jwks_url is not None:
            raise OperatorError(
                "Get the token from the issuer of AUTH_JWKS_URL: only it has the key to sign one."
            )
        if settings.auth_secret is None:
            raise OperatorError(
                "AUTH_SECRET is not set; set the one that the service has, of at least 32 bytes. Without it a"
                " service checks no tokens."
            )
        now = int(time.time())
        claims: dict[str, object] = {
            "sub": subject,
            "scope": " ".join(scope or scopes("read", "write")),
            "iat": now,
            "exp": now + lifetime,
        }
        if settings.auth_audience is not None:
            claims["aud"] = settings.auth_audience
        if settings.auth_issuer is not None:
            claims["iss"] = settings.auth_issuer
        secret = settings.auth_secret.get_secret_value()
        signed = jwt.encode(claims, secret, algorithm=settings.algorithms[0])
        print_result({"token": signed, "expires": claims["exp"]}, [signed], as_json=as_json)

    run_sync(run, quiet=True)
