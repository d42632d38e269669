from __future__ import annotations

import numpy as np
import pytest

from whence.delay import refund_curve
from whence.world.delays import Delays, clicks


def test_the_net_share_of_what_is_known_today_is_what_remains_at_the_end() -> None:
    world = Delays(seed=5, clicks=60_000, days=60.0, campaigns=12, level=-1.0)
    told = clicks(world)
    bought = told.converts
    happened, refund, device = (told.at + told.delay)[bought], told.refunded_after[bought], told.device[bought]
    now = 40.0
    there = happened < now
    elapsed = now - happened[there]
    delay = np.where(refund[there] <= elapsed, refund[there], np.nan)
    curve = refund_curve(elapsed, delay, 40.0, device[there])
    stands = np.isnan(delay)
    said = curve.net_share(elapsed[stands], device[there][stands])
    stays = np.isnan(refund[there][stands])
    assert np.isnan(delay).mean() > np.isnan(refund[there]).mean() + 0.015  # refunds are still to come
    assert said.mean() == pytest.approx(stays.mean(), abs=0.006)
    for each in range(5):
        here = device[there][stands] == each
        assert said[here].mean() == pytest.approx(stays[here].mean(), abs=0.03)


def test_the_older_a_conversion_the_surer_it_stays_and_an_unknown_segment_counts_as_the_whole() -> None:
    elapsed, delay = np.full(8, 4.0), np.array([1.0, 3.0] + [np.nan] * 6)
    curve = refund_curve(elapsed, delay, 4.0, ["a"] * 4 + ["b"] * 4)
    shares = curve.net_share([0.0, 1.5, 3.5])
    assert shares.tolist() == pytest.approx([0.75, 6 / 7, 1.0])
    assert curve.net_share([0.0, 0.0], ["new", "a"])[0] == pytest.approx(0.75)


def test_without_any_refund_everything_stays() -> None:
    assert refund_curve(np.ones(3), np.full(3, np.nan), 30.0).net_share(0.0).tolist() == [1.0]
