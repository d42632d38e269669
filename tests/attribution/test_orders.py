"""Orders count once, refunds take back what was given and no more, and the policy says who may be paid."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import a_conversion
from whence.attribution.customers import standing
from whence.attribution.orders import Orders, fill_identifiers, sort_out
from whence.attribution.policy import CoolDown, NewToBrand, Policy, Refunds
from whence.attribution.policy import Orders as Telling
from whence.contracts.events import CONVERSIONS

COLUMNS = ["day", *CONVERSIONS.names, "person_id"]


def frame(*rows: dict[str, Any], person: str | None = "p") -> pd.DataFrame:
    return pd.DataFrame([{"person_id": person, **row} for row in rows]).reindex(columns=COLUMNS)


def a_refund(
    of: str | None = None, value: int = -10_000_000, on: str = "2026-05-02", at: str = "12:00", **more: Any
) -> dict[str, Any]:
    return a_conversion(at, on, kind="refund", refund_of=of, value_micros=value, **more)


def sorted_out(*days: pd.DataFrame, policy: Policy | None = None) -> Orders:
    """The last of these days, with those before it."""
    earlier = pd.concat(days[:-1], ignore_index=True) if len(days) > 1 else frame()
    return sort_out(days[-1], earlier, policy or Policy())


def taken(orders: Orders) -> list[tuple[str, str | None, int]]:
    return [(row.conversion_id, row.original, row.takes_micros) for row in orders.refunds.itertuples()]


def test_an_order_told_by_pixel_and_server_counts_once_with_its_first_telling() -> None:
    pixel = a_conversion("10:00", conversion_id="a", order_id="o1")
    server = a_conversion("10:05", conversion_id="b", order_id="o1", source="server")
    orders = sorted_out(frame(server, pixel))
    assert (orders.counted["conversion_id"].tolist(), orders.repeats) == (["a"], 1)


def test_the_preferred_telling_counts_if_it_came_on_the_same_day() -> None:
    server_first = Policy(orders=Telling(prefer="server"))
    pixel = a_conversion("10:00", conversion_id="a", order_id="o1")
    server = a_conversion("23:59", conversion_id="b", order_id="o1", source="server")
    assert sorted_out(frame(pixel, server), policy=server_first).counted["conversion_id"].tolist() == ["b"]
    late = a_conversion("10:00", "2026-05-02", conversion_id="c", order_id="o1", source="server")
    assert sorted_out(frame(pixel), frame(late), policy=server_first).counted.empty


def test_an_order_told_yesterday_does_not_count_today_and_one_told_long_ago_does() -> None:
    again = frame(a_conversion(on="2026-05-22", order_id="o1"))
    assert sorted_out(frame(a_conversion(on="2026-05-21", order_id="o1")), again).repeats == 1
    short = Policy(orders=Telling(look_back_days=20), refunds=Refunds(within_days=20))
    assert len(sorted_out(frame(a_conversion(on="2026-05-01", order_id="o1")), again, policy=short).counted) == 1


def test_a_conversion_delivered_again_counts_once() -> None:
    first, again = a_conversion("10:00", conversion_id="a"), a_conversion("11:00", conversion_id="a", event_id="other")
    orders = sorted_out(frame(first, again))
    assert (len(orders.counted), orders.repeats) == (1, 1)


def test_conversions_without_an_order_are_all_counted() -> None:
    assert len(sorted_out(frame(a_conversion(), a_conversion())).counted) == 2


def test_the_telling_that_counts_decides_where_value_or_currency_change() -> None:
    pixel = a_conversion("10:00", order_id="o1", value_micros=10, currency="USD")
    server = a_conversion("10:05", order_id="o1", value_micros=9, currency="EUR", source="server")
    for prefer, told in (("first", (10, "USD")), ("server", (9, "EUR"))):
        (row,) = sorted_out(frame(pixel, server), policy=Policy(orders=Telling(prefer=prefer))).counted.itertuples()
        assert (row.value_micros, row.currency) == told


def test_a_refund_of_the_servers_telling_takes_back_from_the_pixels() -> None:
    told = frame(
        a_conversion("10:00", conversion_id="pixel", order_id="o1"),
        a_conversion("10:05", conversion_id="server", order_id="o1"),
    )
    assert taken(sorted_out(told, frame(a_refund("server", -4, conversion_id="r")))) == [("r", "pixel", -4)]


def test_a_refund_finds_its_order_by_the_orders_id_too() -> None:
    told = frame(a_conversion(conversion_id="a", order_id="o1"))
    back = a_refund(None, -4, order_id="o1", conversion_id="r")
    lost = a_refund("never heard of", -3, order_id="o1", conversion_id="s")
    assert taken(sorted_out(told, frame(back, lost))) == [("r", "a", -4), ("s", "a", -3)]


def test_a_negative_value_is_a_refund_whatever_its_kind_says() -> None:
    told = frame(a_conversion(conversion_id="a", order_id="o1"))
    odd = a_conversion("13:00", "2026-05-02", conversion_id="r", order_id="o1", value_micros=-5)
    alone = a_conversion("13:00", "2026-05-02", conversion_id="s", value_micros=-7)
    orders = sorted_out(told, frame(odd, alone))
    assert orders.counted.empty
    assert taken(orders) == [("r", "a", -5), ("s", None, 0)]


def test_a_refund_told_by_two_sources_counts_once_and_two_of_one_source_are_two() -> None:
    told = frame(a_conversion(conversion_id="a"))
    pixel = [a_refund("a", -4, at=f"10:0{i}", conversion_id=f"p{i}") for i in range(2)]
    server = [a_refund("a", -4, at=f"11:0{i}", conversion_id=f"s{i}", source="server") for i in range(3)]
    orders = sorted_out(told, frame(*pixel, *server))
    assert orders.refunds["conversion_id"].tolist() == ["p0", "p1", "s2"]
    assert orders.repeats == 2


def test_a_refund_told_again_the_day_after_is_a_repeat() -> None:
    told = frame(a_conversion(conversion_id="a")), frame(a_refund("a", conversion_id="r"))
    orders = sorted_out(*told, frame(a_refund("a", on="2026-05-03", conversion_id="s", source="server")))
    assert (len(orders.refunds), orders.repeats) == (0, 1)


def test_refunds_take_at_most_what_was_given() -> None:
    told = frame(a_conversion(conversion_id="a", value_micros=10))
    backs = frame(a_refund("a", -7, at="10:00", conversion_id="r1"), a_refund("a", -8, at="11:00", conversion_id="r2"))
    assert taken(sorted_out(told, backs)) == [("r1", "a", -7), ("r2", "a", -3)]
    later = frame(a_refund("a", -9, on="2026-05-03", conversion_id="r3"))
    assert taken(sorted_out(told, backs, later)) == [("r3", "a", 0)]


@pytest.mark.parametrize(
    ("back", "why"),
    [
        (a_refund("a", currency="EUR"), "another currency"),
        (a_refund("a", on="2026-06-29"), "within the 60 days that tellings are compared, but told too late"),
        (a_refund("gone"), "nobody knows its order"),
    ],
)
def test_a_refund_that_fits_no_order_takes_from_no_ad(back: dict[str, Any], why: str) -> None:
    policy = Policy(refunds=Refunds(within_days=30))
    (row,) = sorted_out(frame(a_conversion(conversion_id="a")), frame(back), policy=policy).refunds.itertuples()
    assert (row.original, row.takes_micros) == (None, 0), why


def test_a_refund_told_before_its_order_takes_from_no_ad_and_leaves_the_order_whole() -> None:
    early = frame(a_refund("a", -4, on="2026-05-01", conversion_id="r"))
    assert taken(sorted_out(early)) == [("r", None, 0)]
    order = frame(a_conversion(on="2026-05-02", conversion_id="a", value_micros=10))
    assert sorted_out(early, order).counted["conversion_id"].tolist() == ["a"]
    rest = frame(a_refund("a", -10, on="2026-05-03", conversion_id="s"))
    assert taken(sorted_out(early, order, rest)) == [("s", "a", -10)]


def test_a_refund_told_on_its_orders_day_is_found_whichever_came_first() -> None:
    both = frame(a_refund("a", -4, on="2026-05-01", at="09:00", conversion_id="r"), a_conversion("12:00", conversion_id="a"))
    assert taken(sorted_out(both)) == [("r", "a", -4)]


def test_a_policy_that_ignores_refunds_has_none() -> None:
    policy = Policy(refunds=Refunds(mode="ignore"))
    orders = sorted_out(frame(a_conversion(conversion_id="a")), frame(a_refund("a")), policy=policy)
    assert (len(orders.refunds), orders.repeats, len(orders.counted)) == (0, 0, 0)


def test_a_day_without_conversions_has_none_of_anything() -> None:
    orders = sort_out(frame(a_conversion()).head(0), frame(a_conversion()), Policy())
    assert (len(orders.counted), len(orders.refunds), orders.repeats) == (0, 0, 0)
    assert {"pays", "new_to_brand"} <= set(orders.counted)
    assert {"original", "takes_micros"} <= set(orders.refunds)


def test_a_cool_down_keeps_the_next_installs_from_paying_and_each_starts_it_anew() -> None:
    policy = Policy(cool_downs=(CoolDown("install", 90),))
    days = ["2026-01-01", "2026-03-31", "2026-06-28", "2026-09-26"]
    told = frame(*(a_conversion("12:00", day, kind="install", conversion_id=day) for day in days))
    assert dict(zip(days, standing(told, told.head(0), policy)["pays"], strict=True)) == {
        "2026-01-01": True,
        "2026-03-31": False,  # 89 days after
        "2026-06-28": False,  # 89 days after the last, which did not pay
        "2026-09-26": True,  # 90 days after
    }


def test_a_cool_down_may_block_other_kinds_and_touches_nobody_else() -> None:
    policy = Policy(cool_downs=(CoolDown("install", 1, ("reengagement",)),))
    told = frame(
        a_conversion("10:00", kind="install", conversion_id="a"),
        a_conversion("11:00", kind="reengagement", conversion_id="b"),
        a_conversion("12:00", kind="install", conversion_id="c"),
    )
    assert sorted_out(told, policy=policy).counted["pays"].tolist() == [True, False, True]
    other = frame(a_conversion("11:00", kind="reengagement"), person="q")
    nobody = frame(a_conversion("11:00", kind="reengagement"), person=None)
    assert sorted_out(told, pd.concat([other, nobody]), policy=policy).counted["pays"].tolist() == [True, True]


def test_who_bought_before_is_not_new_until_the_look_back_is_over() -> None:
    policy = Policy(new_to_brand=NewToBrand(look_back_days=10))
    told = frame(a_conversion(on="2026-05-01"), a_conversion(on="2026-05-11"), a_conversion("12:01", on="2026-05-21"))
    assert standing(told, told.head(0), policy)["new_to_brand"].tolist() == [True, False, True]
    other = frame(a_conversion(kind="install"), a_conversion("12:00", "2026-05-02"))
    assert standing(other, other.head(0), policy)["new_to_brand"].tolist() == [True, True]
    assert standing(frame(a_conversion(), person=None), other, policy)["new_to_brand"].tolist() == [None]


def test_where_only_new_customers_pay_earlier_ones_do_not_and_unknown_ones_do() -> None:
    policy = Policy(new_to_brand=NewToBrand(only=True))
    today = pd.concat(
        [
            frame(a_conversion(on="2026-05-02", conversion_id="b")),
            frame(a_conversion(on="2026-05-02", conversion_id="c"), person=None),
        ]
    )
    assert sorted_out(frame(a_conversion()), today, policy=policy).counted["pays"].tolist() == [False, True]


def test_the_counted_telling_takes_the_identifiers_that_another_one_has() -> None:
    pixel = a_conversion("10:00", order_id="o1", cookie_id="c", ip_key="i", conversion_id="a")
    server = a_conversion(
        "10:05", order_id="o1", email_hash="e", cookie_id="theirs", source="server", product="shoes", conversion_id="b"
    )
    filled = fill_identifiers(frame(pixel, server)).set_index("conversion_id")
    assert filled[["cookie_id", "email_hash", "ip_key", "product"]].to_numpy().tolist() == [
        ["c", "e", "i", "shoes"],
        ["theirs", "e", "i", "shoes"],
    ]


def test_no_identifier_is_taken_across_days_or_orders_or_without_consent() -> None:
    told = frame(
        a_conversion("10:00", order_id="o1", cookie_id="c"),
        a_conversion("10:00", "2026-05-02", order_id="o1", email_hash="e"),
        a_conversion("10:00", order_id="o2", email_hash="e"),
        a_conversion("10:00", device_id="d"),
        a_conversion("11:00", order_id="o1", email_hash="e", consent="denied"),
    )
    pd.testing.assert_frame_equal(fill_identifiers(told), told)


conversions = st.lists(
    st.tuples(
        st.integers(0, 20),  # the hour it happened, and was seen
        st.sampled_from(["p", "q", None]),
        st.sampled_from(["purchase", "install"]),
    ),
    max_size=12,
)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(conversions, st.integers(1, 10), st.integers(1, 10))
def test_brute_force_finds_the_same_standing(rows: list[Any], pause: int, look_back: int) -> None:
    policy = Policy(
        cool_downs=(CoolDown("install", pause / 24, ("install", "purchase")),), new_to_brand=NewToBrand(look_back_days=look_back)
    )
    start = pd.Timestamp("2026-05-01T00:00Z")
    told = pd.DataFrame(
        [(f"c{i:02d}", who, kind, start + pd.Timedelta(hours=hour)) for i, (hour, who, kind) in enumerate(rows)],
        columns=["conversion_id", "person_id", "kind", "happened_at"],
    )
    told["happened_at"] = pd.to_datetime(told["happened_at"], utc=True)
    split = len(told) // 2
    found = standing(told[split:], told[:split], policy)
    every = list(told.itertuples())
    for row, said in zip(every[split:], found.itertuples(), strict=True):
        before = [e for e in every if row.person_id and e.person_id == row.person_id]
        before = [e for e in before if (e.happened_at, e.conversion_id) < (row.happened_at, row.conversion_id)]
        gaps = [(e.kind, (row.happened_at - e.happened_at) / pd.Timedelta(days=1)) for e in before]
        assert said.pays == all(kind != "install" or gap >= pause / 24 for kind, gap in gaps)
        is_new = all(kind != "purchase" or gap > look_back for kind, gap in gaps)
        assert said.new_to_brand == (is_new if row.person_id else None)


def test_several_days_at_once_give_what_each_gives_by_itself() -> None:
    policy = Policy(orders=Telling(look_back_days=2), refunds=Refunds(within_days=2))
    told = [
        frame(
            a_conversion("10:00", f"2026-05-{day:02d}", order_id="o", conversion_id=f"c{day}"),
            a_refund(f"c{day}", on=f"2026-05-{day:02d}"),
        )
        for day in (1, 3, 5, 9, 12)
    ]
    apart = [sort_out(day, pd.concat(told[:i]) if i else frame(), policy) for i, day in enumerate(told)]
    together = sort_out(pd.concat(told[2:]), pd.concat(told[:2]), policy)
    counted = [name for each in apart[2:] for name in each.counted["conversion_id"]]
    assert counted == ["c9", "c12"] == sorted(together.counted["conversion_id"], key=counted.index)
    assert sum(len(each.refunds) for each in apart[2:]) == len(together.refunds)
    assert sum(each.repeats for each in apart[2:]) == together.repeats


tellings = st.lists(
    st.tuples(
        st.integers(1, 4),  # the day
        st.sampled_from(["o1", "o2", None]),
        st.sampled_from(["pixel", "server"]),
        st.sampled_from([None, None, "c0", "c1", "c2", "gone"]),  # what it takes back, if anything
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=10,
)


@pytest.mark.service
@settings(max_examples=15, deadline=None, derandomize=True)
@given(tellings, st.sampled_from(["first", "server"]))
def test_day_by_day_every_order_counts_once_and_gives_back_at_most_its_value(rows: list[Any], prefer: str) -> None:
    policy = Policy(orders=Telling(prefer=prefer))
    told = frame(
        *(
            a_conversion(
                f"10:{i:02d}",
                f"2026-05-0{day}",
                conversion_id=f"c{i}",
                order_id=order,
                source=source,
                refund_of=of,
                value_micros=-value if of else value,
            )
            for i, (day, order, source, of, value) in enumerate(rows)
        )
    )
    days = [told[told["day"] == f"2026-05-0{day}"] for day in range(1, 5)]
    found = [sort_out(days[i], pd.concat(days[:i]) if i else told.head(0), policy) for i in range(4)]
    counted = pd.concat([each.counted for each in found])
    orders = told.loc[told["refund_of"].isna()]
    keys = orders["order_id"].fillna(orders["conversion_id"])
    assert sorted(counted["order_id"].fillna(counted["conversion_id"])) == sorted(set(keys))
    refunds = pd.concat([each.refunds for each in found])
    whole = sort_out(told, told.head(0), policy)
    same = ["conversion_id", "original", "takes_micros"]
    assert sorted(whole.counted["conversion_id"]) == sorted(counted["conversion_id"])
    assert whole.refunds[same].to_numpy().tolist() == refunds.sort_values("conversion_id")[same].to_numpy().tolist()
    assert len(counted) + len(refunds) + sum(each.repeats for each in found) == len(told)
    values = counted.set_index("conversion_id")["value_micros"]
    for original, theirs in refunds.dropna(subset="original").groupby("original"):
        assert -theirs["takes_micros"].sum() == min(values[original], -theirs["value_micros"].sum())
