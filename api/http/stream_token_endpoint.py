"""The endpoint that exchanges a bearer token for a stream token: POST /graphql/stream-token."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from api.auth.access import Access, authorization
from api.auth.scopes import ANONYMOUS
from api.auth.tokens import no_token
from api.engine.execution.executor import Executor
from api.errors import RequestError


def routes(access: Access, executor: Executor) -> list[Route]:
    """Returns the route; none while authentication is off, because streams then need no token."""
    stream_tokens = access.stream_tokens
    if stream_tokens is None:
        return []

    async def respond(request: Request) -> JSONResponse:
        caller = ANONYMOUS
        try:
            token = authorization(request.scope["headers"])
            caller = await access.caller(token, request.scope.get("client"))
            if not caller.is_authenticated:
                raise no_token()
            stream_token, seconds = await stream_tokens.issue(caller)
        except RequestError as error:
            refusal = executor.refuse(error, caller)
            lines = filter(None, [refusal.header])
            headers = {name.decode(): value.decode() for name, value in lines}
            return JSONResponse(refusal.response, refusal.status, headers)
        granted = {"access_token": stream_token, "token_type": "Bearer", "expires_in": seconds}
        return JSONResponse(granted)

    return [Route("/graphql/stream-token", respond, methods=["POST"])]
