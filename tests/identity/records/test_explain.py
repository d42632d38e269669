"""Waterfalls add up, pictures repeat, and the forest that holds a person together is the one networkx finds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from whence.identity.records.explain import Waterfall, forest, marked, picture, text, values, waterfall, why
from whence.identity.records.table import MISSING, Column, Evidence, Field, Floats, Pairs, Records


class Fixed:
    """A scorer that adds what it is told."""

    def __init__(self, *rows: list[float]) -> None:
        self.rows = np.array(rows)

    def log_odds(self, evidence: Evidence) -> Floats:
        return np.asarray(self.rows.sum(axis=1))

    def contributions(self, evidence: Evidence) -> Floats:
        return np.asarray(self.rows)

    def to_json(self) -> dict[str, Any]:
        return {}


EVIDENCE = Evidence(("name:likeness", "name:rarity", "born:likeness"), np.array([[1.0, 4.0, np.nan]], dtype=np.float32))


def pairs_of(*ends: tuple[int, int]) -> Pairs:
    left, right = zip(*ends, strict=True)
    return Pairs(np.array(left, dtype=np.int32), np.array(right, dtype=np.int32))


def shown(what: Any) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(what)
    console.file.close()
    return console.export_text()


def test_signals_of_a_field_are_one_step_and_all_steps_add_up() -> None:
    fall = waterfall(Fixed([2.0, 1.5, -0.5, -1.0]), EVIDENCE, 0)
    assert [(each.name, each.log_odds) for each in fall.steps] == [("name", 3.5), ("born", -0.5)]
    assert fall.base == -1.0
    assert fall.log_odds == pytest.approx(2.0)
    assert fall.probability == pytest.approx(1 / (1 + math.exp(-2)))


def test_the_evidence_behind_a_step_leaves_out_what_is_missing() -> None:
    fall = waterfall(Fixed([2.0, 1.5, -0.5, -1.0]), EVIDENCE, 0)
    assert fall.steps[0].signals == (("name:likeness", 1.0), ("name:rarity", 4.0))
    assert fall.steps[1].signals == ()


def test_calibration_outside_the_scorer_is_a_step() -> None:
    fall = waterfall(Fixed([2.0, 1.5, -0.5, -1.0]), EVIDENCE, 0, probability=0.5)
    assert fall.steps[-2].name == "calibration"
    assert fall.log_odds == pytest.approx(0.0)


def test_small_steps_are_gathered() -> None:
    fall = waterfall(Fixed([2.0, 0.0, 0.004, -1.0]), EVIDENCE, 0)
    assert [each.name for each in fall.steps] == ["name"]
    assert fall.log_odds == pytest.approx(1.004)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_a_waterfall_ends_at_the_scorers_log_odds(parts: list[float]) -> None:
    assert waterfall(Fixed(parts), EVIDENCE, 0).log_odds == pytest.approx(sum(parts), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda e: e[0] < e[1]), min_size=1, max_size=25), st.randoms()
)
def test_the_forest_is_the_maximum_spanning_forest(ends: set[tuple[int, int]], random: Any) -> None:
    edges = sorted(ends)
    strengths = np.array([random.randint(1, 5) / 5 for _ in edges])
    found = forest(pairs_of(*edges), strengths, np.ones(len(edges), dtype=bool))
    graph = nx.Graph()
    graph.add_weighted_edges_from((a, b, float(w)) for (a, b), w in zip(edges, strengths, strict=True))
    judge = nx.maximum_spanning_tree(graph)
    assert strengths[found.links].sum() == pytest.approx(judge.size(weight="weight"))
    kept = nx.Graph([edges[at] for at in found.links])
    assert nx.is_forest(kept)
    for at, half in zip(found.links, found.halves, strict=True):
        cut = kept.copy()
        cut.remove_edge(*edges[at])
        assert half in {len(nx.node_connected_component(cut, end)) for end in edges[at]}


def test_pairs_outside_the_forest_hold_nothing() -> None:
    found = forest(pairs_of((0, 1), (0, 2), (1, 2)), np.array([0.9, 0.6, 0.8]), np.ones(3, dtype=bool))
    assert found.below(np.array([1])).tolist() == [0]
    assert forest(pairs_of((0, 1)), np.array([0.9]), np.zeros(1, dtype=bool)).below(np.array([0])).tolist() == [0]


def test_a_person_is_explained_down_to_the_weakest_link() -> None:
    pairs = pairs_of((0, 1), (0, 2), (1, 2), (2, 3), (3, 4))
    found = why(("a", "b", "c", "d", "e"), pairs, np.array([0.9, 0.6, 0.8, 0.7, 0.1]), np.array([0, 0, 0, 0, 1]), 0)
    assert [(each.left, each.right, each.probability) for each in found.links] == [
        ("a", "b", 0.9),
        ("b", "c", 0.8),
        ("c", "d", 0.7),
    ]
    assert found.weakest is not None
    assert found.weakest.probability == 0.7
    assert found.sides == (("a", "b", "c"), ("d",))


def test_one_record_needs_no_links() -> None:
    found = why(("a", "b"), pairs_of((0, 1)), np.array([0.2]), np.array([0, 1]), 1)
    assert (found.records, found.links, found.weakest) == (("b",), (), None)


def test_the_terminal_shows_both_values_and_the_sum() -> None:
    fall = waterfall(Fixed([2.0, 1.5, -0.5, -1.0]), EVIDENCE, 0)
    told = shown(text(fall, {"name": "ann lee", "born": None}, {"name": "ann leigh", "born": "1970-01-01"}))
    assert "ann leigh" in told
    assert "+3.50" in told
    assert "probability 88.1%" in told


def test_differences_are_marked_on_both_sides() -> None:
    ours, theirs = marked("12 high st", "12 high street")
    assert "".join(piece for piece, _ in ours) == "12 high st"
    assert "".join(piece for piece, _ in theirs) == "12 high street"
    assert [piece for piece, differs in theirs if differs] == ["reet"]
    assert marked(None, None) == ([], [])


def test_a_record_is_told_field_by_field() -> None:
    column = Column(Field("name", "name"), np.array([0, MISSING], dtype=np.int32), ("ann",))
    records = Records(("x", "y"), (column,))
    assert [values(records, 0), values(records, 1)] == [{"name": "ann"}, {"name": None}]


@pytest.mark.service
def test_a_picture_is_the_same_each_time_and_asks_for_nothing_from_outside() -> None:
    fall = Waterfall(-2.0, waterfall(Fixed([2.0, 1.5, -0.5, -1.0]), EVIDENCE, 0).steps, 0.73)
    one, other = picture(fall, "x and y"), picture(fall, "x and y")
    assert one == other
    assert one.startswith("<svg")
    assert 'href="http' not in one
    assert "@import" not in one


def test_names_that_the_font_lacks_are_left_to_the_readers_own() -> None:
    first, *rest = waterfall(Fixed([2.0, 1.5, -0.5, -1.0]), EVIDENCE, 0).steps
    drawn = picture(Waterfall(-2.0, (replace(first, name="姓名"), *rest), 0.73))
    assert "姓名" in drawn
    assert "姓名" not in picture(Waterfall(-2.0, (first, *rest), 0.73))
