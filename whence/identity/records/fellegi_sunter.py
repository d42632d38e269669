"""Log-odds without labels: Fellegi and Sunter's model of agreement, its rates found by expectation and maximisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from whence.identity.records.table import Evidence, Floats

Levels = npt.NDArray[np.int8]

EDGES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.88, 0.94)
"""Likeness is cut here; equal values come above, cut by their rarity."""
RARITIES = (3.0, 5.0, 7.0, 9.0)
"""Nats of surprise at which equal values are cut: one record in 20, 150, 1,100, 8,100."""
SILENT = -1
ROUNDS = 60
SETTLED = 1e-5
PRIOR = 2.0
"""Pairs' worth of belief that a level is as common among matches as among others."""


@dataclass(frozen=True)
class Weights:
    """What each level of one field's agreement adds to the log-odds."""

    field: str
    levels: tuple[float, ...]


@dataclass(frozen=True)
class FellegiSunter:
    """Log-odds as a base and one weight for each field's level of agreement; a missing value adds nothing."""

    base: float
    weights: tuple[Weights, ...]

    def log_odds(self, evidence: Evidence) -> Floats:
        """Natural log-odds of each pair."""
        return np.asarray(self.contributions(evidence).sum(axis=1))

    def contributions(self, evidence: Evidence) -> Floats:
        """What each signal adds; a field's weight stands with its likeness, the base in the last column."""
        added = np.zeros((len(evidence.values), len(evidence.names) + 1))
        added[:, -1] = self.base
        for each in self.weights:
            level = levels(evidence, each.field)
            added[:, evidence.names.index(f"{each.field}:likeness")] = np.append(each.levels, 0.0)[level]
        return added

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `from_json` gives back the same scorer."""
        return {"kind": "fellegi_sunter", "base": self.base, "weights": {each.field: list(each.levels) for each in self.weights}}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> FellegiSunter:
        """The scorer of a dict that `to_json` made."""
        return cls(float(given["base"]), tuple(Weights(field, tuple(of)) for field, of in given["weights"].items()))


def levels(evidence: Evidence, field: str) -> Levels:
    """The level of agreement of each pair: SILENT without a value, then by likeness, then equal by rarity."""
    likeness = evidence.values[:, evidence.names.index(f"{field}:likeness")]
    rarity = evidence.values[:, evidence.names.index(f"{field}:rarity")]
    level = np.searchsorted(EDGES, likeness, side="right")
    level = np.where(likeness == 1.0, len(EDGES) + 1 + np.searchsorted(RARITIES, rarity, side="right"), level)
    return np.where(np.isnan(likeness), SILENT, level).astype(np.int8)


COUNT = len(EDGES) + len(RARITIES) + 2


def fit(evidence: Evidence, chance: Evidence, share: float = 0.2) -> FellegiSunter:
    """Rates of agreement among matches and others; `chance` is the evidence of pairs drawn at random.

    `share` is the first guess of how many of the candidates are matches.
    """
    fields = tuple(name.removesuffix(":likeness") for name in evidence.names if name.endswith(":likeness"))
    seen = (
        np.column_stack([levels(evidence, each) for each in fields]) if fields else np.empty((len(evidence.values), 0), np.int8)
    )
    drawn = np.column_stack([levels(chance, each) for each in fields]) if fields else np.empty((len(chance.values), 0), np.int8)
    patterns, times = _patterns(seen)
    others = [_rates(drawn[:, place], np.ones(len(drawn))) for place in range(len(fields))]
    matches = [_first_guess() for _ in fields]
    base, matches, others = _expect_and_maximise(patterns, times, matches, others, share)
    weights = tuple(Weights(name, tuple(_rising(m, u).tolist())) for name, m, u in zip(fields, matches, others, strict=True))
    return FellegiSunter(base, weights)


def _patterns(seen: Levels) -> tuple[Levels, Floats]:
    patterns, times = np.unique(seen, axis=0, return_counts=True)
    return patterns, times.astype(np.float64)


def _first_guess() -> Floats:
    """Most matches agree in full; the rest are spread, more among the alike."""
    guess = np.append(np.linspace(0.01, 0.06, len(EDGES) + 1), np.full(len(RARITIES) + 1, 0.8 / (len(RARITIES) + 1)))
    return np.asarray(guess / guess.sum())


def _rates(level: Levels, weight: Floats) -> Floats:
    known = level != SILENT
    counts = np.bincount(level[known], weight[known], COUNT)
    return np.asarray((counts + PRIOR / COUNT) / (counts.sum() + PRIOR))


def _expect_and_maximise(
    patterns: Levels, times: Floats, matches: list[Floats], others: list[Floats], share: float
) -> tuple[float, list[Floats], list[Floats]]:
    base = float(logit(share))
    for _ in range(ROUNDS):
        odds = np.full(len(patterns), base)
        for place, (m, u) in enumerate(zip(matches, others, strict=True)):
            odds += np.append(np.log(m / u), 0.0)[patterns[:, place]]
        chance = expit(odds) * times
        matches = [_rates(patterns[:, place], chance) for place in range(len(matches))]
        others = [_rates(patterns[:, place], times - chance) for place in range(len(others))]
        previous, base = base, float(logit(np.clip(chance.sum() / max(times.sum(), 1.0), 1e-6, 1 - 1e-6)))
        if abs(base - previous) < SETTLED:
            break
    return base, matches, others


def _rising(matches: Floats, others: Floats) -> Floats:
    """Log-ratios that never fall as values grow more alike."""
    weight = matches + others
    return np.asarray(isotonic_regression(np.log(matches / others), weights=weight).x)
