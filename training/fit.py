"""From examples to a calibrated model: one small LightGBM, stopped and calibrated on people and days it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.errors import TrainingError
from training.examples import Examples
from training.split import CALIBRATE, FIT, TEST, Split
from whence.bundle import encode
from whence.calibration import Calibrator
from whence.calibration import fit as fit_calibrator
from whence.contracts.models import FeatureSchema
from whence.delay import fsiw_weights

Floats = npt.NDArray[np.float64]

SHUFFLED = "shuffled_labels"
DRILLS = ("", SHUFFLED)
PARAMETERS: Mapping[str, Any] = {
    "objective": "binary",
    "metric": "binary_logloss",
    "num_leaves": 15,
    "learning_rate": 0.08,
    "min_data_in_leaf": 30,
    "feature_fraction": 0.8,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "cat_l2": 20.0,
    "max_cat_threshold": 64,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 200
PATIENCE = 25
LEAST_OF_A_CATEGORY = 5
"""A category's value is known from so many rows on; a rarer one is unseen, so that the model meets the unseen in training."""
LEAST = {FIT: 50, CALIBRATE: 15, TEST: 15}
"""Labels of each class that a part needs."""
BETA_FROM = 1000
"""Positives from which the calibrator may bend each end on its own; below, Platt's two numbers are all they can carry."""
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


def fit(examples: Examples, split: Split, seed: int, threads: int, drill: str = "") -> Fitted:
    """Fit on the fit part, stop and calibrate on the calibrate part.

    Labels of the fit part are those known when the test begins; what was not ripe then is weighed (see whence.delay).
    Raises TrainingError when a part has too few labels of a class.
    """
    import lightgbm

    schema = _schema(examples, split.rows(FIT))
    fits, calibrates = split.rows(FIT), split.rows(CALIBRATE)
    label, weight = _labels_then(examples, split, schema, seed, threads)
    demand(examples, split)
    if drill == SHUFFLED:
        order = np.random.default_rng(seed).permutation(len(label))
        label, weight = label[order], weight[order]
    categories = list(range(len(schema.numbers), len(schema.names)))
    rows = lightgbm.Dataset(
        encode(examples.inputs[fits], schema),
        label,
        weight=weight,
        feature_name=list(schema.names),
        categorical_feature=categories,
        params={"verbosity": -1},
    )
    matrix = encode(examples.inputs[calibrates], schema)
    judge = lightgbm.Dataset(matrix, examples.labels[calibrates], reference=rows)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    parameters = {**PARAMETERS, "seed": seed, "num_threads": threads}
    booster = lightgbm.train(parameters, rows, ROUNDS, valid_sets=[judge], callbacks=[stop])
    rounds = max(int(booster.best_iteration), 1)
    raw = np.asarray(booster.predict(matrix, raw_score=True, num_iteration=rounds), dtype=np.float64)
    kind = "beta" if examples.labels[calibrates].sum() >= BETA_FROM else "platt"
    gains = dict(zip(schema.names, booster.feature_importance("gain", iteration=rounds).tolist(), strict=True))
    return Fitted(
        _without_threads(booster.model_to_string(num_iteration=rounds)),
        fit_calibrator(kind, raw, examples.labels[calibrates]),
        schema,
        rounds,
        int((weight != 1).sum()),
        gains,
    )


def baseline(examples: Examples, split: Split) -> Floats:
    """The baseline's probability for every row: its group's share of positives where the model was fitted and calibrated."""
    learned = split.rows(FIT) | split.rows(CALIBRATE)
    groups, labels = examples.facts["baseline_group"], pd.Series(examples.labels)
    mean = float(labels[learned].mean())
    told = labels[learned].groupby(groups[learned]).agg(["sum", "size"])
    rate = (told["sum"] + BASELINE_PRIOR * mean) / (told["size"] + BASELINE_PRIOR)
    return groups.map(rate).fillna(mean).to_numpy(dtype=np.float64)


def demand(examples: Examples, split: Split) -> None:
    """Raise TrainingError unless every part has labels enough of both classes."""
    for part, least in LEAST.items():
        labels = examples.labels[split.rows(part)]
        positive, negative = int((labels > 0).sum()), int((labels == 0).sum())
        if min(positive, negative) < least:
            raise TrainingError(
                f"The {part} part has {positive} positive and {negative} negative labels of {len(examples.labels)} examples in "
                f"all, and needs {least} of each. Train on more days or people (training.window_days, world.people), or wait "
                f"until labels are ripe: they need {examples.ripens_after():.2f} days here."
            )


def _labels_then(examples: Examples, split: Split, schema: FeatureSchema, seed: int, threads: int) -> tuple[Floats, Floats]:
    """The fit part's labels as known when the test begins, and a weight for each."""
    chosen = examples.keep(split.rows(FIT))
    window = examples.ripens_after()
    if not window:
        return chosen.labels, np.ones(len(chosen.labels))
    watched, delay = chosen.elapsed(split.test_from.to_pydatetime()), chosen.facts["delay_days"].to_numpy(dtype=np.float64)
    label = (delay <= watched).astype(np.float64)
    categories = tuple(range(len(schema.numbers), len(schema.names)))
    inputs = encode(chosen.inputs, schema)
    return label, fsiw_weights(inputs, watched, delay, window, categories=categories, seed=seed, threads=threads)


def _schema(examples: Examples, rows: npt.NDArray[np.bool_]) -> FeatureSchema:
    known = {}
    for name in examples.categories:
        counts = examples.inputs.loc[rows, name].dropna().astype(str).value_counts()
        known[name] = tuple(sorted(counts[counts >= LEAST_OF_A_CATEGORY].index))
    return FeatureSchema(examples.numbers, known)


def _without_threads(text: str) -> str:
    """The model text without the number of threads, which says where it was made and not what it is."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("[num_threads:"))
