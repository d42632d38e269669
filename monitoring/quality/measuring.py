"""A model's quality on a day: on labels that are ripe, on those that are ripening, and without any."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitoring.checks import Check
from monitoring.quality import labels, reading
from monitoring.quality.labels import Ripening
from monitoring.quality.reading import FIELDS
from monitoring.quality.ripe import calibration_checks
from monitoring.quality.ripening import corrected_checks
from monitoring.quality.unlabelled import estimated_checks
from whence.contracts.models import CONVERSION_VALUE, EXPOSURE_RESPONSE
from whence.contracts.times import Window
from whence.delay import maturity_curve

if TYPE_CHECKING:
    from whence.contracts.settings import Settings
    from whence.lake import Lake

CURVE_DAYS = 7
"""Days of touches, ripe on the day, that tell how labels ripen."""
YOUNG_DAYS = 1
"""How old decisions are, in days, when they are judged by labels that are still ripening."""


def quality_checks(settings: Settings, lake: Lake, model: str, day: date) -> list[Check]:
    """Every measure of how right the model is, as it is known at the end of the day."""
    days = settings.training.conversion_days
    ripening = labels.ripening(model, days)
    found = _ripe(settings, lake, model, day, ripening)
    if model == CONVERSION_VALUE:
        found += _ripening(settings, lake, model, day, ripening)
    if model != EXPOSURE_RESPONSE:  # its probability is of one of two worlds, and nobody lives in both
        found += estimated_checks(model, reading.decided(lake, model, [str(day)]))
    return found


def _ripe(settings: Settings, lake: Lake, model: str, day: date, ripening: Ripening) -> list[Check]:
    last = day - timedelta(days=ripening.wait_days)
    span = Window(last - timedelta(days=ripening.span_days - 1), last)
    decisions = reading.decided(lake, model, span.days)
    if decisions.empty:
        return []
    known = reading.known(settings, lake, model, span, day, decisions)
    told = labels.labelled(model, decisions.assign(probability=range(len(decisions))), known, settings.training.conversion_days)
    return calibration_checks(model, _with_fields(told, decisions))


def _ripening(settings: Settings, lake: Lake, model: str, day: date, ripening: Ripening) -> list[Check]:
    """What has come by now of the decisions of the day before: young, and each day's by themselves, so that days add up."""
    span = Window(day - timedelta(days=YOUNG_DAYS), day - timedelta(days=YOUNG_DAYS))
    decisions = reading.decided(lake, model, span.days)
    if decisions.empty:
        return []
    before = Window(day - timedelta(days=ripening.wait_days + CURVE_DAYS), day)
    known = reading.known(settings, lake, model, before, day, decisions)
    touches = labels.watched(known, settings.training.conversion_days, Window(day, day).end)
    shown = touches[touches["kind"] != "eligible"]
    curve = maturity_curve(shown["age"], shown["delay"], ripening.wait_days)
    told = labels.of_touches(decisions.assign(probability=range(len(decisions))), touches)
    return corrected_checks(model, _with_fields(told, decisions), curve)


def _with_fields(told: pd.DataFrame, decisions: pd.DataFrame) -> pd.DataFrame:
    """What is told of decisions, with their probability and fields; `told` has the decision's place as its probability."""
    rows = decisions.iloc[told["probability"].to_numpy(np.int64)].reset_index(drop=True)
    shown = [name for name in (*FIELDS, "route") if rows[name].notna().any()]
    return told.assign(probability=rows["probability"], **{name: rows[name] for name in shown})
