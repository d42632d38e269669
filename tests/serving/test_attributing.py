"""Orders count once, and refunds take back exactly what was given, where it was given."""

from __future__ import annotations

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from serving.attributing import take_back
from tests.builders import a_conversion
from whence.attribution.orders import sort_out


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


def test_an_order_told_by_pixel_and_server_counts_once_with_its_first_telling() -> None:
    pixel = a_conversion(at="10:00", conversion_id="a", order_id="o1")
    server = a_conversion(at="10:05", conversion_id="b", order_id="o1", source="server")
    orders = sort_out(frame(server, pixel), frame())
    assert (orders.counted["conversion_id"].tolist(), orders.repeats) == (["a"], 1)


def test_an_order_told_yesterday_does_not_count_today() -> None:
    orders = sort_out(frame(a_conversion(on="2026-05-02", order_id="o1")), frame(a_conversion(on="2026-05-01", order_id="o1")))
    assert orders.counted.empty
    assert orders.repeats == 1


def test_conversions_without_an_order_are_all_counted() -> None:
    assert len(sort_out(frame(a_conversion(), a_conversion()), frame()).counted) == 2


def test_a_refund_of_the_servers_telling_takes_back_from_the_pixels() -> None:
    told = frame(
        a_conversion(at="10:00", conversion_id="pixel", order_id="o1"),
        a_conversion(at="10:05", conversion_id="server", order_id="o1"),
    )
    orders = sort_out(frame(a_refund("server", -1)), told)
    assert orders.refunds["original"].tolist() == ["pixel"]


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
