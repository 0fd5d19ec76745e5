"""Trusted documents (persisted queries): a request may, or must, use a document of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphql import GraphQLError

from api.engine.documents.manifest import InvalidManifest, hash_of, read
from api.engine.request import Request
from api.errors import RequestError, bad_request, formatted, refused

Mode = Literal["off", "allow", "require", "register"]
"""`register` allows what `allow` does, and clients may register further documents by hash."""


@dataclass(frozen=True, kw_only=True)
class TrustedDocuments:
    """The documents of the manifest, by their SHA-256 in lower-case hexadecimal digits."""

    mode: Mode = "off"
    documents: Mapping[str, str] = field(default_factory=dict)

    def text_of(self, request: Request) -> str:
        """Returns the text of the requested document.

        Raises PERSISTED_QUERY_NOT_FOUND, PERSISTED_QUERY_NOT_SUPPORTED, QUERY_NOT_IN_SAFELIST, or BAD_REQUEST
        if the hash is not that of the text.
        """
        text = request.query
        if self.mode == "off":
            if text is None:
                raise _unknown("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
            return text
        hash_ = request.document_hash()
        if hash_ is not None and hash_ in self.documents:
            trusted = self.documents[hash_]
            if text is not None and text != trusted:
                raise bad_request(
                    "The query is not the document of that hash; send one of the two."
                )
            return trusted
        if text is None:
            raise _unknown("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
        if self.mode == "require" and hash_of(text) not in self.documents:
            message = "Only documents of the manifest are executed; this one is not in it."
            raise refused("QUERY_NOT_IN_SAFELIST", [GraphQLError(message)])
        return text


def load(mode: Mode, manifest: Path | None) -> TrustedDocuments:
    """Returns the documents of the manifest. Raises InvalidManifest."""
    if mode == "off":
        return TrustedDocuments()
    if manifest is None and mode == "register":
        return TrustedDocuments(mode=mode)
    if manifest is None:
        raise InvalidManifest(
            f"TRUSTED_DOCUMENTS is {mode}, and TRUSTED_DOCUMENTS_FILE is not set: name the manifest there."
        )
    return TrustedDocuments(mode=mode, documents=read(manifest))


def _unknown(code: str, message: str) -> RequestError:
    """Returns a refusal of Apollo's protocol of automatic persisted queries; clients then send the text.

    urql and Apollo Kotlin compare the message, and some clients read the body of status 200 only.
    """
    return RequestError([formatted(code, message)], status=200)
