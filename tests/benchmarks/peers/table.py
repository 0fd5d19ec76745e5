"""The figures of all peers as rows of text, for a terminal and for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.peers.compared import Compared, Question

HEADINGS = ("", "CPU µs", "part", "target", "per s", "p50 ms", "p99 ms", "load")
LEGEND = (
    "CPU: of the server's processes, an answer; part: of the CPU of the one with 1.00; target: what Tandem"
    " may take; load: the load generator's share of one core, which is a bottleneck near 100 %"
)


def rows(questions: Sequence[Question]) -> Iterator[tuple[str, ...]]:
    """A question's first row has its title alone."""
    for question in questions:
        yield question.title, *([""] * (len(HEADINGS) - 1))
        for one in question.peers:
            yield f"  {one.peer}", *_cells(one, _target(question, one))


def _cells(one: Compared, target: str) -> tuple[str, ...]:
    return (
        "" if one.cpu is None else f"{one.cpu:,.0f}",
        "" if one.part is None else f"{one.part:.2f}",
        target,
        f"{one.per_second:,.0f}",
        f"{one.p50:.1f}",
        f"{one.p99:.1f}",
        f"{one.generator_busy:.0%}",
    )


def _target(question: Question, one: Compared) -> str:
    if one is not question.peers[0]:
        return ""
    if question.p99_target is not None:
        return f"p99 {question.p99_target:g} ms"
    return "" if question.target is None else f"{question.target:.2f}"


def markdown(questions: Sequence[Question]) -> str:
    lines = ["|".join(("", *HEADINGS, "")), "|---|" + "--:|" * (len(HEADINGS) - 1)]
    for title, *cells in rows(questions):
        name = title.strip() if title.startswith(" ") else f"**{title}**"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)
