"""Reads the manifest of trusted documents, in the formats that build tools of GraphQL clients write."""

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
    """A manifest of trusted documents with which the service cannot start; str() says why."""


class _ApolloOperation(msgspec.Struct):
    id: str
    body: str


class _ApolloManifest(msgspec.Struct):
    """The format of generate-persisted-query-manifest, Apollo Kotlin and Apollo iOS."""

    format: Literal["apollo-persisted-query-manifest"]
    version: Literal[1]
    operations: list[_ApolloOperation]


def read(manifest: Path) -> dict[str, str]:
    """Returns the texts by their SHA-256 in lower-case hexadecimal digits. Raises InvalidManifest."""
    documents = {}
    for id_, text in _decoded(manifest):
        hash_ = plain_hash(id_)
        if hash_ != hash_of(text):
            raise InvalidManifest(
                f"In {manifest}, the document under {id_[:70]!r} {_fault(hash_, text)}"
            )
        documents[hash_] = text
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

    graphql-codegen's client preset (persistedDocuments) and relay-compiler write the first.
    """
    if "format" in content:
        operations = msgspec.convert(content, _ApolloManifest).operations
        return [(operation.id, operation.body) for operation in operations]
    return list(msgspec.convert(content, dict[str, str]).items())


def _fault(hash_: str, text: str) -> str:
    """Returns the rest of a sentence about a document whose id is not its SHA-256."""
    if re.fullmatch("[0-9a-f]{64}", hash_):
        return f"has another SHA-256, {hash_of(text)}: generate the manifest again."
    algorithm = _OTHER_HASHES.get(len(hash_)) if re.fullmatch("[0-9a-f]+", hash_) else None
    hint = f" but probably by its {algorithm}" if algorithm else ""
    return (
        f"is not named by its SHA-256{hint}: generate it with SHA-256 (graphql-codegen: hashAlgorithm of"
        " persistedDocuments; relay-compiler: algorithm of persistConfig; Apollo: no createOperationId)."
    )
