"""Refunds take back exactly what was given, where it was given."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from serving.attributing import take_back
from tests.builders import a_conversion


def frame(*rows: dict[str, object]) -> pd.DataFrame:
    columns = ["event_id", "conversion_id", "order_id", "refund_of", "kind", "seen_at", "value_micros", "currency"]
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
        }
        for place, share in enumerate(shares)
    ]
    return pd.DataFrame(rows).assign(person_id="p", bundle=None, credit_micros=0, currency="USD", day="2026-05-01")


def a_refund(of: str, value: int) -> dict[str, object]:
    return a_conversion(at="15:00", conversion_id="r", event_id="r", kind="refund", refund_of=of, value_micros=value)


def test_a_refund_takes_from_where_the_credit_went() -> None:
    refunds = frame(a_refund("v", -100)).assign(original="v")
    rows = take_back(refunds, credits_of("v", 0.75, 0.25), ("linear",))
    assert rows[["touch_id", "credit_micros"]].to_numpy().tolist() == [["t0", -75], ["t1", -25]]


def test_a_refund_of_something_never_credited_takes_from_no_ad() -> None:
    refunds = frame(a_refund("gone", -100)).assign(original=None)
    rows = take_back(refunds, credits_of("v", 1.0), ("linear", "last_touch"))
    assert rows[["algorithm", "touch_id", "credit_micros"]].to_numpy().tolist() == [
        ["last_touch", "", -100],
        ["linear", "", -100],
    ]


@given(value=st.integers(-(10**12), 0), weights=st.lists(st.integers(1, 1000), min_size=1, max_size=6))
def test_what_a_refund_takes_back_sums_to_its_value(value: int, weights: list[int]) -> None:
    shares = [weight / sum(weights) for weight in weights]
    rows = take_back(frame(a_refund("v", value)).assign(original="v"), credits_of("v", *shares), ("linear",))
    assert rows["credit_micros"].sum() == value
