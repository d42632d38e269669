from __future__ import annotations

import lightgbm
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import ecdf

from whence.delay import fsiw_weights, is_ripe, maturity_curve

WINDOW = 10.0


def a_market(seed: int, n: int = 16_000, history: float = 20.0) -> dict[str, np.ndarray]:
    """Clicks over twenty days; campaigns convert at different rates and, those that convert more, later."""
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(n, 2))
    final = generator.random(n) < expit(-1.6 + 1.2 * x[:, 0])
    lag = generator.exponential(2.5 * np.exp(0.6 * x[:, 0]))
    elapsed = generator.uniform(0, history, n)
    final &= lag <= WINDOW
    return {"x": x, "final": final, "elapsed": elapsed, "delay": np.where(final & (lag <= elapsed), lag, np.nan)}


def negative_log_likelihood(market: dict[str, np.ndarray], label: np.ndarray, weight: np.ndarray | None = None) -> float:
    """Train on the given labels, judge on a fresh market's final ones."""
    fresh = a_market(99)
    parameters = {"objective": "binary", "num_leaves": 8, "verbosity": -1, "num_threads": 1, "seed": 1, "deterministic": True}
    data = lightgbm.Dataset(market["x"], label.astype(float), weight=weight, params={"verbosity": -1})
    p = np.asarray(lightgbm.train(parameters, data, 50).predict(fresh["x"]))
    return float(-np.where(fresh["final"], np.log(p), np.log1p(-p)).mean())


def test_ripe_means_that_the_whole_window_has_passed() -> None:
    assert is_ripe([0.0, 9.99, 10.0, 11.0], WINDOW).tolist() == [False, False, True, True]


@pytest.mark.service
def test_weights_close_most_of_the_gap_between_labels_as_seen_and_final_ones() -> None:
    gaps = []
    for seed in (1, 2):
        market = a_market(seed)
        seen = ~np.isnan(market["delay"])
        weight = fsiw_weights(market["x"], market["elapsed"], market["delay"], WINDOW, threads=1)
        naive, oracle = negative_log_likelihood(market, seen), negative_log_likelihood(market, market["final"])
        gaps.append((naive - negative_log_likelihood(market, seen, weight)) / (naive - oracle))
    print("share of the gap closed:", gaps)
    assert np.mean(gaps) > 0.6


def test_weighted_labels_add_up_to_the_conversions_that_will_come() -> None:
    market = a_market(3)
    seen = ~np.isnan(market["delay"])
    weight = fsiw_weights(market["x"], market["elapsed"], market["delay"], WINDOW, threads=1)
    assert seen.sum() < 0.87 * market["final"].sum()
    assert (weight * seen).sum() / weight.sum() == pytest.approx(market["final"].mean(), rel=0.06)


def test_ripe_rows_count_one_and_fresh_negatives_less() -> None:
    market = a_market(4)
    weight = fsiw_weights(market["x"], market["elapsed"], market["delay"], WINDOW, threads=1)
    ripe, seen = is_ripe(market["elapsed"], WINDOW), ~np.isnan(market["delay"])
    assert (weight[ripe] == 1).all()
    assert weight[~ripe & ~seen].max() <= 1
    assert weight[(market["elapsed"] < 0.8 * WINDOW) & ~seen].max() < 1
    assert weight[~ripe & seen].min() >= 1
    assert weight[(market["elapsed"] < 0.8 * WINDOW) & seen].min() > 1
    assert weight.max() <= 10


def test_few_conversions_fall_back_on_the_curve() -> None:
    # 40 rows watched for two days, 40 for one; of ten conversions half come after half a day and half after 1.5
    elapsed = np.repeat([2.0, 1.0], 40)
    delay = np.full(80, np.nan)
    delay[:10], delay[40:45] = [0.5] * 5 + [1.5] * 5, 0.5
    weight = fsiw_weights(np.zeros((80, 1)), elapsed, delay, window=2.0)
    known = float(maturity_curve(elapsed, delay, 2.0).known_by(1.0))
    assert known == pytest.approx(0.5, abs=0.05)
    assert weight[40] == pytest.approx(1 / known)
    assert weight[79] == pytest.approx(1 - 0.125, abs=0.02)


def test_the_same_rows_give_the_same_weights() -> None:
    market = a_market(5, n=4000)
    first, again = (fsiw_weights(market["x"], market["elapsed"], market["delay"], WINDOW, threads=1) for _ in range(2))
    assert np.array_equal(first, again)


def test_the_curve_agrees_with_scipy_on_uncensored_delays_and_corrects_cut_ones() -> None:
    generator = np.random.default_rng(8)
    lag = generator.exponential(3.0, 5000)
    came = np.where(lag <= WINDOW, lag, np.nan)
    whole = maturity_curve(np.full(5000, WINDOW), came, WINDOW)
    ages = np.linspace(0.1, 9.9, 20)
    assert whole.known_by(ages) == pytest.approx(ecdf(lag[lag <= WINDOW]).cdf.evaluate(ages))
    elapsed = generator.uniform(0, WINDOW, 5000)
    cut = maturity_curve(elapsed, np.where(lag <= elapsed, lag, np.nan), WINDOW)
    assert cut.known_by(ages) == pytest.approx(whole.known_by(ages), abs=0.05)


def test_no_conversion_at_all_leaves_the_weights_at_one() -> None:
    weight = fsiw_weights(np.zeros((30, 1)), np.linspace(0, 3, 30), np.full(30, np.nan), window=2.0)
    assert (weight == 1).all()


def test_a_row_from_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="happens after now"):
        fsiw_weights(np.zeros((2, 1)), [-1.0, 2.0], [np.nan, np.nan], WINDOW)
