"""Finds the programs of the stores inside the wheels that carry them, without importing those."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from api.embedded.errors import EmbeddedError


def package_directory(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"The embedded stores are not installed (no {package}): install tandem[embedded], or"
            " run `tandem serve` with DATABASE_URL and REDIS_URL."
        )
    return Path(spec.origin).parent
