"""How sure a period's credit is when who is who is drawn anew: its journeys, and all that anonymous persons may have been."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from serving.daily import attributing, history, knowledge, resolving
from serving.daily.knowledge import People
from whence.attribution import doubt, partitions, possible
from whence.attribution import policy as policies
from whence.attribution.near import near
from whence.attribution.policy import Policy
from whence.attribution.summary import ENDS, View
from whence.attribution.told import Touches
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.times import Window
from whence.identity.exact import who
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

COVERS = (
    "The interval over people is of what other people of the same kind would have brought: 95 % of it, by resampling people. The one "
    "over identity is of what these very people brought, had we known each of them: anonymous persons are drawn anew from everybody "
    "whom the identity model compared them with, linked or not, and their journeys are joined and shared anew."
)
"""What these intervals are of, in words."""
Share = Callable[[pd.DataFrame], pd.Series]


class DoubtError(ValueError):
    """Intervals that cannot be had this way; the message says which can."""


def credit_intervals(settings: Settings, rows: pd.DataFrame, view: View) -> pd.DataFrame:
    """Intervals of the view's rows from partitions drawn anew; `rows` are the current rows of credit that it shows.

    Columns currency, the view's keys and summary.ENDS. Journeys are known as they were when each conversion was stated, people
    as of the last statement. What this does not draw anew, as refunds of conversions before the period, is added as it was
    stated. Raises DoubtError for a learned algorithm, and where credit goes by the date of the touch.
    """
    if view.reporting_date == "touch":
        raise DoubtError(
            "Full intervals go by the date of the conversion, and this policy reports by the touch. Take --intervals quick."
        )
    lake, policy, mine = Lake.of(settings), policies.of(settings), rows[rows["algorithm"] == view.algorithm]
    last = date.fromisoformat(mine["stated_on"].max())
    may_be = options(lake, view, last)
    told = _told(lake, last, view, policy, mine, may_be)
    found = doubt.from_partitions(
        told.conversions, told.touches, may_be, policy, told.share, by=view.keys, activity=told.activity
    )
    return _around(found, mine, view)


def options(lake: Lake, view: View, last: date) -> pd.DataFrame:
    """Whom each anonymous person may be, as known at the end of `last`: owner, target, probability, is_linked.

    What the identity model said lately of a person's signals, linked or not (partitions.of_decisions), and the links that hold.
    """
    exact = history.exact_persons(lake, last)
    people = pd.Series(exact["person_id"].to_numpy(), index=exact["identifier"].to_numpy(), dtype=object)
    named = resolving.known(people)
    decisions, owners = _compared(lake, view, last, exact)
    said = partitions.of_decisions(decisions, owners, named).drop(columns="is_linked")
    taken = _taken(history.persons(lake, last), people)
    taken = taken[~taken["owner"].isin(named) & taken["target"].isin(named)].astype({"owner": object, "target": object})
    names = ["owner", "target"]
    both = said.astype(dict.fromkeys(names, object)).merge(taken, on=names, how="outer", suffixes=("", "_taken"))
    probability = both["probability"].fillna(both["probability_taken"])
    whole = probability.groupby(both["owner"]).transform("sum").clip(lower=1.0)
    return both[["owner", "target"]].assign(probability=probability / whole, is_linked=both["probability_taken"].notna())


@dataclass(frozen=True)
class _Told:
    """The events of the period by exact persons, and the algorithm as it was fitted for them."""

    conversions: pd.DataFrame
    touches: pd.DataFrame
    """Those of whoever these conversions may be of."""
    activity: pd.DataFrame
    share: Share


def _told(lake: Lake, last: date, view: View, policy: Policy, mine: pd.DataFrame, may_be: pd.DataFrame) -> _Told:
    exact = history.exact_persons(lake, last)
    days = _window(view)
    far = replace(policy, restate_days=(last - days.first).days)
    events = knowledge.read(lake, last, far)
    known = knowledge.as_known(events, last, policy)
    orders = known.orders(days)
    stated = mine.groupby("conversion_id")["stated_on"].max()
    counted = orders.counted[orders.counted["conversion_id"].isin(stated.index)].reset_index(drop=True)
    counted = counted.assign(known_by=[Window.parse(day).end for day in counted["conversion_id"].map(stated)])
    conversions = _by_unit(_net(counted, orders.refunds), exact)
    units = knowledge.owned(events.touches, People.of(events.touches.con, last, exact), last, "units")
    touches = near(units.con, units.name, possible.asked(conversions, may_be), policy).to_pandas()
    return _Told(
        conversions=conversions,
        touches=touches.drop(columns="person_probability").rename(columns={"person_id": "unit"}),
        activity=_by_unit(known.activity, exact),
        share=_share(view.algorithm, policy, known.pairs(counted), known.touches),
    )


def _window(view: View) -> Window:
    return Window.parse(f"{view.days[0]}..{view.days[-1]}")


def _net(counted: pd.DataFrame, refunds: pd.DataFrame) -> pd.DataFrame:
    """Conversions with what was taken back of them in the period taken off."""
    taken = refunds.dropna(subset="original").groupby("original")["takes_micros"].sum()
    back = counted["conversion_id"].map(taken).fillna(0).astype("int64")
    return counted.assign(value_micros=counted["value_micros"].astype("int64") + back)


def _by_unit(rows: pd.DataFrame, exact: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns=["person_id", "person_probability"], errors="ignore").assign(unit=who(rows, exact))


def _share(algorithm: str, policy: Policy, pairs: pd.DataFrame, touches: Touches) -> Share:
    every = {each.name: each.share for each in attributing.plain(policy, pairs, touches)}
    if algorithm not in every:
        raise DoubtError(
            f"Full intervals are for {', '.join(every)}: {algorithm} would have to score every journey that is drawn. "
            "Take --intervals quick."
        )
    return every[algorithm]


def _taken(persons: pd.DataFrame, people: pd.Series) -> pd.DataFrame:
    """The links that hold: each anonymous person once."""
    ranked = persons[persons["method"] == "ranked"]
    columns = {"owner": ranked["identifier"].map(people), "target": ranked["person_id"], "probability": ranked["probability"]}
    return pd.DataFrame(columns).drop_duplicates("owner")


def _compared(lake: Lake, view: View, last: date, exact: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """What the identity model said of the signals of the period and of the days before, and whose each of them is."""
    window = Window(_window(view).first - timedelta(days=LOOK_BACK_DAYS), last)
    with lake.connect(window, "decisions") as con:
        query = "SELECT subject, option, made_at, probability, chosen FROM decisions WHERE model = $1 AND route = 'batch' ORDER BY ALL"
        said: pd.DataFrame = con.sql(query, params=[IDENTITY_RANKER]).df()
    signals = history.signals(lake, window).drop_duplicates("event_id")
    signals = signals[signals["event_id"].isin(said["subject"])]
    return said, pd.Series(who(signals, exact).to_numpy(), index=signals["event_id"].to_numpy(), dtype=object)


LOOK_BACK_DAYS = 14
"""An anonymous person's signals are compared when they are seen; those of so many days before the period still count."""


def _around(found: pd.DataFrame, mine: pd.DataFrame, view: View) -> pd.DataFrame:
    """The intervals around what is stated: what was not drawn anew is added to both ends."""
    key = ["currency", *view.keys]
    stated = mine.groupby(key)["credit_micros"].sum().rename("stated_micros")
    both = pd.concat([stated, found.set_index(key)[["credit_micros", *ENDS]]], axis=1).astype("Int64").fillna(0)
    beside = both["stated_micros"] - both["credit_micros"]
    return both[ENDS].add(beside, axis=0).astype("int64").reset_index()
