"""A day's credit: its conversions credited for the first time, and what its news restates of the days before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING

import pandas as pd

from serving.daily import attributing, history, knowledge
from serving.daily.attributing import Scored
from serving.daily.restating import Journeys, changed
from whence.attribution import policy as policies
from whence.attribution import statements
from whence.attribution.policy import Policy
from whence.contracts.models import CONVERSION_VALUE
from whence.contracts.tables import TABLES
from whence.contracts.times import Window

if TYPE_CHECKING:
    import pyarrow as pa

    from serving.daily.knowledge import Known
    from serving.daily.ranking import History
    from whence.bundle import Scorer
    from whence.lake import Lake

READ = ("touches", "conversions", "sightings", "persons")
"""The tables whose versions a statement names."""


@dataclass(frozen=True)
class Models:
    """Where the learned part comes from."""

    pinned: Callable[[date, str], Scorer | None]
    """The champion that a day is credited with, by the model's name; None when the day has none."""
    history: History


@dataclass(frozen=True)
class Credited:
    """What a day's run states, and what its models said of the day."""

    rows: pd.DataFrame
    """New rows of `credits`: of this day, and of the days that its news restates."""
    conversions: int
    refunds: int
    repeats: int
    restated: int
    """Conversions of earlier days that were looked at again because of the day's news."""
    said: Mapping[str, tuple[Scorer, Iterable[Scored]]]
    """By model: who scored the day's rows, and what came out, in parts; to be gone through once, since touches are scored meanwhile."""


def of_day(lake: Lake, day: date, policy: Policy, models: Models, moment: datetime) -> Credited:
    """The day's credit, as known at its end.

    Conversions of earlier days, as far back as `policy.restate_days`, are credited anew where late events, or a better
    knowledge of who is who, gave them other touches; each by the champions of its own day. `moment` is when what a
    day's second run finds came to be known.
    """
    now, earlier = _known(lake, day, policy)
    window = Window(day, day).back(policy.restate_days + 1)
    journeys, stated = Journeys.of(now, window), history.credits_stated(lake, window, day)
    again: set[str] = set()
    if policy.restate_days:
        again = _again(Journeys.of(earlier, Window(window.first, history.before(day))), journeys, stated, day)
    of_today = journeys.counted["day"] == str(day)
    computed, scored = share_out(journeys, of_today | journeys.counted["conversion_id"].isin(again), now, models, day)
    refunds = journeys.orders.refunds
    own = refunds["day"] == str(day)
    refunds = refunds[own | refunds["original"].isin(again)]
    computed = _stacked(computed, _taken_back(lake, refunds, computed, day, policy))
    computed = _stacked(computed, statements.withdrawn(stated[stated["day"] == str(day)], computed))
    rows = statements.news(stated, computed, _occasion(lake, day, policy, stated, moment))
    said: dict[str, tuple[Scorer, Iterable[Scored]]] = {model: (scorer, [one]) for model, (scorer, one) in scored.items()}
    has_touches = str(day) in lake.days("touches")
    if has_touches and (valuer := models.pinned(day, CONVERSION_VALUE)) is not None:
        parts = knowledge.of_day(now)
        said[CONVERSION_VALUE] = valuer, (attributing.score_touches(some, models.history, valuer) for some in parts)
    told = int((now.conversions["day"] == str(day)).sum())
    return Credited(rows, int(of_today.sum()), int(own.sum()), told - int(of_today.sum()) - int(own.sum()), len(again), said)


def compare(lake: Lake, days: Window, policy: Policy, models: Models) -> pd.DataFrame:
    """Rows of credit (credit.ROW) that a policy would give the conversions of some days, each as known at its end; writes nothing."""
    parts = []
    for day in days:
        now, _ = _known(lake, day, replace(policy, restate_days=0))
        journeys = Journeys.of(now, Window(day, day))
        parts.append(share_out(journeys, journeys.counted["day"].notna(), now, models, day)[0])
    return _stacked(*parts)


def merged(lake: Lake, day: date, new: pd.DataFrame) -> list[tuple[Window, pa.Table]]:
    """What the parts of `credits` that were stated on the day hold with the new rows: a table for each day concerned."""
    import pyarrow as pa

    schema = TABLES["credits"].schema
    found = []
    for each, rows in new.groupby("day", sort=True):
        window = Window.parse(str(each))
        held = lake.read("credits", window).to_pandas()
        held = held[held["stated_on"] == str(day)]
        found.append((window, pa.Table.from_pandas(_stacked(rows, held), schema=schema, preserve_index=False)))
    return found


def _known(lake: Lake, day: date, policy: Policy) -> tuple[Known, Known]:
    """What is known at the end of the day, and what was the day before."""
    events = knowledge.read(lake, day, policy)
    now = knowledge.as_known(events, day, policy)
    return now, knowledge.as_known(events, history.before(day), policy) if policy.restate_days else now


def _again(before: Journeys, now: Journeys, stated: pd.DataFrame, day: date) -> set[str]:
    """The conversions of earlier days to be looked at again: those with other touches, and those that the day restated before."""
    earlier = stated[stated["day"] < str(day)]
    mine = earlier.loc[earlier["stated_on"] == str(day), "conversion_id"]
    return (changed(before, now) & set(earlier["conversion_id"])) | set(mine)


def share_out(
    journeys: Journeys, wanted: pd.Series, known: Known, models: Models, today: date
) -> tuple[pd.DataFrame, dict[str, tuple[Scorer, Scored]]]:
    """Credit of the wanted conversions, each by the champions of its own day, and what these said of today's."""
    counted = journeys.counted[wanted].reset_index(drop=True)
    pairs = journeys.pairs[journeys.pairs["conversion_id"].isin(counted["conversion_id"])].reset_index(drop=True)
    pairs = attributing.judged(pairs, known.touches, known.policy)
    plain = attributing.plain(known.policy, journeys.pairs, known.touches)
    parts, said = [attributing.credits_of(counted, pairs, plain)], {}
    for day, some in counted.groupby("day", sort=True):
        theirs = pairs[pairs["conversion_id"].isin(some["conversion_id"])].reset_index(drop=True)
        some = some.reset_index(drop=True)
        for model, name, learned in attributing.LEARNED:
            scorer = models.pinned(date.fromisoformat(str(day)), model) if name in known.policy.algorithms else None
            if scorer is not None:
                algorithm, scored = learned(theirs, some, known.touches, models.history, scorer, known.policy)
                parts.append(attributing.credits_of(some, theirs, [algorithm]))
                if day == str(today):
                    said[model] = scorer, scored
    return _stacked(*parts), said


def _taken_back(lake: Lake, refunds: pd.DataFrame, computed: pd.DataFrame, day: date, policy: Policy) -> pd.DataFrame:
    """Credit of refunds: from where the credit of their conversions goes now, or was stated to go."""
    originals = refunds["original"].dropna().tolist()
    past = statements.current(history.credits_of(lake, day, originals))
    past = past[~past["conversion_id"].isin(computed["conversion_id"])]
    given = _stacked(computed[computed["conversion_id"].isin(originals)], past)
    is_own = refunds["day"] == str(day)
    of_today = computed.loc[computed["day"] == str(day), "algorithm"].unique().tolist()
    of_before = computed.loc[computed["conversion_id"].isin(originals), "algorithm"].unique().tolist()
    own = attributing.take_back(refunds[is_own], given, of_today or attributing.without_a_model(policy))
    return _stacked(own, attributing.take_back(refunds[~is_own], given, of_before))


def _stacked(rows: pd.DataFrame, *more: pd.DataFrame) -> pd.DataFrame:
    """Rows one after another; empty frames, whose columns have no kind of their own, are left out."""
    return pd.concat([each for each in (rows, *more) if len(each)] or [rows], ignore_index=True)


def _occasion(lake: Lake, day: date, policy: Policy, stated: pd.DataFrame, moment: datetime) -> statements.Occasion:
    """A day's first run knows what its end knew; what a second one finds otherwise is known from now on."""
    is_first = not (stated["stated_on"] == str(day)).any()
    data = ", ".join(f"{name} {lake.version(name)}" for name in READ)
    return statements.Occasion(day, Window(day, day).end if is_first else moment, policies.digest(policy), data)
