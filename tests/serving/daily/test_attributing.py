"""Refunds take back exactly what was given, where it was given."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.daily.attributing import take_back
from tests.builders import a_conversion


def frame(*rows: dict[str, object]) -> pd.DataFrame:
    columns = ["conversion_id", "person_id", "seen_at", "value_micros", "currency", "original", "takes_micros"]
    return pd.DataFrame(rows).reindex(columns=columns)


def credits_of(conversion: str, *shares: float) -> pd.DataFrame:
    rows = [
        {
            "conversion_id": conversion,
            "algorithm": "linear",
            "touch_id": f"t{place}",
            "campaign_id": "c",
            "channel": "search",
            "share": share,
            "credit_micros": round(1000 * share),
            "clean_micros": 1000 if place == 0 else 0,
        }
        for place, share in enumerate(shares)
    ]
    at = pd.Timestamp("2026-05-01", tz="UTC")
    plain = {"person_id": "p", "bundle": None, "currency": "USD", "day": "2026-05-01", "touched_at": at, "suspect": ""}
    return pd.DataFrame(rows).assign(**plain, certainty=1.0, new_to_brand=True)


def a_refund(of: str | None, value: int, takes: int | None = None) -> dict[str, object]:
    told = a_conversion(at="15:00", conversion_id="r", event_id="r", kind="refund", refund_of=of, value_micros=value)
    return {**told, "original": of, "takes_micros": (value if of else 0) if takes is None else takes}


def test_a_refund_takes_from_where_the_credit_went() -> None:
    rows = take_back(frame(a_refund("v", -100)), credits_of("v", 0.75, 0.25), ("linear",))
    assert rows[["touch_id", "credit_micros"]].to_numpy().tolist() == [["t0", -75], ["t1", -25]]


def test_without_suspect_touches_it_takes_from_where_that_credit_went() -> None:
    rows = take_back(frame(a_refund("v", -100)), credits_of("v", 0.75, 0.25), ("linear",))
    assert rows["clean_micros"].tolist() == [-100, 0]


def test_a_refund_of_more_than_the_conversion_takes_the_rest_from_no_ad() -> None:
    rows = take_back(frame(a_refund("v", -120, takes=-100)), credits_of("v", 0.75, 0.25), ("linear",))
    assert rows[["touch_id", "credit_micros"]].to_numpy().tolist() == [["", -20], ["t0", -75], ["t1", -25]]
    assert rows["share"].sum() == pytest.approx(1.0)


def test_what_no_ad_does_not_have_keeps_the_type_that_ads_give_it() -> None:
    given = credits_of("v", 0.75, 0.25)
    given["touched_at"] = given["touched_at"].astype("datetime64[us, UTC]")
    rows = take_back(frame(a_refund("v", -120, takes=-100)), given, ("linear",))
    assert rows["touched_at"].dtype == given["touched_at"].dtype
    assert rows["touched_at"].isna().tolist() == [True, False, False]


def test_nobody_is_an_earlier_customer_because_no_ad_does_not_know() -> None:
    rows = take_back(frame(a_refund("v", -100)), credits_of("v", 1.0), ("linear", "incremental"))
    assert rows["new_to_brand"].tolist() == [None, True]


def test_a_refund_of_something_never_credited_takes_from_no_ad() -> None:
    rows = take_back(frame(a_refund(None, -100)), credits_of("v", 1.0), ("linear", "last_touch"))
    assert rows[["algorithm", "touch_id", "credit_micros"]].to_numpy().tolist() == [
        ["last_touch", "", -100],
        ["linear", "", -100],
    ]


def test_an_algorithm_that_did_not_credit_the_conversion_takes_its_refund_from_no_ad() -> None:
    rows = take_back(frame(a_refund("v", -100)), credits_of("v", 1.0), ("linear", "incremental"))
    assert rows[["algorithm", "touch_id", "credit_micros"]].to_numpy().tolist() == [
        ["incremental", "", -100],
        ["linear", "t0", -100],
    ]


@settings(deadline=None, max_examples=20)
@given(value=st.integers(-(10**12), 0), weights=st.lists(st.integers(1, 1000), min_size=1, max_size=6))
def test_what_a_refund_takes_back_sums_to_its_value(value: int, weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    rows = take_back(frame(a_refund("v", value)), credits_of("v", *shares), ("linear",))
    assert rows["credit_micros"].sum() == rows["clean_micros"].sum() == value
