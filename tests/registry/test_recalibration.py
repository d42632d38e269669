"""The gate of a recalibration: the same order, a better level for sure on later rows, and no part that pays for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import expit

from registry import gate
from registry.gate import Evaluation, Evidence, recalibration
from registry.policy import load_policy
from whence.contracts.models import CONVERSION_VALUE

POLICY = load_policy(CONVERSION_VALUE)
ROWS = 2400


def a_world(shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds that the champion says, and labels of a world where they are higher by `shift`."""
    rng = np.random.default_rng(5)
    odds = rng.normal(-1.5, 1, ROWS)
    return odds, (rng.random(ROWS) < expit(odds + shift)).astype(float)


def verdict(odds: np.ndarray, labels: np.ndarray, said: np.ndarray, **given: Any) -> gate.Verdict:
    """On what is said instead, of rows that are later than those learned from."""
    places = np.arange(ROWS, dtype=np.uint64)
    seen = np.datetime64("2026-05-10", "us") + np.arange(ROWS).astype("timedelta64[s]")
    learned = gate.Learned(places, places, places, seen - given.pop("earlier", np.timedelta64(1, "D")))
    plain = Evaluation("new", "2026-05-10", labels, expit(said), expit(odds), places // 2, label_age_days=np.full(ROWS, 5.0))
    new = replace(plain, **given)
    old = replace(new, bundle="old", probability=expit(odds))
    evidence = Evidence(
        places,
        places,
        places,
        seen,
        np.full(ROWS, np.nan),
        np.empty((ROWS, 0)),
        (),
        frozenset(),
        learned=learned,
        findings=(gate.Finding(CONVERSION_VALUE, "calm", "all", "all", ""),),
    )
    return recalibration.judge(new, old, POLICY, evidence, has_same_trees=True)


def test_twice_the_odds_in_the_world_promote_log_odds_that_are_raised_as_much() -> None:
    odds, labels = a_world(np.log(2))
    found = verdict(odds, labels, odds + np.log(2))
    assert found.decision == gate.PROMOTE, found.reasons
    assert [check.outcome for check in found.checks if check.name in ("trees", "order", "later rows", "champion")] == ["pass"] * 4


def test_a_level_that_was_right_stays() -> None:
    odds, labels = a_world()
    assert verdict(odds, labels, odds + 0.3).decision == gate.REFUSE
    assert verdict(odds, labels, odds - 0.02).decision != gate.PROMOTE


def test_rows_that_change_places_are_no_recalibration() -> None:
    odds, labels = a_world(np.log(2))
    said = np.where(np.arange(ROWS) % 7 == 0, odds, odds + np.log(2))
    assert "change places" in " ".join(verdict(odds, labels, said).reasons)


def test_a_part_whose_level_was_right_does_not_pay_for_the_others() -> None:
    odds, labels = a_world()
    moved = np.arange(ROWS) % 5 > 0
    _, raised = a_world(np.log(4))
    channel = np.where(moved, "search", "social")
    found = verdict(odds, np.where(moved, raised, labels), odds + np.log(3.2), slices={"segment": channel})
    assert found.decision == gate.REFUSE
    assert any("segment=social" in reason for reason in found.reasons)


def test_rows_that_were_fitted_to_do_not_judge() -> None:
    odds, labels = a_world(np.log(2))
    found = verdict(odds, labels, odds + np.log(2), earlier=np.timedelta64(0, "D"))
    assert found.decision == gate.REFUSE
    assert "older than the newest one" in " ".join(found.reasons)
