"""The calibrator that knows the fields: shallow trees over score, query and fields, on top of Platt's line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.calibration.calibrator import Calibrator
from whence.calibration.errors import CalibrationError
from whence.calibration.fields import Fields, FieldTrees

Floats = npt.NDArray[np.float64]

PARAMETERS: Mapping[str, Any] = {
    "objective": "cross_entropy",
    "metric": "cross_entropy",
    "num_leaves": 4,
    "feature_fraction": 0.7,
    "learning_rate": 0.05,
    "min_data_in_leaf": 100,
    "lambda_l2": 10.0,
    "cat_smooth": 100.0,
    "cat_l2": 20.0,
    "max_cat_threshold": 64,
    "monotone_constraints_method": "basic",
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "num_threads": 1,
    "seed": 7,
}
ROUNDS = 300
PATIENCE = 20
FOLDS = 3
PROBES = 200
"""Rows whose answer is looked at along the whole score after the fit: a fall would be a fault of the learner."""


def fit(line: Calibrator, x: Floats, y: Floats, w: Floats, fields: Fields) -> Calibrator:
    """Trees that start from a Platt line and may only rise in the score; as many as served rows of other groups best.

    A ranker's scores have no level across queries: the trees bring it back from what the rows of a query have in common,
    and put right the fields that are off as a whole. After Huang and others: MBCT, tree-based feature-aware binning (2022).
    Raises CalibrationError for fields that the schema does not have.
    """
    if unknown := sorted(set(fields.columns) - set(fields.schema.names)):
        raise CalibrationError(f"The rows have no field {unknown[0]}. There are {', '.join(fields.schema.names)}.")
    slope, offset = line.parameters
    empty = FieldTrees.of("", fields.schema, fields.columns)
    matrix = np.column_stack([x, empty.matrix(fields.matrix, len(x))])
    rows = _Rows(matrix, y, w, slope * x + offset, len(empty.numbers) + 1)
    trees = replace(empty, text=_text(rows.grown(np.ones(len(x), dtype=bool), _rounds(rows, fields.groups))))
    made = replace(line, kind="monotone_gbdt", trees=trees)
    _demand_rising(made, x, fields)
    return made


class _Rows:
    """What LightGBM learns from."""

    def __init__(self, matrix: Floats, label: Floats, weight: Floats, start: Floats, numbers: int) -> None:
        self.matrix, self.label, self.weight, self.start = matrix, label, weight, start
        self.names = ["score", *(f"field_{place}" for place in range(1, matrix.shape[1]))]
        self.categories = self.names[numbers:]

    def data(self, rows: npt.NDArray[np.bool_], reference: Any = None) -> Any:
        import lightgbm

        return lightgbm.Dataset(
            self.matrix[rows],
            self.label[rows],
            weight=self.weight[rows],
            init_score=self.start[rows],
            feature_name=self.names,
            categorical_feature=self.categories,
            reference=reference,
            params={"verbosity": -1},
        )

    def grown(self, rows: npt.NDArray[np.bool_], rounds: int, **more: Any) -> Any:
        import lightgbm

        constraints = [1, *[0] * (len(self.names) - 1)]
        return lightgbm.train({**PARAMETERS, "monotone_constraints": constraints}, self.data(rows), rounds, **more)


def _rounds(rows: _Rows, groups: npt.NDArray[Any] | None) -> int:
    """The number of rounds with the least loss on groups that were not learned from, over all folds together."""
    codes = np.arange(len(rows.label)) if groups is None else np.unique(groups, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(int(codes.max()) + 1)[codes] % FOLDS
    curves = []
    for each in range(FOLDS):
        learned, judged = fold != each, fold == each
        if not (learned.any() and judged.any()):
            continue
        curves.append(_curve(rows, learned, judged) * rows.weight[judged].sum())
    return int(np.argmin(np.sum(curves, axis=0))) + 1 if curves else 1


def _curve(rows: _Rows, learned: npt.NDArray[np.bool_], judged: npt.NDArray[np.bool_]) -> Floats:
    """The judged rows' loss after each round; after the loss has stopped falling, as it was when it stopped."""
    import lightgbm

    said: dict[str, Any] = {}
    judge = rows.data(judged, rows.data(learned))
    stop = [lightgbm.early_stopping(PATIENCE, verbose=False), lightgbm.record_evaluation(said)]
    rows.grown(learned, ROUNDS, valid_sets=[judge], callbacks=stop)
    curve = np.asarray(said["valid_0"]["cross_entropy"])
    return np.append(curve, np.full(ROUNDS - len(curve), curve[-1]))


def _demand_rising(made: Calibrator, x: Floats, fields: Fields) -> None:
    assert made.trees is not None
    probes = fields.matrix[:: max(1, len(x) // PROBES)][:PROBES]
    scores = np.unique(np.quantile(x, np.linspace(0, 1, 41)))
    grid = np.repeat(probes, len(scores), axis=0)
    added = made.trees.added(np.tile(scores, len(probes)), grid).reshape(len(probes), len(scores))
    if (np.diff(added) < 0).any():
        raise CalibrationError("The trees fall in the score, so this LightGBM does not keep to its constraint. Use another kind.")


def _text(booster: Any) -> str:
    """The model text without the number of threads, which says where it was made and not what it is."""
    told: str = booster.model_to_string()
    return "".join(line for line in told.splitlines(keepends=True) if not line.startswith("[num_threads:"))
