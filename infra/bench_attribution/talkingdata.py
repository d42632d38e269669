"""Which click earned the install, on TalkingData's public sample, by the platform's own path from file to judged model."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from features import materialise
from infra.benching import DATA, Row, absent, verdict
from serving.daily.batch import resolve_identities
from training import train
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.settings import Settings, Source, Training
from whence.contracts.times import Window
from whence.ingest import ingest, source_days

CLICKS = DATA / "talkingdata_100k" / "train_sample.csv"
TARGET = 0.98
TEST_SHARE = 0.2
"""The last fifth in time, as `whence demo --source talkingdata=PATH` has it."""
ANCHOR = "winner of the challenge 0.984, on all 185 million clicks"


def measure(runs: int) -> list[Row]:
    """The rows; `runs` is not used, since the same file gives the same figures."""
    what = "TalkingData: which click earned the install, time-split ROC AUC"
    if not CLICKS.exists():
        return [absent(what, f"≥ {TARGET}")]
    with tempfile.TemporaryDirectory() as home:
        found = _trained(Path(home))
    taken, rows = found["metrics"], found["data"]["rows"]
    auc, ratio = taken["roc_auc"], taken["observed_over_expected"]
    installs = found["data"]["positives"]["test"]
    note = f"{rows['test']} clicks, {installs} installs in the last fifth; interval by person; {ANCHOR}"
    if auc["low"] < TARGET <= auc["high"]:
        note += f"; {installs} installs cannot tell whether it is {TARGET}"
    is_calibrated = ratio["low"] <= 1 <= ratio["high"]
    return [
        Row(what, f"{auc['value']:.4f}", _spread(auc), f"≥ {TARGET}", verdict(met=auc["value"] >= TARGET), note),
        Row(
            "TalkingData: observed / expected installs",
            f"{ratio['value']:.3f}",
            _spread(ratio),
            "interval holds 1",
            verdict(met=is_calibrated),
            f"calibration error {taken['calibration_error']['value']:.4f} {_spread(taken['calibration_error'])}; "
            f"calibrator {found['params']['calibrator']}",
        ),
        Row(
            "TalkingData: log-loss",
            f"{taken['log_loss']['value']:.5f}",
            _spread(taken["log_loss"]),
            note=f"a constant has {taken['baseline_log_loss']['value']:.5f}; {found['params']['rounds']} rounds",
        ),
        Row("TalkingData: average precision", f"{taken['average_precision']['value']:.3f}", _spread(taken["average_precision"])),
    ]


def _trained(home: Path) -> dict[str, Any]:
    """Metrics, parameters and data of a conversion-value model trained on the whole file, day by day as the platform does."""
    training = replace(Training(), holdout_time=TEST_SHARE)
    settings = Settings(home=home, source=Source("talkingdata", str(CLICKS)), training=training)
    days = source_days(settings)
    ingest(settings, days)
    for day in days:
        resolve_identities(settings, Window(day, day))
        materialise(settings, Window(day, day))
    folder = Path(train(settings, CONVERSION_VALUE, days.last).folder)
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("metrics", "params", "data")}


def _spread(measure: Mapping[str, float]) -> str:
    return f"[{measure['low']:.4f}, {measure['high']:.4f}]"
