from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from whence import measures
from whence.measures import Measure
from whence.measures.fields import pooled

RANDOM = np.random.default_rng(11)


def a_calibrated_sample(n: int, seed: int = 3, per_person: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels drawn from their own probabilities, and who they belong to."""
    generator = np.random.default_rng(seed)
    probability = generator.beta(2, 8, n)
    return (generator.random(n) < probability).astype(float), probability, np.arange(n) // per_person


def test_log_loss_brier_auc_and_precision_agree_with_scikit_learn() -> None:
    y, p, _ = a_calibrated_sample(800)
    p = p.round(2)  # ties
    assert measures.log_loss(y, p).value == pytest.approx(metrics.log_loss(y, np.clip(p, 1e-6, 1 - 1e-6)))
    assert measures.brier(y, p).value == pytest.approx(metrics.brier_score_loss(y, p))
    assert measures.roc_auc(y, p).value == pytest.approx(metrics.roc_auc_score(y, p))
    assert measures.average_precision(y, p).value == pytest.approx(metrics.average_precision_score(y, p))


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), min_size=1, max_size=40),
    k=st.integers(1, 5),
)
@settings(max_examples=40, deadline=None)
def test_ndcg_agrees_with_scikit_learn_query_by_query_with_ties(rows: list[tuple[int, bool, int]], k: int) -> None:
    query, y, s = (np.array(column) for column in zip(*rows, strict=True))
    wanted = []
    for each in np.unique(query):
        labels, scores = y[query == each].astype(float), s[query == each].astype(float)
        if labels.any():
            padded = np.append(labels, 0.0), np.append(scores, -9.0)  # scikit-learn refuses a query of one row
            wanted.append(metrics.ndcg_score([padded[0]], [padded[1]], k=k))
    measure = measures.ndcg_at(k, y, s, query)
    assert measure.n == len(wanted)
    if wanted:
        assert measure.value == pytest.approx(np.mean(wanted))


def test_top1_counts_a_tie_in_part() -> None:
    # query a: the positive is first; query b: it shares the first place with one other; query c: no positive
    queries, labels, scores = list("aabbbcc"), [1, 0, 1, 0, 0, 0, 0], [0.9, 0.1, 0.5, 0.5, 0.1, 0.7, 0.2]
    assert measures.top1(labels, scores, queries).value == pytest.approx(0.75)
    assert measures.top1(labels, scores, queries).n == 2


def test_observed_over_expected_reads_as_more_came_than_was_said() -> None:
    assert measures.observed_over_expected([1, 0, 1, 1], [0.5, 0.5, 0.5, 0.5]).value == 1.5
    nothing_came = measures.observed_over_expected([0, 0], [0.5, 0.5])
    assert (nothing_came.value, nothing_came.low, nothing_came.high) == (0.0, 0.0, 3.0)


def test_calibration_error_is_near_zero_for_a_calibrated_sample_and_finds_a_shift() -> None:
    y, p, _ = a_calibrated_sample(20_000)
    assert measures.calibration_error(y, p).value < 0.006
    assert measures.calibration_error(y, p).low == 0.0
    shifted = measures.calibration_error(y, p + 0.05)
    assert shifted.value == pytest.approx(0.05, abs=0.008)
    assert shifted.low > 0.03


@pytest.mark.parametrize(
    "measure", [measures.log_loss, measures.brier, measures.roc_auc, measures.average_precision, measures.observed_over_expected]
)
def test_every_interval_holds_its_value_and_the_same_seed_gives_the_same_interval(measure) -> None:
    y, p, person = a_calibrated_sample(600, per_person=3)
    first, again = measure(y, p, person), measure(y, p, person)
    assert first == again
    assert first.low < first.value < first.high


def test_an_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    hits = 0
    for seed in range(80):
        y, p, _ = a_calibrated_sample(400, seed=seed)
        measure = measures.observed_over_expected(y, p)
        hits += measure.low <= 1.0 <= measure.high
    assert 70 <= hits <= 80


def test_rows_of_one_person_are_not_new_evidence() -> None:
    y, p, _ = a_calibrated_sample(300)
    once = measures.log_loss(y, p)
    ten_times = measures.log_loss(np.repeat(y, 10), np.repeat(p, 10), np.repeat(np.arange(300), 10))
    width, naive = ten_times.high - ten_times.low, measures.log_loss(np.repeat(y, 10), np.repeat(p, 10))
    assert width == pytest.approx(once.high - once.low, rel=0.2)
    assert naive.high - naive.low < 0.5 * width


def test_more_clusters_than_groups_give_the_same_doubt() -> None:
    x = RANDOM.normal(size=20_000)
    measure = measures.mean(x)
    assert measure.high - measure.low == pytest.approx(2 * 1.96 / np.sqrt(20_000), rel=0.2)


def test_a_paired_difference_sees_what_two_intervals_do_not() -> None:
    y, p, person = a_calibrated_sample(2000)
    better = measures.log_losses(y, p)
    worse = better + 0.01 + RANDOM.normal(0, 0.02, len(y))
    difference = measures.paired_difference(worse, better, person)
    assert difference.low > 0
    assert difference.value == pytest.approx(0.01, abs=0.002)
    a, b = measures.mean(worse), measures.mean(better)
    assert a.low < b.high  # unpaired, they overlap


def test_what_cannot_be_measured_is_nan_and_not_zero() -> None:
    for measure in (measures.roc_auc([0, 0], [0.1, 0.2]), measures.average_precision([1], [0.2]), measures.mean([])):
        assert np.isnan(measure.value)
    assert np.isnan(measures.ndcg_at(5, [0, 0], [1, 2], ["a", "a"]).value)
    assert str(Measure(0.5, 0.4, 0.6, 10)) == "0.5000 [0.4000, 0.6000] n=10"


def test_rows_that_do_not_match_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="same rows on both sides; 2 and 1"):
        measures.paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="1 names of clusters or queries for 2 rows"):
        measures.brier([0, 1], [0.1, 0.9], ["a"])


def test_an_ndcg_difference_is_taken_query_by_query() -> None:
    queries, labels = list("aabbcc"), [1, 0, 1, 0, 0, 0]
    right, half = [2, 1, 2, 1, 1, 2], [2, 1, 1, 2, 1, 2]
    second = 1 / np.log2(3)
    gain = measures.ndcg_difference(5, labels, right, half, queries)
    assert gain.value == pytest.approx((1 - second) / 2)
    assert gain.n == 2
    assert measures.ndcg_difference(5, labels, right, right, queries).high == 0


@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.integers(1, 9)), min_size=1, max_size=60),
    least=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_the_field_error_is_the_formula_cell_by_cell(rows: list[tuple[int, bool, int]], least: int) -> None:
    field, y, p = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    cells = pooled(y, field, least)
    big = {value for value in field if y[field == value].sum() >= least}
    assert all(len(set(cells[field == value])) == 1 for value in field)
    assert len(set(cells)) >= max(1, len(big) - 1)
    measure = measures.field_calibration_error(y, p / 10, field, least=least)
    if y.any():
        off = [
            abs((y - p / 10)[cells == cell].sum()) / max(y[cells == cell].mean(), 1 / (cells == cell).sum())
            for cell in set(cells)
        ]
        assert measure.value == pytest.approx(sum(off) / len(y))
        assert measure.low <= measure.value <= measure.high
    else:
        assert np.isnan(measure.value)


def test_a_field_that_is_off_by_a_tenth_measures_a_tenth() -> None:
    y, p, _ = a_calibrated_sample(40_000)
    field = np.arange(len(y)) % 4
    said = p * np.where(field < 2, 1.2, 1.0)
    off = measures.field_calibration_error(y, said, field)
    assert off.value == pytest.approx(0.1, abs=0.03)
    assert off.low < 0.1 < off.high
    assert off.low > 0.05
    assert measures.field_calibration_error(y, p, field).low < 0.01


def test_small_cells_are_pooled_and_not_measured_alone() -> None:
    y, p, _ = a_calibrated_sample(5000)
    alone = measures.field_calibration_error(y, p, np.arange(5000) // 10, least=1)
    together = measures.field_calibration_error(y, p, np.arange(5000) // 10)
    assert together.value < 0.1 < alone.value


def test_the_worst_segment_is_the_one_that_is_off_for_sure_and_not_the_noisiest() -> None:
    y, p, person = a_calibrated_sample(12_000, per_person=2)
    segment = np.where(np.arange(12_000) < 60, "small", np.where(np.arange(12_000) % 3 == 0, "off", "right"))
    worst = measures.worst_segment(y, p * np.where(segment == "off", 0.7, 1.0), segment, person)
    assert worst is not None
    assert (worst.segment, worst.among, worst.is_off) == ("off", 3, True)
    assert worst.ratio.low > 1.2
    assert worst.ratio.value == pytest.approx(1 / 0.7, rel=0.1)


@pytest.mark.service
def test_among_forty_right_segments_the_worst_is_rarely_called_off() -> None:
    alarms = 0
    for seed in range(60):
        y, p, _ = a_calibrated_sample(8000, seed=seed)
        worst = measures.worst_segment(y, p, np.arange(8000) % 40)
        assert worst is not None
        alarms += worst.is_off
    assert alarms <= 8  # uncorrected, nine in ten would alarm


def test_a_segment_without_a_positive_is_bounded_by_what_was_foretold() -> None:
    y, p = np.zeros(2000), np.full(2000, 0.05)
    worst = measures.worst_segment(y, p, np.repeat(["a", "b"], 1000))
    assert worst is not None
    assert (worst.ratio.value, worst.is_off) == (0.0, True)
    assert 3 / 50 < worst.ratio.high < 5 / 50
    assert measures.worst_segment(y, p / 1000, np.repeat(["a", "b"], 1000)) is None


def test_the_slope_of_calibration_is_that_of_a_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(4)
    odds = rng.normal(size=3000)
    y = (rng.random(3000) < 1 / (1 + np.exp(-odds))).astype(float)
    too_sure = 1 / (1 + np.exp(-2.5 * odds))
    found = measures.calibration_slope(y, too_sure)
    judge = LogisticRegression(C=np.inf).fit((2.5 * odds)[:, None], y)
    assert found.value == pytest.approx(float(judge.coef_[0, 0]), abs=1e-3)
    assert found.low < 0.4 < found.high
    assert measures.calibration_slope(y, 1 / (1 + np.exp(-odds))).low < 1


def test_a_slope_far_away_is_found_and_none_is_made_up_where_there_is_none():
    odds = np.linspace(-0.2, 0.2, 2000)
    y = (np.random.default_rng(5).random(2000) < 1 / (1 + np.exp(-10 * odds))).astype(float)
    assert measures.calibration_slope(y, 1 / (1 + np.exp(-odds))).value == pytest.approx(10, abs=1.5)
    assert np.isnan(measures.calibration_slope([0, 1, 1], [0.5, 0.5, 0.5]).value)
    assert np.isnan(measures.calibration_slope([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]).low)


def test_one_person_with_many_rows_makes_the_slope_less_sure():
    rng = np.random.default_rng(6)
    odds = np.repeat(rng.normal(size=100), 20)
    y = np.repeat((rng.random(100) < 1 / (1 + np.exp(-odds[::20]))).astype(float), 20)
    p = 1 / (1 + np.exp(-odds))
    alone, together = measures.calibration_slope(y, p), measures.calibration_slope(y, p, np.arange(2000) // 20)
    assert together.high - together.low > 3 * (alone.high - alone.low)
