"""Labels that are still ripening, and probabilities without any label: right on average, and not surer than they may be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.checks import Check
from monitoring.quality.ripe import calibration_checks
from monitoring.quality.ripening import corrected_checks
from monitoring.quality.unlabelled import estimated_checks, estimated_roc_auc
from whence.delay import maturity_curve
from whence.measures import brier, log_loss, roc_auc

WINDOW = 4.0


def young(rows: int = 20_000, *, said: float = 1.0) -> tuple[pd.DataFrame, np.ndarray]:
    """Decisions of the last four days, whose conversions take a day on average, and what will have come of them in the end.

    `said` is how many times the true chance was foretold.
    """
    draw = np.random.default_rng(7)
    true = draw.beta(2, 18, rows)
    delay = np.where(draw.random(rows) < true, np.minimum(draw.exponential(1.0, rows), WINDOW - 0.01), np.nan)
    age = draw.uniform(0, WINDOW, rows)
    seen = (delay <= age).astype(int)
    frame = {"probability": np.minimum(true * said, 0.999), "label": seen, "age": age, "cluster": np.arange(rows)}
    return pd.DataFrame(frame).assign(delay=np.where(seen, delay, np.nan), channel=draw.choice(["search", "social"], rows)), (
        ~np.isnan(delay)
    ).astype(int)


def corrected(rows: pd.DataFrame) -> dict[str, Check]:
    curve = maturity_curve(rows["age"], rows["delay"], WINDOW)
    return {check.metric.removeprefix("corrected_"): check for check in corrected_checks("m", rows.drop(columns="delay"), curve)}


def test_what_came_so_far_is_held_against_what_should_have_come_by_now() -> None:
    rows, _ = young()
    assert rows["label"].sum() / rows["probability"].sum() < 0.8, "uncorrected, a model that is right seems to say too much"
    right, doubled = (corrected(young(said=said)[0])["observed_over_expected"] for said in (1.0, 2.0))
    assert right.low < 1 < right.high
    assert right.high - right.low < 0.2
    assert doubled.value == pytest.approx(right.value / 2, rel=0.02)


def test_corrected_losses_are_those_of_the_labels_to_come() -> None:
    rows, final = young()
    found = corrected(rows)
    for name, measure in (("brier", brier), ("log_loss", log_loss)):
        whole = measure(final, rows["probability"].to_numpy())
        assert found[name].low < whole.value < found[name].high
        assert found[name].high - found[name].low > whole.high - whole.low, "young labels leave more doubt than ripe ones"


def test_without_known_conversions_nothing_is_corrected() -> None:
    rows, _ = young(200)
    assert corrected(rows.assign(label=0, delay=np.nan)) == {}


def test_the_worst_segment_is_the_one_that_is_off_for_sure_and_not_the_smallest() -> None:
    draw, said = np.random.default_rng(7), 0.2
    sizes, rates = {"search": 2000, "social": 2000, "tiny": 12}, {"search": 0.2, "social": 0.35, "tiny": 0.5}
    rows = pd.DataFrame([(name, float(draw.random() < rates[name])) for name, n in sizes.items() for _ in range(n)])
    rows = rows.set_axis(["channel", "label"], axis=1).assign(probability=said, route="batch", cluster=np.arange(len(rows)))
    worst = [check for check in calibration_checks("m", rows) if check.metric == "segment_observed_over_expected"]
    assert [check.segment for check in worst] == ["channel=social"], "a route that is everywhere the same has no worst"
    assert worst[0].low is not None
    assert worst[0].low > 1.3


def test_an_estimate_without_labels_agrees_with_labels_drawn_by_the_probabilities() -> None:
    draw = np.random.default_rng(7)
    p = draw.beta(1, 6, 20_000)
    y, found = (
        (draw.random(20_000) < p).astype(int),
        estimated_checks("m", pd.DataFrame({"probability": p, "subject": range(20_000)})),
    )
    told = {check.metric: check.value for check in found}
    assert told["estimated_brier"] == pytest.approx(brier(y, p).value, rel=0.03)
    assert told["estimated_log_loss"] == pytest.approx(log_loss(y, p).value, rel=0.03)
    assert told["estimated_roc_auc"] == pytest.approx(roc_auc(y, p).value, abs=0.02)


def test_the_estimated_auc_is_that_of_all_pairs() -> None:
    p = np.array([0.1, 0.4, 0.4, 0.8])
    pairs = [(p[i] * (1 - p[j]), (p[i] > p[j]) + (p[i] == p[j]) / 2) for i in range(4) for j in range(4) if i != j]
    assert estimated_roc_auc(p) == pytest.approx(sum(w * won for w, won in pairs) / sum(w for w, _ in pairs))
