"""The models that are scored with: 500 trees of 63 leaves over 40 features, some categories or none; made once.

Two more rank identities and touches, with the inputs that the service computes for them.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.attribution import evidence as journey_evidence
from whence.contracts.models import FeatureSchema
from whence.identity.evidence import SCHEMA_NUMBERS

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


SCHEMA = FeatureSchema(
    tuple(names()[: FEATURES - len(CARDINALITIES)]),
    {f"c{place}": tuple(map(str, range(size))) for place, size in enumerate(CARDINALITIES)},
)
"""The forty features of the model with categories, as the service takes them: a category is its text."""


def columns(matrix: Floats) -> dict[str, list[Any]]:
    """Rows × features by name, as the service takes them: categories as texts, missing as None."""
    numbers = len(SCHEMA.numbers)
    told: list[list[Any]] = [[None if np.isnan(value) else value for value in column] for column in matrix.T[:numbers].tolist()]
    told += [[str(int(code)) for code in column] for column in matrix.T[numbers:].tolist()]
    return dict(zip(SCHEMA.names, told, strict=True))


def identity_rows(count: int, seed: int) -> Floats:
    """Made-up inputs of the identity ranker, in the ranges of a network of fifty people."""
    rng = np.random.default_rng(seed)
    tops = {"network_events_7d": 2000, "events_together_14d": 200, "hours_since_together": 336, "hours_since_person": 336}
    made = np.column_stack([rng.uniform(0, tops.get(name, 14.0), count) for name in SCHEMA_NUMBERS])
    for place, name in enumerate(SCHEMA_NUMBERS):
        if name.startswith(("same_", "share_", "agent_overlap", "identifier_")):
            made[:, place] /= 14
        if not name.startswith(("hour", "share_", "agent_overlap")):
            made[:, place] = np.round(made[:, place])
    made[:, SCHEMA_NUMBERS.index("network_place")] = rng.integers(0, 50, count)
    made[rng.random(made.shape) < MISSING] = np.nan
    return made


CHANNELS = ("search", "social", "video", "mail")
CAMPAIGNS = tuple(f"campaign-{number}" for number in range(40))
JOURNEY = FeatureSchema(
    journey_evidence.SCHEMA_NUMBERS,
    {
        "channel": CHANNELS,
        "touch_kind": ("click", "engaged_view", "view"),
        "campaign_id": CAMPAIGNS,
        "conversion_kind": ("install", "purchase"),
    },
)
"""The inputs of the ranker of touches."""


def journey_rows(count: int, seed: int) -> Floats:
    """Made-up inputs of the ranker of touches: numbers, some missing, then category codes."""
    rng = np.random.default_rng(seed)
    numbers = np.round(rng.uniform(0, 24, (count, len(JOURNEY.numbers))), 1)
    numbers[rng.random(numbers.shape) < MISSING] = np.nan
    return np.column_stack([numbers, *(rng.integers(0, len(known), count) for known in JOURNEY.categories.values())])


def journey_columns(matrix: Floats) -> dict[str, list[Any]]:
    """The same by name: categories as texts, missing as None."""
    numbers = len(JOURNEY.numbers)
    told: dict[str, list[Any]] = {
        name: [None if np.isnan(value) else value for value in column]
        for name, column in zip(JOURNEY.numbers, matrix.T[:numbers].tolist(), strict=True)
    }
    for (name, known), column in zip(JOURNEY.categories.items(), matrix.T[numbers:].tolist(), strict=True):
        told[name] = [known[int(code)] for code in column]
    return told


KINDS: Mapping[str, tuple[Callable[[int, int], Floats], FeatureSchema]] = {
    "numeric": (rows, FeatureSchema(SCHEMA.names)),
    "categorical": (rows, SCHEMA),
    "identity": (identity_rows, FeatureSchema(SCHEMA_NUMBERS)),
    "attribution": (journey_rows, JOURNEY),
}
"""The models: what makes their rows, by count and seed, and what they take."""


def labels(matrix: Floats, seed: int) -> npt.NDArray[np.int64]:
    """Labels whose log-odds hang on some columns, on pairs of them, and on every category."""
    rng = np.random.default_rng(seed)
    numbers = min(matrix.shape[1], FEATURES - len(CARDINALITIES))
    known = np.nan_to_num(np.tanh(matrix[:, :numbers] - np.nanmedian(matrix[:, :numbers], axis=0)))
    odds = known @ rng.normal(size=numbers) * 0.6 + known[:, 0] * known[:, 4] - known[:, 7] * known[:, 9]
    for place, size in enumerate(CARDINALITIES[: matrix.shape[1] - numbers]):
        odds += rng.normal(size=size)[matrix[:, numbers + place].astype(int)] * 0.5
    return np.asarray(rng.random(len(matrix)) < 1 / (1 + np.exp(-odds + 1.5)), dtype=np.int64)


def text(kind: str) -> str:
    """The text of a model of KINDS; trained at first use, a minute of CPU each, and kept in the temp folder."""
    path = FOLDER / f"{kind}-{TREES}-{LEAVES}-{LEARNED}.txt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(_trained(kind))
        draft.replace(path)
    return path.read_text()


def _trained(kind: str) -> str:
    import lightgbm

    made, schema = KINDS[kind]
    matrix = made(LEARNED, 1)
    data = lightgbm.Dataset(
        matrix,
        labels(matrix, seed=2),
        feature_name=list(schema.names),
        categorical_feature=list(schema.categories),
        params={"verbosity": -1},
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
