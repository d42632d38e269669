"""The model of forty features as `mlflow models serve` serves it: LightGBM's own flavour, one worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from infra.bench_serving import models

ROWS = 20


def save(folder: Path) -> None:
    """Write the MLflow model."""
    import lightgbm
    import mlflow.lightgbm

    mlflow.lightgbm.save_model(lightgbm.Booster(model_str=models.text("categorical")), str(folder))


def questions(count: int = 50) -> list[dict[str, Any]]:
    """Bodies of twenty rows each, categories as the codes that the model was trained on."""
    return [{"dataframe_split": {"columns": models.names(), "data": _plain(seed)}} for seed in range(count)]


def _plain(seed: int) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in models.rows(ROWS, seed).tolist()]
