"""Reads rows of the event log as envelopes."""

from __future__ import annotations

import asyncpg
import msgspec

from domain.envelope import STORED_ID, Envelope, is_final
from domain.log.erasures import READABLE_DATA

ENVELOPE = f"""
    e.aggregate, e.{STORED_ID} as aggregate_id, e.version, e.type, e.schema,
    {READABLE_DATA}, e.metadata, e.occurred_at
"""
"""The columns of an event `e` that `envelope_from_row` reads."""

_decode_texts = msgspec.json.Decoder(dict[str, str]).decode


def envelope_from_row(row: asyncpg.Record) -> Envelope:
    """Returns the envelope of a row with the columns of ENVELOPE, and optionally `skipped`."""
    return Envelope(
        aggregate=row["aggregate"],
        aggregate_id=row["aggregate_id"],
        version=row["version"],
        type=row["type"],
        schema=row["schema"],
        data=msgspec.Raw(row["data"].encode()),
        occurred_at=row["occurred_at"],
        metadata=_texts_in(row["metadata"]),
        skipped=row.get("skipped", False),
        final=is_final(row["aggregate"], row["type"]),
    )


def _texts_in(metadata: str) -> dict[str, str]:
    """Leaves out values that are not text: metadata serves tracing and must not stop an event."""
    try:
        return _decode_texts(metadata)
    except msgspec.ValidationError:
        decoded = msgspec.json.decode(metadata)
        items = decoded.items() if isinstance(decoded, dict) else ()
        return {key: value for key, value in items if isinstance(value, str)}
