"""What is told of a comparison: parts, the table, the plot and the page. Nothing here needs a peer."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import islice

import pytest
from graphql import build_schema, parse, validate

from tests.processes import ROOT

from .peers.asked import ASKED, Asked
from .peers.compared import Question, compared
from .peers.plot import svg
from .peers.publish import BEGIN, END, replaced
from .peers.table import markdown
from .plan import CpuUsed, Plan, Seen
from .workloads import bodies, fifty_texts, new_texts

PLACE = "{http://www.w3.org/2000/svg}"


def seen(cpu: float, answers: int = 1000) -> Seen:
    """One second in which each answer took so many microseconds of the service."""
    return Seen(
        seconds=1.0,
        latencies={"answer": [0.001] * answers},
        polls=0,
        failed=0,
        first_failure=None,
        cpu=CpuUsed(service=cpu * answers / 1e6, stores=None, generator=0.5),
    )


def question(**rounds: list[Seen]) -> Question:
    return Question(title="a", against="peer", target=0.5, peers=compared(rounds, "peer"))


def test_a_part_is_the_median_of_the_parts_in_each_round() -> None:
    tandem, peer = compared(
        {"tandem": [seen(10), seen(40), seen(30)], "peer": [seen(100), seen(100), seen(50)]}, "peer"
    )
    assert tandem.part == pytest.approx(0.4)
    assert tandem.cpu == pytest.approx(30)
    assert peer.part == pytest.approx(1)


def test_cpu_is_of_an_answer_however_many_there_were() -> None:
    [one] = compared({"tandem": [seen(80, answers=10)]}, None)
    assert one.cpu == pytest.approx(80)
    assert one.part is None
    assert one.per_second == 10


def test_the_table_has_the_part_and_the_target_beside_it() -> None:
    told = markdown([question(tandem=[seen(10)], peer=[seen(40)])])
    assert "| tandem | 10 | 0.25 | 0.50 | 1,000 |" in told
    assert "| peer | 40 | 1.00 |  |" in told


def test_bars_are_as_long_as_their_figures_and_a_far_longer_one_is_cut() -> None:
    drawn = ET.fromstring(svg([question(tandem=[seen(20)], peer=[seen(40)], other=[seen(9_000)])]))
    tandem, peer, other = [float(bar.attrib["width"]) for bar in drawn.iter(f"{PLACE}rect")]
    assert tandem == pytest.approx(peer / 2, abs=0.02)
    assert other == pytest.approx(4 * peer, abs=0.02)
    assert [line.attrib["class"] for line in drawn.iter(f"{PLACE}line")] == ["cut", "target"]


def test_publishing_replaces_what_is_between_the_marks_alone() -> None:
    assert replaced(f"before\n{BEGIN}\nold\n{END}\nafter", "new") == (
        f"before\n{BEGIN}\nnew\n{END}\nafter"
    )


def test_the_page_has_the_marks() -> None:
    assert BEGIN in (page := (ROOT / "docs/performance.md").read_text())
    assert END in page


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_what_is_asked_never_ends(asked: Asked) -> None:
    plan = Plan(
        workload=asked.workload,
        url="",
        connections=1,
        seconds=1,
        warm_up=0,
        ids=["a", "b"],
        cursors=[None],
    )
    assert len(list(islice(bodies(plan), 100))) == 100


def test_texts_differ_and_are_valid_and_those_of_another_round_are_new() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    first, second = list(islice(new_texts(0), 500)), list(islice(new_texts(500), 500))
    for text in (*fifty_texts(), *first[:20]):
        assert not validate(schema, parse(text))
    assert len(set(fifty_texts())) == 50
    assert len({*first, *second}) == 1000
