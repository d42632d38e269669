"""Small real candidates: a LightGBM model on made-up rows, its bundle, and the report that training would leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import pyarrow as pa

from training.report import hashed
from whence import calibration
from whence.bundle import encode, golden_rows, write_bundle
from whence.contracts.models import CONVERSION_VALUE, Candidate, FeatureSchema
from whence.contracts.settings import Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.lake import Lake

SCHEMA = FeatureSchema(("age", "hour"), {"channel": ("display", "search", "social")})


def some_rows(n: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Rows with a label whose log-odds are 2·age, less in display; some ages and channels are missing."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {"age": rng.normal(size=n), "hour": rng.integers(0, 24, n), "channel": rng.choice([*SCHEMA.categories["channel"]], n)}
    )
    odds = 2 * rows["age"] - 1.5 - (rows["channel"] == "display")
    rows["label"] = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    rows.loc[rng.random(n) < 0.05, "age"] = np.nan
    rows.loc[rng.random(n) < 0.05, "channel"] = None
    rows["person"] = [f"p{number // 4}" for number in range(n)]
    return rows


def some_model(rows: pd.DataFrame, rounds: int = 20, seed: int = 1) -> tuple[str, calibration.Calibrator]:
    """A model's text and its calibrator, fitted on halves of the rows."""
    half = len(rows) // 2
    matrix, labels = encode(rows, SCHEMA), rows["label"].to_numpy()
    made = lgb.Dataset(
        matrix[:half], labels[:half], feature_name=list(SCHEMA.names), categorical_feature=["channel"], params={"verbosity": -1}
    )
    params = {
        "objective": "binary",
        "num_leaves": 7,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    booster = lgb.train({**params, "seed": seed}, made, rounds)
    return booster.model_to_string(), calibration.fit("platt", booster.predict(matrix[half:], raw_score=True), labels[half:])


def a_bundle(root: Path, *, rows: pd.DataFrame | None = None, rounds: int = 20, about: dict[str, Any] | None = None) -> str:
    """The digest of a small real bundle."""
    rows = some_rows() if rows is None else rows
    text, calibrator = some_model(rows, rounds)
    return write_bundle(
        root,
        CONVERSION_VALUE,
        text,
        calibrator.to_json(),
        SCHEMA,
        golden_rows(rows, SCHEMA, 64),
        about or {"as_of": "2026-05-10"},
    )


def a_candidate(settings: Settings, *, as_of: str = "2026-05-10", rounds: int = 20, drill: str = "", seed: int = 0) -> Candidate:
    """A candidate as training leaves it; `drill` shuffles its training labels."""
    rows = some_rows(seed=seed)
    test = some_rows(3000, seed=seed + 1000)
    if drill:
        rows["label"] = np.random.default_rng(5).permutation(rows["label"])
    bundle = a_bundle(settings.bundles, rows=rows, rounds=rounds, about={"as_of": as_of, "drill": drill})
    folder = settings.candidates / CONVERSION_VALUE / as_of / bundle
    folder.mkdir(parents=True, exist_ok=True)
    seen_at = pd.Timestamp(as_of, tz="UTC") + pd.to_timedelta(np.arange(len(test)) % 1400, unit="min")
    held = _known(test.assign(segment=test["channel"], baseline=rows["label"].mean(), seen_at=seen_at), "held")
    held.to_parquet(folder / "test.parquet")
    learned = _known(rows.assign(seen_at=pd.Timestamp(as_of, tz="UTC") - pd.Timedelta(hours=1)), "learned")
    hashes = {name: hashed(learned[name]) for name in ("row_id", "person")}
    pd.DataFrame({**hashes, "content": learned["content"], "seen_at": learned["seen_at"]}).to_parquet(folder / "learned.parquet")
    watched(settings, as_of)
    (folder / "metrics.json").write_text(json.dumps({"log_loss": {"value": 0.4, "low": 0.38, "high": 0.42, "n": 3000}}))
    (folder / "params.json").write_text(json.dumps({"rounds": rounds, "split": {"time": 0.2}}))
    (folder / "data.json").write_text(json.dumps({"tables": {"touches": 3}}))
    return Candidate(CONVERSION_VALUE, bundle, as_of, str(folder), drill)


def watched(settings: Settings, day: str, **loud: str) -> None:
    """Leave what monitoring found on a day: calm, or one finding."""
    unknown = dict.fromkeys(TABLES["findings"].schema.names)
    row = {
        **unknown,
        "day": day,
        "model": "touches",
        "level": "calm",
        "metric": "all",
        "segment": "all",
        "reason": "All agree.",
        **loud,
    }
    lake, schema = Lake.of(settings), TABLES["findings"].schema
    lake.replace("findings", pa.Table.from_pylist([row], schema=schema), Window.parse(day))


def _known(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows with what a report says of each; everybody of these rows is met in no others."""
    told = rows.assign(row_id=[f"{name}-{number}" for number in range(len(rows))], person=name + rows["person"])
    content = pd.util.hash_pandas_object(told[[*SCHEMA.names, "label"]], index=False).to_numpy()
    return told.assign(
        group="", people="new", label_age_days=1.0, delay_days=np.where(told["label"] > 0, 0.5, np.nan), content=content
    )
