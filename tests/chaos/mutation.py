"""How a mutant is made: a piece of the code is cut out, or another is put in its place."""

from __future__ import annotations

from typing import Any

from domain.write import sql
from readside.redis_functions import functions


def cut(text: str, part: str, instead: str = "") -> str:
    """A mutant whose place in the code has moved must not pass for one that is caught."""
    assert text.count(part) == 1, f"{part!r} is not there exactly once"
    return text.replace(part, instead)


def get(owner: object, name: str) -> Any:
    return getattr(owner, name)


def put(owner: object, name: str, value: object) -> None:
    """Private or not: a mutant is not bound by the rules of the house."""
    setattr(owner, name, value)


def lua(part: str, instead: str = "") -> None:
    put(functions, "_SOURCE", cut(get(functions, "_SOURCE"), part, instead))


def write(name: str, part: str, instead: str) -> None:
    """In the text of a part of the statement that writes what a command does, or in that of its function."""
    text = get(sql, name)
    if callable(text):
        put(sql, name, lambda *given: cut(text(*given), part, instead))
    else:
        put(sql, name, cut(text, part, instead))
    sql.write_statement.cache_clear()
