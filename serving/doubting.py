"""How sure a period's credit is when who is who is drawn anew: its journeys, and all that anonymous persons may have been."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from serving import attributing, history, knowledge, resolving
from whence.attribution import doubt, journeys
from whence.attribution import policy as policies
from whence.attribution.policy import Policy
from whence.attribution.summary import ENDS, View
from whence.contracts.models import IDENTITY_RANKER
from whence.contracts.times import Window
from whence.identity.exact import who
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

COVERS = (
    "The interval over people is of what other people of the same kind would have brought: 95 % of it, by resampling people, from stored "
    "credit. The one over identity is of what these very people brought, had we known each of them: anonymous persons are drawn anew from everybody "
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
    told = _told(lake, last, view, policy, mine)
    found = doubt.from_partitions(
        told.conversions, told.touches, options(lake, view, last), policy, told.share, by=view.keys, activity=told.activity
    )
    return (
        _over_people(mine, view).join(_around(found, mine, view), how="outer").reset_index().astype(dict.fromkeys(ENDS, "Int64"))
    )


def options(lake: Lake, view: View, last: date) -> pd.DataFrame:
    """Whom each anonymous person may be, as known at the end of `last`: owner, target, probability, is_linked.

    What the identity model said of a person's signals is averaged over them, since each speaks of the same question; a link
    that was taken has the probability that it was taken with. An owner's probabilities sum to 1 at most.
    """
    exact = history.exact_persons(lake, last)
    people = pd.Series(exact["person_id"].to_numpy(), index=exact["identifier"].to_numpy(), dtype=object)
    named = resolving.known(people)
    taken = _taken(history.persons(lake, last), people)
    said = pd.concat([taken, _compared(lake, view, last, exact)], ignore_index=True)
    said = said[~said["owner"].isin(named) & said["target"].isin(named) & (said["owner"] != said["target"])]
    said = said.drop_duplicates(["owner", "target"])  # the link before what was said of it
    sure = said["probability"].where(said["is_linked"], 0.0).groupby(said["owner"]).transform("sum").clip(upper=1.0)
    rest = said["probability"].where(~said["is_linked"], 0.0)
    room = (1.0 - sure) / rest.groupby(said["owner"]).transform("sum")
    scaled = said["probability"].where(said["is_linked"], rest * room.clip(upper=1.0).fillna(0.0))
    return said.assign(probability=scaled).reset_index(drop=True)


@dataclass(frozen=True)
class _Told:
    """The events of the period by exact persons, and the algorithm as it was fitted for them."""

    conversions: pd.DataFrame
    touches: pd.DataFrame
    activity: pd.DataFrame
    share: Share


def _told(lake: Lake, last: date, view: View, policy: Policy, mine: pd.DataFrame) -> _Told:
    persons = history.persons(lake, last)
    days = _window(view)
    far = replace(policy, restate_days=(last - days.first).days)
    known = knowledge.as_known(knowledge.read(lake, last, far, persons), persons, last, policy)
    orders = known.orders(days)
    stated = mine.groupby("conversion_id")["stated_on"].max()
    counted = orders.counted[orders.counted["conversion_id"].isin(stated.index)].reset_index(drop=True)
    counted = counted.assign(known_by=[Window.parse(day).end for day in counted["conversion_id"].map(stated)])
    pairs = journeys.candidate_touches(counted, known.touches, policy, known.activity)
    exact = history.exact_persons(lake, last)
    return _Told(
        conversions=_by_unit(_net(counted, orders.refunds), exact),
        touches=_by_unit(known.touches, exact),
        activity=_by_unit(known.activity, exact),
        share=_share(view.algorithm, policy, pairs, known.touches),
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


def _share(algorithm: str, policy: Policy, pairs: pd.DataFrame, touches: pd.DataFrame) -> Share:
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
    links = pd.DataFrame(
        {"owner": ranked["identifier"].map(people), "target": ranked["person_id"], "probability": ranked["probability"]}
    )
    return links.drop_duplicates("owner").assign(is_linked=True)


def _compared(lake: Lake, view: View, last: date, exact: pd.DataFrame) -> pd.DataFrame:
    """What the identity model said of the signals of the period and of the longest look-back before it."""
    window = Window(date.fromisoformat(view.days[0]), last).back(
        (last - date.fromisoformat(view.days[0])).days + 1 + LOOK_BACK_DAYS
    )
    with lake.connect(window, "decisions") as con:
        query = "SELECT subject, option, max(probability) AS probability FROM decisions WHERE model = $1 AND route = 'batch' GROUP BY ALL"
        said: pd.DataFrame = con.sql(f"{query} ORDER BY ALL", params=[IDENTITY_RANKER]).df()
    signals = history.signals(lake, window).drop_duplicates("event_id")
    signals = signals[signals["event_id"].isin(said["subject"])]
    owner = pd.Series(who(signals, exact).to_numpy(), index=signals["event_id"].to_numpy(), dtype=object)
    said = said.assign(owner=said["subject"].map(owner)).dropna(subset="owner").rename(columns={"option": "target"})
    signals_of = said.groupby("owner")["subject"].nunique()
    summed = said.groupby(["owner", "target"], as_index=False)["probability"].sum()
    return summed.assign(probability=summed["probability"] / summed["owner"].map(signals_of), is_linked=False)


LOOK_BACK_DAYS = 14
"""An anonymous person's signals are compared when they are seen; those of so many days before the period still count."""


def _over_people(mine: pd.DataFrame, view: View) -> pd.DataFrame:
    """The ends over people by stored credit: whoever may be the same as anybody is one with half the town in the partitions."""
    return doubt.from_credits(mine, view.keys).set_index(["currency", *view.keys])[ENDS[:2]]


def _around(found: pd.DataFrame, mine: pd.DataFrame, view: View) -> pd.DataFrame:
    """The ends over identity around what is stated: what was not drawn anew is added to both."""
    key, over_identity = ["currency", *view.keys], ENDS[2:]
    stated = mine.groupby(key)["credit_micros"].sum().rename("stated_micros")
    both = pd.concat([stated, found.set_index(key)[["credit_micros", *over_identity]]], axis=1).astype("Int64").fillna(0)
    beside = both["stated_micros"] - both["credit_micros"]
    return both[over_identity].add(beside, axis=0)
