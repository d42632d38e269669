"""The world of late labels: its truth is true, and what is known at a time grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from whence.world.delays import TRIALS_FROM, Delays, clicks

WORLD = Delays(seed=1, clicks=20_000, days=20.0, campaigns=10, window=8.0, scale=2.0, level=-1.0)


def test_as_many_convert_as_the_true_chances_say() -> None:
    for world in (WORLD, replace(WORLD, trial_days=4.0)):
        told = clicks(world)
        doubt = np.sqrt((told.chance * (1 - told.chance)).sum())
        assert abs(told.converts.sum() - told.chance.sum()) < 4 * doubt
        for device in range(5):
            here = told.device == device
            assert told.converts[here].mean() == pytest.approx(told.chance[here].mean(), abs=0.03)


def test_what_is_known_grows_to_the_final_labels_and_comes_within_the_window() -> None:
    told = clicks(WORLD)
    counts = [int((~np.isnan(told.known(now))).sum()) for now in (5.0, 10.0, 20.0, 28.0)]
    assert counts == sorted(counts)
    assert counts[-1] == told.converts.sum()
    assert np.nanmax(told.delay) <= WORLD.window
    refunded = ~np.isnan(told.refunded_after)
    assert refunded.sum() > 0
    assert told.converts[refunded].all()


def test_a_click_is_of_a_campaign_that_runs_and_a_trial_has_to_end_first() -> None:
    told = clicks(replace(WORLD, trial_days=4.0, lives=(40.0, 80.0)))
    assert (told.at + 1 > told.starts[told.campaign]).all()
    assert np.nanmin(told.delay[told.device > TRIALS_FROM]) > 4.0


def test_the_same_settings_give_the_same_clicks_and_another_seed_others() -> None:
    first, again, other = clicks(WORLD), clicks(WORLD), clicks(replace(WORLD, seed=2))
    assert np.array_equal(first.delay, again.delay, equal_nan=True)
    assert not np.array_equal(first.delay, other.delay, equal_nan=True)
