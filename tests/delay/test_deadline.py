from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whence.delay import as_known

times = st.floats(0, 30, allow_nan=False)
rows = st.lists(st.tuples(times, st.one_of(st.none(), times)), min_size=1, max_size=30)


@given(rows, times, st.randoms(use_true_random=False))
def test_nothing_that_came_after_the_deadline_changes_what_was_known_then(given_rows, back, random) -> None:
    elapsed = np.array([e for e, _ in given_rows])
    delay = np.array([math.nan if d is None else d for _, d in given_rows])
    then = as_known(elapsed, delay, back)
    came_later = ~(delay <= elapsed - back)
    other = delay.copy()
    other[came_later] = [
        random.choice([math.nan, elapsed[i] - back + random.uniform(1e-6, 5)]) for i in np.flatnonzero(came_later)
    ]
    again = as_known(elapsed, other, back)
    assert np.array_equal(then.happened, again.happened)
    assert np.array_equal(then.elapsed, again.elapsed)
    assert np.array_equal(then.delay, again.delay, equal_nan=True)


@pytest.mark.service
@given(rows, times)
def test_rows_of_then_had_happened_and_their_conversions_had_come(given_rows, back) -> None:
    elapsed = np.array([e for e, _ in given_rows])
    delay = np.array([math.nan if d is None else d for _, d in given_rows])
    then = as_known(elapsed, delay, back)
    assert len(then.elapsed) == len(then.delay) == int((elapsed > back).sum())
    assert (then.elapsed > 0).all()
    assert (np.isnan(then.delay) | (then.delay <= then.elapsed)).all()


def test_a_deadline_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="lies in the past"):
        as_known([1.0], [0.5], back=-1.0)
