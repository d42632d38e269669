"""What streams bring in all: learned together, and given to trees."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from whence.attribution import levels, response

STREAMS = tuple(f"c{at}" for at in range(8))
EFFECT = 0.8
"""What one exposure of any stream adds to the log-odds."""


@pytest.fixture(scope="module")
def told() -> tuple[pd.DataFrame, np.ndarray]:
    """Eight streams that are alike, chase intent, and hold a fifth of the people out; inputs and labels."""
    rng = np.random.default_rng(41)
    intent = rng.normal(size=5_000)
    offered = (rng.random((5_000, 8)) < expit(intent - 1)[:, None]).astype("float64")
    shown = offered * (rng.random((5_000, 8)) > 0.2)
    label = rng.random(5_000) < expit(-3 + intent + EFFECT * shown.sum(axis=1))
    counts = {f"shown.channel.all.view.{name}": shown[:, at] for at, name in enumerate(STREAMS)}
    counts |= {f"offered.channel.all.{name}": offered[:, at] for at, name in enumerate(STREAMS)}
    return pd.DataFrame(counts).assign(visits=rng.poisson(np.exp(intent))), label.astype("float64")


@pytest.fixture(scope="module")
def regression(told: tuple[pd.DataFrame, np.ndarray]) -> levels.Regression:
    found = levels.fit(*told)
    assert found is not None
    return found


def test_streams_that_are_alike_are_learned_alike_and_who_can_be_met_is_no_effect(
    told: tuple[pd.DataFrame, np.ndarray], regression: levels.Regression
) -> None:
    inputs, label = told
    effects = regression._shown * np.log(2)
    assert effects.mean() == pytest.approx(EFFECT, abs=0.15)
    each = LogisticRegression(C=np.inf, max_iter=200).fit(inputs, label).coef_[0][: len(STREAMS)]
    assert effects.std() < 0.5 * each.std()
    path_only = LogisticRegression(C=np.inf, max_iter=200).fit(inputs.filter(like="shown"), label).coef_[0]
    assert path_only.mean() > EFFECT + 0.2


def test_credit_by_trees_is_brought_to_the_level_of_the_regression(
    told: tuple[pd.DataFrame, np.ndarray], regression: levels.Regression
) -> None:
    inputs, label = told
    shy = levels.Regression(regression.schema, regression._terms, regression._before, regression._offered, regression._shown / 2)
    cases = inputs[(label > 0) & (inputs.filter(like="shown").sum(axis=1) <= 3)]
    scale = levels.factors(cases, shy, regression)
    said, meant = (response.worths(cases, each).sum() for each in (shy, regression))
    pd.testing.assert_series_equal(said * scale, meant)
    assert (scale > 1).all()
    assert levels.factors(cases, shy, None).empty


def test_without_ghosts_or_with_few_cases_nothing_is_said(told: tuple[pd.DataFrame, np.ndarray]) -> None:
    inputs, label = told
    assert levels.fit(inputs.filter(regex="^(?!offered)"), label) is None
    assert levels.fit(inputs.head(levels.LEAST_CASES), label[: levels.LEAST_CASES]) is None


def test_a_covariate_that_is_missing_or_always_the_same_does_no_harm(told: tuple[pd.DataFrame, np.ndarray]) -> None:
    inputs, label = told
    holes = inputs.assign(visits=inputs["visits"].mask(inputs.index % 3 == 0), same=7.0, none=np.nan)
    found = levels.fit(holes, label)
    assert found is not None
    assert found.score(holes)[1].mean() == pytest.approx(label.mean(), rel=0.02)
    assert found._shown.mean() * np.log(2) == pytest.approx(EFFECT, abs=0.15)


def test_the_order_of_rows_does_not_matter(told: tuple[pd.DataFrame, np.ndarray], regression: levels.Regression) -> None:
    inputs, label = told
    turned = levels.fit(inputs.iloc[::-1], label[::-1])
    assert turned is not None
    np.testing.assert_allclose(turned.score(inputs)[0], regression.score(inputs)[0], atol=1e-6)
