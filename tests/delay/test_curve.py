from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.delay import curves_by_segment, maturity_curve

WINDOW = 10.0
rows = st.lists(st.tuples(st.integers(0, 12), st.one_of(st.none(), st.integers(1, 12))), min_size=1, max_size=40)


def split(given_rows: list[tuple[int, int | None]]) -> tuple[np.ndarray, np.ndarray]:
    elapsed, delay = zip(*given_rows, strict=True)
    return np.array(elapsed, dtype=float), np.array([math.nan if each is None else each for each in delay], dtype=float)


def by_hand(elapsed: np.ndarray, delay: np.ndarray, age: float) -> float:
    """Kaplan and Meier as in the textbook: at each age the share of those still watched without a conversion that has none."""

    def survival(until: float) -> float:
        alive = 1.0
        for each in sorted({d for d, e in zip(delay, elapsed, strict=True) if d <= min(e, WINDOW)}):
            if each > until:
                break
            end = [d if d <= min(e, WINDOW) else min(e, WINDOW) for d, e in zip(delay, elapsed, strict=True)]
            watched = sum(1 for t in end if t >= each)
            came = sum(1 for t, d in zip(end, delay, strict=True) if t == each == d)
            alive *= 1 - came / watched
        return alive

    whole = 1 - survival(WINDOW)
    return 1.0 if age >= WINDOW else (1 - survival(age)) / whole if whole else 0.0


@given(rows, st.integers(0, 11))
def test_the_curve_is_kaplan_and_meiers(given_rows: list[tuple[int, int | None]], age: int) -> None:
    elapsed, delay = split(given_rows)
    assert maturity_curve(elapsed, delay, WINDOW).known_by(age) == pytest.approx(by_hand(elapsed, delay, age))


@given(rows, st.lists(st.integers(0, 2), min_size=40, max_size=40))
def test_a_curve_never_falls_and_its_interval_holds_it(given_rows: list[tuple[int, int | None]], names: list[int]) -> None:
    elapsed, delay = split(given_rows)
    ages = np.linspace(0, WINDOW, 23)
    curves = curves_by_segment(elapsed, delay, names[: len(elapsed)], WINDOW)
    for curve in (maturity_curve(elapsed, delay, WINDOW), *curves.values()):
        known, (low, high) = curve.known_by(ages), curve.interval(ages)
        assert (np.diff(known) >= -1e-12).all()
        assert ((low <= known + 1e-12) & (known <= high + 1e-12) & (low >= 0) & (high <= 1)).all()
        late = curve.late(ages)
        assert ((late >= 0) & (late <= curve.rate + 1e-12)).all()


def test_greenwoods_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(4)
    true = -np.expm1(-3.0 / 3) / -np.expm1(-WINDOW / 3)
    rate = 0.4 * -np.expm1(-WINDOW / 3)
    covered = []
    for _ in range(400):
        lag, elapsed = generator.exponential(3.0, 600), generator.uniform(0, 14, 600)
        lag[generator.random(600) > 0.4] = math.nan
        curve = maturity_curve(elapsed, lag, WINDOW)
        (low, high), (least, most) = curve.interval(3.0), curve.rate_interval()
        covered.append((low <= true <= high, least <= rate <= most))
    assert (np.mean(covered, axis=0) >= 0.92).all()
    assert (np.mean(covered, axis=0) <= 0.98).all()


def test_a_small_segment_follows_the_whole_and_a_large_one_itself() -> None:
    generator = np.random.default_rng(5)
    segment = np.array(["large"] * 4000 + ["other"] * 4000 + ["small"] * 4)
    lag = generator.exponential(np.where(segment == "large", 1.0, 4.0))
    elapsed = np.full(len(segment), WINDOW)
    curves, whole = curves_by_segment(elapsed, lag, segment, WINDOW), maturity_curve(elapsed, lag, WINDOW)
    assert curves["large"].known_by(2.0) == pytest.approx(-np.expm1(-2.0), abs=0.02)
    assert curves["small"].known_by(2.0) == pytest.approx(whole.known_by(2.0), abs=0.05)
    assert np.diff(curves["small"].interval(2.0)) < np.diff(maturity_curve(elapsed[-4:], lag[-4:], WINDOW).interval(2.0))


def test_equal_segments_have_the_curve_of_the_whole() -> None:
    elapsed, delay = np.array([4.0, 4, 4, 2] * 2), np.array([1.0, 3, math.nan, math.nan] * 2)
    curves, whole = curves_by_segment(elapsed, delay, ["a"] * 4 + ["b"] * 4, 4.0), maturity_curve(elapsed, delay, 4.0)
    for curve in curves.values():
        assert curve.shares == pytest.approx(whole.shares)
        assert curve.rate == pytest.approx(whole.rate)
