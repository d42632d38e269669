from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from whence.calibration import KINDS, CalibrationError, Calibrator, Fields, fit, staircase
from whence.contracts.models import FeatureSchema

ANY_SCORE = st.floats(allow_nan=True, allow_infinity=True)
SCHEMA = FeatureSchema(("hour",), {"device": ("phone", "tablet", "tv")})
OF_ONE_ROW = np.array([12.0, 1.0])


def scores_and_labels(n: int = 6000, slope: float = 0.6, offset: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Raw scores whose true log-odds are slope · raw + offset."""
    generator = np.random.default_rng(5)
    raw = generator.normal(0, 2, n)
    return raw, (generator.random(n) < expit(slope * raw + offset)).astype(float)


def fields_of(n: int, seed: int = 6) -> Fields:
    """Hours and devices that have nothing to do with the labels, some of them missing and some unseen."""
    generator = np.random.default_rng(seed)
    hours = np.where(generator.random(n) < 0.1, np.nan, generator.integers(0, 24, n))
    return Fields(np.column_stack([hours, generator.integers(-1, 3, n)]), SCHEMA, SCHEMA.names)


def fitted(kind: str, raw: np.ndarray, labels: np.ndarray) -> Calibrator:
    return fit(kind, raw, labels, fields=fields_of(len(raw)))


def applied(calibrator: Calibrator, raw: np.ndarray) -> np.ndarray:
    """Probabilities of scores that are all of one row's fields."""
    return calibrator.apply(raw, np.tile(OF_ONE_ROW, (np.size(raw), 1)))


FITTED = {kind: fitted(kind, *scores_and_labels()) for kind in KINDS}
FLAT = {kind: fitted(kind, -scores_and_labels()[0], scores_and_labels()[1]) for kind in KINDS}
"""Fitted to scores that say the opposite."""


@pytest.mark.parametrize("kind", KINDS)
def test_the_true_probabilities_are_found_again(kind: str) -> None:
    raw = np.linspace(-4, 4, 50)
    assert np.abs(applied(FITTED[kind], raw) - expit(0.6 * raw - 1.0)).mean() < 0.03


@pytest.mark.skipif(staircase.compiled() is None, reason="the staircase was not built: there is no C compiler here")
@given(
    st.lists(st.floats(-3, 3) | st.integers(-2, 2), min_size=1, max_size=6), st.lists(ANY_SCORE | st.integers(-2, 2), max_size=6)
)
@settings(max_examples=60, deadline=None)
def test_the_compiled_staircase_gives_what_numpy_does(knots: list[float], scores: list[float]) -> None:
    raw, places = np.array(scores, float), np.array(sorted(knots), float)
    for is_flat in (False, True):
        levels = np.linspace(-2, 0.1, len(places) + is_flat) ** 3
        ours = staircase.odds(raw, (places, levels), 0.3, 1.7, is_flat=is_flat)
        if not (np.abs(raw) <= staircase.MOST).all():
            assert ours is None
            continue
        assert ours is not None
        assert ours.tobytes() == staircase.odds_plainly(raw, (places, levels), 0.3, 1.7, is_flat=is_flat).tobytes()


@pytest.mark.parametrize("kind", KINDS)
@given(scores=st.lists(ANY_SCORE, min_size=2, max_size=30))
@settings(max_examples=60, deadline=None)
def test_any_float_gets_a_probability_and_no_two_scores_turn_round(kind: str, scores: list[float]) -> None:
    raw = np.array(scores)
    probability = applied(FITTED[kind], raw)
    assert ((probability >= 1e-6) & (probability <= 1 - 1e-6)).all()
    known = np.sort(raw[~np.isnan(raw)])
    assert (np.diff(applied(FITTED[kind], known)) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_neighbouring_floats_do_not_turn_round_and_separate_scores_stay_apart(kind: str) -> None:
    knots = FITTED[kind].knots or (0.0, 1.0)
    around = np.array([np.nextafter(k, way) for k in knots for way in (-np.inf, k, np.inf)])
    assert (np.diff(applied(FITTED[kind], np.sort(around))) >= 0).all()
    assert (np.diff(applied(FITTED[kind], np.linspace(-8, 8, 500))) > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_score_gets_the_base_rate(kind: str) -> None:
    assert applied(FITTED[kind], np.array([np.nan])) == pytest.approx(scores_and_labels()[1].mean())


@pytest.mark.parametrize("kind", KINDS)
def test_scores_that_say_the_opposite_are_flattened_and_not_turned(kind: str) -> None:
    raw = np.sort(scores_and_labels()[0])
    assert (np.diff(applied(FLAT[kind], raw)) >= 0).all()
    assert np.ptp(applied(FLAT[kind], raw[raw < np.quantile(raw, 0.999)])) < 0.02


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0.01, 20), is_flat=st.booleans())
@settings(max_examples=25, deadline=None)
def test_at_least_99_of_100_distinct_scores_stay_distinct(kind: str, seed: int, spread: float, is_flat: bool) -> None:
    raw = np.unique(np.random.default_rng(seed).normal(0, spread, 300))
    probability = applied((FLAT if is_flat else FITTED)[kind], raw)
    assert len(np.unique(probability)) >= 0.99 * len(raw)


@pytest.mark.parametrize("kind", KINDS)
def test_json_keeps_every_bit(kind: str) -> None:
    again = Calibrator.from_json(json.loads(json.dumps(FITTED[kind].to_json())))
    raw = np.linspace(-20, 20, 1001)
    assert again == FITTED[kind]
    assert np.array_equal(applied(again, raw), applied(FITTED[kind], raw))


def test_platt_agrees_with_an_unpenalised_logistic_regression() -> None:
    raw, labels = scores_and_labels()
    judge = LogisticRegression(C=np.inf, tol=1e-8).fit(raw[:, None], labels)
    assert FITTED["platt"].apply(raw) == pytest.approx(judge.predict_proba(raw[:, None])[:, 1], abs=2e-3)


def test_isotonic_follows_scikit_learn_within_a_bin() -> None:
    raw, labels = scores_and_labels()
    judge = IsotonicRegression(out_of_bounds="clip").fit(raw, labels)
    assert np.abs(FITTED["isotonic"].apply(raw) - judge.predict(raw)).mean() < 0.01


def test_a_weight_of_two_is_the_row_twice() -> None:
    raw, labels = scores_and_labels(400)
    weights = np.where(labels > 0, 2.0, 1.0)
    twice = np.repeat(np.arange(400), weights.astype(int))
    probe = np.linspace(-3, 3, 9)
    assert fit("platt", raw, labels, weights).apply(probe) == pytest.approx(
        fit("platt", raw[twice], labels[twice]).apply(probe), abs=1e-5
    )


def test_four_separated_rows_do_not_give_certainty() -> None:
    assert fit("platt", [-1, -1, 1, 1], [0, 0, 1, 1]).apply(1.0) < 0.9


@pytest.mark.parametrize(
    ("kind", "raw", "labels", "message"),
    [
        ("spline", [0.0], [1], "no calibrator 'spline'. Choose one of platt, beta, isotonic, venn_abers, monotone_gbdt"),
        ("platt", [0.0, 1.0], [1, 1], "needs both classes; 2 positive and 0 negative"),
        ("platt", [0.0, 1.0], [1], "2 scores, 1 labels"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(kind: str, raw: list[float], labels: list[int], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        fit(kind, raw, labels)


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": [-1.0, 0.0]},
        {"parameters": [1.0]},
        {"kind": "spline"},
        {"base_rate": "much"},
        {"parameters": [float("nan"), 0]},
    ],
)
def test_a_spoiled_calibrator_is_not_loaded(change: dict[str, object]) -> None:
    with pytest.raises(CalibrationError, match="Train the model again"):
        Calibrator.from_json({**FITTED["platt"].to_json(), **change})


def test_a_staircase_that_falls_is_not_loaded() -> None:
    given = FITTED["isotonic"].to_json()
    with pytest.raises(CalibrationError, match="turn scores round"):
        Calibrator.from_json({**given, "levels": given["levels"][::-1]})


def test_one_that_was_stored_before_ends_were_soft_answers_as_it_did() -> None:
    given = {"kind": "platt", "base_rate": 0.3, "parameters": [1.0, 0.0], "knots": [], "levels": []}
    old, new = Calibrator.from_json(given), Calibrator.from_json({**given, "ends": "soft"})
    assert old.apply([13.5, 20.0, 25.0]).tolist() == [expit(13.5), 1 - 1e-6, 1 - 1e-6]
    assert "ends" not in old.to_json()
    assert np.array_equal(old.apply([-12.9, 0.0, 12.9]), new.apply([-12.9, 0.0, 12.9]))
    assert (np.diff(new.apply([13.5, 20.0, 25.0])) > 0).all()
