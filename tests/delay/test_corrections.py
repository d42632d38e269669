from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.delay import CORRECTIONS, Rows, Taught, as_known, correct, maturity_curve, unfolded
from whence.delay.speed import known_by_age
from whence.world.delays import Clicks, Delays, clicks

NOW = 20.0
WORLD = Delays(seed=3, clicks=16_000, days=24.0, campaigns=12, window=10.0, scale=2.0, level=-1.5)


@pytest.fixture(scope="module")
def market() -> Clicks:
    return clicks(WORLD)


def as_rows(market: Clicks, now: float = NOW) -> Rows:
    there = market.at < now
    return Rows.of(
        market.features[there], now - market.at[there], market.known(now)[there], WORLD.window,
        segment=market.device[there], categories=(5, 6),
    )  # fmt: skip


@pytest.fixture(scope="module")
def lessons(market: Clicks) -> dict[str, Taught]:
    return {name: correct(name, as_rows(market)) for name in CORRECTIONS}


@pytest.mark.service
@pytest.mark.parametrize("name", [name for name in CORRECTIONS if name != "naive"])
def test_each_correction_brings_back_the_level_that_labels_as_seen_lack(
    market: Clicks, lessons: dict[str, Taught], name: str
) -> None:
    rows, taught = as_rows(market), lessons[name]
    fresh = rows.elapsed < 5
    final = market.converts[market.at < NOW]
    seen = rows.label[fresh].mean() / final[fresh].mean()
    level = np.average(taught.label[fresh], weights=taught.weight[fresh]) / final[fresh].mean()
    assert seen < 0.8
    assert level == pytest.approx(1.0, abs=0.12)


@pytest.mark.parametrize("name", CORRECTIONS)
def test_ripe_rows_are_taught_as_they_are(market: Clicks, lessons: dict[str, Taught], name: str) -> None:
    rows, taught = as_rows(market), lessons[name]
    assert (taught.label[rows.ripe] == rows.label[rows.ripe]).all()
    assert (taught.weight[rows.ripe] == 1).all()
    assert ((taught.label >= 0) & (taught.label <= 1) & (taught.weight >= 0)).all()
    assert (taught.label[rows.label > 0] == 1).all()


@pytest.mark.parametrize("name", ["fsiw", "soft"])
def test_what_is_taught_at_a_deadline_is_the_same_whatever_came_after_it(market: Clicks, name: str) -> None:
    now, back = 15.0, 5.0
    there = market.at < now
    elapsed = now - market.at[there]
    then = as_known(elapsed, market.known(now)[there], back)
    known = Rows.of(market.features[there][then.happened], then.elapsed, then.delay, WORLD.window, categories=(5, 6))
    seen_then = replace(as_rows(market, now - back), segment=None)
    first, second = correct(name, known), correct(name, seen_then)
    assert first.label == pytest.approx(second.label)
    assert first.weight == pytest.approx(second.weight)


def test_speed_by_features_is_nearer_to_the_truth_than_one_curve_for_all(market: Clicks) -> None:
    rows = as_rows(market)
    there = market.at < NOW
    pace = (WORLD.window / market.scale[there]) ** WORLD.shape
    truth = np.expm1(-((rows.elapsed / market.scale[there]) ** WORLD.shape)) / np.expm1(-pace)
    young, weight = rows.elapsed < 6, market.chance[there]

    def error(known: np.ndarray) -> float:
        return float(np.average((known - truth)[young] ** 2, weights=weight[young]))

    assert error(known_by_age(rows)) < 0.6 * error(rows.curve.known_by(rows.elapsed))


def test_few_conversions_are_weighed_by_the_curve_of_their_segment() -> None:
    elapsed = np.repeat([2.0, 1.0], 40)
    delay = np.full(80, np.nan)
    delay[:10], delay[40:45] = [0.5] * 5 + [1.5] * 5, 0.5
    rows = Rows.of(np.zeros((80, 1)), elapsed, delay, 2.0)
    known, late = rows.curve.known_by(1.0), maturity_curve(elapsed, delay, 2.0).late(1.0)
    fsiw, rescale = correct("fsiw", rows), correct("rescale", rows)
    assert rescale.weight[[40, 79]] == pytest.approx([1 / known, 1 - late])
    assert fsiw.weight[[40, 79]] == pytest.approx([1.0, known * (1 - late)])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 5)), min_size=1, max_size=20), st.floats(0.01, 0.99))
def test_unfolded_rows_cost_what_the_folded_ones_do(given_rows: list[tuple[float, float]], p: float) -> None:
    label, weight = (np.array(column) for column in zip(*given_rows, strict=True))
    place, zero_or_one, shared = unfolded(label, weight)
    assert set(zero_or_one) <= {0.0, 1.0}
    assert np.bincount(place, shared, len(label)) == pytest.approx(weight)
    assert np.bincount(place, shared * zero_or_one, len(label)) == pytest.approx(weight * label)
    cost = -(label * np.log(p) + (1 - label) * np.log(1 - p))
    assert (shared * -np.where(zero_or_one > 0, np.log(p), np.log(1 - p))).sum() == pytest.approx((weight * cost).sum())


def test_an_unknown_correction_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"no correction of labels 'wait'. There are fsiw, soft, em, rescale, naive"):
        correct("wait", Rows.of(np.zeros((1, 1)), [1.0], [np.nan], 2.0))


def test_rows_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="3 rows of features and 2 watches"):
        Rows.of(np.zeros((3, 1)), [1.0, 1.0], [np.nan, np.nan], 2.0)
