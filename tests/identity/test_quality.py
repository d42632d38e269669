"""Pairwise quality against a judge that lists every pair, and of exact links in a world with known truth."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_world
from whence.identity import exact, signals
from whence.identity.quality import quality
from whence.lake import Lake


@pytest.mark.service
@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([None, "p", "q", "r"]), st.sampled_from("abc")), min_size=1, max_size=25))
def test_counting_pairs_equals_listing_them(rows: list[tuple[str | None, str]]) -> None:
    given_pairs = {(i, j) for i, j in combinations(range(len(rows)), 2) if rows[i][0] is not None and rows[i][0] == rows[j][0]}
    real = {(i, j) for i, j in combinations(range(len(rows)), 2) if rows[i][1] == rows[j][1]}
    events = [f"e{i}" for i in range(len(rows))]
    found = quality(pd.Series([p for p, _ in rows], index=events, dtype=object), pd.Series([t for _, t in rows], index=events))
    if given_pairs:
        assert found.precision == len(given_pairs & real) / len(given_pairs)
    if real:
        assert found.recall == len(given_pairs & real) / len(real)
    assert found.match_rate == sum(p is not None for p, _ in rows) / len(rows)


@pytest.mark.service
def test_in_a_world_with_known_truth_exact_links_are_almost_never_wrong(tmp_path: Path) -> None:
    lake = Lake.of(a_world(tmp_path, people=150, days=4))
    events = {name: lake.read(name).to_pandas() for name in ("touches", "conversions", "sightings")}
    told = signals.stack(**events)
    persons = pd.DataFrame(columns=["identifier", "person_id"])
    for _, day in told.groupby(told["seen_at"].dt.date):
        new = exact.link(day, persons)
        persons = pd.concat([persons[~persons["identifier"].isin(new["identifier"])], new[["identifier", "person_id"]]])
    assigned = exact.who(told, persons).set_axis(told["event_id"])
    truth = lake.read("truth_signals").to_pandas()
    people = truth[~truth["is_bot"]].set_index("event_id")["true_person"]
    found = quality(assigned, people)
    assert found.precision > 0.98
    assert found.recall > 0.3
    assert found.match_rate > 0.8
