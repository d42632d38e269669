"""What was known then: Feast's as-of join against a loop that anyone can read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

import features
from features.definitions import DIGEST_TAG, definitions
from features.online import FIELDS, JOIN_KEYS
from features.store import HistoryError
from tests.builders import rows as table_of
from whence.contracts.settings import Features, Settings
from whence.contracts.times import NaiveTimeError, Window
from whence.lake import Lake

pytestmark = pytest.mark.filterwarnings(
    "ignore:`partition_filters` is deprecated:DeprecationWarning"
)  # deltalake, in whence.lake

FIRST = date(2026, 5, 1)
MAX_AGE = 48.0


def day_of(number: int) -> date:
    return FIRST + timedelta(days=number)


def end_of(number: int) -> datetime:
    return Window(day_of(number), day_of(number)).end


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """One home for all, since Feast takes a second to set up its registry."""
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True)
def no_rows(settings: Settings) -> None:
    for view in FIELDS:
        keep(settings, view, [])


def keep(settings: Settings, view: str, given: list[dict[str, Any]]) -> None:
    """Feature rows in the lake; `number` counts the days from the first."""
    full = [{"day": day_of(row["number"]).isoformat(), "seen_at": end_of(row["number"]), **row} for row in given]
    Lake.of(settings).replace(view, table_of(view, *full), Window(FIRST, day_of(60)))


def asked(*rows: tuple[str, Any]) -> pd.DataFrame:
    """Rows that ask for a network at a time."""
    frame = pd.DataFrame(rows, columns=["seen_at", "ip_key"])
    return frame.assign(row_id=range(len(rows)), seen_at=pd.to_datetime(frame["seen_at"], utc=True, format="ISO8601"))


@pytest.fixture
def one_network(settings: Settings) -> Settings:
    """Network n1 with one event at the end of 1 May, and two at the end of 2 May."""
    keep(settings, "network_features", [{"number": n, "ip_key": "n1", "events_1d": n + 1} for n in (0, 1)])
    return settings


def test_a_row_is_known_from_the_end_of_its_day_until_it_is_too_old(one_network: Settings) -> None:
    moments = {
        "2026-05-01T23:59:59.999999": (None, None),
        "2026-05-02T00:00:00": (1, 0.0),
        "2026-05-02T23:59:59.999999": (1, 24.0),
        "2026-05-03T00:00:00": (2, 0.0),
        "2026-05-05T00:00:00": (2, 48.0),
        "2026-05-05T00:00:00.000001": (None, None),
    }
    found = features.historical(one_network, asked(*((at, "n1") for at in moments)), ("network_features",))
    events, ages = zip(*moments.values(), strict=True)
    assert found["network_features__events_1d"].astype(object).where(lambda column: column.notna(), None).tolist() == list(events)
    assert found["network_features__age_hours"].tolist() == pytest.approx(
        [np.nan if age is None else age for age in ages], nan_ok=True
    )


def test_rows_keep_their_order_their_index_and_their_columns(one_network: Settings) -> None:
    rows = asked(("2026-05-03T10:00", "n1"), ("2026-05-02T10:00", "n9"), ("2026-05-02T10:00", "n1"), ("2026-05-02T10:00", "n1"))
    rows = rows.assign(note=["a", "b", "c", "d"], row_id=["w", "x", "y", "y"]).set_index(pd.Index([7, 3, 9, 1]))
    found = features.historical(one_network, rows, ("network_features",))
    pd.testing.assert_frame_equal(found[rows.columns], rows)
    assert found["network_features__events_1d"].fillna(-1).tolist() == [2, -1, 1, 1]


def test_the_largest_age_is_a_setting(settings: Settings) -> None:
    keep(settings, "network_features", [{"number": 0, "ip_key": "n1", "events_1d": 1}])
    short = Settings(home=settings.home, features=Features(max_age_hours=1.0))
    rows = asked(("2026-05-02T00:59", "n1"), ("2026-05-02T01:01", "n1"))
    assert features.historical(settings, rows, ("network_features",))["network_features__events_1d"].notna().tolist() == [
        True,
        True,
    ]
    assert features.historical(short, rows, ("network_features",))["network_features__events_1d"].notna().tolist() == [
        True,
        False,
    ]


def test_nothing_materialised_and_nothing_asked_give_nulls_with_all_columns(settings: Settings) -> None:
    rows = asked(("2026-05-02T10:00", "n1")).assign(person_id=None)
    views = ("network_features", "pair_features")
    expected = [f"{view}__{field}" for view in views for field in (*FIELDS[view], "age_hours")]
    for given in (rows, rows.iloc[:0], pd.DataFrame(columns=rows.columns)):
        found = features.historical(settings, given, views)
        assert list(found.columns) == [*rows.columns, *expected]
        assert found[expected].isna().all(axis=None)
        assert len(found) == len(given)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda rows: rows.drop(columns="ip_key"), HistoryError, "lack the column 'ip_key'"),
        (lambda rows: rows.assign(seen_at=rows["seen_at"].dt.tz_localize(None)), NaiveTimeError, "with a zone"),
        (lambda rows: rows.assign(seen_at=pd.Series([pd.NaT], dtype="datetime64[us, UTC]")), HistoryError, "no seen_at"),
    ],
)
def test_rows_that_cannot_be_placed_in_time_are_refused(
    settings: Settings, spoil: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        features.historical(settings, spoil(asked(("2026-05-02T10:00", "n1"))), ("network_features",))


def test_an_unknown_view_is_refused(settings: Settings) -> None:
    with pytest.raises(HistoryError, match="no feature view 'weather'"):
        features.historical(settings, asked(("2026-05-02T10:00", "n1")), ("weather",))


@pytest.mark.service
def test_every_view_agrees_with_a_brute_force_loop(settings: Settings) -> None:
    """Random days with gaps, ties at midnight, null and unknown keys, repeated rows: no value may differ, none may be lost."""
    rng = np.random.default_rng(11)
    people, networks = [f"p{n}" for n in range(6)], [f"n{n}" for n in range(5)]
    known = {
        "network_features": [{"ip_key": key, "events_7d": int(rng.integers(100))} for key in networks for _ in range(1)],
        "person_features": [{"person_id": key, "touches_7d": 0, "locale": "en"} for key in people],
        "pair_features": [{"ip_key": one, "person_id": other} for one in networks for other in people],
        "campaign_features": [{"campaign_id": key} for key in ("a", "b")],
        "identifier_features": [{"identifier": f"cookie_id:{n}", "person_id": people[n]} for n in range(6)],
    }
    number_of = {
        "network_features": "events_7d",
        "person_features": "touches_7d",
        "pair_features": "events_together_14d",
        "campaign_features": "click_rate_7d",
        "identifier_features": "person_probability",
    }
    held: dict[str, list[dict[str, Any]]] = {}
    for view, keys in known.items():
        days = [(number, key) for number in range(12) for key in keys if rng.random() < 0.4]
        held[view] = [{**key, "number": number, number_of[view]: int(rng.integers(1000))} for number, key in days]
        keep(settings, view, held[view])

    size = 400
    midnight = pd.Timestamp(FIRST, tz="UTC") + pd.to_timedelta(rng.integers(0, 15, size), unit="D")
    offset = np.where(rng.random(size) < 0.3, 0, rng.integers(0, 86_400_000_000, size))
    rows = pd.DataFrame(
        {
            "row_id": range(size),
            "seen_at": midnight + pd.to_timedelta(offset, unit="us"),
            "ip_key": rng.choice([*networks, "unknown", None], size),
            "person_id": rng.choice([*people, None], size),
            "campaign_id": rng.choice(["a", "b", None], size),
            "identifier": rng.choice([*(f"cookie_id:{n}" for n in range(6)), None], size),
        }
    )
    rows = pd.concat([rows, rows.sample(40, random_state=1)], ignore_index=True)
    found = features.historical(settings, rows, tuple(known))

    given_out = 0
    for place, row in enumerate(rows.to_dict("records")):
        for view, candidates in held.items():
            best = None
            for each in candidates:
                age = row["seen_at"].to_pydatetime() - end_of(each["number"])
                is_mine = all(row[key] == each[key] for key in JOIN_KEYS[view])
                if is_mine and timedelta(0) <= age <= timedelta(hours=MAX_AGE) and (best is None or age < best[0]):
                    best = (age, each[number_of[view]])
            value, age_hours = found.loc[place, f"{view}__{number_of[view]}"], found.loc[place, f"{view}__age_hours"]
            if best is None:
                assert pd.isna(value), (view, row)
                assert pd.isna(age_hours), (view, row)
            else:
                given_out += 1
                assert value == best[1], (view, row)
                assert age_hours == pytest.approx(best[0] / timedelta(hours=1)), (view, row)
    assert given_out > 500  # else the loop has judged nothing


def test_a_zone_other_than_utc_means_the_same_instant(one_network: Settings) -> None:
    rows = asked(("2026-05-02T00:00:00", "n1"))
    moved = rows.assign(seen_at=rows["seen_at"].dt.tz_convert("America/New_York"))
    found = features.historical(one_network, moved, ("network_features",))
    assert found["network_features__events_1d"].tolist() == [1]
    assert found["seen_at"].iloc[0] == datetime(2026, 5, 2, tzinfo=UTC)


def test_definitions_made_at_another_moment_are_the_same_so_that_they_are_applied_once() -> None:
    first, second = (definitions("/tables", 24.0)[0].tags[DIGEST_TAG] for _ in range(2))
    assert first == second
    assert definitions("/tables", 25.0)[0].tags[DIGEST_TAG] != first
