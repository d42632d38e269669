"""Intervals of credit: judged by enumerating partitions, by bootstrapping in earnest, and by drawing sums again and again."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.sparse import csr_array

from whence.attribution import doubt, journeys, partitions, resampling, rules, sums
from whence.attribution.partitions import Options, OptionsError, evidence
from whence.attribution.policy import Policy, Reach

POLICY = Policy(windows=(Reach(7.0),))
START = pd.Timestamp("2026-05-01", tz="UTC")
KEYS = ["currency", "campaign_id", "channel"]


def linear(pairs: pd.DataFrame) -> pd.Series:
    return rules.share(pairs, "linear", POLICY)


def last(pairs: pd.DataFrame) -> pd.Series:
    return rules.share(pairs, "last_touch", POLICY)


def touched(*rows: tuple[str | None, float, str]) -> pd.DataFrame:
    """Clicks, each of a unit, at an hour, of a campaign."""
    table = pd.DataFrame(rows, columns=["unit", "hour", "campaign_id"])
    at = START + pd.to_timedelta(table["hour"], unit="h")
    return table.assign(
        touch_id=[f"t{n}" for n in range(len(rows))], happened_at=at, seen_at=at, kind="click", channel="any", click_id=None
    )


def bought(*rows: tuple[str | None, float, int]) -> pd.DataFrame:
    """Purchases, each of a unit, at an hour, of a value in micros."""
    table = pd.DataFrame(rows, columns=["unit", "hour", "value_micros"])
    at = START + pd.to_timedelta(table["hour"], unit="h")
    ids = [f"c{n}" for n in range(len(rows))]
    return table.assign(conversion_id=ids, happened_at=at, seen_at=at, kind="purchase", currency="EUR", click_id=None)


def may_be(*rows: tuple[str, str, float, bool]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["owner", "target", "probability", "is_linked"])


def credited(*rows: tuple[str, str, str, str, int, float]) -> pd.DataFrame:
    """Stored credit: conversion, touch, campaign, person, micros, certainty."""
    names = ["conversion_id", "touch_id", "campaign_id", "person_id", "credit_micros", "certainty"]
    return pd.DataFrame(rows, columns=names).assign(channel="", currency="EUR")


def by_campaign(found: pd.DataFrame, column: str) -> dict[str, int]:
    return dict(zip(found["campaign_id"], found[column], strict=True))


NOBODY_ELSE = may_be().astype({"probability": "float64", "is_linked": "bool"})
TOUCHES = touched(("p", 1, "A"), ("a", 5, "B"), ("b", 6, "C"), ("q", 7, "A"), ("a", 11, "C"), ("b", 20, "B"))
BOUGHT = bought(("p", 10, 1_000_000), ("q", 12, 400_000), ("a", 9, 50_000), ("p", 30, 300_000), (None, 31, 7))
OPTIONS = may_be(("a", "p", 0.6, True), ("a", "q", 0.3, False), ("b", "p", 0.5, False), ("b", "q", 0.25, False))


def test_without_uncertain_links_there_is_no_doubt_about_identity() -> None:
    found = doubt.from_partitions(BOUGHT, TOUCHES, NOBODY_ELSE, POLICY, linear)
    for name in ("expected_micros", "identity_low_micros", "identity_high_micros"):
        assert (found[name] == found["credit_micros"]).all()
    assert (found["at_risk_micros"] == 0).all()
    assert ((found["low_micros"] <= found["credit_micros"]) & (found["credit_micros"] <= found["high_micros"])).all()
    assert found["credit_micros"].sum() == BOUGHT["value_micros"].sum()


def test_a_link_that_is_certain_adds_nothing_to_having_known() -> None:
    sure = may_be(("a", "p", 1.0, True), ("b", "q", 1.0, True))
    put = {"a": "p", "b": "q"}
    merged = (frame.assign(unit=frame["unit"].replace(put)) for frame in (BOUGHT, TOUCHES))
    knew = doubt.from_partitions(*merged, NOBODY_ELSE, POLICY, last)
    pd.testing.assert_frame_equal(doubt.from_partitions(BOUGHT, TOUCHES, sure, POLICY, last), knew)


@pytest.mark.parametrize("share", [linear, last])
def test_enumerating_all_partitions_gives_the_same_mean_and_spread(share: doubt.Share) -> None:
    draws = 4000
    found = doubt.from_partitions(BOUGHT, TOUCHES, OPTIONS, POLICY, share, draws=draws, is_informed=False).set_index(
        "campaign_id"
    )
    mean, variance = _enumerated(share)
    spread = (found["identity_high_micros"] - found["identity_low_micros"]) / 2 / 1.96
    for campaign in mean.index:
        assert abs(found["expected_micros"][campaign] - mean[campaign]) <= 4 * np.sqrt(variance[campaign] / draws) + 1
        assert spread[campaign] == pytest.approx(np.sqrt(variance[campaign]), rel=0.06, abs=2)
    assert (found["low_micros"] < found["expected_micros"]).all()


def _enumerated(share: doubt.Share) -> tuple[pd.Series, pd.Series]:
    """Mean and variance of credit over every partition, each computed from the journeys on."""
    ways = [[*((to, p) for o, to, p, _ in OPTIONS.itertuples(index=False) if o == owner)] for owner in ("a", "b")]
    ways = [[*each, (owner, 1 - sum(p for _, p in each))] for owner, each in zip(("a", "b"), ways, strict=True)]
    chances, rows = [], []
    for (is_a, p_a), (is_b, p_b) in product(*ways):
        put = {"a": is_a, "b": is_b}
        c, t = (frame.assign(person_id=frame["unit"].replace(put)) for frame in (BOUGHT, TOUCHES))
        pairs = journeys.candidate_touches(c, t, POLICY)
        value = pairs["conversion_id"].map(BOUGHT.set_index("conversion_id")["value_micros"])
        rows.append((share(pairs) * value).groupby(pairs["campaign_id"]).sum().reindex(["A", "B", "C"], fill_value=0.0))
        chances.append(p_a * p_b)
    table, weight = pd.DataFrame(rows), np.array(chances)
    assert weight.sum() == pytest.approx(1)
    table[""] = BOUGHT["value_micros"].sum() - table.sum(axis=1)
    mean = (table * weight[:, None]).sum()
    return mean, ((table - mean) ** 2 * weight[:, None]).sum()


def test_credit_as_stated_is_that_of_the_links_that_were_taken() -> None:
    found = doubt.from_partitions(BOUGHT, TOUCHES, OPTIONS, POLICY, last)
    put = {"a": "p"}
    merged = (frame.assign(unit=frame["unit"].replace(put)) for frame in (BOUGHT, TOUCHES))
    knew = doubt.from_partitions(*merged, NOBODY_ELSE, POLICY, last)
    both = found.merge(knew, on=KEYS, suffixes=("", "_known"), how="outer").fillna(0)
    assert (both["credit_micros"] == both["credit_micros_known"]).all()
    # "p" at 10 was last touched by "a" at 5, and at 30 at 11, both over the link: 0.4 of that is expected not to be so
    assert by_campaign(found, "at_risk_micros") == {"": 0, "A": 0, "B": 400_000, "C": 120_000}


def test_the_order_of_rows_does_not_matter() -> None:
    tables = (BOUGHT, TOUCHES, OPTIONS)
    plain = doubt.from_partitions(*tables, POLICY, linear)
    turned = doubt.from_partitions(*(table.iloc[::-1] for table in tables), POLICY, linear)
    pd.testing.assert_frame_equal(plain, turned)
    rows = credited(
        ("c", "t", "A", "p", 60, 0.8), ("c", "s", "B", "p", 40, 1.0), ("d", "t", "A", "q", 7, 0.5), ("d", "", "", "q", 3, 1.0)
    )
    pd.testing.assert_frame_equal(doubt.from_credits(rows), doubt.from_credits(rows.iloc[::-1]))


def test_a_policy_that_puts_clicks_first_does_so_in_each_partition() -> None:
    views = touched(("p", 1, "A"), ("a", 5, "B")).assign(kind=["view", "click"])
    one = bought(("p", 10, 1000))
    first = Policy(windows=(Reach(7.0),), click_over_view=True)
    link = may_be(("a", "p", 0.25, False))
    found = doubt.from_partitions(one, views, link, first, linear, draws=2000, is_informed=False)
    got = by_campaign(found, "expected_micros")
    assert got["A"] == pytest.approx(750, abs=45)
    assert got["A"] + got["B"] == pytest.approx(1000, abs=1)


def test_a_click_id_needs_no_link() -> None:
    touches = touched(("p", 1, "A"), ("a", 5, "B")).assign(click_id=[None, "k"])
    one = bought(("p", 10, 1000)).assign(click_id="k")
    found = doubt.from_partitions(one, touches, may_be(("a", "p", 0.5, False)), POLICY, linear)
    assert by_campaign(found, "expected_micros") == {"": 0, "A": 500, "B": 500}
    assert (found["identity_low_micros"] == found["identity_high_micros"]).all()


def test_conversions_that_do_not_pay_go_to_no_ad_in_each_partition() -> None:
    found = doubt.from_partitions(BOUGHT.assign(pays=False), TOUCHES, OPTIONS, POLICY, last)
    assert by_campaign(found, "expected_micros") == {"": BOUGHT["value_micros"].sum()}


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    touches = pd.concat([TOUCHES.assign(unit=TOUCHES["unit"] + str(n), touch_id=TOUCHES["touch_id"] + str(n)) for n in range(5)])
    conversions = pd.concat(
        [BOUGHT.assign(unit=BOUGHT["unit"] + str(n), conversion_id=BOUGHT["conversion_id"] + str(n)) for n in range(5)]
    )
    options = pd.concat([OPTIONS.assign(owner=OPTIONS["owner"] + str(n), target=OPTIONS["target"] + str(n)) for n in range(5)])
    plain = doubt.from_partitions(conversions, touches, options, POLICY, linear)
    monkeypatch.setattr(resampling, "BLOCK", 2500)
    pd.testing.assert_frame_equal(plain, doubt.from_partitions(conversions, touches, options, POLICY, linear))


people = st.sampled_from(["p", "q", "a", "b", None])
some_touches = st.lists(st.tuples(people, st.integers(0, 200), st.sampled_from(["A", "B"])), max_size=8)
some_bought = st.lists(st.tuples(people, st.integers(0, 200), st.integers(0, 10**6)), min_size=1, max_size=5)


@pytest.mark.service
@settings(max_examples=10, deadline=None, derandomize=True)
@given(some_touches, some_bought)
def test_values_are_kept_and_the_mean_lies_in_its_interval(shown: list[Any], sold: list[Any]) -> None:
    touches, conversions = touched(*shown), bought(*sold)
    found = doubt.from_partitions(conversions, touches, OPTIONS, POLICY, linear, draws=20)
    assert found["expected_micros"].sum() == pytest.approx(conversions["value_micros"].sum(), abs=4)
    assert found["credit_micros"].sum() == pytest.approx(conversions["value_micros"].sum(), abs=4)
    assert ((found["low_micros"] <= found["expected_micros"]) & (found["expected_micros"] <= found["high_micros"])).all()


STORED = credited(
    ("c", "t", "A", "p", 600, 0.5),
    ("c", "s", "B", "p", 300, 1.0),
    ("c", "", "", "p", 100, 1.0),
    ("d", "u", "A", "p", 80, 0.5),
    ("d", "v", "C", "p", 20, 0.9),
    ("e", "w", "B", "q", 50, 1.0),
)


def test_enumerating_which_stored_links_hold_gives_the_same_mean_and_spread() -> None:
    draws = 4000
    found = doubt.from_credits(STORED, draws=draws).set_index("campaign_id")
    rows = [(_when(half, most), (0.5 * (0.9 if most else 0.1))) for half in (True, False) for most in (True, False)]
    mean = {key: sum(p * way[key] for way, p in rows) for key in "ABC"}
    for key in "ABC":
        variance = sum(p * (way[key] - mean[key]) ** 2 for way, p in rows)
        assert abs(found["expected_micros"][key] - mean[key]) <= 4 * np.sqrt(variance / draws) + 1
        spread = (found["identity_high_micros"][key] - found["identity_low_micros"][key]) / 2 / 1.96
        assert spread == pytest.approx(np.sqrt(variance), rel=0.06, abs=2)
    assert found["at_risk_micros"].to_dict() == {"": 0, "A": 340, "B": 0, "C": 2}
    assert found["credit_micros"].to_dict() == {"": 100, "A": 680, "B": 350, "C": 20}


def _when(half: bool, most: bool) -> dict[str, float]:
    """Credit when the link of certainty 0.5 holds or not, and that of 0.9."""
    a, b = (600, 300) if half else (0, 900)
    of_d = {(True, True): (80, 20), (True, False): (100, 0), (False, True): (0, 100), (False, False): (0, 0)}[half, most]
    return {"A": a + of_d[0], "B": b + 50, "C": of_d[1]}


def test_refunds_widen_the_interval_and_do_not_break_it() -> None:
    rows = pd.concat([STORED, credited(*(("r" + str(n), "t", "A", f"x{n}", -100, 1.0) for n in range(3)))])
    plain, refunded = (doubt.from_credits(each).set_index("campaign_id").loc["A"] for each in (STORED, rows))
    assert refunded["credit_micros"] == plain["credit_micros"] - 300
    assert refunded["low_micros"] < refunded["credit_micros"] < refunded["high_micros"]
    assert refunded["low_micros"] < plain["low_micros"]


def test_nothing_has_no_rows() -> None:
    assert doubt.from_credits(STORED.head(0)).empty
    assert doubt.from_partitions(BOUGHT.head(0), TOUCHES, OPTIONS, POLICY, last).empty


def test_the_closed_form_is_the_poisson_bootstrap() -> None:
    rng = np.random.default_rng(3)
    totals = sums.Totals.none(2)
    amounts = rng.lognormal(0, 0.7, 60)
    totals.add(np.arange(60), np.arange(60) % 2, amounts)
    drawn = rng.poisson(1.0, (20_000, 60)) * amounts
    assert drawn[:, ::2].sum(axis=1).var() == pytest.approx(totals.variance[0], rel=0.05)
    assert drawn[:, 1::2].sum(axis=1).var() == pytest.approx(totals.variance[1], rel=0.05)


def test_what_a_unit_taught_counts_with_what_it_brings() -> None:
    rng = np.random.default_rng(4)
    influence, pull, brought = rng.normal(size=(6, 2)), rng.normal(size=(2, 1)), np.array([3.0, 0, 1, 2, 0, 0])
    totals = sums.Totals.none(1, csr_array(np.eye(6)), csr_array(influence))
    totals.add(np.arange(6), np.zeros(6, dtype=np.int64), brought)
    totals.pull[:] = pull
    assert totals.variance[0] == pytest.approx(((brought + influence @ pull[:, 0]) ** 2).sum())


def test_squares_of_people_are_those_of_all_partitions_on_average() -> None:
    options = Options.of(OPTIONS, pd.Index(["x"]))
    amounts = np.random.default_rng(1).normal(size=len(options.units))
    drawn = options.draw(20_000, np.random.default_rng(2))
    who = options.who(drawn, np.arange(len(options.units)))
    squares = [(np.bincount(each, amounts, len(amounts)) ** 2).sum() for each in who.T]
    assert ((options.people @ amounts) ** 2).sum() == pytest.approx(np.mean(squares), rel=0.01)


def test_neighbours_are_whom_partitions_bring_together() -> None:
    options = Options.of(OPTIONS, pd.Index(["x"]))
    who = options.who(options.draw(2000, np.random.default_rng(2)), np.arange(len(options.units)))
    met = {(one, other) for one, other in product(range(len(who)), repeat=2) if one != other and (who[one] == who[other]).any()}
    assert set(zip(*(each.tolist() for each in options.neighbours(0.0)), strict=True)) == met


@pytest.mark.parametrize("people", [15, 40, 200])
def test_intervals_of_skewed_sums_cover_what_they_should(people: int) -> None:
    rng = np.random.default_rng(people)
    came = rng.poisson(people, 4000)
    parts = rng.lognormal(0, 0.7, (4000, came.max())) * (np.arange(came.max()) < came[:, None])
    low, high = sums.ends(parts.sum(axis=1), (parts**2).sum(axis=1))
    truth = people * np.exp(0.7**2 / 2)
    assert 0.94 <= ((low <= truth) & (truth <= high)).mean() <= 0.975


def _many(count: int, ratio: float, seed: int) -> tuple[Options, np.ndarray, np.ndarray]:
    """Owners with two targets each, outcomes `ratio` times as frequent for true ones, and which are true."""
    rng = np.random.default_rng(seed)
    chance = rng.dirichlet([0.8, 0.8, 0.4], count)
    truth = (rng.random((count, 1)) > np.cumsum(chance, axis=1)).sum(axis=1)
    is_true = (truth[:, None] == np.arange(2)).ravel()
    kind = (rng.random(2 * count) < np.where(is_true, 0.1 * ratio, 0.1)).astype(np.int64)
    rows = {"owner": np.repeat(np.arange(count), 2), "target": count + np.arange(2 * count), "probability": chance[:, :2].ravel()}
    return Options.of(pd.DataFrame(rows), pd.Index([], dtype="int64")), kind, is_true


def test_evidence_is_the_maximum_of_the_likelihood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "FEW", 1e-9)
    options, kind, _ = _many(400, 3.0, 1)
    p, owners = options.probability, options.owners
    nobody = 1 - np.bincount(owners, p)

    def loss(at: np.ndarray) -> float:
        true, false = 1 / (1 + np.exp(-at))
        ratio = np.where(kind == 1, true / false, (1 - true) / (1 - false))
        return -float(np.log(nobody + np.bincount(owners, p * ratio)).sum() + np.log(np.where(kind == 1, false, 1 - false)).sum())

    true, false = 1 / (1 + np.exp(-optimize.minimize(loss, np.array([0.0, 0.0])).x))
    expected = np.log([(1 - true) / (1 - false), true / false])
    assert evidence(options, kind, 2).log_ratio == pytest.approx(expected, abs=2e-3)


def test_evidence_makes_probabilities_right_for_each_outcome() -> None:
    options, kind, is_true = _many(20_000, 4.0, 2)
    informed = evidence(options, kind, 2).probability
    for outcome in (0, 1):
        assert informed[kind == outcome].mean() == pytest.approx(is_true[kind == outcome].mean(), abs=0.015)
    assert abs(options.probability[kind == 1].mean() - is_true[kind == 1].mean()) > 0.1


def test_the_influence_of_an_owner_is_what_leaving_it_out_changes() -> None:
    options, kind, _ = _many(300, 4.0, 5)
    learned = evidence(options, kind, 2)
    without = []
    for owner in range(40):
        rest = options.owner != owner
        frame = pd.DataFrame(
            {"owner": options.owner[rest], "target": options.target[rest], "probability": options.probability[rest]}
        )
        without.append(
            learned.log_ratio[1] - evidence(Options.of(frame, pd.Index([], dtype="int64")), kind[rest], 2).log_ratio[1]
        )
    influence = learned.influence.toarray()[:40, 1]
    assert np.corrcoef(without, influence)[0, 1] > 0.98
    assert np.std(without) == pytest.approx(np.std(influence), rel=0.25)


def test_partitions_are_drawn_as_often_as_they_are_likely() -> None:
    options = Options.of(OPTIONS, pd.Index(["x"]))
    drawn = options.draw(20_000, np.random.default_rng(0))
    assert drawn.mean(axis=1) == pytest.approx(options.probability, abs=0.015)
    assert (np.add.reduceat(drawn, [0, 2], axis=0) <= 1).all()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "p", 0.5, False), ("p", "q", 0.5, False)], "p is an owner and a target"),
        ([("a", "p", 0.7, False), ("a", "q", 0.7, False)], "a has probabilities that sum to more than 1"),
        ([("a", "p", 1.2, False)], "a has a probability outside 0 to 1"),
        ([("a", "p", 0.4, True), ("a", "q", 0.4, True)], "a has two links that were taken"),
        ([("a", "p", 0.4, True), ("a", "p", 0.4, False)], "a has a target twice"),
    ],
)
def test_options_that_cannot_be_are_named(rows: list[Any], said: str) -> None:
    with pytest.raises(OptionsError, match=said):
        Options.of(may_be(*rows), pd.Index([]))


def test_options_are_read_from_decisions() -> None:
    rows = [
        ("e1", "p", "2026-05-01T10:00Z", 0.9, False),  # an earlier day
        ("e2", "p", "2026-05-02T10:00Z", 0.8, True),
        ("e3", "p", "2026-05-02T11:00Z", 0.6, True),
        ("e3", "q", "2026-05-02T11:00Z", 0.5, False),
        ("e4", "p", "2026-05-02T10:00Z", 0.9, False),  # has logged in since
        ("e5", "gone", "2026-05-02T10:00Z", 0.9, False),  # no account now
        ("e6", "p", "2026-05-02T10:00Z", 0.9, False),  # of nobody
        ("e7", "q", "2026-05-02T10:00Z", 0.25, False),
    ]
    decisions = pd.DataFrame(rows, columns=["subject", "option", "made_at", "probability", "chosen"])
    owners = pd.Series({"e1": "a", "e2": "a", "e3": "a", "e4": "q", "e5": "b", "e7": "b"})
    found = partitions.of_decisions(decisions, owners, {"p", "q"})
    assert found[["owner", "target", "is_linked"]].to_numpy().tolist() == [["a", "p", True], ["a", "q", False], ["b", "q", False]]
    assert found["probability"].tolist() == pytest.approx([0.7 / 1.2, 0.5 / 1.2, 0.25])
