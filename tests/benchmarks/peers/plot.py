"""The bar plot of docs/performance.svg: CPU an answer, a group for each question, a bar for each peer.

Text takes the colour of whoever reads it: an SVG in an <img> sees the reader's light or dark theme.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.benchmarks.peers.servers import FLOOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.peers.compared import Compared, Question

WIDTH, NAMES, BARS = 780, 210, 460
"""Pixels: of all, of the column of names, of the longest bar."""

ROW, GROUP = 20, 38
LONGEST = 4.0
"""Times the bar of the peer that Tandem is measured by; a longer one is cut there, and says so."""

STYLE = """
  svg { color: #1f2328; font: 13px system-ui, sans-serif; }
  text { fill: currentColor; }
  .title { font-weight: 600; }
  .bar { fill: #8c959f; }
  .tandem { fill: #0969da; }
  .floor { fill-opacity: 0.45; }
  .target { stroke: currentColor; stroke-width: 1.5; stroke-dasharray: 3 2; }
  .cut { stroke: #ffffff; stroke-width: 3; }
  @media (prefers-color-scheme: dark) {
    svg { color: #e6edf3; }
    .bar { fill: #6e7681; }
    .tandem { fill: #4493f8; }
    .cut { stroke: #0d1117; }
  }
"""


def svg(questions: Sequence[Question]) -> str:
    shown = [question for question in questions if question.against and _scale(question)]
    parts: list[str] = []
    top = 34
    for question in shown:
        parts += _group(question, top)
        top += GROUP + ROW * len(question.peers)
    heading = "CPU of the server an answer, in µs; dashed: what Tandem may take; pale: the floor"
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">',
            f"<title>{heading}</title>",
            f"<style>{STYLE}</style>",
            _text(0, 16, heading),
            *parts,
            "</svg>\n",
        )
    )


def _group(question: Question, top: int) -> list[str]:
    scale, first = _scale(question), top + 24
    parts = [_text(0, top + 12, question.title, "title")]
    for number, one in enumerate(question.peers):
        parts += _bar(one, first + number * ROW, scale)
    return parts + _target(question, first, scale)


def _bar(one: Compared, top: int, scale: float) -> list[str]:
    cpu = one.cpu or 0.0
    length = min(cpu * scale, BARS)
    kind = "bar tandem" if one.peer.startswith("tandem") else "bar"
    kind = "bar floor" if one.peer.startswith(FLOOR) else kind
    parts = [
        _text(NAMES - 8, top + 12, one.peer, anchor="end"),
        f'<rect class="{kind}" x="{NAMES}" y="{top}" width="{length:.2f}" height="{ROW - 5}"/>',
        _text(NAMES + length + 6, top + 12, _figure(one)),
    ]
    if cpu * scale > BARS:
        at = NAMES + BARS - 24
        parts.append(_line("cut", at, top + ROW - 4, at + 8, top - 1))
    return parts


def _figure(one: Compared) -> str:
    part = "" if one.part is None else f" ({one.part:.2f})"
    return f"{one.cpu or 0:,.0f}{part}"


def _target(question: Question, top: int, scale: float) -> list[str]:
    yard = _yard(question)
    if question.target is None or yard is None:
        return []
    at = NAMES + question.target * yard * scale
    return [_line("target", at, top - 3, at, top + ROW - 2)]


def _yard(question: Question) -> float | None:
    return next((one.cpu for one in question.peers if one.peer == question.against), None)


def _scale(question: Question) -> float:
    """Pixels for a microsecond; 0 where nothing was measured."""
    used = [one.cpu for one in question.peers if one.cpu]
    if not used:
        return 0.0
    yard = _yard(question)
    return BARS / (min(max(used), LONGEST * yard) if yard else max(used))


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1}" x2="{x2:.1f}" y2="{y2}"/>'
