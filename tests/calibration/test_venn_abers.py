from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from whence.calibration import CalibrationError, fit

ROWS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=4, max_size=30)


def refitted(raw: np.ndarray, labels: np.ndarray, score: float, label: int) -> float:
    """Scikit-learn's isotonic regression of the rows and the new one, at the new one."""
    x, y = np.append(raw, score), np.append(labels, label)
    return float(IsotonicRegression(out_of_bounds="clip").fit(x, y).predict([score])[0])


@given(rows=ROWS, place=st.integers(0, 29))
@settings(max_examples=40, deadline=None)
def test_both_probabilities_are_what_refitting_with_the_new_row_says(rows: list[tuple[int, bool]], place: int) -> None:
    raw, labels = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    if not 0 < labels.sum() < len(labels):
        return
    score = raw[place % len(raw)]
    low, high = fit("venn_abers", raw, labels).interval(score)
    assert low == pytest.approx(refitted(raw, labels, score, 0))
    assert high == pytest.approx(refitted(raw, labels, score, 1))


def test_the_probability_lies_between_the_two_and_they_close_with_more_rows() -> None:
    generator = np.random.default_rng(2)
    widths = []
    for n in (200, 20_000):
        raw = generator.normal(0, 2, n)
        made = fit("venn_abers", raw, generator.random(n) < expit(raw))
        probe = np.linspace(-3, 3, 40)
        (low, high), said = made.interval(probe), made.apply(probe)
        assert (low <= said + 1e-2).all()
        assert (said <= high + 1e-2).all()
        widths.append(float((high - low).mean()))
    assert widths[1] < widths[0] / 5


def test_a_missing_score_is_anywhere_and_other_kinds_have_no_interval() -> None:
    raw, labels = [-1.0, 1.0] * 10, [0, 1] * 10
    low, high = fit("venn_abers", raw, labels).interval([np.nan])
    assert (low[0], high[0]) == (0.0, 1.0)
    with pytest.raises(CalibrationError, match="platt calibrator has no interval"):
        fit("platt", raw, labels).interval([0.0])
