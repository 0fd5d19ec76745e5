"""Caching of GET queries: Cache-Control by setting, and ETag with If-None-Match (RFC 9110, 13.1.2)."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

from api.auth.access import Access
from api.auth.csrf import Headers
from api.auth.scopes import Caller
from api.http.response import EncodedResponse

_DIGEST_BYTES: Final = 16
_ENTITY_TAG: Final = re.compile(rb'(?:W/)?("[^"]*")')


class Caching:
    """Adds Cache-Control, ETag and Vary to a response, which is 304 if the client has it already."""

    def __init__(self, cache_control: str, access: Access) -> None:
        """`cache_control` is the header's value, to which `private` is added for an authenticated caller."""
        directives = {each.partition("=")[0].strip().lower() for each in cache_control.split(",")}
        self._public = cache_control.encode()
        states_it = not directives.isdisjoint({"private", "public"})
        self._private = self._public if states_it else b"private, " + self._public
        self._has_tokens = access.tokens is not None
        self._vary = (b"accept", *([b"authorization"] if self._has_tokens else []))

    def apply(self, response: EncodedResponse, headers: Headers, caller: Caller) -> EncodedResponse:
        """Returns the response to a GET that may be cached."""
        is_private = self._has_tokens and caller.is_authenticated
        tag = _entity_tag(response)
        extra = (
            (b"cache-control", self._private if is_private else self._public),
            (b"etag", b"W/" + tag),
        )
        response = response._replace(extra=extra, vary=self._vary)
        if _matches(headers.get(b"if-none-match", b""), tag):
            return response._replace(status=304, body=b"")
        return response


def _entity_tag(response: EncodedResponse) -> bytes:
    """Returns the opaque tag. It is sent as a weak one, because it does not depend on the content coding."""
    digest = blake2b(response.body, digest_size=_DIGEST_BYTES, key=response.media.encode())
    return b'"%b"' % digest.hexdigest().encode()


def _matches(if_none_match: bytes, tag: bytes) -> bool:
    """Returns True for `*`, or a list with this tag, by weak comparison (RFC 9110, section 8.8.3.2)."""
    return if_none_match.strip() == b"*" or tag in _ENTITY_TAG.findall(if_none_match)
