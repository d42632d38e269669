"""How much each stream brings in all: a regression in which streams lend each other strength, and trees brought to its level.

Trees learn many small effects too small, each by less than its own data can tell. Here the log-odds of converting are a sum:
of what was known of a person before, of opportunities, and of exposures. What a stream's exposures do is taken as drawn
around what exposures of its kind do on average. Its opportunities speak of the person: first as one of all the ads that could
be met, and by how much it goes with what foretells a conversion; what only this stream's tell beyond that is taken as drawn
around nothing. How far the draws spread is learned, too: each stream's ghosts are believed as far as they tell, and those of
all streams together say how much those who can be shown an ad would have converted anyway.

Reference: Efron and Morris (1975), Data analysis using Stein's estimator, for strength that estimates lend each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit

from whence.attribution import response
from whence.attribution.response import Columns, Scores
from whence.contracts.models import FeatureSchema
from whence.encoding import encode

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEAST_CASES = 100
"""With fewer conversions the regression says nothing."""
MOST_ASKED = 2_000
"""Conversions that trees and regression are both asked about, at most."""
WEAK = 1.0
"""A penalty that is nothing beside thousands of rows, and keeps columns that say nothing from running away."""
FIRST_SPREADS = (0.3, 0.1)
"""Of effects, and of what only one stream's opportunities tell: where the search for them starts, in log-odds."""
LEAST_SPREAD = 1e-3
ROUNDS = 60
NEAR = 1e-4
"""Weights that change by less from round to round are found."""
FAR = 4.0
"""In standard deviations: a covariate further out than this counts as so far out."""


@dataclass(frozen=True)
class Regression:
    """Log-odds of converting as a sum; as a response.Scores, so that it can be asked whatever trees are asked."""

    schema: FeatureSchema
    _terms: _Terms
    _before: Floats
    """The weights of what was known before, …"""
    _offered: Floats
    """… of the logarithm of each stream's opportunities, …"""
    _shown: Floats
    """… and of that of each kind of each stream's exposures: never below 0."""

    def score(self, frame: pd.DataFrame | Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Raw scores and probabilities, one a row."""
        before, offered, shown = self._terms.of(encode(frame, self.schema))
        raw = np.asarray(before @ self._before + offered @ self._offered + shown @ self._shown)
        return raw, np.asarray(expit(raw))


def fit(inputs: pd.DataFrame, label: Floats) -> Regression | None:
    """The regression of the label on the inputs (as in response.frame); None without ghosts, or with too few cases to learn from."""
    columns, schema = response.columns_named(tuple(inputs.columns)), FeatureSchema(tuple(inputs.columns))
    if not columns.offered or not columns.shown or min(label.sum(), (1 - label).sum()) < LEAST_CASES:
        return None
    matrix = encode(inputs, schema)
    terms = _Terms.learned(schema.names, columns, matrix)
    before, offered, shown = terms.of(matrix)
    foretold = before @ _solved(before, label, np.full(before.shape[1], WEAK), _start(before, label))[0]
    index = _index(offered, foretold)
    kinds = terms.kinds
    design = np.column_stack([before, offered @ index, shown @ kinds, shown, offered])
    ends = np.cumsum([before.shape[1], index.shape[1], kinds.shape[1], shown.shape[1], offered.shape[1]])
    weights = _hierarchical(design, label, drawn=(slice(ends[2], ends[3]), slice(ends[3], ends[4])))
    known, common, mean, own, rest = np.split(weights, ends[:-1])
    return Regression(schema, terms, known, index @ common + rest, np.maximum(kinds @ mean + own, 0.0))


def factors(inputs: pd.DataFrame, trees: Scores, regression: Regression | None, *, sampled: bool = True) -> pd.Series:
    """What each stream's credit by `trees` is to be multiplied by, to sum to what it is by the regression.

    `inputs` are of conversions, which neither has learned from. 1 for a stream that trees see no effect of at all; empty
    without a regression.
    """
    if regression is None:
        return pd.Series(dtype="float64")
    some = inputs.iloc[:: -(-len(inputs) // MOST_ASKED) or 1]
    said, found = (response.worths(some, each, sampled=sampled).sum() for each in (trees, regression))
    return (found / said.where(said > 0)).fillna(1.0)


@dataclass(frozen=True)
class _Terms:
    """From a model's inputs to the terms of a sum."""

    covariates: Ints
    """The places of the covariates among the inputs, …"""
    middle: Floats
    spread: Floats
    """… with mean and standard deviation of their logarithms, …"""
    gaps: Ints
    """… and those of them that may be missing."""
    shown: tuple[Ints, ...]
    """The places of the exposures of each stream and kind: one for each fading."""
    offered: tuple[Ints, ...]
    """The places of the opportunities of each stream."""
    kinds: Floats
    """Which kind each of `shown` is of: a column a kind."""

    @classmethod
    def learned(cls, names: Sequence[str], columns: Columns, matrix: Floats) -> _Terms:
        """The terms for inputs of these names, put on the scale of these rows."""
        place = {name: at for at, name in enumerate(names)}
        covariates = np.array([at for name, at in place.items() if name not in set(columns.names)], dtype=np.int64)
        logs = _log(matrix[:, covariates])
        is_known = ~np.isnan(logs)
        count = np.maximum(is_known.sum(axis=0), 1)
        middle = np.where(is_known, logs, 0.0).sum(axis=0) / count
        spread = np.sqrt(np.where(is_known, (logs - middle) ** 2, 0.0).sum(axis=0) / count)
        by_kind = sorted({kind for _, kind in columns.shown})

        def places(*what: str) -> Ints:
            first, *rest = what
            return np.array([place[response.column_name(columns.by, first, fading, *rest)] for fading in columns.fadings])

        return cls(
            covariates=covariates,
            middle=middle,
            spread=np.where(spread > 0, spread, 1.0),
            gaps=np.flatnonzero(~is_known.all(axis=0)),
            shown=tuple(places("shown", kind, stream) for stream, kind in columns.shown),
            offered=tuple(places("offered", stream) for stream in columns.offered),
            kinds=np.array([[float(kind == each) for each in by_kind] for _, kind in columns.shown]),
        )

    def of(self, matrix: Floats) -> tuple[Floats, Floats, Floats]:
        """What was known before (with squares and products), opportunities, exposures: matrices with a row for each row."""
        logs = (_log(matrix[:, self.covariates]) - self.middle) / self.spread
        plain = np.clip(np.nan_to_num(logs), -FAR, FAR)
        both = [plain[:, one] * plain[:, other] for one, other in combinations(range(plain.shape[1]), 2)]
        missing = np.isnan(logs[:, self.gaps]).astype(np.float64)
        before = np.column_stack([np.ones(len(matrix)), plain, plain**2, *both, missing])
        counts = (np.column_stack([matrix[:, at].mean(axis=1) for at in places]) for places in (self.offered, self.shown))
        offered, shown = (np.log1p(each) for each in counts)
        return before, offered, shown


def _index(offered: Floats, foretold: Floats) -> Floats:
    """Two weights for each stream's opportunities: one alike for all, and by how much they go with what is foretold; on one scale."""
    with_one = np.column_stack([np.ones(len(offered)), offered])
    goes_with = np.linalg.lstsq(with_one, foretold, rcond=None)[0][1:]
    both = np.column_stack([np.ones(offered.shape[1]), goes_with])
    spread = (offered @ both).std(axis=0)
    return np.asarray(both / np.where(spread > 0, spread, 1.0))


def _hierarchical(design: Floats, label: Floats, drawn: Sequence[slice]) -> Floats:
    """Weights of a logistic regression whose `drawn` columns are spread around 0, as far as the rows say; by EM, a step at a time."""
    penalty = np.full(design.shape[1], WEAK)
    for columns, spread in zip(drawn, FIRST_SPREADS, strict=True):
        penalty[columns] = 1 / spread**2
    weights = _start(design, label)
    for _ in range(ROUNDS):
        before = weights
        weights, doubt = _solved(design, label, penalty, weights, most=1)
        for columns in drawn:
            penalty[columns] = 1 / max(float((weights[columns] ** 2 + doubt[columns]).mean()), LEAST_SPREAD**2)
        if np.abs(weights - before).max() < NEAR:
            break
    return weights


def _solved(design: Floats, label: Floats, penalty: Floats, weights: Floats, most: int = ROUNDS) -> tuple[Floats, Floats]:
    """Weights of a penalised logistic regression after at most so many steps of Newton's, and the variance of each."""
    worth = _worth(design, label, penalty, weights)
    for _ in range(most):
        chance = expit(design @ weights)
        bent = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(bent, design.T @ (label - chance) - penalty * weights)
        while (found := _worth(design, label, penalty, weights + step)) < worth and np.abs(step).max() > NEAR:
            step /= 2
        weights, worth = weights + step, found
        if np.abs(step).max() < NEAR:
            break
    return weights, np.diag(np.linalg.inv(bent))


def _worth(design: Floats, label: Floats, penalty: Floats, weights: Floats) -> float:
    """The logarithm of the likelihood, less the penalty."""
    raw = design @ weights
    return float(label @ raw - np.logaddexp(0.0, raw).sum() - penalty @ weights**2 / 2)


def _start(design: Floats, label: Floats) -> Floats:
    """The weights of a constant, which is the first column."""
    weights = np.zeros(design.shape[1])
    weights[0] = logit(label.mean())
    return weights


def _log(values: Floats) -> Floats:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
