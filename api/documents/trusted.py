"""Documents that are known by their hash before anybody asks: a request may name one, or has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec
from graphql import GraphQLError

from api.documents.request import Request
from api.errors import RequestError, bad_request, refused
from api.mendable import Mendable

Mode = Literal["off", "allow", "require"]

_manifest = msgspec.json.Decoder(dict[str, str])


class BadManifest(Mendable):
    """The service cannot start with these trusted documents; str() is a sentence that says why."""


@dataclass(frozen=True, kw_only=True)
class Trusted:
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
        if self.mode == "require" and _hash(given) not in self.documents:
            raise _not_in_safelist()
        return given


def load(mode: Mode, manifest: Path | None) -> Trusted:
    """What the manifest holds, a JSON object of texts by their hashes. Raises BadManifest."""
    if mode == "off":
        return Trusted()
    if manifest is None:
        raise BadManifest(
            f"TRUSTED_DOCUMENTS is {mode}, and TRUSTED_DOCUMENTS_FILE is not set: name the manifest there."
        )
    documents = _read(manifest)
    for name, text in documents.items():
        if _hash(text) != name:
            raise BadManifest(
                f"In {manifest}, the document under {name[:70]!r} has another SHA-256, {_hash(text)}:"
                " generate the manifest again."
            )
    return Trusted(mode=mode, documents=documents)


def _read(manifest: Path) -> dict[str, str]:
    try:
        return _manifest.decode(manifest.read_bytes())
    except OSError as error:
        raise BadManifest(
            f"{manifest} cannot be read ({error.strerror}); check TRUSTED_DOCUMENTS_FILE."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadManifest(
            f"{manifest} is not a JSON object of documents by their SHA-256 ({error}): generate it again."
        ) from error


def _hash(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def _same(known: str, given: str | None) -> str:
    if given is not None and given != known:
        raise bad_request("The query is not the document of that hash; send one of the two.")
    return known


def _not_found() -> RequestError:
    message = "No trusted document has this hash; send its text in query, if that is allowed."
    return refused("PERSISTED_QUERY_NOT_FOUND", [GraphQLError(message)])


def _not_supported() -> RequestError:
    message = "No documents are kept here; send the text of the document in query."
    return refused("PERSISTED_QUERY_NOT_SUPPORTED", [GraphQLError(message)])


def _not_in_safelist() -> RequestError:
    message = "Only trusted documents are executed here; this one is not in the manifest."
    return refused("QUERY_NOT_IN_SAFELIST", [GraphQLError(message)])
