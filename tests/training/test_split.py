from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.split import CALIBRATE, FIT, FRESH, TEST, UNUSED, buckets, split


def a_log(n: int, people: int, days: int, seed: int = 1) -> tuple[pd.Series, pd.Series]:
    """Times over so many days, and whose each row is."""
    generator = np.random.default_rng(seed)
    seen_at = pd.Timestamp("2026-05-01", tz="UTC") + pd.to_timedelta(np.sort(generator.uniform(0, days * 86_400, n)), unit="s")
    return pd.Series(seen_at), pd.Series(generator.integers(0, people, n)).map("p{}".format)


@given(
    n=st.integers(50, 300), people=st.integers(2, 40), days=st.integers(2, 14), unripe=st.floats(0, 0.5), seed=st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_parts_share_neither_time_nor_people_and_only_ripe_rows_judge(
    n: int, people: int, days: int, unripe: float, seed: int
) -> None:
    seen_at, persons = a_log(n, people, days, seed)
    ripe = np.arange(n) < n * (1 - unripe)
    cut = split(seen_at, persons, ripe, holdout_time=0.2, holdout_persons=0.5, seed=seed)
    ends = [(seen_at[cut.rows(part)].min(), seen_at[cut.rows(part)].max()) for part in (FIT, CALIBRATE, TEST)]
    for (_, last), (first, _) in [(ends[0], ends[1]), (ends[1], ends[2]), (ends[0], ends[2])]:
        assert pd.isna(last) or pd.isna(first) or last < first
    assert ripe[cut.rows(TEST) | cut.rows(CALIBRATE) | cut.levels].all()
    assert not (cut.learned & cut.rows(TEST)).any()
    if cut.is_by_person:
        taught, levels, judged = (set(persons[rows]) for rows in (cut.learned, cut.levels, cut.rows(TEST)))
        assert not taught & judged
        assert not taught & levels
        assert not levels & judged


def test_a_persons_side_does_not_change_when_more_days_or_people_come() -> None:
    few, many = pd.Series(["ann", "bob"]), pd.Series(["cid", "bob", "ann", "dan"])
    assert buckets(few, 7).tolist() == buckets(many, 7)[[2, 1]].tolist()
    assert buckets(few, 7).tolist() != buckets(few, 8).tolist()


def test_the_people_who_may_be_learned_from_teach_up_to_the_newest_day() -> None:
    seen_at, persons = a_log(4000, 50, 14)
    cut = split(seen_at, persons, np.ones(4000, dtype=bool), 0.2, 0.5, seed=7)
    assert cut.is_by_person
    assert seen_at[cut.rows(FRESH)].max() > cut.test_from
    shares = {part: cut.rows(part).mean() for part in (FIT, FRESH, CALIBRATE, TEST)}
    assert shares[FIT] + shares[FRESH] == pytest.approx(0.5, abs=0.15)
    assert shares[TEST] == pytest.approx(0.067, abs=0.03)


def test_people_seen_once_are_not_kept_apart_and_the_last_fifth_tests() -> None:
    seen_at, _ = a_log(1000, 1, 4)
    persons = pd.Series([f"p{i}" for i in range(1000)])
    cut = split(seen_at, persons, np.ones(1000, dtype=bool), 0.2, 0.5, seed=7)
    assert not cut.is_by_person
    assert cut.rows(TEST).tolist() == [False] * 800 + [True] * 200
    assert cut.learned.tolist() == [True] * 800 + [False] * 200
    assert not cut.rows(UNUSED).any()


@pytest.mark.parametrize(("met_again", "judges"), [(20, 180), (100, 200)])
def test_a_few_people_met_twice_do_not_judge_but_many_are_too_many_to_leave_out(met_again: int, judges: int) -> None:
    seen_at, _ = a_log(1000, 1, 4)
    persons = pd.Series([f"p{i}" for i in range(1000)])
    persons[800 : 800 + met_again] = persons[:met_again].to_numpy()
    cut = split(seen_at, persons, np.ones(1000, dtype=bool), 0.2, 0.5, seed=7)
    assert int(cut.rows(TEST).sum()) == judges
    assert set(persons[cut.rows(TEST)]).isdisjoint(persons[cut.learned]) == (met_again == 20)
