"""LightGBM over one matrix: as many rounds as serve other people best, for rows on their own or for rows that compete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.contracts.models import FeatureSchema
from whence.delay import unfolded

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

BINARY, RANKER = "binary", "lambdarank"
ROUNDS = 200
PATIENCE = 25
FEWEST_ROUNDS = 40
"""A hundred positives can stop a model by chance after a few rounds, which then has learned next to nothing."""
PLACES = 5
"""A ranker is stopped by the NDCG of so many places."""
NO_QUERY = -1


@dataclass(frozen=True)
class Learner:
    """What LightGBM learns from, and how."""

    schema: FeatureSchema
    matrix: Floats
    label: Floats
    weight: Floats
    parameters: Mapping[str, Any]
    queries: Ints
    """The number of the query that each row competes in, NO_QUERY for none."""

    @property
    def ranker(self) -> Learner:
        """The same, learning to order the rows of each query instead of to say probabilities."""
        return replace(
            self,
            parameters={**self.parameters, "objective": RANKER, "metric": "ndcg", "eval_at": [PLACES], "lambdarank_norm": False},
        )

    @property
    def is_ranker(self) -> bool:
        """Whether it learns orders: then its scores mean nothing between queries."""
        return bool(self.parameters["objective"] == RANKER)

    def stopped(self, rows: Bools, judges: Bools, truth: Floats) -> tuple[Any, int]:
        """A booster on these rows of the number of rounds that served the judging rows best, and that number."""
        import lightgbm

        data = self._data(rows)
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        judge = self._data(judges, truth, reference=data)
        booster = lightgbm.train(dict(self.parameters), data, ROUNDS, valid_sets=[judge], callbacks=[stop])
        rounds = max(int(booster.best_iteration), FEWEST_ROUNDS)
        return self.trained(rows, rounds), rounds

    def trained(self, rows: Bools, rounds: int) -> Any:
        """A booster of so many rounds on these rows."""
        import lightgbm

        return lightgbm.train(dict(self.parameters), self._data(rows), rounds)

    def crossed(self, rows: Bools, rounds: int, groups: npt.NDArray[Any], folds: int, seed: int) -> Floats:
        """The raw score of each of these rows by a booster that met none of its group; NaN for the other rows."""
        codes = np.unique(groups, return_inverse=True)[1]
        fold = np.random.default_rng(seed).permutation(int(codes.max()) + 1)[codes] % folds
        scores = np.full(len(self.matrix), np.nan)
        for each in range(folds):
            judged = rows & (fold == each)
            if judged.any():
                scores[judged] = raw(self.trained(rows & (fold != each), rounds), self.matrix[judged])
        return scores

    def _data(self, rows: Bools, truth: Floats | None = None, reference: Any = None) -> Any:
        """The rows, those of a query side by side when it is a ranker; a judge has its true labels and no weights.

        A label between 0 and 1 comes as a row of each.
        """
        import lightgbm

        chosen = np.flatnonzero(rows)
        label, weight, group = (self.label if truth is None else truth)[chosen], self.weight[chosen], None
        if self.is_ranker:
            chosen = chosen[np.argsort(self.queries[chosen], kind="stable")]
            label, weight = (self.label if truth is None else truth)[chosen], self.weight[chosen]
            group = np.unique(self.queries[chosen], return_counts=True)[1]
        elif ((label > 0) & (label < 1)).any():
            place, label, weight = unfolded(label, weight)
            chosen = chosen[place]
        return lightgbm.Dataset(
            self.matrix[chosen],
            label,
            weight=weight if truth is None else None,
            group=group,
            reference=reference,
            feature_name=list(self.schema.names),
            categorical_feature=list(range(len(self.schema.numbers), len(self.schema.names))),
            params={"verbosity": -1},
        )


def raw(booster: Any, matrix: Floats) -> Floats:
    """A booster's raw scores."""
    return np.asarray(booster.predict(matrix, raw_score=True), dtype=np.float64)


def numbered(groups: npt.ArrayLike) -> Ints:
    """Each row's query as a number; NO_QUERY where its name is empty.

    >>> numbered(["b", "", "a", "b"]).tolist()
    [2, -1, 1, 2]
    """
    names = np.asarray(groups, dtype=str)
    return np.where(names == "", NO_QUERY, np.unique(np.append(names, ""), return_inverse=True)[1][: len(names)]).astype(np.int64)
