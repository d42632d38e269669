"""The model that every row scores with: 500 trees of 63 leaves over 40 features, with categories or without; made once."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

TREES, LEAVES, FEATURES = 500, 63, 40
CARDINALITIES = (4, 12, 30, 90, 250, 1000)
"""Of the last features, which are categories in one of the two models and numbers in the other."""
LEARNED = 60_000
MISSING = 0.03
SKEW = 1.3
FOLDER = Path(tempfile.gettempdir()) / "whence-bench-serving"

Floats = npt.NDArray[np.float64]


def names() -> list[str]:
    """The features in order: numbers, then categories."""
    numbers = FEATURES - len(CARDINALITIES)
    return [*(f"n{place}" for place in range(numbers)), *(f"c{place}" for place in range(len(CARDINALITIES)))]


def rows(count: int, seed: int) -> Floats:
    """Made-up rows × features: skewed numbers of many scales, some missing, and category codes by Zipf's law."""
    rng = np.random.default_rng(seed)
    numbers = FEATURES - len(CARDINALITIES)
    made = rng.normal(size=(count, numbers)) * np.exp(rng.normal(size=numbers))
    made[:, ::3] = np.exp(made[:, ::3].clip(-20, 20))
    made[:, 1::5] = np.round(made[:, 1::5] * 3)
    made[rng.random(made.shape) < MISSING] = np.nan
    codes = [np.minimum(rng.zipf(SKEW, count) - 1, size - 1) for size in CARDINALITIES]
    return np.column_stack([made, *codes]).astype(np.float64)


def labels(matrix: Floats, seed: int) -> npt.NDArray[np.int64]:
    """Clicks whose log-odds hang on some numbers, on pairs of them, and on every category."""
    rng = np.random.default_rng(seed)
    known = np.nan_to_num(np.tanh(matrix))
    numbers = FEATURES - len(CARDINALITIES)
    odds = known[:, :numbers] @ rng.normal(size=numbers) * 0.6 + known[:, 0] * known[:, 4] - known[:, 7] * known[:, 9]
    for place, size in enumerate(CARDINALITIES):
        odds += rng.normal(size=size)[matrix[:, numbers + place].astype(int)] * 0.5
    return np.asarray(rng.random(len(matrix)) < 1 / (1 + np.exp(-odds + 1.5)), dtype=np.int64)


def text(kind: str) -> str:
    """The model's text, `numeric` or `categorical`; trained at first use, a minute of CPU each, and kept in the temp folder."""
    path = FOLDER / f"{kind}-{TREES}-{LEAVES}-{LEARNED}.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(_trained(kind))
        draft.replace(path)
    return path.read_text()


def _trained(kind: str) -> str:
    import lightgbm

    matrix = rows(LEARNED, seed=1)
    categories = [name for name in names() if name.startswith("c")] if kind == "categorical" else []
    data = lightgbm.Dataset(
        matrix, labels(matrix, seed=2), feature_name=names(), categorical_feature=categories, params={"verbosity": -1}
    )
    parameters = {
        "objective": "binary",
        "num_leaves": LEAVES,
        "learning_rate": 0.03,
        "min_data_in_leaf": 20,
        "cat_smooth": 5.0,
        "cat_l2": 5.0,
        "max_cat_threshold": 64,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
        "seed": 3,
    }
    told: str = lightgbm.train(parameters, data, TREES).model_to_string()
    return told
