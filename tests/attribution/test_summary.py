"""The tables of a report: every sum is that of its rows, and a difference to the last report is explained to the micro."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whence.attribution import summary
from whence.attribution.statements import CAUSES, current
from whence.attribution.summary import View

DAY, NEXT = "2026-05-01", "2026-05-02"
VIEW = View((DAY, NEXT), "last_touch")
_numbers = count(1)


def a_credit(**changes: Any) -> dict[str, Any]:
    """Ten dollars of one conversion, all to one touch of campaign-1, as first stated."""
    number = next(_numbers)
    plain = {
        "day": DAY, "conversion_id": f"conversion-{number}", "algorithm": "last_touch", "touch_id": f"touch-{number}",
        "stated_on": DAY, "version": 1, "cause": "first", "campaign_id": "campaign-1", "channel": "social",
        "touched_at": pd.Timestamp(f"{DAY}T10:00Z"), "share": 1.0, "credit_micros": 10_000_000, "currency": "USD",
        "certainty": 1.0, "new_to_brand": False,
    }  # fmt: skip
    row = {**plain, **changes}
    if row["touch_id"] == "":
        row |= {"campaign_id": "", "channel": "", "touched_at": pd.NaT, "certainty": np.nan}
    return {"clean_micros": row["credit_micros"], **row}


def no_ad(**changes: Any) -> dict[str, Any]:
    return a_credit(touch_id="", **changes)


def credits(*rows: dict[str, Any], refunds: tuple[str, ...] = ()) -> pd.DataFrame:
    return summary.marked(pd.DataFrame(rows), refunds)


def a_touch(**changes: Any) -> dict[str, Any]:
    at = pd.Timestamp(f"{DAY}T10:00Z")
    plain = {
        "touch_id": f"touch-{next(_numbers)}", "happened_at": at, "seen_at": at, "kind": "view", "holdout": False,
        "campaign_id": "campaign-1", "channel": "social", "price_micros": 5_000, "currency": "USD",
    }  # fmt: skip
    return {**plain, **changes}


def spent(*rows: dict[str, Any]) -> pd.DataFrame:
    return summary.spend(pd.DataFrame(rows, columns=list(a_touch())), VIEW.days)


def table(rows: pd.DataFrame, spend: pd.DataFrame, view: View = VIEW, **more: Any) -> pd.DataFrame:
    return summary.campaigns(summary.by_algorithm(summary.reported(rows, view), view), spend, view, **more)


def row_of(frame: pd.DataFrame, **where: str) -> dict[str, Any]:
    found = frame
    for name, value in where.items():
        found = found[found[name] == value]
    assert len(found) == 1
    return {str(name): value for name, value in found.iloc[0].items()}


def test_spend_is_what_touches_cost_and_ghosts_cost_nothing() -> None:
    found = spent(
        a_touch(price_micros=5_000), a_touch(kind="click", price_micros=7_000),
        a_touch(kind="eligible", price_micros=9_000), a_touch(holdout=True, price_micros=9_000),
    )  # fmt: skip
    assert row_of(found) == {
        "reported_on": DAY, "currency": "USD", "campaign_id": "campaign-1", "channel": "social",
        "touches": 2, "unpriced": 0, "spend_micros": 12_000,
    }  # fmt: skip


def test_a_touch_that_is_delivered_twice_is_paid_once() -> None:
    assert row_of(spent(a_touch(touch_id="t"), a_touch(touch_id="t", price_micros=6_000)))["spend_micros"] == 5_000


def test_spend_is_of_the_day_on_which_the_ad_was_shown_however_late_it_was_told() -> None:
    late = a_touch(seen_at=pd.Timestamp("2026-05-09T10:00Z"))
    earlier = a_touch(happened_at=pd.Timestamp("2026-04-30T23:59Z"))
    assert spent(late, earlier)["spend_micros"].tolist() == [5_000]


def test_a_touch_without_a_price_is_counted_and_said() -> None:
    found = row_of(table(credits(a_credit()), spent(a_touch(), a_touch(price_micros=None))))
    assert (found["touches"], found["unpriced"], found["note"]) == (2, 1, "1 touches have no price")


def test_a_touch_without_a_currency_is_counted_under_the_one_that_conversions_have() -> None:
    touches = pd.DataFrame([a_touch(price_micros=None, currency=None), a_touch(currency="EUR")])
    found = summary.spend(touches, VIEW.days, "EUR")
    assert found[["currency", "touches", "unpriced", "spend_micros"]].to_numpy().tolist() == [["EUR", 2, 1, 5_000]]
    assert set(summary.spend(touches, VIEW.days)["currency"]) == {"EUR", "?"}


def test_currencies_are_never_added_together() -> None:
    found = table(credits(a_credit(), a_credit(currency="EUR", credit_micros=3)), spent(a_touch()))
    dollars, euros = row_of(found, currency="USD"), row_of(found, currency="EUR")
    assert (dollars["credit_micros"], dollars["spend_micros"]) == (10_000_000, 5_000)
    assert (euros["credit_micros"], euros["spend_micros"]) == (3, 0)
    assert dollars["note"] == "earns in EUR, too, which the return on spend leaves out"
    assert euros["note"] == "spend is in USD"


def test_the_cost_of_a_conversion_counts_conversions_of_every_currency() -> None:
    found = table(credits(a_credit(), a_credit(currency="EUR")), spent(a_touch(price_micros=8_000)))
    assert row_of(found, currency="USD")["cost_per_conversion_micros"] == 4_000
    assert pd.isna(row_of(found, currency="EUR")["cost_per_conversion_micros"])


def test_a_campaign_paid_in_two_currencies_has_no_cost_of_a_conversion() -> None:
    found = table(credits(a_credit()), spent(a_touch(), a_touch(currency="EUR")))
    assert found["cost_per_conversion_micros"].isna().all()


def test_a_campaign_with_spend_and_no_credit_has_its_row_and_so_has_the_opposite() -> None:
    found = table(credits(a_credit(campaign_id="earns")), spent(a_touch(campaign_id="spends")))
    assert dict(zip(found["campaign_id"], found["note"], strict=True)) == {
        "earns": "credit, and no spend",
        "spends": "spend, and no credit",
    }
    assert row_of(found, campaign_id="spends")["return_on_spend"] == 0
    assert pd.isna(row_of(found, campaign_id="earns")["return_on_spend"])


def test_only_the_last_statement_of_a_conversion_counts() -> None:
    said = a_credit(conversion_id="c", credit_micros=10)
    rows = pd.DataFrame([said, {**said, "stated_on": NEXT, "campaign_id": "campaign-2", "cause": "late_events"}])
    found = table(summary.marked(current(rows), ()), spent())
    assert found[["campaign_id", "credit_micros"]].to_numpy().tolist() == [["campaign-2", 10]]


def test_the_credit_without_suspects_stands_beside() -> None:
    found = row_of(table(credits(a_credit(clean_micros=4_000_000)), spent()))
    assert (found["clean_micros"], found["suspect_micros"]) == (4_000_000, 6_000_000)


def test_revenue_at_identity_risk_is_the_credit_times_the_doubt() -> None:
    rows = credits(a_credit(certainty=0.75), a_credit(certainty=1.0), a_credit(certainty=np.nan), no_ad())
    assert row_of(table(rows, spent()), channel="social")["at_risk_micros"] == 2_500_000


def test_refunds_take_money_back_and_no_conversion() -> None:
    rows = credits(a_credit(), a_credit(conversion_id="r", credit_micros=-4_000_000), refunds=("r",))
    found = row_of(table(rows, spent()))
    assert (found["credit_micros"], found["refunds_micros"], found["conversions"]) == (6_000_000, -4_000_000, 1.0)


def test_a_negative_conversion_that_is_no_refund_still_counts_as_one() -> None:
    assert row_of(table(credits(a_credit(credit_micros=-1)), spent()))["conversions"] == 1.0


def test_the_share_of_new_customers_goes_by_conversions() -> None:
    rows = credits(a_credit(new_to_brand=True), a_credit(), a_credit(new_to_brand=None), a_credit(new_to_brand=True))
    assert row_of(table(rows, spent()))["new_share"] == 0.5


def test_what_an_incremental_conversion_cost_needs_that_algorithm() -> None:
    plain = table(credits(a_credit()), spent(a_touch(price_micros=3_000)))
    assert plain[["incremental_conversions", "cost_per_incremental_micros"]].isna().all(axis=None)
    half = a_credit(algorithm="incremental", share=0.25, credit_micros=2_500_000)
    found = row_of(table(credits(a_credit(), half), spent(a_touch(price_micros=3_000))))
    assert (found["incremental_conversions"], found["cost_per_incremental_micros"]) == (0.25, 12_000)


def test_algorithms_stand_side_by_side() -> None:
    rows = credits(a_credit(conversion_id="c"), a_credit(conversion_id="c", algorithm="linear", campaign_id="campaign-2"))
    found = summary.by_algorithm(summary.reported(rows, VIEW), VIEW)
    assert found[["algorithm", "campaign_id"]].to_numpy().tolist() == [["last_touch", "campaign-1"], ["linear", "campaign-2"]]


def test_by_the_touch_date_credit_belongs_to_the_day_of_the_touch_and_no_ad_to_that_of_the_conversion() -> None:
    rows = credits(a_credit(day=NEXT), no_ad(day=NEXT))
    by_touch = View((DAY,), "last_touch", reporting_date="touch")
    assert summary.reported(rows, by_touch)["touch_id"].tolist() == [rows["touch_id"][0]]
    assert len(summary.reported(rows, View((NEXT,), "last_touch"))) == 2
    assert summary.reported(rows, View((NEXT,), "last_touch", "touch"))["touch_id"].tolist() == [""]


def test_channels_are_the_sum_of_their_campaigns() -> None:
    rows = credits(a_credit(), a_credit(campaign_id="campaign-2"), a_credit(campaign_id="x", channel="search"))
    found = table(rows, spent(a_touch()), View(VIEW.days, "last_touch", by="channel"))
    assert found[["channel", "credit_micros"]].to_numpy().tolist() == [["social", 20_000_000], ["search", 10_000_000]]


def test_no_ad_comes_last_and_has_no_note() -> None:
    found = table(credits(no_ad(credit_micros=90_000_000), a_credit()), spent())
    assert found["channel"].tolist() == ["social", ""]
    assert found["note"].tolist() == ["credit, and no spend", ""]


def test_the_overview_is_the_sum_of_the_rows_it_stands_above() -> None:
    rows = credits(a_credit(share=0.6, credit_micros=6), no_ad(share=0.4, credit_micros=4), a_credit(currency="EUR"))
    found = summary.overview(table(rows, spent(a_touch(price_micros=3))))
    dollars = row_of(found, currency="USD")
    assert (dollars["value_micros"], dollars["to_ads_micros"], dollars["no_ad_micros"]) == (10, 6, 4)
    assert (dollars["no_ad_share"], dollars["return_on_spend"]) == (pytest.approx(0.4), 2.0)
    assert pd.isna(row_of(found, currency="EUR")["return_on_spend"])


def test_every_day_has_a_row_also_one_without_anything() -> None:
    rows = credits(a_credit(), no_ad(credit_micros=1))
    found = summary.by_day(summary.reported(rows, VIEW), spent(a_touch()), VIEW)
    assert found["day"].tolist() == [DAY, NEXT]
    assert row_of(found, day=DAY)["value_micros"] == 10_000_001
    assert row_of(found, day=NEXT)["value_micros"] == row_of(found, day=NEXT)["spend_micros"] == 0


def test_large_amounts_are_exact() -> None:
    odd = 2**53 + 1  # no float can hold it
    rows, paid = credits(a_credit(credit_micros=odd)), spent(a_touch(campaign_id="other", price_micros=odd))
    found = table(rows, paid)
    assert row_of(found, campaign_id="campaign-1")["credit_micros"] == row_of(found, campaign_id="other")["spend_micros"] == odd
    days = summary.by_day(summary.reported(rows, VIEW), paid, VIEW)
    assert days["value_micros"].tolist() == days["spend_micros"].tolist() == [odd, 0]


def explained(statements: list[dict[str, Any]], last: list[dict[str, Any]], now: View = VIEW, then: View = VIEW) -> pd.DataFrame:
    """The changes since a report that was made when the table had the rows of `last`."""
    had = current(pd.DataFrame(last, columns=list(a_credit())))
    earlier = summary.totals(summary.reported(had, then))
    return summary.changes(pd.DataFrame(statements), summary.positions(had), earlier, then, now)


def test_each_statement_moves_money_under_its_own_cause() -> None:
    first = a_credit(conversion_id="c", credit_micros=10)
    late = {**first, "stated_on": NEXT, "cause": "late_events", "campaign_id": "campaign-2"}
    merged = {**first, "stated_on": NEXT, "version": 2, "cause": "identity", "campaign_id": "campaign-3"}
    found = explained([first, late, merged], [first])
    moved = {row["campaign_id"]: row for row in found.to_dict("records")}
    assert (moved["campaign-1"]["before_micros"], moved["campaign-1"]["late_events_micros"]) == (10, -10)
    assert (moved["campaign-2"]["late_events_micros"], moved["campaign-2"]["identity_micros"]) == (10, -10)
    assert (moved["campaign-3"]["identity_micros"], moved["campaign-3"]["now_micros"]) == (10, 10)


def test_a_conversion_that_the_last_report_did_not_have_is_first() -> None:
    old, new = a_credit(), a_credit(credit_micros=5)
    assert row_of(explained([old, new], [old]))["first_micros"] == 5


def test_another_algorithm_is_the_doing_of_the_policy() -> None:
    mine = a_credit(conversion_id="c", credit_micros=10)
    other = {**mine, "algorithm": "linear", "campaign_id": "campaign-2"}
    found = explained([mine, other], [mine, other], now=View(VIEW.days, "linear"))
    assert dict(zip(found["campaign_id"], found["policy_micros"], strict=True)) == {"campaign-2": 10, "campaign-1": -10}


def test_another_reporting_date_is_the_doing_of_the_policy() -> None:
    row = a_credit(day=NEXT, credit_micros=10)
    then, now = View((DAY,), "last_touch"), View((DAY,), "last_touch", "touch")
    held = summary.positions(pd.DataFrame([row]))
    nothing = pd.DataFrame(columns=["algorithm", *summary.PLACE, "credit_micros"])
    found = summary.changes(pd.DataFrame([row]), held, nothing, then, now)
    assert (row_of(found)["before_micros"], row_of(found)["policy_micros"], row_of(found)["now_micros"]) == (0, 10, 10)


def test_a_rewritten_table_shows_as_unexplained() -> None:
    row = a_credit(credit_micros=10)
    found = row_of(explained([{**row, "credit_micros": 7}], [row]))
    assert (found["before_micros"], found["unexplained_micros"], found["now_micros"]) == (10, -3, 7)


statement = st.tuples(
    st.integers(0, 3), st.sampled_from(["last_touch", "linear"]), st.integers(0, 2), st.integers(1, 3), st.sampled_from(CAUSES),
    st.integers(-20, 20).map(lambda n: n * (2**53 + 1)), st.sampled_from(["USD", "EUR"]), st.sampled_from([DAY, NEXT]), st.booleans(),
)  # fmt: skip
views = st.builds(
    View, st.sampled_from([(DAY,), (NEXT,), (DAY, NEXT)]), st.sampled_from(["last_touch", "linear"]),
    st.sampled_from(["conversion", "touch"]), st.sampled_from(["campaign", "channel"]),
)  # fmt: skip


@pytest.mark.service
@settings(max_examples=20, deadline=None)
@given(st.lists(statement, min_size=1, max_size=12), st.data(), views, st.sampled_from(["conversion", "touch"]))
def test_a_difference_is_explained_to_the_micro(drawn: list[Any], data: Any, now: View, then_date: str) -> None:
    rows = [
        a_credit(
            conversion_id=f"c{which}", algorithm=algorithm, stated_on=DAY, version=version, cause=cause, credit_micros=micros,
            currency=currency, campaign_id=f"campaign-{campaign}", touched_at=pd.Timestamp(f"{touched}T10:00Z"), touch_id=f"t{at}",
            day=NEXT if is_late else DAY,
        )
        for at, (which, algorithm, campaign, version, cause, micros, currency, touched, is_late) in enumerate(drawn)
    ]  # fmt: skip
    every = pd.DataFrame(rows)
    every["cause"] = every.groupby(["conversion_id", "algorithm", "version"])["cause"].transform("first")
    last = every[every["version"] <= data.draw(st.integers(0, 3))].to_dict("records")
    then = View(now.days, data.draw(st.sampled_from(["last_touch", "linear"])), then_date, now.by)
    found = explained(every.to_dict("records"), last, now, then)
    parts = found[[f"{cause}_micros" for cause in (*CAUSES, summary.UNEXPLAINED)]].sum(axis=1)
    assert (found["before_micros"] + parts == found["now_micros"]).all()
    assert (found["unexplained_micros"] == 0).all()
    key = ["currency", *now.keys]
    for name, frame, view in (("before_micros", pd.DataFrame(last, columns=every.columns), then), ("now_micros", every, now)):
        shown = summary.reported(current(frame), view)
        judge = shown[shown["algorithm"] == view.algorithm].groupby(key)["credit_micros"].sum()
        told = found.set_index(key)[name]
        assert told[told != 0].to_dict() == judge[judge != 0].to_dict()
