"""Labels that are ripe, and what they say of the probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from monitoring.quality.labels import Known, labelled
from monitoring.quality.ripe import calibration_checks
from tests.builders import a_click, a_conversion, a_sighting, a_touch, rows
from whence.contracts.models import ATTRIBUTION_RANKER, CONVERSION_VALUE, IDENTITY_RANKER, MODELS


def persons(**of: str) -> pd.DataFrame:
    """`cookie_c1="p1"` says that cookie c1 is of p1, and `email_e1` the same of an e-mail."""
    kinds = {"cookie": "cookie_id", "email": "email_hash"}
    pairs = [(f"{kinds[name.partition('_')[0]]}:{name.partition('_')[2]}", person) for name, person in of.items()]
    return pd.DataFrame(pairs, columns=["identifier", "person_id"])


def known(**given: Any) -> Known:
    frames = {name: rows(name, *given.get(name, [])).to_pandas() for name in ("touches", "conversions", "sightings")}
    people = given.get("persons", persons())
    signals = pd.concat([frame for frame in frames.values() if len(frame)])
    return Known(frames["touches"], frames["conversions"], signals, people, given.get("before", people), people)


def decisions(*given: tuple[str, str | None, float]) -> pd.DataFrame:
    return pd.DataFrame(given, columns=["subject", "option", "probability"])


def test_a_touch_is_labelled_by_its_persons_conversion_within_the_window() -> None:
    touches = [
        a_touch(event_id="t1", cookie_id="c1"),
        a_touch(event_id="t2", cookie_id="c2"),
        a_touch(event_id="t3", cookie_id="c3"),
    ]
    bought = [a_conversion(cookie_id="c1"), a_conversion(on="2026-05-09", cookie_id="c2")]
    told = known(touches=touches, conversions=bought, persons=persons(cookie_c1="p1", cookie_c2="p2", cookie_c3="p3"))
    found = labelled(CONVERSION_VALUE, decisions(("t1", None, 0.9), ("t2", None, 0.2), ("t3", None, 0.1)), told, 3.0)
    assert found["label"].tolist() == [1, 0, 0]
    assert found["probability"].tolist() == [0.9, 0.2, 0.1]
    assert found["cluster"].tolist() == ["p1", "p2", "p3"]


def test_only_conversions_whose_click_is_a_candidate_tell_which_touch_it_was() -> None:
    touches = [
        a_touch(event_id="v", cookie_id="c1"),
        a_click(event_id="k", cookie_id="c1"),
        a_click(event_id="other", cookie_id="c9"),
    ]
    bought = [
        a_conversion(event_id="told", cookie_id="c1", click_id="click-of-k"),
        a_conversion(event_id="silent", cookie_id="c1"),
        a_conversion(event_id="stranger", cookie_id="c1", click_id="click-of-other"),
    ]
    told = known(touches=touches, conversions=bought, persons=persons(cookie_c1="p1", cookie_c9="p9"))
    asked = decisions(
        ("told", "v", 0.3), ("told", "k", 0.6), ("silent", "k", 0.5), ("stranger", "k", 0.4), ("stranger", "other", 0.9)
    )
    found = labelled(ATTRIBUTION_RANKER, asked, told, 3.0)
    assert list(zip(found["probability"], found["label"], strict=True)) == [(0.3, 0), (0.6, 1)]


def test_a_later_log_in_tells_whose_the_signal_was() -> None:
    signals = [a_sighting(event_id="s1", cookie_id="c1"), a_sighting(event_id="s2", cookie_id="c2")]
    now = persons(cookie_c1="p1", email_e1="p1", cookie_c2="p2", email_e5="p1")
    then = persons(email_e1="p1", email_e5="p5")
    told = known(sightings=signals, persons=now, before=then)
    asked = decisions(("s1", "p1", 0.8), ("s1", "p7", 0.1), ("s1", "p5", 0.7), ("s2", "p1", 0.6))
    found = labelled(IDENTITY_RANKER, asked, told, 3.0)
    assert found["label"].tolist() == [1, 0, 1], "p5 has become p1; nobody has logged in with cookie c2"


@pytest.mark.parametrize("model", MODELS)
def test_no_decisions_and_decisions_about_nothing_known_are_no_labels(model: str) -> None:
    told = known(touches=[a_touch(event_id="t")], conversions=[a_conversion(event_id="c")], persons=persons(cookie_x="p"))
    assert labelled(model, decisions(), told, 3.0).empty
    assert labelled(model, decisions(("gone", "gone too", 0.5)), told, 3.0).empty


def outcomes(said: float, true: float, n: int = 2000) -> pd.DataFrame:
    label = np.random.default_rng(7).random(n) < true
    return pd.DataFrame({"probability": np.full(n, said), "label": label.astype(int), "cluster": np.arange(n)})


def test_probabilities_that_are_right_measure_one_and_doubled_ones_a_half() -> None:
    right, doubled = ({c.metric: c for c in calibration_checks("m", outcomes(said, 0.1))} for said in (0.1, 0.2))
    assert right["observed_over_expected"].low < 1 < right["observed_over_expected"].high
    assert doubled["observed_over_expected"].high < 0.65
    assert doubled["brier"].value > right["brier"].value


def test_two_positives_leave_wide_doubt() -> None:
    few = pd.DataFrame({"probability": [0.05] * 40, "label": [1, 1] + [0] * 38, "cluster": range(40)})
    measure = {c.metric: c for c in calibration_checks("m", few)}["observed_over_expected"]
    assert measure.value == pytest.approx(1.0)
    assert measure.low < 0.15
    assert measure.high > 3.5


def test_too_few_labels_are_counted_and_not_measured() -> None:
    (only,) = calibration_checks("m", outcomes(0.1, 0.1, 10))
    assert (only.metric, only.value) == ("labelled", 10)
