"""Documents that are known by their hash before anybody asks: a request may name one, or has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphql import GraphQLError

from api.engine.documents.manifest import InvalidManifest, hash_of, read
from api.engine.request import Request
from api.errors import RequestError, bad_request, refused

Mode = Literal["off", "allow", "require"]


@dataclass(frozen=True, kw_only=True)
class TrustedDocuments:
    """`documents` are texts by their SHA-256 in lower-case hexadecimal digits."""

    mode: Mode = "off"
    documents: Mapping[str, str] = field(default_factory=dict)

    def text_of(self, request: Request) -> str:
        """The document asked for. Raises PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_NOT_SUPPORTED,
        QUERY_NOT_IN_SAFELIST, or BAD_REQUEST if hash and text do not belong together."""
        given = request.query
        if self.mode == "off":
            if given is None:
                raise _not_supported()
            return given
        hashed = request.document_hash()
        if hashed is not None and hashed in self.documents:
            return _same(self.documents[hashed], given)
        if given is None:
            raise _not_found()
        if self.mode == "require" and hash_of(given) not in self.documents:
            raise _not_in_safelist()
        return given


def load(mode: Mode, manifest: Path | None) -> TrustedDocuments:
    """Returns the documents of the manifest. Raises BadManifest."""
    if mode == "off":
        return TrustedDocuments()
    if manifest is None:
        raise InvalidManifest(
            f"TRUSTED_DOCUMENTS is {mode}, and TRUSTED_DOCUMENTS_FILE is not set: name the manifest there."
        )
    return TrustedDocuments(mode=mode, documents=read(manifest))


def _same(known: str, given: str | None) -> str:
    if given is not None and given != known:
        raise bad_request("The query is not the document of that hash; send one of the two.")
    return known


def _not_found() -> RequestError:
    return _unknown("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")


def _not_supported() -> RequestError:
    return _unknown("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")


def _unknown(code: str, message: str) -> RequestError:
    """Returns an answer of Apollo's protocol of automatic persisted queries, to which clients send the text.

    urql and Apollo Kotlin compare the message, and some read no body of another status than 200.
    """
    error = {"message": message, "extensions": {"code": code}}
    return RequestError([error], status=200)


def _not_in_safelist() -> RequestError:
    message = "Only trusted documents are executed here; this one is not in the manifest."
    return refused("QUERY_NOT_IN_SAFELIST", [GraphQLError(message)])
