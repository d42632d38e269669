from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from training import report
from training.errors import TrainingError
from training.examples import Examples, made
from training.fit import SHUFFLED, baseline, fit
from training.split import TEST, split
from whence import measures
from whence.bundle import encode
from whence.trees import Trees

NOW = datetime(2026, 5, 15, tzinfo=UTC)


def some_examples(n: int = 6000, window_days: float = 0.0, channels: int = 4) -> Examples:
    """Rows of fourteen days by 300 people, whose label hangs on one number and the channel; labels come up to three days late."""
    generator = np.random.default_rng(3)
    happened = pd.Series(pd.Timestamp("2026-05-01", tz="UTC") + pd.to_timedelta(generator.uniform(0, 14 * 86_400, n), unit="s"))
    inputs = pd.DataFrame({"size": generator.normal(size=n), "noise": generator.normal(size=n)})
    kind = generator.integers(0, channels, n)
    inputs["channel"] = pd.Series(kind).map("channel-{}".format)
    final = generator.random(n) < expit(-1.5 + 1.5 * inputs["size"] + 0.5 * (kind == 0))
    delay = np.where(final, generator.uniform(0, window_days, n) if window_days else 0.0, np.nan)
    watched = (pd.Timestamp(NOW) - happened).dt.total_seconds() / 86_400
    delay = np.where(delay <= watched, delay, np.nan)
    facts = pd.DataFrame({"row_id": [f"r{i}" for i in range(n)], "happened_at": happened, "seen_at": happened})
    facts = facts.assign(label=(~np.isnan(delay)).astype(int), delay_days=delay, group="", segment=inputs["channel"])
    facts = facts.assign(person=pd.Series(generator.integers(0, 300, n)).map("p{}".format), baseline_group="all")
    return made(inputs, facts, ("channel",), NOW, window_days)


def parts(examples: Examples):
    return split(examples.seen_at, examples.facts["person"], examples.ripe(), 0.2, 0.5, seed=7)


def test_a_model_beats_its_baseline_for_sure_and_says_probabilities() -> None:
    examples = some_examples()
    cut = parts(examples)
    fitted = fit(examples, cut, seed=7, threads=1)
    test = examples.keep(cut.rows(TEST))
    raw = Trees(fitted.text).raw(encode(test.inputs, fitted.schema))
    rows = report.test_rows(examples, cut, baseline(examples, cut), raw, fitted.calibrator.apply(raw))
    taken = report.measure(rows)
    assert taken["saved_over_baseline"].low > 0
    assert taken["observed_over_expected"].low < 1 < taken["observed_over_expected"].high
    assert taken["roc_auc"].value > 0.75
    assert max(fitted.gains, key=fitted.gains.__getitem__) == "size"


def test_shuffled_labels_teach_nothing() -> None:
    examples = some_examples()
    cut = parts(examples)
    fitted = fit(examples, cut, seed=7, threads=1, drill=SHUFFLED)
    test = examples.keep(cut.rows(TEST))
    probability = fitted.calibrator.apply(Trees(fitted.text).raw(encode(test.inputs, fitted.schema)))
    saved = measures.paired_difference(
        measures.log_losses(test.labels, baseline(examples, cut)[cut.rows(TEST)]),
        measures.log_losses(test.labels, probability),
        test.facts["person"].to_numpy(),
    )
    assert saved.low < 0.005


def test_the_same_examples_give_the_same_bytes() -> None:
    examples = some_examples(3000)
    again = some_examples(3000)
    first, second = (fit(each, parts(each), seed=7, threads=2) for each in (examples, again))
    assert first.text == second.text
    assert first.calibrator == second.calibrator
    assert examples.digest() == again.digest()
    assert examples.digest() != some_examples(3000, channels=5).digest()


def test_labels_that_are_not_ripe_are_weighed_and_the_level_is_kept() -> None:
    examples = some_examples(8000, window_days=3.0)
    cut = parts(examples)
    fitted = fit(examples, cut, seed=7, threads=1)
    assert fitted.weighted > 500
    assert examples.seen_at[cut.rows(TEST)].max() < pd.Timestamp("2026-05-12 12:00", tz="UTC")  # ripe rows alone judge
    test = examples.keep(cut.rows(TEST))
    p = fitted.calibrator.apply(Trees(fitted.text).raw(encode(test.inputs, fitted.schema)))
    ratio = measures.observed_over_expected(test.labels, p, test.facts["person"].to_numpy())
    assert ratio.low < 1 < ratio.high


def test_a_rare_category_is_unseen_and_a_known_one_keeps_its_place() -> None:
    examples = some_examples(3000, channels=3)
    examples.inputs.loc[:2, "channel"] = "rare"
    fitted = fit(examples, parts(examples), seed=7, threads=1)
    assert fitted.schema.categories == {"channel": ("channel-0", "channel-1", "channel-2")}
    assert fitted.schema.numbers == ("size", "noise")


def test_the_baseline_is_its_groups_share_drawn_to_the_mean() -> None:
    examples = some_examples(4000)
    examples.facts["baseline_group"] = np.where(examples.labels > 0, "yes", "no")
    said = baseline(examples, parts(examples))
    assert said[examples.labels > 0].min() > 0.95
    assert said[examples.labels == 0].max() < 0.05


def test_too_little_data_is_said_in_numbers() -> None:
    examples = some_examples(200)
    with pytest.raises(TrainingError, match=r"part has \d+ positive and \d+ negative labels of 200 examples in all, and needs"):
        fit(examples, parts(examples), seed=7, threads=1)


@pytest.mark.service
def test_the_report_has_no_nan_in_json_and_a_plot_each(tmp_path: Path) -> None:
    examples = some_examples(3000)
    cut = parts(examples)
    fitted = fit(examples, cut, seed=7, threads=1)
    raw = Trees(fitted.text).raw(encode(examples.inputs[cut.rows(TEST)], fitted.schema))
    rows = report.test_rows(examples, cut, baseline(examples, cut), raw, fitted.calibrator.apply(raw))
    report.write(tmp_path, rows, {"none": measures.mean([])}, {"a": 1}, {}, fitted.gains)
    assert '"value": null' in (tmp_path / "metrics.json").read_text()
    assert all((tmp_path / name).stat().st_size > 5000 for name in report.PLOTS)
    assert list(pd.read_parquet(tmp_path / "test.parquet"))[-13:] == [
        "row_id", "label", "person", "group", "segment", "seen_at", "delay_days", "label_age_days", "people", "content",
        "baseline", "raw", "probability",
    ]  # fmt: skip
