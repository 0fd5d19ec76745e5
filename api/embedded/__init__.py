"""Embedded stores of `tandem up`: PostgreSQL and Valkey servers as child processes of this one.

All their files are in one data directory. They listen on unix sockets only, ignore Ctrl-C in the
terminal, so that the service can stop first, and never outlive this process.
"""

from __future__ import annotations

from api.embedded.stores import Stores, embedded_stores

__all__ = ["Stores", "embedded_stores"]
