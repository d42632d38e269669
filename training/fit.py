"""From examples to a calibrated model: one small LightGBM, stopped and calibrated on people and days it did not learn from.

That first model is judged on days and people that neither it nor its calibrator met. It is then fitted once more, with
the same number of rounds, on all days of the people it may learn from, up to the newest: a retraining that a bad day
asked for must learn from that day. Labels of the newest days are not ripe, and are weighed (see whence.delay).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from training.errors import TooFewLabels
from training.examples import Examples
from training.split import CALIBRATE, FIT, TEST, Split
from whence.bundle import encode
from whence.calibration import Calibrator
from whence.calibration import fit as fit_calibrator
from whence.contracts.models import FeatureSchema
from whence.delay import fsiw_weights

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SHUFFLED = "shuffled_labels"
DRILLS = ("", SHUFFLED)
PARAMETERS: Mapping[str, Any] = {
    "objective": "binary",
    "metric": "binary_logloss",
    "num_leaves": 4,
    "learning_rate": 0.05,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.5,
    "lambda_l2": 5.0,
    "cat_smooth": 50.0,
    "cat_l2": 50.0,
    "max_cat_threshold": 64,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 200
PATIENCE = 25
FEWEST_ROUNDS = 40
"""A hundred positives can stop a model by chance after a few rounds, which then has learned next to nothing."""
LEAST_OF_A_CATEGORY = 5
"""A category's value is known from so many rows on; a rarer one is unseen, so that the model meets the unseen in training."""
LEAST = {FIT: 50, CALIBRATE: 15, TEST: 15}
"""Labels of each class that a part needs."""
BETA_FROM = 1000
"""People with a positive from which the calibrator may bend each end on its own; below, Platt's two numbers are all they can carry."""
SELF_TRUST = 100.0
"""Positives' worth of trust in the model's own level when it is calibrated: a binary model says probabilities already, and
some hundred positives of a few people would move them more by chance than for good."""
ROWS_A_THREAD = 250_000
"""Below, one thread is fastest, and on a busy machine by far: LightGBM's threads wait for each other by spinning."""
BASELINE_PRIOR = 20.0
"""Rows at the mean rate that each group of the baseline starts with."""


@dataclass(frozen=True)
class Fitted:
    """A model and its calibrator, with how they came to be."""

    text: str
    calibrator: Calibrator
    schema: FeatureSchema
    rounds: int
    weighted: int
    """Rows whose label was not ripe and was weighed."""
    gains: Mapping[str, float]
    first_raw: Floats
    """What the first model, before the last fit, said of the test rows …"""
    first_probability: Floats
    """… and with its own calibrator."""


def fit(examples: Examples, split: Split, seed: int, threads: int, drill: str = "") -> Fitted:
    """Fit, stop and calibrate on parts that share neither days nor people; then fit again on all that may be learned from.

    Raises TooFewLabels when a part has too few labels of a class.
    """
    demand(examples, split)
    schema = _schema(examples, split.learned)
    threads = max(1, min(threads, len(examples.facts) // ROWS_A_THREAD))
    matrix = encode(examples.inputs, schema)
    label, weight = _weighed(examples, split, matrix, len(schema.numbers), seed, threads)
    if drill == SHUFFLED:
        taught = np.flatnonzero(split.learned)
        drawn = np.random.default_rng(seed).permutation(taught)
        label[taught], weight[taught] = label[drawn], weight[drawn]
    learner = _Learner(schema, matrix, label, weight, {**PARAMETERS, **examples.learning, "seed": seed, "num_threads": threads})
    calibrates, truth = split.rows(CALIBRATE), examples.labels
    first, rounds = learner.stopped(split.rows(FIT), calibrates, truth)
    persons = examples.facts["person"].to_numpy()
    level = _calibrator(_raw(first, matrix[calibrates]), truth[calibrates], persons[calibrates])
    final = learner.trained(split.learned, rounds)
    # where people are not kept apart, the final model has learned from the rows that calibrate, and the first one has not
    final_level = level
    if split.is_by_person:
        final_level = _calibrator(_raw(final, matrix[split.levels]), truth[split.levels], persons[split.levels])
    first_raw = _raw(first, matrix[split.rows(TEST)])
    return Fitted(
        _without_threads(final.model_to_string()),
        final_level,
        schema,
        rounds,
        int((weight[split.learned] != 1).sum()),
        dict(zip(schema.names, final.feature_importance("gain").tolist(), strict=True)),
        first_raw,
        level.apply(first_raw),
    )


@dataclass(frozen=True)
class _Learner:
    """LightGBM over one matrix."""

    schema: FeatureSchema
    matrix: Floats
    label: Floats
    weight: Floats
    parameters: Mapping[str, Any]

    def stopped(self, rows: Bools, judges: Bools, truth: Floats) -> tuple[Any, int]:
        """A booster on these rows of the number of rounds that served the judging rows best, and that number."""
        import lightgbm

        data = self._data(rows)
        judge = lightgbm.Dataset(self.matrix[judges], truth[judges], reference=data, params={"verbosity": -1})
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        booster = lightgbm.train(dict(self.parameters), data, ROUNDS, valid_sets=[judge], callbacks=[stop])
        rounds = max(int(booster.best_iteration), FEWEST_ROUNDS)
        return self.trained(rows, rounds), rounds

    def trained(self, rows: Bools, rounds: int) -> Any:
        """A booster of so many rounds on these rows."""
        import lightgbm

        return lightgbm.train(dict(self.parameters), self._data(rows), rounds)

    def _data(self, rows: Bools) -> Any:
        import lightgbm

        return lightgbm.Dataset(
            self.matrix[rows],
            self.label[rows],
            weight=self.weight[rows],
            feature_name=list(self.schema.names),
            categorical_feature=list(range(len(self.schema.numbers), len(self.schema.names))),
            params={"verbosity": -1},
        )


def _raw(booster: Any, matrix: Floats) -> Floats:
    return np.asarray(booster.predict(matrix, raw_score=True), dtype=np.float64)


def _calibrator(raw: Floats, labels: Floats, persons: npt.NDArray[np.object_]) -> Calibrator:
    """A calibrator of held-out labels, and of what the model itself says of their rows, which counts SELF_TRUST positives.

    A person's labels are no independent news: together the labels count as many positives as there are people with one.
    """
    people = len(set(persons[labels > 0]))
    kind = "beta" if people >= BETA_FROM else "platt"
    said = expit(raw)
    news = np.full(len(raw), people / labels.sum())
    trust = np.full(len(raw), SELF_TRUST / said.sum())
    twice = np.concatenate([raw, raw]), np.concatenate([labels, said])
    return fit_calibrator(kind, *twice, np.concatenate([news, trust]))


def baseline(examples: Examples, split: Split) -> Floats:
    """The baseline's probability for every row: its group's share of positives where the model learned and was calibrated."""
    learned = split.learned | split.rows(CALIBRATE)
    groups, labels = examples.facts["baseline_group"], pd.Series(examples.labels)
    mean = float(labels[learned].mean())
    told = labels[learned].groupby(groups[learned]).agg(["sum", "size"])
    rate = (told["sum"] + BASELINE_PRIOR * mean) / (told["size"] + BASELINE_PRIOR)
    return np.asarray(groups.map(rate).fillna(mean).to_numpy(dtype=np.float64))


def demand(examples: Examples, split: Split) -> None:
    """Raise TooFewLabels unless every part has labels enough of both classes."""
    for part, least in LEAST.items():
        labels = examples.labels[split.rows(part)]
        positive, negative = int((labels > 0).sum()), int((labels == 0).sum())
        if min(positive, negative) < least:
            raise TooFewLabels(
                f"The {part} part has {positive} positive and {negative} negative labels of {len(examples.labels)} examples in "
                f"all, and needs {least} of each. Train on more days or people (training.window_days, world.people), or wait "
                f"until labels are ripe: they need {examples.ripens_after():.2f} days here."
            )


def _weighed(examples: Examples, split: Split, matrix: Floats, numbers: int, seed: int, threads: int) -> tuple[Floats, Floats]:
    """Every row's label as known now, and the weight of each that is learned from; 1 where the label is ripe."""
    weight, window, taught = np.ones(len(matrix)), examples.ripens_after(), split.learned
    if window:
        delay = examples.facts["delay_days"].to_numpy(dtype=np.float64)[taught]
        weight[taught] = fsiw_weights(
            matrix[taught],
            examples.elapsed(examples.now)[taught],
            delay,
            window,
            categories=tuple(range(numbers, matrix.shape[1])),
            seed=seed,
            threads=threads,
        )
    return examples.labels.copy(), weight


def _schema(examples: Examples, rows: npt.NDArray[np.bool_]) -> FeatureSchema:
    known = {}
    for name in examples.categories:
        counts = examples.inputs.loc[rows, name].dropna().astype(str).value_counts()
        known[name] = tuple(sorted(counts[counts >= LEAST_OF_A_CATEGORY].index))
    return FeatureSchema(examples.numbers, known)


def _without_threads(text: str) -> str:
    """The model text without the number of threads, which says where it was made and not what it is."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("[num_threads:"))
