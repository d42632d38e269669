"""Boosted trees that learn from labelled pairs, and say how sure they are of people they have never seen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from whence import calibration
from whence.calibration import CalibrationError, Calibrator
from whence.identity.records.table import Evidence, Floats
from whence.trees import Engine, Trees, fastest

FEWEST = 10
"""Labelled pairs of each kind below which nothing is learned."""
FOLDS = 5
LARGE = 30_000
"""Labelled pairs from which one held-out fifth of the people is enough to calibrate on."""
ROWS = 100_000
"""Pairs that are scored at a time."""
BENDING = 1_000
"""Matching pairs from which the calibrator may bend each end on its own."""

RISING = frozenset({"same", "likeness", "rarity"})
FALLING = frozenset({"distance", "difference"})
"""Last words of the names of signals whose direction is known. Signals of words are free: among hundreds that say nearly
the same, holding each to a direction cost two points of average precision."""


@dataclass(frozen=True)
class Shape:
    """How large the trees are, how many, and how much each may say."""

    leaves: int
    rounds: int
    rate: float
    in_leaf: int


class TooFewLabels(ValueError):
    """Labels from which nothing can be learned."""


class BoostedError(ValueError):
    """A stored model that cannot be used."""


@dataclass(frozen=True)
class Boosted:
    """A bag of LightGBM models whose mean score is calibrated; the same interface as every pair scorer."""

    names: tuple[str, ...]
    """The signals it takes, in order."""
    models: tuple[str, ...]
    """LightGBM's own texts."""
    calibrator: Calibrator

    def log_odds(self, evidence: Evidence) -> Floats:
        """Calibrated log-odds that the two records of each pair are one person, shape (pairs,)."""
        return _bent(self.calibrator, self._raw(self._matrix(evidence)))

    def contributions(self, evidence: Evidence) -> Floats:
        """What each signal adds to the log-odds, shape (pairs, signals + 1); rows add up to `log_odds`.

        The last column is the base, and what calibration bends beyond a straight line.
        """
        import lightgbm

        matrix = self._matrix(evidence)
        if not len(matrix):
            return np.empty((0, len(self.names) + 1))
        parts = [
            np.asarray(lightgbm.Booster(model_str=text).predict(matrix, pred_contrib=True, num_threads=1)) for text in self.models
        ]
        given: Floats = np.asarray(np.mean(parts, axis=0, dtype=np.float64)) * _slope(self.calibrator)
        given[:, -1] = self.log_odds(evidence) - given[:, :-1].sum(axis=1)
        return given

    def to_json(self) -> dict[str, Any]:
        """A plain dict with a digest over all of it; `from_json` gives back the same answers, bit by bit."""
        told = {
            "kind": "boosted",
            "names": list(self.names),
            "models": list(self.models),
            "calibrator": self.calibrator.to_json(),
        }
        return told | {"digest": _digest(told)}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Boosted:
        """The scorer of a dict that `to_json` made; raises BoostedError for one that was changed or cut off.

        The digest is compared before LightGBM sees the text: a damaged text would end the process.
        """
        told = {key: given.get(key) for key in ("kind", "names", "models", "calibrator")}
        if told["kind"] != "boosted" or given.get("digest") != _digest(told):
            raise BoostedError(
                "This is no boosted scorer as it was written: its digest differs. Train it again, or restore the file."
            )
        return cls(tuple(given["names"]), tuple(given["models"]), Calibrator.from_json(given["calibrator"]))

    def _matrix(self, evidence: Evidence) -> npt.NDArray[np.float32]:
        if evidence.names == self.names:
            return evidence.values
        missing = sorted(set(self.names) - set(evidence.names))
        if missing:
            raise BoostedError(
                f"The scorer was trained on the signal '{missing[0]}', which is not there. Compare the same fields."
            )
        at = {name: position for position, name in enumerate(evidence.names)}
        return evidence.values[:, [at[name] for name in self.names]]

    def _raw(self, matrix: npt.NDArray[np.float32]) -> Floats:
        return _mean(self._engines, matrix)

    @cached_property
    def _engines(self) -> tuple[Engine, ...]:
        return _engines(self.models)


def fit(
    evidence: Evidence,
    labels: npt.ArrayLike,
    groups: npt.ArrayLike,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    weights: npt.ArrayLike | None = None,
    calibrate_on: tuple[Evidence, npt.ArrayLike] | None = None,
    is_monotone: bool = True,
    threads: int = 1,
    shape: Shape | None = None,
) -> Boosted:
    """A scorer learned from pairs labelled 1 (one person) or 0 (two).

    `groups` names the people of each pair, as whole numbers: shape (pairs, 2) for the person of each record, or (pairs,)
    where every pair belongs to one group, such as a connected component of people. The probabilities are calibrated on
    pairs none of whose people were learned from: on a fifth of the people that is held out when there are many labels,
    by cross-fitting when there are few, or on `calibrate_on` (evidence, labels) where such pairs are given.
    `shape` is found from the number of labels where none is given.
    The answer does not depend on the order of rows or the number of threads.
    Raises TooFewLabels when there are fewer than ten pairs of either kind.
    """
    y = np.asarray(labels, dtype=np.float64).ravel()
    _check(evidence, y)
    people = people_of(groups, len(y))
    w = np.ones(len(y)) if weights is None else np.asarray(weights, dtype=np.float64).ravel()
    order = _canonical(evidence.values, y, w)
    x, y, w, people = evidence.values[order], y[order], w[order], people[order]
    learner = _Learner(evidence.names, tuple(seeds), is_monotone, threads, shape)
    if calibrate_on is not None:
        models = learner.bag(x, y, w)
        held, truth = calibrate_on
        return Boosted(evidence.names, models, _calibrated(_score(models, held.values), np.asarray(truth, dtype=np.float64)))
    if len(y) >= LARGE:
        models, raw, judged = _held_out(learner, x, y, w, people)
    else:
        models, raw, judged = _cross_fitted(learner, x, y, w, people)
    return Boosted(evidence.names, models, _calibrated(raw, y[judged], _standing_for(people, w, judged)))


def _standing_for(people: npt.NDArray[np.int64], w: Floats, taken: npt.NDArray[np.bool_]) -> Floats:
    """Weights of the pairs that are taken: two people are rarely both among them, so such pairs stand for those left out."""
    stands = w[taken].copy()
    is_apart = people[:, 0] != people[:, 1]
    for kind in (is_apart, ~is_apart):
        if (kind & taken).any():
            stands[kind[taken]] *= w[kind].sum() / w[kind & taken].sum()
    return stands


def direction(name: str) -> int:
    """1 where more of a signal can only speak for one person, −1 where it can only speak against, 0 where nobody knows.

    It goes by the last word of the name.

    >>> direction("title:likeness"), direction("born:distance"), direction("title:length")
    (1, -1, 0)
    """
    last = name.rsplit(":", 1)[-1].rsplit("_", 1)[-1]
    return (last in RISING) - (last in FALLING)


@dataclass(frozen=True)
class _Learner:
    names: tuple[str, ...]
    seeds: tuple[int, ...]
    is_monotone: bool
    threads: int
    shape: Shape | None = None

    def bag(self, x: npt.NDArray[np.float32], y: Floats, w: Floats) -> tuple[str, ...]:
        """One model text for each seed."""
        import lightgbm

        settings, rounds = self._settings(y)
        plain = [f"signal_{position}" for position in range(len(self.names))]
        made = []
        for seed in self.seeds:
            rows = lightgbm.Dataset(x, y, weight=w, feature_name=plain, params=settings | {"verbosity": -1}, free_raw_data=True)
            text = lightgbm.train(settings | {"seed": seed}, rows, rounds).model_to_string()
            made.append(text.partition("\nparameters:")[0] + "\n")  # the rest only repeats the settings
        return tuple(made)

    def _settings(self, y: Floats) -> tuple[dict[str, Any], int]:
        """What LightGBM is told, and how many rounds."""
        shape = self.shape or _shape(y)
        settings: dict[str, Any] = {
            "objective": "binary",
            "num_leaves": shape.leaves,
            "learning_rate": shape.rate,
            "min_data_in_leaf": shape.in_leaf,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 2.0,
            "max_bin": 127,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": self.threads,
            "verbosity": -1,
        }
        if self.is_monotone:
            settings["monotone_constraints"] = [direction(name) for name in self.names]
        return settings, shape.rounds


def _shape(y: Floats) -> Shape:
    """The fewer labels of the rarer kind, the smaller the trees and the fewer of them."""
    rarer = min(y.sum(), len(y) - y.sum())
    size = (4, 60, 3) if rarer < 50 else (7, 120, 5) if rarer < 300 else (15, 250, 10) if rarer < 3_000 else (31, 200, 30)
    leaves, rounds, in_leaf = size
    return Shape(leaves, rounds, 0.06, in_leaf)


def _held_out(
    learner: _Learner, x: npt.NDArray[np.float32], y: Floats, w: Floats, people: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], Floats, npt.NDArray[np.bool_]]:
    fold = scatter(people, FOLDS)
    learned, judged = (fold != 0).all(axis=1), (fold == 0).all(axis=1)
    models = learner.bag(x[learned], y[learned], w[learned])
    return models, _score(models, x[judged]), judged


def _cross_fitted(
    learner: _Learner, x: npt.NDArray[np.float32], y: Floats, w: Floats, people: npt.NDArray[np.int64]
) -> tuple[tuple[str, ...], Floats, npt.NDArray[np.bool_]]:
    """The models learn from all pairs; what calibrates them are scores by models that learned from the other folds alone."""
    raw, fold = np.full(len(y), np.nan), scatter(people, FOLDS)
    for held in range(FOLDS):
        learned, judged = (fold != held).all(axis=1), (fold == held).all(axis=1)
        if judged.any() and min(y[learned].sum(), (1 - y[learned]).sum()) > 0:
            models = learner.bag(x[learned], y[learned], _standing_for(people, w, learned))
            raw[judged] = _score(models, x[judged])
    judged = ~np.isnan(raw)
    return learner.bag(x, y, w), raw[judged], judged


def _score(models: Sequence[str], x: npt.NDArray[np.float32]) -> Floats:
    return _mean(_engines(models), x)


def _engines(models: Sequence[str]) -> tuple[Engine, ...]:
    """What scores the models as LightGBM does, bit by bit, and twenty times as fast where it can."""
    return tuple(fastest(text, Trees(text)) for text in models)


def _mean(engines: Sequence[Engine], x: npt.NDArray[np.float32]) -> Floats:
    """The mean score of each row; some rows at a time, since trees take numbers of twice the size."""
    parts = (np.ascontiguousarray(x[at : at + ROWS], dtype=np.float64) for at in range(0, len(x), ROWS))
    return np.concatenate([np.empty(0), *(np.mean([each.raw(rows) for each in engines], axis=0) for rows in parts)])


def _calibrated(raw: Floats, y: Floats, w: Floats | None = None) -> Calibrator:
    try:
        return calibration.fit("beta" if min(y.sum(), len(y) - y.sum()) >= BENDING else "platt", raw, y, w)
    except CalibrationError as wrong:
        raise TooFewLabels(
            f"The people that were kept apart to calibrate on do not show both kinds of pairs ({wrong}). Label pairs of more people."
        ) from None


def _bent(calibrator: Calibrator, raw: Floats) -> Floats:
    """The calibrator's log-odds, bounded as its probabilities are."""
    probability = calibrator.apply(raw)
    return np.asarray(np.log(probability) - np.log1p(-probability))


def _slope(calibrator: Calibrator) -> float:
    """How much a unit of raw score is worth in calibrated log-odds, on average."""
    return calibrator.parameters[0] if calibrator.kind == "platt" else sum(calibrator.parameters[:2]) / 2


def people_of(groups: npt.ArrayLike, n: int) -> npt.NDArray[np.int64]:
    """The two people of each pair, from groups as `fit` takes them."""
    given = np.asarray(groups, dtype=np.int64)
    people = given if given.ndim == 2 else np.column_stack([given, given])
    if people.shape != (n, 2):
        raise ValueError(f"{n} labels and groups of shape {given.shape} came. Give each pair one group, or the two people in it.")
    return people


def scatter(people: npt.NDArray[np.int64], folds: int) -> npt.NDArray[np.int64]:
    """A fold for each person, from nothing but its number (Steele, Lea, Flood: SplitMix, 2014)."""
    mixed = people.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(folds)).astype(np.int64)


def _canonical(x: npt.NDArray[np.float32], y: Floats, w: Floats) -> npt.NDArray[np.int64]:
    """An order of rows that depends on what is in them alone: trees are grown on samples, and samples go by position."""
    whole = np.ascontiguousarray(np.column_stack([x.astype(np.float32) + np.float32(0), y, w]), dtype=np.float64)
    return np.argsort(whole.view(f"V{whole.shape[1] * 8}").ravel(), kind="stable")


def _check(evidence: Evidence, y: Floats) -> None:
    if len(y) != len(evidence.values):
        raise ValueError(f"{len(evidence.values)} pairs and {len(y)} labels came. Give one label a pair.")
    if not np.isin(y, (0.0, 1.0)).all():
        raise ValueError("A label is 1 for one person or 0 for two. Leave unsure pairs out.")
    same, apart = int(y.sum()), int(len(y) - y.sum())
    if min(same, apart) < FEWEST:
        raise TooFewLabels(
            f"{same} matching and {apart} differing pairs are labelled; learning takes at least {FEWEST} of each. "
            "Label more, or score without labels."
        )


def _digest(told: dict[str, Any]) -> str:
    import orjson

    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()
