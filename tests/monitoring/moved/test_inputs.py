"""How fresh a view was is read off what was logged; another day's rows can then be told with the same freshness."""

from __future__ import annotations

import json
from datetime import timedelta

import pandas as pd

from monitoring.moved.inputs import Freshness, History, Shelf, freshness
from whence.contracts.models import ATTRIBUTION_RANKER

NOON = pd.Timestamp("2026-05-03T12:00Z")
VIEW = "person_features"


def told(by_day: dict[tuple[str, str], float]) -> History:
    """What a view with one feature told of a person on a day; its row is twelve hours old at noon."""

    def ask(rows: pd.DataFrame, views: tuple[str, ...]) -> pd.DataFrame:
        (view,) = views
        values = [
            by_day.get((person, f"{at:%m-%d}"), float("nan"))
            for person, at in zip(rows["person_id"], rows["seen_at"], strict=True)
        ]
        ages = [12.0 if value == value else float("nan") for value in values]
        return rows.assign(**{f"{view}__clicks_7d": values, f"{view}__age_hours": ages})

    return ask


def asked(*persons: str) -> pd.DataFrame:
    return pd.DataFrame({"row_id": range(len(persons)), "seen_at": NOON, "person_id": list(persons)})


def answer(fresh: Freshness, people: int = 0) -> pd.DataFrame:
    shelf = Shelf(told({("ann", "05-03"): 3.0, ("ann", "05-02"): 2.0, ("old", "05-01"): 1.0}))
    return shelf.history(fresh, timedelta(days=people))(asked("ann", "old"), (VIEW,))


def test_a_fresh_view_tells_what_was_known_at_the_rows_own_hour() -> None:
    assert answer({})[f"{VIEW}__clicks_7d"].tolist()[0] == 3.0


def test_a_late_view_tells_what_was_known_a_day_before_and_is_a_day_older() -> None:
    found = answer({VIEW: 1}).iloc[0]
    assert (found[f"{VIEW}__clicks_7d"], found[f"{VIEW}__age_hours"]) == (2.0, 36.0)


def test_a_view_that_is_not_there_tells_nothing() -> None:
    assert answer({VIEW: None})[f"{VIEW}__clicks_7d"].isna().all()


def test_a_person_by_a_name_that_only_another_day_knew_is_told_of_as_known_then() -> None:
    assert answer({}, people=-2)[f"{VIEW}__clicks_7d"].tolist() == [3.0, 1.0]
    assert answer({}, people=0)[f"{VIEW}__clicks_7d"].isna().tolist() == [False, True]


def test_what_was_logged_says_which_view_was_late_and_which_was_not_there() -> None:
    logged = pd.DataFrame(
        {
            "subject": ["s1", "s2"],
            "option": ["t", "t"],
            "features": [
                json.dumps({"person_clicks_7d": clicks, "network_persons_7d": None, "campaign_views_7d": 9}) for clicks in (2, 4)
            ],
        }
    )

    def seen(fresh: Freshness) -> pd.DataFrame:
        late = fresh.get(VIEW, 0)
        clicks = [2.0, 4.0] if late == 1 else [5.0, 6.0]
        network = float("nan") if fresh.get("network_features", 0) is None else 7.0
        rows = {"person_clicks_7d": clicks, "network_persons_7d": network, "campaign_views_7d": 9.0}
        return pd.DataFrame({"subject": ["s1", "s2"], "option": "t", **rows})

    found, share = freshness(ATTRIBUTION_RANKER, logged, seen)
    assert found == {VIEW: 1, "network_features": None}
    assert set(share.values()) == {1.0}


def test_what_nothing_explains_is_left_unexplained() -> None:
    logged = pd.DataFrame({"subject": ["s1"], "option": ["t"], "features": [json.dumps({"person_clicks_7d": 99})]})
    found, share = freshness(
        ATTRIBUTION_RANKER, logged, lambda _: pd.DataFrame({"subject": ["s1"], "option": ["t"], "person_clicks_7d": [1.0]})
    )
    assert (found, share) == ({}, {VIEW: 0.0})
