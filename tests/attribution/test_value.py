"""What a touch is worth: inputs that know no future, labels that count a conversion once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_click, a_conversion, a_touch
from whence.attribution import journeys, value
from whence.contracts.events import EVENTS

TALKINGDATA = Path(__file__).parents[3] / "shared/data/talkingdata_100k/train_sample.csv"


def frame(*rows: dict[str, Any], person: str | None = "p") -> pd.DataFrame:
    columns = EVENTS["touches" if "touch_id" in rows[0] else "conversions"].names
    return pd.DataFrame(list(rows)).reindex(columns=columns).assign(person_id=person)


def test_running_counts_know_only_what_was_seen_before_on_the_day() -> None:
    touches = frame(
        a_touch("23:59", "2026-04-30", ip_key="i", campaign_id="m"),
        a_touch("10:00", ip_key="i", campaign_id="m", user_agent="a"),
        a_touch("10:00", ip_key="i", campaign_id="m", user_agent="a"),
        a_touch("10:01", ip_key="i", campaign_id="n", user_agent="a"),
        a_touch("10:02", ip_key="i", kind="eligible", campaign_id="m"),
        a_touch("10:03", ip_key="i", campaign_id="m"),
        a_touch("10:04"),
    )
    counts = value.running_counts(touches, touches)
    assert counts["ip_before_1d"].tolist()[:6] == [0, 0, 0, 2, 3, 3]
    assert counts["ip_campaign_before_1d"].tolist()[:6] == [0, 0, 0, 0, 2, 2]
    assert counts["ip_agent_before_1d"].tolist()[:4] == [0, 0, 0, 2]
    assert counts["ip_campaign_agent_before_1d"].tolist()[:4] == [0, 0, 0, 0]
    assert counts["ip_channel_before_1d"].tolist()[:6] == counts["ip_before_1d"].tolist()[:6]
    assert np.isnan(counts["seconds_since_ip"].tolist()[:3]).all()
    assert counts["seconds_since_ip"].tolist()[3:6] == [60, 60, 120]  # the ghost at 10:02 is left out
    assert counts["seconds_since_ip_campaign"].tolist()[4:6] == [120, 180]
    assert counts.iloc[6].isna().all()


def test_what_came_on_the_network_in_seven_days_is_what_the_feature_knows_and_what_came_since() -> None:
    touches = frame(a_touch("10:00", ip_key="i"), a_touch("10:01", ip_key="i"))
    features = pd.DataFrame({"network_features__events_7d": [4.0, np.nan]})
    assert value.touch_frame(touches, features)["ip_before_7d"].tolist() == [4, 1]


def test_an_agent_is_taken_apart_into_device_and_system() -> None:
    long = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148"
    parts = value.agent_parts(pd.Series([long, "mobile safari|17|ios|phone", "1/13", "", None]))
    assert parts["device"].tolist() == ["phone", "phone", "1", None, None]
    assert parts["system"].tolist() == ["ios", "ios", "13", None, None]


def test_a_table_is_counted_as_its_frame_is() -> None:
    networks, agents = ["i", "j", None], ["a", None]
    touches = frame(
        *(
            a_touch(
                f"{20 + number % 5}:{number % 3}0" if number % 5 < 4 else "00:10",
                f"2026-05-0{1 + number % 2}",
                ip_key=networks[number % 3 * (number % 7 > 0)],
                user_agent=agents[number % 2],
                campaign_id="mn"[number % 4 // 2],
            )
            for number in range(60)
        )
    )
    con = duckdb.connect(config={"threads": 1})
    con.execute("SET TimeZone = 'UTC'")
    con.register("told", journeys.table(touches, ("touch_id", *value.TOLD)))
    found = con.sql(value.counted("FROM told")).df().set_index("touch_id").loc[touches["touch_id"], list(value.COUNTS)]
    pd.testing.assert_frame_equal(found.reset_index(drop=True), value.running_counts(touches, touches))


seen = st.tuples(
    st.integers(0, 3000), st.sampled_from([None, "i", "j"]), st.sampled_from("mn"), st.sampled_from(["view", "eligible"])
)


@pytest.mark.service
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.lists(seen, min_size=1, max_size=15))
def test_one_touch_by_itself_with_its_history_counts_the_same_as_in_the_batch(rows: list[Any]) -> None:
    at = pd.Timestamp("2026-05-01T00:00Z") + pd.to_timedelta([m for m, *_ in rows], unit="min")
    touches = pd.DataFrame(rows, columns=["minute", "ip_key", "campaign_id", "kind"]).assign(
        seen_at=at, user_agent=None, channel="c"
    )
    batch = value.running_counts(touches, touches)
    for i in range(len(touches)):
        then = touches["seen_at"].iloc[i]
        past = touches[
            (touches["seen_at"] < then) & (touches["seen_at"].dt.date == then.date()) & (touches["kind"] != "eligible")
        ]
        past = past[past["ip_key"] == touches["ip_key"].iloc[i]]
        alone = value.running_counts(touches.iloc[[i]], past)
        np.testing.assert_array_equal(alone.to_numpy(), batch.iloc[[i]].to_numpy())
        if touches["ip_key"].iloc[i] is not None:
            assert alone["ip_before_1d"].item() == len(past)
            since = (then - past["seen_at"].max()).total_seconds() if len(past) else np.nan
            np.testing.assert_equal(alone["seconds_since_ip"].item(), since)


def test_inputs_have_their_columns_also_where_nothing_is_known() -> None:
    inputs = value.touch_frame(frame(a_touch()))
    assert inputs.columns.tolist() == [*value.SCHEMA_NUMBERS, *value.SCHEMA_CATEGORIES]
    assert inputs["price_micros"].item() == 5_000
    assert inputs["ip_before_7d"].isna().all()
    assert inputs["campaign_clicks_7d"].isna().all()
    assert value.touch_frame(frame(a_touch()).head(0)).empty


def test_a_click_id_gives_the_conversion_to_its_click_alone() -> None:
    touches = frame(a_click("10:00", touch_id="t", click_id="k"), a_click("10:30", click_id="other"), a_touch("10:45"))
    bought = frame(a_conversion("12:00", click_id="k", seen_at="2026-05-02T01:00:00+00:00"))
    told = value.labels(touches, bought, conversion_days=3)
    assert told["label"].tolist() == [1, 0, 0]
    assert told["converted_seen_at"].iloc[0] == pd.Timestamp("2026-05-02T01:00Z")
    assert told["converted_at"].isna().tolist() == [False, True, True]


def test_without_a_click_id_it_goes_to_every_touch_of_its_person_in_the_window() -> None:
    touches = frame(a_click("10:00"), a_touch("11:00", "2026-04-28"), a_touch("13:00"), a_touch("13:00", "2026-04-28"))
    assert value.labels(touches, frame(a_conversion("12:00")), 3)["label"].tolist() == [1, 0, 0, 1]
    assert value.labels(touches, frame(a_conversion("12:00"), person="q"), 3)["label"].sum() == 0
    assert value.labels(touches, frame(a_conversion("12:00"), person=None), 3)["label"].sum() == 0


def test_a_refund_is_no_conversion_and_no_conversion_no_label() -> None:
    touches = frame(a_click("10:00"))
    refund = frame(a_conversion("12:00", kind="refund", refund_of="c", value_micros=-1))
    assert value.labels(touches, refund, 3)["label"].tolist() == [0]
    assert value.labels(touches, refund.head(0), 3)["label"].tolist() == [0]
    assert value.labels(touches.head(0), refund, 3).columns.tolist() == ["label", "converted_at", "converted_seen_at"]


def test_of_two_conversions_the_first_seen_is_told() -> None:
    touches = frame(a_click("10:00"))
    bought = frame(a_conversion("12:00", seen_at="15:00"), a_conversion("13:00", seen_at="14:00"))
    told = value.labels(touches, bought, 3)
    assert told["converted_at"].item() == pd.Timestamp("2026-05-01T13:00Z")


@pytest.mark.service
@pytest.mark.skipif(not TALKINGDATA.exists(), reason="the TalkingData sample is not shipped; put it beside the repository")
def test_on_talkingdata_a_model_of_these_inputs_ranks_installs_at_097() -> None:
    import lightgbm
    from sklearn.metrics import roc_auc_score

    clicks = pd.read_csv(TALKINGDATA, dtype=str).drop_duplicates().sort_values("click_time", ignore_index=True)
    at = pd.to_datetime(clicks["click_time"], utc=True)
    touches = pd.DataFrame(
        {
            "kind": "click",
            "click_id": clicks.index.astype(str),
            "person_id": clicks["ip"] + "|" + clicks["device"] + "|" + clicks["os"],
            "campaign_id": clicks["app"],
            "channel": clicks["channel"],
            "user_agent": clicks["device"] + "/" + clicks["os"],
            "ip_key": clicks["ip"],
            "happened_at": at,
            "seen_at": at,
        }
    )
    is_install = clicks["attributed_time"].notna()
    installed = pd.to_datetime(clicks["attributed_time"], utc=True)
    installs = touches[is_install].assign(kind="install", happened_at=installed[is_install], seen_at=installed[is_install])
    label = value.labels(touches, installs, conversion_days=3)["label"]
    assert label.tolist() == is_install.astype(int).tolist()
    inputs = value.touch_frame(touches)
    inputs[list(value.SCHEMA_CATEGORIES)] = inputs[list(value.SCHEMA_CATEGORIES)].astype("category")
    cut = int(0.8 * len(touches))
    params = {"objective": "binary", "num_leaves": 15, "learning_rate": 0.05, "min_data_in_leaf": 100, "seed": 7}
    fixed = {"deterministic": True, "force_row_wise": True, "num_threads": 1, "verbose": -1}
    model = lightgbm.train(params | fixed, lightgbm.Dataset(inputs[:cut], label[:cut]), 40)
    assert roc_auc_score(label[cut:], model.predict(inputs[cut:])) >= 0.97
