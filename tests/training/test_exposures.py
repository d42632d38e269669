"""Moments of lives as examples, and what a model's credit is held against."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from tests.builders import some_settings
from training import exposures
from training.audit import Trained
from whence.attribution import lift, response
from whence.contracts.models import FeatureSchema
from whence.contracts.times import Window
from whence.world import effects

DAYS = Window.parse("2026-05-01..2026-05-08")


def a_sale(name: str, person: str, day: int, seen_after: float = 1.0) -> dict[str, object]:
    at = datetime(2026, 5, day, 10, tzinfo=UTC)
    return {"conversion_id": name, "person_id": person, "happened_at": at, "seen_at": at + timedelta(hours=seen_after)}


def test_moments_are_those_of_conversions_and_as_many_by_lot_as_are_wanted(tmp_path: Path) -> None:
    bought = pd.DataFrame([a_sale("early", "ann", 1), a_sale("late", "ann", 5, seen_after=20), a_sale("b", "bob", 6)])
    touches = pd.DataFrame({"person_id": ["eve", None], "happened_at": [DAYS.start, DAYS.start]})
    found = exposures._moments(bought, touches, DAYS, some_settings(tmp_path))
    cases, others = found[found["label"] == 1], found[found["label"] == 0]
    assert cases["row_id"].tolist() == ["late", "b"], "before the first conversion too little was watched"
    assert cases["known_by"].tolist() == [pd.Timestamp("2026-05-07", tz="UTC")] * 2, "the end of the day that it was seen on"
    assert len(others) == exposures.LEAST_MOMENTS
    assert set(others["person_id"]) == {"ann", "bob", "eve"}
    assert others["happened_at"].between(pd.Timestamp("2026-05-03", tz="UTC"), pd.Timestamp(DAYS.end)).all()
    assert exposures._moments(bought, touches, DAYS, some_settings(tmp_path)).equals(found)


class TrueModel(Trained):
    """What a world with known effects would truly do, as odds of a moment being one of a conversion."""

    def __init__(self, lived: effects.Lived, names: list[str], scale: float = 1.0) -> None:
        object.__setattr__(self, "lived", lived)
        object.__setattr__(self, "schema", FeatureSchema((*names, "base")))
        object.__setattr__(self, "scale", scale)

    def score(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        lived: effects.Lived = self.lived  # type: ignore[attr-defined]
        shown = np.column_stack([frame[f"shown.campaign_id.all.view.{name}"] for name in lived.channels.names])
        chance = effects._response(lived.channels, frame["base"].to_numpy(), shown)
        odds = self.scale * chance  # type: ignore[attr-defined]
        return logit(odds / (1 + odds)), odds / (1 + odds)


@pytest.fixture(scope="module")
def lived() -> effects.Lived:
    return effects.live(effects.Known(people=8_000, held_out=0.4, seed=21))


@pytest.mark.service  # long
def test_the_true_model_agrees_with_lift_and_one_that_sees_no_effects_does_not(lived: effects.Lived) -> None:
    touches, bought, everybody = effects.touches(lived), effects.conversions(lived), effects.people(lived)
    columns = response.columns_of(touches, response.WHOLE)
    inputs = response.frame(everybody, touches, columns, pd.DataFrame({"base": logit(lived.without)}))
    cases = bought.set_index("person_id")["conversion_id"]
    moments = everybody[["person_id", "happened_at", "label"]].assign(row_id=everybody["person_id"].map(cases))
    arms = lift.arms(touches)
    right = exposures.against_lift(
        moments, inputs, bought, arms, TrueModel(lived, list(columns.names)), set(moments["person_id"])
    )
    agreement = right.measures["lift_agreement"]
    assert agreement.low < 1 < agreement.high
    assert set(right.about["factors"].values()) == {1.0}, "experiments do not prove a right model wrong"

    blind = inputs.assign(**{name: inputs[name] * 0 for name in inputs if name.startswith("shown.")})
    wrong = exposures.against_lift(moments, blind, bought, arms, TrueModel(lived, list(columns.names)), set(moments["person_id"]))
    assert wrong.measures["lift_agreement"].high < 0.1


class ShyModel(TrueModel):
    """One that learned every effect too small."""

    def score(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return super().score(frame.assign(**{name: frame[name] / 3 for name in frame if name.startswith("shown.")}))


@pytest.mark.service  # long
def test_effects_that_are_learned_too_small_are_made_larger_by_what_others_tell(lived: effects.Lived) -> None:
    touches, bought, everybody = effects.touches(lived), effects.conversions(lived), effects.people(lived)
    columns = response.columns_of(touches, response.WHOLE)
    inputs = response.frame(everybody, touches, columns, pd.DataFrame({"base": logit(lived.without)}))
    cases = bought.set_index("person_id")["conversion_id"]
    moments = everybody[["person_id", "happened_at", "label"]].assign(row_id=everybody["person_id"].map(cases))
    shy, strangers = ShyModel(lived, list(columns.names)), set(moments["person_id"][::2])
    found = exposures.against_lift(moments, inputs, bought, lift.arms(touches), shy, strangers)
    is_case = (moments["label"] > 0) & moments["person_id"].isin(strangers)
    said = response.worths(inputs[is_case], shy).sum()
    truth = response.worths(inputs[is_case], TrueModel(lived, list(columns.names))).sum()
    assert said.sum() < 0.8 * truth.sum()
    assert (said * pd.Series(found.about["factors"])).sum() == pytest.approx(truth.sum(), rel=0.15)


def test_without_an_experiment_there_is_nothing_to_hold_credit_against(lived: effects.Lived) -> None:
    none = lift.arms(effects.touches(effects.live(effects.Known(people=50, held_out=0.0))))
    bought = effects.conversions(lived)
    moments = pd.DataFrame({"label": [1], "person_id": ["p1"], "row_id": ["c1"], "happened_at": [effects.asked_at()]})
    found = exposures.against_lift(moments, pd.DataFrame({"base": [0.0]}), bought, none, TrueModel(lived, []), {"p1"})
    assert (found.measures, found.about) == ({}, {})
