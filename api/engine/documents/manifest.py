"""The manifest of trusted documents: texts by their SHA-256, as build tools of GraphQL clients write them."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from api.engine.request import plain_hash
from api.operator_error import OperatorError

_OTHER_HASHES: Final = {32: "MD5", 40: "SHA-1", 96: "SHA-384", 128: "SHA-512"}
"""Hashes by the number of their hexadecimal digits."""


class InvalidManifest(OperatorError):
    """The service cannot start with these trusted documents; str() is a sentence that says why."""


class _ApolloOperation(msgspec.Struct):
    id: str
    body: str


class _ApolloManifest(msgspec.Struct):
    """The format of generate-persisted-query-manifest, Apollo Kotlin and Apollo iOS."""

    format: Literal["apollo-persisted-query-manifest"]
    version: Literal[1]
    operations: list[_ApolloOperation]


def read(manifest: Path) -> dict[str, str]:
    """Returns the texts by their SHA-256 in lower-case hexadecimal digits. Raises BadManifest."""
    documents = {}
    for name, text in _decoded(manifest):
        hashed = plain_hash(name)
        if hashed != hash_of(text):
            raise InvalidManifest(
                f"In {manifest}, the document under {name[:70]!r} {_fault(hashed, text)}"
            )
        documents[hashed] = text
    return documents


def hash_of(text: str) -> str:
    """Returns the SHA-256 of a document in lower-case hexadecimal digits."""
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def _decoded(manifest: Path) -> list[tuple[str, str]]:
    try:
        return _texts(msgspec.json.decode(manifest.read_bytes(), type=dict[str, Any]))
    except OSError as error:
        raise InvalidManifest(
            f"{manifest} cannot be read ({error.strerror}); check TRUSTED_DOCUMENTS_FILE."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(
            f"{manifest} is not a JSON object of documents by their SHA-256, nor a persisted query manifest"
            f" of Apollo ({error}): generate it again."
        ) from error


def _texts(content: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns ids and texts from an object of texts by their hashes, or from Apollo's manifest.

    The first is what graphql-codegen's client preset (persistedDocuments) and relay-compiler write.
    """
    if "format" in content:
        operations = msgspec.convert(content, _ApolloManifest).operations
        return [(operation.id, operation.body) for operation in operations]
    return list(msgspec.convert(content, dict[str, str]).items())


def _fault(hashed: str, text: str) -> str:
    """Returns the rest of a sentence about a document whose id is not its SHA-256."""
    if re.fullmatch("[0-9a-f]{64}", hashed):
        return f"has another SHA-256, {hash_of(text)}: generate the manifest again."
    kind = _OTHER_HASHES.get(len(hashed)) if re.fullmatch("[0-9a-f]+", hashed) else None
    seen = f" but probably by its {kind}" if kind else ""
    return (
        f"is not named by its SHA-256{seen}: generate it with SHA-256 (graphql-codegen: hashAlgorithm of"
        " persistedDocuments; relay-compiler: algorithm of persistConfig; Apollo: no createOperationId)."
    )
