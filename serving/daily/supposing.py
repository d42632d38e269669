"""What a day's run would say in other circumstances: by another knowledge of who is who, another policy, models or features.

The same steps as the day's run; nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from serving.daily import attributing, crediting, knowledge
from serving.daily.attributing import Scored
from serving.daily.crediting import Models
from serving.daily.knowledge import Known
from serving.daily.restating import Journeys
from whence.attribution.policy import Policy
from whence.contracts.times import Window

if TYPE_CHECKING:
    from serving.daily.ranking import History
    from whence.bundle import Scorer
    from whence.lake import Lake

LEARNING = {attributing.MARKOV, attributing.SHAPLEY, attributing.INCREMENTAL}
"""The algorithms whose answer for a day rests on the journeys of the days before."""


@dataclass(frozen=True)
class Supposed:
    """The journeys of a day's conversions by some knowledge of who is who and some policy."""

    day: date
    known: Known
    journeys: Journeys


def journeys(lake: Lake, day: date, policy: Policy, persons: pd.DataFrame) -> Supposed:
    """The day's journeys as known at its end, had this been the policy, and `persons` (identifier, person_id, probability) who is who.

    The days before are looked at, too, where an algorithm of the policy learns from them, as it did when the day was credited.
    """
    if not set(policy.algorithms) & LEARNING:
        policy = replace(policy, restate_days=0)
    known = knowledge.as_known(knowledge.read(lake, day, policy, persons), day, policy)
    return Supposed(day, known, Journeys.of(known, Window(day, day).back(policy.restate_days + 1)))


def credit(
    supposed: Supposed, scorers: Mapping[str, Scorer], history: History
) -> tuple[pd.DataFrame, Mapping[str, tuple[Scorer, Scored]]]:
    """The day's first statements (credit.ROW), refunds left out, and what each model of `scorers` said."""
    models = Models(lambda _, model: scorers.get(model), history)
    of_today = supposed.journeys.counted["day"] == str(supposed.day)
    return crediting.share_out(supposed.journeys, of_today, supposed.known, models, supposed.day)


def value(touches: pd.DataFrame, scorer: Scorer, history: History) -> Scored:
    """What conversion-value would say of the touches of one day."""
    return attributing.score_touches(touches, history, scorer)
