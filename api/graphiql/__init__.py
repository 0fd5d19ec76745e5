"""GraphiQL for browsers at the GraphQL address, without requests to other origins.

build_hook.py bundles it into dist/ when Tandem is installed. `page` is the document, `routes` are the files
that it loads, under /graphiql/. Its content security policy allows its own origin only.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

DIST = Path(__file__).parent / "dist"

# Monaco writes <style> elements and style attributes, and its fonts and icons are data: addresses
# in the stylesheet. Scripts are files of this origin: no inline script, no eval.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
NEVER_SNIFF = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
PAGE_HEADERS = {
    **NEVER_SNIFF,
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}
# A file's name holds the hash of its content. Workers obey the policy of their own file, and none of
# them loads anything.
ASSET_HEADERS = {
    **NEVER_SNIFF,
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "public, max-age=31536000, immutable",
}
NOT_BUILT = (
    "GraphiQL was not built with this installation: install Tandem again without "
    "TANDEM_SKIP_GRAPHIQL, with the npm registry in reach.\n"
)
ICON = (
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'>"
    "<g fill='none' stroke='%23e10098' stroke-width='2'>"
    "<circle cx='4' cy='10' r='3'/><circle cx='12' cy='10' r='3'/>"
    "<path d='M4 10 6 5h5l1 5'/></g></svg>"
)
# Addresses are relative, so that the page also works behind a proxy that adds a path prefix.
DOCUMENT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Tandem</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="graphiql/{style}">
<script type="module" src="graphiql/{script}"></script>
<style>html, body, #graphiql {{ height: 100%; margin: 0 }}</style>
<div id="graphiql"></div>
</html>
"""


def page(_request: Request) -> Response:
    """Returns the GraphiQL page, or 404 with one sentence if it was not built."""
    try:
        names = json.loads((DIST / "manifest.json").read_bytes())
    except FileNotFoundError:
        return PlainTextResponse(NOT_BUILT, status_code=404, headers=NEVER_SNIFF)
    document = DOCUMENT.format(
        icon=escape(ICON), style=escape(names["style"]), script=escape(names["script"])
    )
    return HTMLResponse(document, headers=PAGE_HEADERS)


def routes() -> list[BaseRoute]:
    """Returns the routes of the files that the page loads; none if GraphiQL was not built."""
    if not DIST.is_dir():
        return []
    return [Mount("/graphiql", app=Assets(directory=DIST / "assets"), name="graphiql")]


class Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(ASSET_HEADERS)
        return response
