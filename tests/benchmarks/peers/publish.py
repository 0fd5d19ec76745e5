"""Puts a run's comparison on the page: its plot, its table, and what was run, where and when."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.benchmarks.peers.plot import svg
from tests.benchmarks.peers.servers import HERE
from tests.benchmarks.peers.table import LEGEND, markdown
from tests.processes import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.benchmarks.figures import Found

PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- peers: make bench writes from here -->", "<!-- peers: to here -->"


def publish(found: Found, command: str) -> None:
    PLOT.write_text(svg(found.questions))
    PAGE.write_text(replaced(PAGE.read_text(), section(found, command, datetime.now(UTC))))


def replaced(page: str, section: str) -> str:
    """The page with another text between the marks. Raises ValueError if they are not there."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def section(found: Found, command: str, at: datetime) -> str:
    return "\n\n".join(
        (
            f"![CPU an answer, beside the peers]({PLOT.name})",
            f"Run on {at:%Y-%m-%d} by `{command}`:",
            markdown(found.questions),
            f"{LEGEND}.",
            _configuration(found.configuration),
        )
    )


def _configuration(configuration: Mapping[str, Any]) -> str:
    options = configuration["options"]
    npm = json.loads((HERE / "package.json").read_text())["dependencies"]
    versions = {**configuration["packages"], **npm, "node": configuration.get("node", "unknown")}
    return (
        f"{configuration['cores']} cores ({configuration['cpu']}), {configuration['system']}, "
        f"{configuration['python']}, commit {configuration['commit']}; {options['connections']} connections "
        f"unless said otherwise, {options['seconds']:g} s a measurement, median of {options['rounds']} "
        f"rounds; load average at the start {configuration['load average at the start']}. "
        f"{_stores(configuration)} "
        f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}."
    )


def _stores(configuration: Mapping[str, Any]) -> str:
    told = [
        f"{store}: {', '.join(f'{name} {value}' for name, value in configuration[store].items())}."
        for store in ("postgresql", "valkey")
        if store in configuration
    ]
    return " ".join(told)
