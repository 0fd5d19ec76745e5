"""The cost curve as a table, a plot and a forecast, for docs/scaling.md."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from tests.benchmarks.scale.model import (
    API,
    EVENTS_OF_A_USER,
    LOAD,
    MACHINE,
    PROJECTOR,
    REDIS,
    RELAY,
    Size,
    fitted,
    needs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.benchmarks.scale.model import Cell, Model, Need

PROJECTORS = (1, 2, 4, 8)
FORECAST = 100_000_000
"""Users."""

FORECAST_PARTITIONS = 64
PLOT = "scaling.svg"
NOTHING = 1e-8
"""What a fit has instead of 0."""

LEGEND = """\
*Italics* are modelled. Rebuild: from an emptied Redis until all users are counted. Lag: from createUser's
answer until a query shows the user, at 100 a second. Events/s, measured: what two cores do with the load
generator, both stores and all processes; modelled: what relay, projectors and Redis can take, each with cores
of its own."""
HEADINGS = (
    *("users", "partitions", "projectors", "lag p50, p99 ms", "events/s"),
    *("CPU µs an event: relay", "projectors", "Redis", "Redis bytes a user"),
    *("CPU µs of user(id): API, Redis", "of a page: API, Redis", "rebuild s"),
)


def section(cells: Sequence[Cell], told: str) -> str:
    """Everything between the marks of the page."""
    model = fitted(cells)
    users = max(cell.users for cell in cells)
    return "\n\n".join(
        (
            f"![Rebuild time, and what one of each part can take]({PLOT})",
            told,
            table(cells),
            LEGEND,
            _costs(model),
            forecast(model),
            f"The forecast goes {FORECAST / users:,.0f} times beyond what was measured.",
        )
    )


def rows(cells: Sequence[Cell]) -> Iterator[tuple[Cell, bool]]:
    """Each cell, and whether it was measured."""
    model = fitted(cells)
    measured = {(c.users, c.partitions, c.projectors): c for c in cells}
    starts = sorted({(c.users, c.partitions) for c in cells})
    first = {(c.users, c.partitions): c for c in reversed(cells)}
    for users, partitions in starts:
        for projectors in PROJECTORS:
            known = measured.get((users, partitions, projectors))
            one = first[users, partitions]
            size = Size(partitions, projectors, one.users, one.events)
            yield known or model.cell(size), known is not None


def table(cells: Sequence[Cell]) -> str:
    lines = [f"| {' | '.join(HEADINGS)} |", "|" + "--:|" * len(HEADINGS)]
    for cell, measured in rows(cells):
        values = (
            f"{cell.lag_p50:.1f}, {cell.lag_p99:.1f}",
            f"{cell.commands_per_second:,.0f}",
            *(f"{cell.command_cpu[part]:.0f}" for part in (RELAY, PROJECTOR, REDIS)),
            f"{cell.redis_bytes / cell.counted:,.0f}",
            *(f"{one[API]:.0f}, {one[REDIS]:.1f}" for one in (cell.user_cpu, cell.page_cpu)),
            f"{cell.rebuild_seconds:.1f}",
        )
        shown = values if measured else [f"*{one}*" for one in values]
        place = (f"{cell.users:,}", str(cell.partitions), str(cell.projectors))
        lines.append(f"| {' | '.join((*place, *shown))} |")
    return "\n".join(lines)


def _costs(model: Model) -> str:
    lines = ["| Cost | fitted by least squares |", "|---|---|"]
    lines += [
        f"| rebuild, s | {_sum(model.rebuild)} |",
        f"| bytes of Redis | {_sum(model.redis_bytes)} |",
        f"| lag p50, ms | {_sum(model.lag_p50)} |",
        *(
            f"| CPU µs of user(id), {name} | {_sum(cost)} |"
            for name, cost in model.user_cpu.items()
        ),
        *(f"| CPU µs of a page, {name} | {_sum(cost)} |" for name, cost in model.page_cpu.items()),
        *(
            f"| CPU µs of createUser, {name} | {_sum(cost)} |"
            for name, cost in model.command_cpu.items()
        ),
    ]
    return "\n".join(lines)


def _sum(cost: dict[str, float]) -> str:
    return " + ".join(
        f"{factor:.3g}" + ("" if name == "constant" else f" · {name}")
        for name, factor in cost.items()
        if factor > NOTHING
    )


def _rounded(number: float) -> str:
    """Three digits, which is more than a forecast is good for."""
    return f"{float(f'{number:.3g}'):,.0f}"


def forecast(model: Model) -> str:
    found = needs(model, FORECAST, FORECAST_PARTITIONS)
    rebuild = model.cell(_size(FORECAST, 8)).rebuild_seconds / 3600
    first, load = found[0], LOAD
    single = min((n for n in found if n.part not in (API, PROJECTOR)), key=lambda n: n.users)
    words = (
        f"{FORECAST:,} users in {FORECAST_PARTITIONS} partitions, with {EVENTS_OF_A_USER} events each, who"
        f" make {load.changes:g} change, {load.reads:g} reads by id and {load.pages:g} reads of a page a day,"
        f" the busiest second {load.peak:g} times the average; nothing is used more than {MACHINE.full:.0%}."
        f" On one Redis **{single.part} saturates first**, at {_rounded(single.users)} users; on a cluster"
        f" **{first.part}**, at {_rounded(first.limit)}."
        f" A rebuild by 8 projectors takes {rebuild:.1f} h."
    )
    lines = [
        words,
        "",
        f"| part | one is | users that fill one | needed for {FORECAST:,} | at most | users that fill all |",
        "|---|---|--:|--:|--:|--:|",
        *(
            f"| {n.part} | {n.one} | {_rounded(n.users)} | {math.ceil(n.units):,} "
            + ("| | |" if n.most == math.inf else f"| {n.most:.0f} | {_rounded(n.limit)} |")
            for n in found
        ),
    ]
    return "\n".join(lines)


WIDTH, HEIGHT, LEFT, TOP, GAP = 780, 250, 70, 40, 70
COLOURS = ("#0969da", "#cf222e", "#1a7f37", "#9a6700", "#8250df", "#6e7781")
STYLE = """
  svg { color: #1f2328; font: 12px system-ui, sans-serif; }
  text { fill: currentColor; }
  .axis { stroke: currentColor; stroke-width: 1; }
  .grid { stroke: currentColor; stroke-opacity: 0.15; }
  .line { fill: none; stroke-width: 2; }
  .modelled { stroke-dasharray: 5 4; }
  @media (prefers-color-scheme: dark) { svg { color: #e6edf3; } }
"""


class Panel:
    """A plot with logarithms on both axes, `top` pixels down."""

    def __init__(self, top: float, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self._top, self._xs, self._ys = top, xs, ys

    def at(self, x: float, y: float) -> tuple[float, float]:
        (x0, x1), (y0, y1) = self._xs, self._ys
        across = math.log(x / x0) / math.log(x1 / x0)
        up = min(1.0, max(0.0, math.log(max(y, y0) / y0) / math.log(y1 / y0)))
        return LEFT + across * (WIDTH - LEFT - 170), self._top + (1 - up) * HEIGHT

    def line(self, points: Sequence[tuple[float, float]], colour: str, *, modelled: bool) -> str:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        kind = "line modelled" if modelled else "line"
        return f'<polyline class="{kind}" stroke="{colour}" points="{path}"/>'

    def name(self, point: tuple[float, float], number: int, text: str, colour: str) -> str:
        """At the right edge, one below the other."""
        y = self._top + 12 + 17 * number
        return f'<text x="{WIDTH - 162}" y="{y:.1f}" style="fill: {colour}">{escape(text)}</text>'

    def frame(self, title: str, unit: str) -> list[str]:
        (x0, x1), (y0, y1) = self._xs, self._ys
        right, bottom = self.at(x1, y0)
        parts = [f'<text x="0" y="{self._top - 14:.1f}" font-weight="600">{escape(title)}</text>']
        for power in range(round(math.log10(x0)), round(math.log10(x1)) + 1):
            x, y = self.at(10.0**power, y0)
            parts.append(
                f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">10{_raised(power)}</text>'
            )
        for power in range(math.ceil(math.log10(y0)), math.floor(math.log10(y1)) + 1):
            x, y = self.at(x0, 10.0**power)
            parts += [
                f'<line class="grid" x1="{x:.1f}" y1="{y:.1f}" x2="{right:.1f}" y2="{y:.1f}"/>',
                f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g}{unit}</text>',
            ]
        parts.append(
            f'<line class="axis" x1="{LEFT}" y1="{bottom:.1f}" x2="{right:.1f}" y2="{bottom:.1f}"/>'
        )
        return parts


def _raised(power: int) -> str:
    return str(power).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def svg(cells: Sequence[Cell]) -> str:
    model = fitted(cells)
    fewest = 10.0 ** math.floor(math.log10(min(cell.users for cell in cells)))
    xs = (fewest, float(FORECAST))
    sizes = [10 ** (power / 4) for power in range(round(4 * math.log10(fewest)), 33)]
    height = 2 * (HEIGHT + GAP) + TOP
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>Cost by number of users</title>",
            f"<style>{STYLE}</style>",
            *_rebuilds(model, cells, Panel(TOP, xs, (0.1, 1e5)), sizes),
            *_shares(model, Panel(TOP + HEIGHT + GAP, xs, (1e-5, 1e2)), sizes),
            "</svg>\n",
        )
    )


def _rebuilds(
    model: Model, cells: Sequence[Cell], panel: Panel, sizes: Sequence[float]
) -> Iterator[str]:
    yield from panel.frame(
        "Seconds of a rebuild, by users; circles measured, dashed lines modelled", " s"
    )
    for number, (projectors, colour) in enumerate(zip(PROJECTORS, COLOURS, strict=False)):
        points = [(size, model.cell(_size(size, projectors)).rebuild_seconds) for size in sizes]
        yield panel.line(points, colour, modelled=True)
        yield panel.name(points[-1], number, f"projectors: {projectors}", colour)
        for cell in cells:
            if cell.projectors == projectors:
                x, y = panel.at(cell.users, cell.rebuild_seconds)
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _shares(model: Model, panel: Panel, sizes: Sequence[float]) -> Iterator[str]:
    yield from panel.frame("Units needed of each part, by users; above 1 it takes several", "")
    known: dict[str, list[tuple[float, float]]] = {}
    last: list[Need] = []
    for size in sizes:
        last = needs(model, round(size), FORECAST_PARTITIONS)
        for need in last:
            known.setdefault(need.part, []).append((size, need.units))
    for number, (need, colour) in enumerate(zip(last, COLOURS, strict=False)):
        yield panel.line(known[need.part], colour, modelled=True)
        yield panel.name(known[need.part][-1], number, f"{need.part}, {need.one}", colour)


def _size(users: float, projectors: int) -> Size:
    return Size(FORECAST_PARTITIONS, projectors, round(users), round(users) * EVENTS_OF_A_USER)
