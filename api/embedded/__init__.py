"""The stores of `tandem up`: a real PostgreSQL and a real Valkey, run as children of this process.

Everything they own lies in one data directory. They listen on unix sockets only, outlive Ctrl-C in
the terminal (so that the service can stop first) and never outlive this process.
"""

from __future__ import annotations

from api.embedded.errors import EmbeddedError
from api.embedded.stores import Stores, embedded_stores

__all__ = ["EmbeddedError", "Stores", "embedded_stores"]
