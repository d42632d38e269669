"""Which words matter when one record has them and the other has not: learned from labels, told to the trees as signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import expit

from whence.identity.records.boosted import FOLDS, people_of, scatter
from whence.identity.records.table import Evidence, Floats
from whence.identity.records.wording import Alone

SIGNALS = ("lexicon:words_likeness", "lexicon:weighed_likeness")
"""Log-odds by the words alone, and by the words beside all other signals."""
STRENGTH = 0.3
"""The inverse of the penalty on large weights."""
SCALE = 0.3
"""How much a standard deviation of a signal counts beside a word."""
FARTHEST = 4.0
ROUNDS = 80
"""Steps of the solver; more of them cost time and told no more apart."""

MEMORY = 10
TOLERANCE = 1e-9
"""Steps that the solver keeps in mind, and the share of the loss below which a step was the last."""


@dataclass(frozen=True)
class Lexicon:
    """Weights of words that one side has alone, and of signals, by two logistic regressions."""

    words: dict[str, tuple[float, float]]
    """For `field:word` its weight by itself and beside the signals."""
    signals: dict[str, tuple[float, float, float]]
    """For each signal its mean, its deviation and its weight."""
    bases: tuple[float, float]

    def add(self, evidence: Evidence, alone: Alone) -> Evidence:
        """The evidence with the two signals of the lexicon; words that it never saw say nothing."""
        weights = np.asarray([self.words.get(name, (0.0, 0.0)) for name in alone.names]).reshape(-1, 2)
        at = [evidence.names.index(name) for name in self.signals]
        told = np.asarray(list(self.signals.values())).reshape(-1, 3)
        scores = alone.rows @ weights + np.asarray(self.bases)
        scores[:, 1] += _standard(evidence.values[:, at], told[:, 0], told[:, 1]) @ told[:, 2]
        return _with(evidence, scores)

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `from_json`."""
        return {
            "kind": "lexicon",
            "words": {word: list(pair) for word, pair in self.words.items()},
            "signals": {name: list(three) for name, three in self.signals.items()},
            "bases": list(self.bases),
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Lexicon:
        """The lexicon of a dict that `to_json` made."""
        words = {str(word): (float(pair[0]), float(pair[1])) for word, pair in given["words"].items()}
        signals = {str(name): (float(a), float(b), float(c)) for name, (a, b, c) in given["signals"].items()}
        return cls(words, signals, (float(given["bases"][0]), float(given["bases"][1])))


def learn(
    evidence: Evidence, alone: Alone, labels: npt.ArrayLike, groups: npt.ArrayLike, *, seed: int = 0
) -> tuple[Lexicon, Evidence]:
    """A lexicon, and the evidence with its signals for the pairs it learned from.

    Those pairs get the signals from lexicons that learned from other people alone, so that what learns from them next is
    not told its own labels. `groups` are those of `boosted.fit`.
    """
    y = np.asarray(labels, dtype=np.float64).ravel()
    rows, names = _seen_twice(alone)
    fold = scatter(people_of(groups, len(y)) + np.int64(1_000_003) * (seed + 1), FOLDS)
    scores = np.zeros((len(y), 2))
    for held in range(FOLDS):
        judged = fold[:, 0] == held
        learned = (fold != held).all(axis=1)
        if judged.any() and 0 < y[learned].sum() < learned.sum():
            part = _fit(evidence, Alone(names, rows), y, learned)
            scores[judged] = part.add(_some(evidence, judged), Alone(names, rows[judged])).values[:, -2:]
    return _fit(evidence, Alone(names, rows), y, np.ones(len(y), dtype=np.bool_)), _with(evidence, scores)


def _seen_twice(alone: Alone) -> tuple[sp.csr_matrix, tuple[str, ...]]:
    kept = np.flatnonzero(np.asarray(alone.rows.sum(axis=0)).ravel() > 1)
    return alone.rows[:, kept].tocsr(), tuple(alone.names[place] for place in kept)


def _fit(evidence: Evidence, alone: Alone, y: Floats, learned: npt.NDArray[np.bool_]) -> Lexicon:
    x = evidence.values[learned].astype(np.float64)
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, x - mean, 0).__pow__(2).sum(axis=0) / count)
    words = alone.rows[learned]
    by_words, _, base = _logistic(words, np.empty((len(x), 0)), y[learned])
    both, by_signals, beside = _logistic(words, _standard(evidence.values[learned], mean, spread), y[learned])
    return Lexicon(
        {name: (float(by_words[place]), float(both[place])) for place, name in enumerate(alone.names)},
        {name: (float(mean[at]), float(spread[at]), float(by_signals[at])) for at, name in enumerate(evidence.names)},
        (base, beside),
    )


def _standard(x: npt.NDArray[np.float32], mean: Floats, spread: Floats) -> Floats:
    """Deviations from the mean, at most four of them; what is missing is at the mean."""
    away = np.clip((x - mean) / (spread + 1e-6), -FARTHEST, FARTHEST) * SCALE
    return np.asarray(np.where(np.isnan(away), 0.0, away), dtype=np.float64)


def _logistic(words: sp.csr_matrix, signals: Floats, y: Floats) -> tuple[Floats, Floats, float]:
    """Weights of words, weights of signals, and the base, of a logistic regression with a penalty on all but the base."""
    n, across = words.shape[1], words.T.tocsr()

    def loss(theta: Floats) -> tuple[float, Floats]:
        margin = words @ theta[:n] + signals @ theta[n:-1] + theta[-1]
        error = expit(margin) - y
        value = STRENGTH * float((np.logaddexp(0, margin) - y * margin).sum()) + float(theta[:-1] @ theta[:-1]) / 2
        slope = STRENGTH * np.concatenate([across @ error, signals.T @ error, [error.sum()]])
        slope[:-1] += theta[:-1]
        return value, slope

    best = _lowest(loss, np.zeros(n + signals.shape[1] + 1))
    return best[:n], best[n:-1], float(best[-1])


def _lowest(loss: Callable[[Floats], tuple[float, Floats]], at: Floats) -> Floats:
    """Where a smooth convex function is lowest, by L-BFGS: tens of thousands of weights, and few steps kept in mind.

    Paper: J. Nocedal, Updating quasi-Newton matrices with limited storage, Mathematics of Computation 35 (1980).
    """
    value, slope = loss(at)
    kept: list[tuple[Floats, Floats, float]] = []
    for _ in range(ROUNDS):
        ahead = _ahead(slope, kept)
        falls, step = float(slope @ ahead), 1.0 if kept else 1 / max(float(np.linalg.norm(slope)), 1.0)
        found = loss(at + step * ahead)
        while found[0] > value + 1e-4 * step * falls and step > 1e-8:
            step /= 2
            found = loss(at + step * ahead)
        moved, bent = step * ahead, found[1] - slope
        is_done = value - found[0] <= TOLERANCE * max(abs(value), 1.0)
        if found[0] > value:
            break
        at, (value, slope) = at + moved, found
        if is_done:
            break
        if (curved := float(moved @ bent)) > 0:
            kept = [*kept[1 - MEMORY :], (moved, bent, curved)]
    return at


def _ahead(slope: Floats, kept: list[tuple[Floats, Floats, float]]) -> Floats:
    """The way down, by the curvature that the last steps have shown."""
    way, shares = -slope, []
    for moved, bent, curved in reversed(kept):
        shares.append(float(moved @ way) / curved)
        way = way - shares[-1] * bent
    if kept:
        way *= kept[-1][2] / float(kept[-1][1] @ kept[-1][1])
    for (moved, bent, curved), share in zip(kept, reversed(shares), strict=True):
        way = way + (share - float(bent @ way) / curved) * moved
    return way


def _some(evidence: Evidence, rows: npt.NDArray[np.bool_]) -> Evidence:
    return Evidence(evidence.names, evidence.values[rows])


def _with(evidence: Evidence, scores: Floats) -> Evidence:
    return Evidence(evidence.names + SIGNALS, np.column_stack([evidence.values, scores.astype(np.float32)]))
