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
Bools = npt.NDArray[np.bool_]

EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.84, 0.88, 0.92, 0.96)
"""Likeness is cut here; equal values come above, cut by their rarity."""
RARITIES = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0)
"""Nats of surprise at which equal values are cut: one record in 7, 20, 55, 150, 400, 1,100, 3,000, 8,100."""
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


def fields(evidence: Evidence) -> tuple[str, ...]:
    """The fields that evidence is about."""
    return tuple(name.removesuffix(":likeness") for name in evidence.names if name.endswith(":likeness"))


def all_levels(evidence: Evidence) -> Levels:
    """The level of agreement of each pair in each field, shape (pairs, fields)."""
    named = [levels(evidence, each) for each in fields(evidence)]
    return np.column_stack(named) if named else np.empty((len(evidence.values), 0), dtype=np.int8)


def fit(evidence: Evidence, share: float = 0.2) -> FellegiSunter:
    """Rates of agreement among matches and others, of candidate pairs alone.

    `share` is the first guess of how many of the candidates are matches.
    """
    named = fields(evidence)
    return _fitted(named, all_levels(evidence), None, 0.0, share, np.ones(len(named)))


def fit_to_all(evidence: Evidence, chance: Evidence, others: float, implied: Bools) -> FellegiSunter:
    """Rates of agreement among matches and all other pairs: candidates, and `others` more pairs that agree as `chance` does.

    Fields that many strangers share weigh little here, whichever way candidates were found. Fields that say the same, as
    `implied` has it for each two of them, count as one together.
    """
    share = len(evidence.values) / max(others, 1) / 3
    return _fitted(fields(evidence), all_levels(evidence), all_levels(chance), others, share, 1 / implied.sum(axis=1))


def _fitted(
    named: tuple[str, ...], seen: Levels, drawn: Levels | None, others: float, share: float, counts: Floats
) -> FellegiSunter:
    patterns, times = _patterns(seen)
    rest = np.zeros((seen.shape[1], COUNT))
    if drawn is not None and len(drawn):
        for place in range(seen.shape[1]):
            known = drawn[:, place][drawn[:, place] != SILENT]
            rest[place] = others / len(drawn) * (np.bincount(known, minlength=COUNT) + 1e-3)
    base, matches, strangers = _expect_and_maximise(patterns, times, rest, others, share, counts)
    weights = tuple(
        Weights(name, tuple((count * rising(m, u)).tolist()))
        for name, m, u, count in zip(named, matches, strangers, counts, strict=True)
    )
    return FellegiSunter(base, weights)


def _patterns(seen: Levels) -> tuple[Levels, Floats]:
    patterns, times = np.unique(seen, axis=0, return_counts=True)
    return patterns, times.astype(np.float64)


def first_guess() -> Floats:
    """A first guess at how true pairs agree: most matches agree in full; the rest are spread, more among the alike."""
    guess = np.append(np.linspace(0.01, 0.06, len(EDGES) + 1), np.full(len(RARITIES) + 1, 0.8 / (len(RARITIES) + 1)))
    return np.asarray(guess / guess.sum())


def of_strangers(overall: Floats) -> Floats:
    """A first guess at how strangers agree: as pairs do overall, but equal values are mostly those of matches."""
    guess = overall * np.where(np.arange(COUNT) > len(EDGES), 0.2, 1.0)
    return np.asarray(guess / guess.sum())


def rates(level: Levels, weight: Floats, more: Floats | None = None) -> Floats:
    """The share of each level among weighted pairs that have one, and `more` pairs by level."""
    known = level != SILENT
    counts = np.bincount(level[known], weight[known], COUNT) + (0.0 if more is None else more)
    return np.asarray((counts + PRIOR / COUNT) / (counts.sum() + PRIOR))


def _expect_and_maximise(
    patterns: Levels, times: Floats, rest: Floats, others: float, share: float, counts: Floats
) -> tuple[float, list[Floats], list[Floats]]:
    fields = range(patterns.shape[1])
    whole = max(float(times.sum()) + others, 1.0)
    base = float(logit(np.clip(share, 1e-9, 0.5)))
    matches = [first_guess() for _ in fields]
    strangers = [of_strangers(rates(patterns[:, place], times, rest[place])) for place in fields]
    for _ in range(ROUNDS):
        odds = np.full(len(patterns), base)
        for place in fields:
            odds += counts[place] * np.append(np.log(matches[place] / strangers[place]), 0.0)[patterns[:, place]]
        chance = expit(odds) * times
        matches = [rates(patterns[:, place], chance) for place in fields]
        strangers = [rates(patterns[:, place], times - chance, rest[place]) for place in fields]
        previous, base = base, float(logit(np.clip(chance.sum() / whole, 1e-12, 1 - 1e-6)))
        if abs(base - previous) < SETTLED:
            break
    return base, matches, strangers


def rising(matches: Floats, others: Floats) -> Floats:
    """Log-ratios that never fall as values grow more alike."""
    weight = matches + others
    return np.asarray(isotonic_regression(np.log(matches / others), weights=weight).x)
