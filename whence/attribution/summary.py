"""The tables of a report: what was spent, who earned what by which algorithm, how sure that is, and what changed since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from whence.attribution.credit import NO_AD
from whence.attribution.statements import CAUSES, OF, ORDER, POLICY, current

GHOST = "eligible"
INCREMENTAL = "incremental"
"""The algorithm whose credit sums to what would not have come without ads."""
UNEXPLAINED = "unexplained"
"""The cause of a difference that no statement accounts for: 0 as long as nobody rewrites a table."""
KEYS = {"campaign": ["campaign_id", "channel"], "channel": ["channel"]}
"""What a row of a report is, by the name of the choice."""
PLACE = ["currency", "campaign_id", "channel"]
"""The finest rows that are added up: amounts of two currencies never meet."""
SUMS = {
    "conversions": "float64",
    "new_conversions": "float64",
    "credit_micros": "int64",
    "clean_micros": "int64",
    "at_risk_micros": "int64",
    "refunds_micros": "int64",
}

ENDS = ["low_micros", "high_micros", "identity_low_micros", "identity_high_micros"]
"""Of the intervals over people, and over who is who."""


@dataclass(frozen=True)
class View:
    """Which credit a report shows, under which day, and in which rows."""

    days: tuple[str, ...]
    algorithm: str
    reporting_date: str = "conversion"
    """conversion: the day on which the conversion was seen; touch: the day on which the touch happened."""
    by: str = "campaign"

    @property
    def keys(self) -> list[str]:
        """The columns that name a row, after its currency."""
        return KEYS[self.by]


def marked(rows: pd.DataFrame, refunds: Collection[str]) -> pd.DataFrame:
    """Rows of `credits` with `is_refund`, and `at_risk_micros`: the credit times the chance that two people were taken for one."""
    certainty = rows["certainty"].astype("float64").fillna(1.0)
    at_risk = np.rint(rows["credit_micros"].to_numpy("float64") * (1.0 - certainty.to_numpy()))
    return rows.assign(is_refund=rows["conversion_id"].isin(refunds), at_risk_micros=at_risk.astype("int64"))


def reported(rows: pd.DataFrame, view: View) -> pd.DataFrame:
    """The rows of the view's days, with `reported_on`; the share of no ad, which no touch dates, goes by its conversion."""
    on = rows["day"].astype(object)
    if view.reporting_date == "touch":
        touched = pd.to_datetime(rows["touched_at"], utc=True)
        on = touched.dt.strftime("%Y-%m-%d").where(touched.notna(), on)
    kept = rows.assign(reported_on=on)
    return kept[kept["reported_on"].isin(view.days)].reset_index(drop=True)


def spend(touches: pd.DataFrame, days: Collection[str], otherwise: str = "?") -> pd.DataFrame:
    """What the touches that happened on these days cost, by day and PLACE; ghosts cost nothing, and a touch counts once.

    `touches` has touch_id, happened_at, seen_at, kind, holdout, campaign_id, channel, price_micros and currency.
    Columns: reported_on, PLACE, touches, unpriced (touches without a price), spend_micros. A touch without a
    currency, which has no price either, is counted under the currency `otherwise`.
    """
    shown = touches[touches["kind"].ne(GHOST) & ~touches["holdout"].eq(True)]
    shown = shown.sort_values(["seen_at", "touch_id"]).drop_duplicates("touch_id")
    shown = shown.assign(reported_on=pd.to_datetime(shown["happened_at"], utc=True).dt.strftime("%Y-%m-%d"))
    shown = shown[shown["reported_on"].isin(days)]
    price = pd.array(shown["price_micros"], dtype="Int64")
    priced = shown.assign(
        currency=shown["currency"].astype(object).where(shown["currency"].notna(), otherwise),
        touches=1,
        unpriced=np.asarray(price.isna(), dtype="int64"),
        spend_micros=np.asarray(price.fillna(0), dtype="int64"),
    )
    return priced.groupby(["reported_on", *PLACE], as_index=False)[["touches", "unpriced", "spend_micros"]].sum()


def by_algorithm(rows: pd.DataFrame, view: View) -> pd.DataFrame:
    """Credit side by side: a row for each currency, key of the view and algorithm; the touch "" is no ad.

    `rows` are current, `marked` and `reported`. Columns: currency, the view's keys, algorithm, and SUMS:
    conversions and new_conversions (shares, refunds left out), credit, clean, at_risk and refunds in micros.
    """
    gained = rows["share"].where(~rows["is_refund"], 0.0).astype("float64")
    measured = rows.assign(
        conversions=gained,
        new_conversions=gained.where(rows["new_to_brand"].eq(True), 0.0),
        refunds_micros=rows["credit_micros"].where(rows["is_refund"], 0),
    ).astype(SUMS)
    return measured.groupby(["currency", *view.keys, "algorithm"], as_index=False)[list(SUMS)].sum()


def campaigns(credit: pd.DataFrame, spent: pd.DataFrame, view: View, intervals: pd.DataFrame | None = None) -> pd.DataFrame:
    """The report's main table: a row for each currency and key of the view, spend beside the credit of its algorithm.

    `credit` comes from by_algorithm, `spent` from spend, `intervals` (currency, the view's keys, ENDS)
    from doubt. Return on spend compares amounts of one currency; the costs per conversion take the
    conversions of all currencies, and are missing where the spend is of several. `note` says what to look at twice.
    """
    key = ["currency", *view.keys]
    mine = credit[credit["algorithm"] == view.algorithm].set_index(key)[list(SUMS)]
    paid = spent.groupby(key)[["touches", "unpriced", "spend_micros"]].sum()
    rows = mine.index.union(paid.index)
    # filled while reindexing: a merge would make floats of the amounts on its way
    both = pd.concat([each.reindex(rows, fill_value=0) for each in (mine, paid)], axis=1).reset_index()
    both = both.assign(suspect_micros=both["credit_micros"] - both["clean_micros"])
    both = _with_interval(_with_incremental(both, credit, view), intervals, key)
    both = _with_ratios(both, view.keys)
    return _sorted(both.assign(note=_notes(both, view.keys)), view.keys)


def overview(campaigns: pd.DataFrame) -> pd.DataFrame:
    """A row for each currency, of the rows of `campaigns` added up; the value is what all of them and no ad earned together."""
    is_ad = campaigns["channel"] != NO_AD
    sums = campaigns.assign(
        value_micros=campaigns["credit_micros"],
        to_ads_micros=campaigns["credit_micros"].where(is_ad, 0),
        no_ad_micros=campaigns["credit_micros"].where(~is_ad, 0),
        conversions_of_ads=campaigns["conversions"].where(is_ad, 0.0),
        suspect_micros=campaigns["suspect_micros"].where(is_ad, 0),  # what no ad gains by it would take it away again
        at_risk_micros=campaigns["at_risk_micros"].where(is_ad, 0),
    )
    names = [
        "spend_micros", "touches", "unpriced", "conversions", "conversions_of_ads", "new_conversions", "value_micros",
        "to_ads_micros", "no_ad_micros", "suspect_micros", "at_risk_micros", "refunds_micros",
    ]  # fmt: skip
    total = sums.groupby("currency", sort=False)[names].sum().reset_index()
    total["incremental_conversions"] = (
        campaigns[is_ad].groupby("currency")["incremental_conversions"].sum(min_count=1).reindex(total["currency"]).to_numpy()
    )
    return total.assign(
        no_ad_share=_ratio(total["conversions"] - total["conversions_of_ads"], total["conversions"]),
        new_share=_ratio(total["new_conversions"], total["conversions"]),
        return_on_spend=_ratio(total["to_ads_micros"], total["spend_micros"]),
    )


def by_day(rows: pd.DataFrame, spent: pd.DataFrame, view: View) -> pd.DataFrame:
    """A row for each day of the view and currency: spend, conversions, value, and what of it went to ads and to no ad."""
    mine = rows[rows["algorithm"] == view.algorithm]
    is_ad = mine["channel"] != NO_AD
    sums = mine.assign(
        conversions=mine["share"].where(~mine["is_refund"], 0.0).astype("float64"),
        value_micros=mine["credit_micros"],
        to_ads_micros=mine["credit_micros"].where(is_ad, 0),
        no_ad_micros=mine["credit_micros"].where(~is_ad, 0),
    )
    key = ["currency", "reported_on"]
    earned = sums.groupby(key)[["conversions", "value_micros", "to_ads_micros", "no_ad_micros"]].sum()
    paid = spent.groupby(key)[["spend_micros"]].sum()
    currencies = sorted({*earned.index.get_level_values("currency"), *paid.index.get_level_values("currency")})
    every = pd.MultiIndex.from_product([currencies, list(view.days)], names=key)
    full = pd.concat([each.reindex(every, fill_value=0) for each in (earned, paid)], axis=1)
    return full.reset_index().rename(columns={"reported_on": "day"})


def positions(rows: pd.DataFrame) -> pd.DataFrame:
    """Which statement of each conversion and algorithm current rows are of; what `changes` needs to know of the last report."""
    return rows[[*OF, *ORDER]].drop_duplicates().sort_values([*OF, *ORDER], ignore_index=True)


def totals(rows: pd.DataFrame) -> pd.DataFrame:
    """Credit by algorithm and PLACE, as a report keeps it for the next one to compare with."""
    return rows.groupby(["algorithm", *PLACE], as_index=False)["credit_micros"].sum()


def changes(
    statements: pd.DataFrame, held: pd.DataFrame, earlier: pd.DataFrame, then: View, now: View, causes: Sequence[str] = CAUSES
) -> pd.DataFrame:
    """What a row of the view earned by the last report, what each cause changed since, and what it earns now.

    `statements` are all rows of `credits`, superseded ones too; `held` the `positions` and `earlier` the `totals`
    of the last report, whose view was `then`. Every statement since then takes back the one before it, under its own
    cause; another algorithm or reporting date is the policy's doing; what the last report had and no statement
    accounts for is UNEXPLAINED. So in every row, to the micro: before + all causes = now.

    Columns: currency, the view's keys, before_micros, a column `{cause}_micros` for each cause, now_micros.
    """
    told = _in_order(statements, held)
    mine, theirs = told[told["algorithm"] == now.algorithm], told[told["algorithm"] == then.algorithm]
    stood, stood_then = mine[mine["rank"] == mine["held"]], theirs[theirs["rank"] == theirs["held"]]
    kept = earlier[earlier["algorithm"] == then.algorithm]
    new, superseded = mine[mine["rank"] > mine["held"]], mine[(mine["rank"] >= mine["held"]) & mine["next_cause"].notna()]
    pieces = [
        _piece(reported(new, now), 1),
        _piece(reported(superseded.assign(cause=superseded["next_cause"]), now), -1),
        _piece(reported(stood, now), 1, POLICY),
        _piece(reported(stood_then, then), -1, POLICY),
        _piece(reported(stood_then, then), 1, UNEXPLAINED),
        _piece(kept, -1, UNEXPLAINED),
        _piece(kept, 1, "before"),
        _piece(reported(current(statements[statements["algorithm"] == now.algorithm]), now), 1, "now"),
    ]
    every = pd.concat(pieces, ignore_index=True)
    wide = every.groupby(["currency", *now.keys, "cause"])["credit_micros"].sum().unstack(fill_value=0)
    wide = wide.reindex(columns=["before", *causes, UNEXPLAINED, "now"], fill_value=0).astype("int64").add_suffix("_micros")
    found: pd.DataFrame = wide.rename_axis(columns=None).reset_index()
    return _sorted(found.assign(credit_micros=found["now_micros"]), now.keys).drop(columns="credit_micros")


def _in_order(statements: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """Every row with its statement's rank, the rank that the last report had (−1: none), and why it was superseded."""
    each = statements[[*OF, *ORDER, "cause"]].drop_duplicates([*OF, *ORDER]).sort_values([*OF, *ORDER], ignore_index=True)
    by = each.groupby(OF, sort=False)
    each = each.assign(rank=by.cumcount(), next_cause=by["cause"].shift(-1))
    had = each.merge(held[[*OF, *ORDER]], on=[*OF, *ORDER])[[*OF, "rank"]].rename(columns={"rank": "held"})
    each = each.merge(had, on=OF, how="left").fillna({"held": -1})
    rows: pd.DataFrame = statements.merge(each.drop(columns="cause"), on=[*OF, *ORDER])
    return rows


def _piece(rows: pd.DataFrame, sign: int, cause: str = "") -> pd.DataFrame:
    """Amounts that a cause adds or takes: the one given, else each row's own."""
    return pd.DataFrame(
        {
            **{name: rows[name].astype(object) for name in PLACE},
            "cause": cause or rows["cause"].astype(object),
            "credit_micros": rows["credit_micros"].astype("int64") * sign,
        }
    )


def _with_incremental(both: pd.DataFrame, credit: pd.DataFrame, view: View) -> pd.DataFrame:
    """Incremental conversions and credit beside; missing where that algorithm has no rows at all, 0 where it gave nothing."""
    key = ["currency", *view.keys]
    caused = credit[credit["algorithm"] == INCREMENTAL]
    names = {"conversions": "incremental_conversions", "credit_micros": "incremental_micros"}
    beside = both.merge(caused[[*key, *names]].rename(columns=names), on=key, how="left")
    if caused.empty:
        return beside.assign(incremental_conversions=np.nan, incremental_micros=pd.array([None] * len(beside), dtype="Int64"))
    filled = beside.fillna({"incremental_conversions": 0.0, "incremental_micros": 0})
    return filled.astype({"incremental_conversions": "float64", "incremental_micros": "Int64"})


def _with_interval(both: pd.DataFrame, intervals: pd.DataFrame | None, key: list[str]) -> pd.DataFrame:
    if intervals is None:
        return both.assign(**{name: pd.array([None] * len(both), dtype="Int64") for name in ENDS})
    found: pd.DataFrame = both.merge(intervals[[*key, *ENDS]], on=key, how="left").astype(dict.fromkeys(ENDS, "Int64"))
    return found


def _with_ratios(both: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    spends = both["spend_micros"] > 0
    in_currencies = spends.groupby([both[name] for name in keys]).transform("sum")
    is_one = spends & (in_currencies == 1)
    of_all = {
        name: both[name].groupby([both[each] for each in keys]).transform("sum")
        for name in ("conversions", "incremental_conversions")
    }
    return both.assign(
        return_on_spend=_ratio(both["credit_micros"], both["spend_micros"]),
        new_share=_ratio(both["new_conversions"], both["conversions"]),
        cost_per_conversion_micros=_cost(both["spend_micros"], of_all["conversions"].where(is_one, 0.0)),
        cost_per_incremental_micros=_cost(both["spend_micros"], of_all["incremental_conversions"].where(is_one, 0.0)),
    )


def _notes(both: pd.DataFrame, keys: list[str]) -> list[str]:
    """What to look at twice in each row."""
    if both.empty:  # pandas joins the words of no rows to a frame
        return []
    name = both[keys].astype(str).agg("\0".join, axis=1)
    paid = both[both["spend_micros"] > 0].groupby(name)["currency"].agg(list).to_dict()
    earned = both[both["credit_micros"] != 0].groupby(name)["currency"].agg(list).to_dict()
    return [
        "" if row.channel == NO_AD else "; ".join(_note(row, paid.get(at, []), earned.get(at, [])))
        for row, at in zip(both.itertuples(), name, strict=True)
    ]


def _note(row: object, paid: list[str], earned: list[str]) -> list[str]:
    spend_micros, credit_micros = getattr(row, "spend_micros", 0), getattr(row, "credit_micros", 0)
    currency, unpriced = str(getattr(row, "currency", "")), int(getattr(row, "unpriced", 0))
    elsewhere = [each for each in earned if each != currency]
    found = []
    if spend_micros and not credit_micros and not elsewhere:
        found.append("spend, and no credit")
    if spend_micros and elsewhere:
        found.append(f"earns in {' and '.join(elsewhere)}, too, which the return on spend leaves out")
    if not spend_micros and credit_micros:
        found.append(f"spend is in {' and '.join(paid)}" if paid else "credit, and no spend")
    if unpriced:
        found.append(f"{unpriced:,} touches have no price")
    return found


def _sorted(both: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Currencies by name, within each the most earned first, and no ad at its end."""
    order = both.assign(_no_ad=both["channel"].eq(NO_AD), _less=-both["credit_micros"])
    return order.sort_values(["currency", "_no_ad", "_less", *keys], ignore_index=True).drop(columns=["_no_ad", "_less"])


def _ratio(one: pd.Series, other: pd.Series) -> pd.Series:
    """One by the other; missing where the other is 0."""
    return one.astype("float64") / other.astype("float64").where(other.ne(0))


def _cost(spend_micros: pd.Series, conversions: pd.Series) -> pd.Series:
    """Whole micros for one conversion; missing where there are less than a thousandth of one."""
    each = spend_micros.astype("float64") / conversions.where(conversions > 1e-3)
    return each.round().astype("Int64")
