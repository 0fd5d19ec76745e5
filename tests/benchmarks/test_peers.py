"""What is told of a comparison: parts, the table, the plot and the page. Nothing here needs a peer."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from itertools import islice

import jwt
import pytest
from graphql import build_schema, parse, validate

from tests.processes import ROOT

from .peers.asked import ASKED, Asked
from .peers.compared import Question, compared
from .peers.plot import svg
from .peers.table import markdown
from .plan import CpuUsed, Plan, Seen
from .publish import marks, replaced
from .workloads import asked as questions_of
from .workloads import fifty_texts, new_texts

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
    begin, end = marks("peers")
    assert replaced(f"before\n{begin}\nold\n{end}\nafter", "peers", "new") == (
        f"before\n{begin}\nnew\n{end}\nafter"
    )


@pytest.mark.parametrize(
    ("page", "name"),
    [("performance.md", "peers"), ("performance.md", "alone"), ("scaling.md", "scale")],
)
def test_the_pages_have_the_marks(page: str, name: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    assert [text.count(mark) for mark in marks(name)] == [1, 1]


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: asked.name)
def test_what_is_asked_never_ends(asked: Asked) -> None:
    plan = Plan(
        workload=asked.workload,
        url="http://localhost",
        connections=1,
        seconds=1,
        warm_up=0,
        ids=["a", "b"],
        cursors=[None],
    )
    assert len(list(islice(questions_of(plan), 100))) == 100


def test_each_request_has_an_id_of_its_own_and_the_token_of_the_user_it_asks_for() -> None:
    plan = Plan(
        workload="user_by_id",
        url="http://localhost",
        connections=1,
        seconds=1,
        warm_up=0,
        ids=["a", "b", "c"],
        request_ids=True,
        token_secret="s" * 32,
    )
    ids = set()
    for question in islice(questions_of(plan), 6):
        head, _, body = question.request.partition(b"\r\n\r\n")
        headers = dict(line.split(": ") for line in head.decode().split("\r\n")[1:])
        claims = jwt.decode(headers["Authorization"][7:], "s" * 32, algorithms=["HS256"])
        assert json.loads(body)["variables"]["id"] == claims["sub"]
        assert int(headers["Content-Length"]) == len(body)
        ids.add(headers["X-Request-Id"])
    assert len(ids) == 6


def test_an_order_is_completed_on_the_connection_that_placed_it() -> None:
    plan = Plan(
        workload="orders", url="http://localhost", connections=1, seconds=1, warm_up=0, ids=["a"]
    )
    place = next(questions_of(plan))
    assert place.then is not None
    complete = place.then(b'{"data":{"placeOrder":{"id":"o1","version":2}}}')
    assert b'"id":"o1"' in complete.request
    assert (complete.needle, complete.then) == (b"o1", None)


def test_texts_differ_and_are_valid_and_those_of_another_round_are_new() -> None:
    schema = build_schema((ROOT / "schema.graphql").read_text())
    first, second = list(islice(new_texts(0), 500)), list(islice(new_texts(500), 500))
    for text in (*fifty_texts(), *first[:20]):
        assert not validate(schema, parse(text))
    assert len(set(fifty_texts())) == 50
    assert len({*first, *second}) == 1000
