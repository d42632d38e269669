"""A day's credit with what it is judged by: the truth of a simulated world, experiments, and the versions it was made with."""

from __future__ import annotations

import math
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from monitoring import attribution_quality, experiments, serving_log
from monitoring.checks import Check
from monitoring.quality import reading
from whence.attribution import statements
from whence.attribution.policy import of as policy_of
from whence.contracts.events import LINK_KEYS
from whence.contracts.times import Window
from whence.identity import exact
from whence.lake import Lake

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

LATE_DAYS = 7
"""A touch that earned a conversion may have been seen so much later than the look-back window says."""
LIFT_DAYS = 14
"""Days of people, held out and not, whose conversions are compared."""
BOTH = ", ".join(("kind", "click_id", "happened_at", "seen_at", *LINK_KEYS))
TRIED, BOUGHT = f"{BOTH}, campaign_id, experiment, holdout", f"{BOTH}, conversion_id, refund_of"
"""What is looked at of touches and of conversions: the columns of all of them take seconds to read."""


def crediting_checks(settings: Settings, lake: Lake, day: date) -> list[Check]:
    """Every measure of the credit of the day's conversions, as it was stated by the end of the day."""
    stated = _stated(lake, Window(day - timedelta(days=LIFT_DAYS - 1), day))
    credits = stated[stated["day"] == str(day)]
    if credits.empty:
        return []
    found = attribution_quality.credit_checks(credits)
    found += _truth(settings, lake, day, credits)
    found += _experiments(settings, lake, day, stated)
    before = max((each for each in stated["day"].unique() if each < str(day)), default="")
    return found + serving_log.version_checks(_versions(credits), _versions(stated[stated["day"] == before]))


def _stated(lake: Lake, window: Window) -> pd.DataFrame:
    with lake.connect(window, "credits") as con:
        rows = con.sql("SELECT * FROM credits WHERE stated_on <= ? ORDER BY ALL", params=[str(window.last)]).to_arrow_table()
    return statements.current(rows.to_pandas())


def _truth(settings: Settings, lake: Lake, day: date, credits: pd.DataFrame) -> list[Check]:
    reach = timedelta(days=math.ceil(policy_of(settings).reach_days) + LATE_DAYS)
    with lake.connect(Window(day - reach, day), "truth_conversions", "touches") as con:
        truth = con.sql("SELECT conversion_id, caused_by FROM truth_conversions ORDER BY 1").df()
        causes = "SELECT caused_by FROM truth_conversions WHERE caused_by IS NOT NULL"
        touches = con.sql(f"SELECT DISTINCT touch_id, channel FROM touches WHERE touch_id IN ({causes})").df()
    return attribution_quality.truth_checks(credits, truth, touches) if len(truth) else []


def _experiments(settings: Settings, lake: Lake, day: date, stated: pd.DataFrame) -> list[Check]:
    span = Window(day - timedelta(days=LIFT_DAYS - 1), day)
    with lake.connect(span, "touches", "conversions") as con:
        tried = f"SELECT {TRIED} FROM touches WHERE experiment IS NOT NULL OR kind = 'click' ORDER BY seen_at, event_id"
        bought = f"SELECT {BOUGHT} FROM conversions WHERE kind <> 'refund' ORDER BY seen_at, event_id"
        touches, sold = con.sql(tried).df(), con.sql(bought).df()
    people = reading.answers(lake, day)
    touches, sold = (rows.assign(person_id=exact.who(rows, people)) for rows in (touches, sold))
    found = experiments.lift_checks(touches, sold.drop_duplicates("conversion_id"), stated)
    return found + experiments.delay_checks(touches, sold, pd.Timestamp(Window(day, day).end), policy_of(settings).reach_days)


def _versions(credits: pd.DataFrame) -> dict[str, set[str]]:
    """The policies of a day's credit, and the bundles of each algorithm that has some."""
    learned = credits.dropna(subset=["bundle"]).groupby("algorithm")["bundle"].unique()
    return {"policy": set(credits["policy"].unique()), **{str(name): set(each) for name, each in learned.items()}}
