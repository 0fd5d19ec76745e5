"""The model of scale: linear costs fitted to what was measured, by least squares, and what they add up to.

Two cores run one or two projectors; everything beyond is an extrapolation of these lines.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EVENTS_OF_A_USER = 4
"""Of each user that is measured: created, two orders placed, one of them completed."""


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. CPU in microseconds of one request or of one event, by process."""

    partitions: int
    projectors: int
    users: int
    """As many as were written; `counted` are those that were rebuilt."""
    counted: int
    events: int
    rebuild_seconds: float
    redis_bytes: int
    user_cpu: dict[str, float]
    page_cpu: dict[str, float]
    command_cpu: dict[str, float]
    commands_per_second: float
    lag_p50: float
    """Milliseconds from the answer to createUser to the first answer that shows the user."""
    lag_p99: float


Terms = tuple[str, ...]
"""Names of TERMS that a cost is the sum of, each times a number that is not negative."""


class Size(NamedTuple):
    partitions: int
    projectors: int
    users: int
    events: int


TERMS: dict[str, Callable[[Size], float]] = {
    "constant": lambda _: 1.0,
    "partitions": lambda size: size.partitions,
    "users": lambda size: size.users,
    "events": lambda size: size.events,
    "events / projectors": lambda size: size.events / size.projectors,
}


def fit(terms: Terms, points: Sequence[tuple[Size, float]]) -> dict[str, float]:
    """The least squares of relative errors. A term that would be negative, which no cost is, is left out."""
    known = [(size, value) for size, value in points if value]
    used = list(terms) if known else []
    while used:
        rows = [[TERMS[name](size) / value for name in used] for size, value in known]
        found = _least_squares(rows, [1.0] * len(rows))
        worst = min(range(len(used)), key=lambda number: found[number])
        if found[worst] >= 0:
            return dict(zip(used, found, strict=True))
        del used[worst]
    return {}


def value(cost: Mapping[str, float], size: Size) -> float:
    return sum(factor * TERMS[name](size) for name, factor in cost.items())


def _least_squares(rows: Sequence[Sequence[float]], wanted: Sequence[float]) -> list[float]:
    """Solves the normal equations, scaled by columns. A column that depends on others gets 0."""
    number = len(rows[0]) if rows else 0
    scales = [math.sqrt(sum(row[i] ** 2 for row in rows)) or 1.0 for i in range(number)]
    scaled = [[cell / scale for cell, scale in zip(row, scales, strict=True)] for row in rows]
    matrix = [
        [sum(row[i] * row[j] for row in scaled) for j in range(number)]
        + [sum(row[i] * y for row, y in zip(scaled, wanted, strict=True))]
        for i in range(number)
    ]
    for i in range(number):
        if abs(matrix[i][i]) < 1e-9:  # the columns before explain this one
            matrix[i] = [0.0] * (number + 1)
            matrix[i][i] = 1.0
        for j in range(number):
            if j != i:
                factor = matrix[j][i] / matrix[i][i]
                matrix[j] = [a - factor * b for a, b in zip(matrix[j], matrix[i], strict=True)]
    return [matrix[i][number] / matrix[i][i] / scales[i] for i in range(number)]


REBUILT: Terms = ("events", "events / projectors")
"""A part of a rebuild is Redis's, which the projectors share; the rest they do side by side."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """What is fitted: seconds of a rebuild, bytes of Redis, milliseconds of lag, and CPU by process."""

    rebuild: dict[str, float]
    redis_bytes: dict[str, float]
    lag_p50: dict[str, float]
    lag_p99: dict[str, float]
    user_cpu: dict[str, dict[str, float]]
    page_cpu: dict[str, dict[str, float]]
    command_cpu: dict[str, dict[str, float]]

    def cell(self, size: Size) -> Cell:
        """What would be measured at this size on enough cores."""
        command = {name: value(cost, size) for name, cost in self.command_cpu.items()}
        return Cell(
            **size._asdict(),
            counted=size.users,
            rebuild_seconds=value(self.rebuild, size),
            redis_bytes=round(value(self.redis_bytes, size)),
            user_cpu={name: value(cost, size) for name, cost in self.user_cpu.items()},
            page_cpu={name: value(cost, size) for name, cost in self.page_cpu.items()},
            command_cpu=command,
            commands_per_second=min(
                1e6 / used * (size.projectors if name == PROJECTOR else 1)
                for name, used in command.items()
                if name in SERIAL and used
            ),
            lag_p50=value(self.lag_p50, size),
            lag_p99=value(self.lag_p99, size),
        )


API, POSTGRESQL, RELAY, PROJECTOR, REDIS = "API", "PostgreSQL", "relay", "projectors", "Redis"
SERIAL = (RELAY, PROJECTOR, REDIS)
"""Of these one process uses one core at most. There is one relay, and one Redis unless it is a cluster."""


def fitted(cells: Sequence[Cell]) -> Model:
    """Raises ValueError without a cell."""
    if not cells:
        raise ValueError("nothing was measured")
    sizes = [Size(c.partitions, c.projectors, c.counted, c.events) for c in cells]

    def cost(terms: Terms, of: Callable[[Cell], float]) -> dict[str, float]:
        return fit(terms, [(size, of(cell)) for size, cell in zip(sizes, cells, strict=True)])

    def costs(terms: Terms, of: Callable[[Cell], dict[str, float]]) -> dict[str, dict[str, float]]:
        def by_process(name: str) -> dict[str, float]:
            return cost(terms, lambda cell: of(cell)[name])

        return {name: by_process(name) for name in of(cells[0])}

    by_partition: Terms = ("constant", "partitions")
    return Model(
        rebuild=cost((*by_partition, *REBUILT), lambda c: c.rebuild_seconds),
        redis_bytes=cost((*by_partition, "users"), lambda c: c.redis_bytes),
        lag_p50=cost(by_partition, lambda c: c.lag_p50),
        lag_p99=cost(by_partition, lambda c: c.lag_p99),
        user_cpu=costs(("constant",), lambda c: c.user_cpu),
        page_cpu=costs(by_partition, lambda c: c.page_cpu),
        command_cpu=costs(by_partition, lambda c: c.command_cpu),
    )


class Load(NamedTuple):
    """What is assumed of a user: requests on an average day, and the busiest second over the average one."""

    changes: float = 1.0
    reads: float = 20.0
    pages: float = 2.0
    peak: float = 3.0


class Machine(NamedTuple):
    """What is assumed of one machine, of which no more than `full` is to be used."""

    cores: int = 16
    memory: float = 64e9
    full: float = 0.7


class Need(NamedTuple):
    """Of one part: `users` fill one; `units` are needed for the users that were asked about, of `most`."""

    part: str
    one: str
    users: float
    units: float
    most: float

    @property
    def limit(self) -> float:
        """Users with whom as many as there can be are full."""
        return self.users * self.most


LOAD, MACHINE, DAY = Load(), Machine(), 86_400


def needs(model: Model, users: int, partitions: int) -> list[Need]:
    """Which part saturates with how many users, the first one first. A partition may have its own Redis."""
    cell = model.cell(Size(partitions, 1, users, users * EVENTS_OF_A_USER))

    def cores(name: str) -> float:
        """Cores that this process uses in the busiest second, for each user."""
        day = LOAD.changes * cell.command_cpu.get(name, 0.0)
        day += LOAD.reads * cell.user_cpu.get(name, 0.0) + LOAD.pages * cell.page_cpu.get(name, 0.0)
        return day * LOAD.peak / DAY / 1e6

    many = float(partitions)
    memory = cell.redis_bytes / users / MACHINE.memory
    demands = [
        ("Redis memory", f"{MACHINE.memory / 1e9:.0f} GB", many, memory),
        ("Redis CPU", "one core", many, cores(REDIS)),
        (RELAY, "one core", 1.0, cores(RELAY)),
        (PROJECTOR, "one core", many, cores(PROJECTOR)),
        (API, "one core", math.inf, cores(API)),
        (POSTGRESQL, f"{MACHINE.cores} cores", 1.0, cores(POSTGRESQL) / MACHINE.cores),
    ]
    found = [
        Need(part, one, MACHINE.full / demand, users * demand / MACHINE.full, most)
        for part, one, most, demand in demands
        if demand
    ]
    return sorted(found, key=lambda need: need.limit)
