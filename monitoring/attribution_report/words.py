"""A report in short: who earned what, what is sure and what is not, and what changed, in plain English."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from monitoring.attribution_report.amounts import count, percent, ratio, shown
from monitoring.attribution_report.told import Report
from whence.attribution.credit import NO_AD
from whence.attribution.summary import UNEXPLAINED

CAUSE_WORDS = {
    "first": "newly attributed",
    "late_events": "late events",
    "identity": "identity",
    "policy": "policy",
    "model": "models",
    "correction": "corrections",
    UNEXPLAINED: "unexplained",
}
CAUSES_TOLD = {
    "first": "conversions that the last report did not have",
    "late_events": "touches or conversions that came after the day had been stated",
    "identity": "who is who became known differently",
    "policy": "another policy, algorithm or reporting date",
    "model": "another model",
    "correction": "a day was stated again on the same day",
    UNEXPLAINED: "no statement accounts for it: a table was rewritten, or the last report's files are gone",
}


def algorithm(name: str) -> str:
    """An algorithm as people say it."""
    return name.replace("_", " ")


def name_of(row: pd.Series, keys: Sequence[str]) -> str:
    """What a row of the report is called."""
    return "no ad" if row["channel"] == NO_AD else str(row[keys[0]])


def currencies(report: Report) -> list[str]:
    """Those of the report, the one with most conversions first."""
    told = report.tables.overview.sort_values(["conversions", "spend_micros"], ascending=False)
    return [str(each) for each in told["currency"]]


def in_short(report: Report) -> list[str]:
    """The report in a few sentences; figures as the tables have them."""
    told = report.tables.overview.set_index("currency").loc[currencies(report)].reset_index()
    if told.empty:
        return []
    if not told["value_micros"].ne(0).any():
        counted = [_count(report, told)] if told["conversions"].any() else []
        return [*counted, _spend(told), *(_incremental(report, told) if counted else []), *_since(report)]
    earned = told[told["conversions"].ne(0) | told["value_micros"].ne(0)]
    return [
        _worth(earned),
        _earned(report, told),
        *(_most(report, each, 1 if at else 3) for at, each in enumerate(earned["currency"])),
        *_doubts(report, told),
        *_hangs_on(report),
        _spend(told),
        *_incremental(report, told),
        *_since(report),
    ]


def _count(report: Report, told: pd.DataFrame) -> str:
    share = told["conversions_of_ads"].sum() / told["conversions"].sum()
    by = algorithm(report.view.algorithm)
    return f"{count(told['conversions'].sum())} conversions, none of which carries a value: by {by}, ads earned {percent(share)} of them."


def _worth(told: pd.DataFrame) -> str:
    back = told[told["refunds_micros"] != 0]
    refunds = f", after refunds of {_amounts(back, 'refunds_micros', -1)}" if len(back) else ""
    new = told["new_conversions"].sum() / told["conversions"].sum() if told["conversions"].sum() else 0.0
    customers = f" {percent(new)} of them were of new customers." if new else ""
    return f"{count(told['conversions'].sum())} conversions were worth {_amounts(told, 'value_micros')}{refunds}.{customers}"


def _earned(report: Report, told: pd.DataFrame) -> str:
    shares = [
        f"{percent(row.to_ads_micros / row.value_micros)} of {row.currency}" for row in told.itertuples() if row.value_micros
    ]
    same = {share.split(" of ")[0] for share in shares}
    ads = f"{same.pop()} of the money" if len(same) == 1 else f"{', '.join(shares)}"
    return f"Paid by {algorithm(report.view.algorithm)}, ads earned {ads}; the rest goes to no ad."


def _most(report: Report, currency: str, named: int) -> str:
    rows = _ads(report, currency)
    rows = rows[rows["credit_micros"] > 0]
    if rows.empty:
        return f"In {currency}, no ad earned anything."
    told = [
        f"{name_of(row, report.view.keys)} with {shown(row['credit_micros'])}{_interval(row)}"
        for _, row in rows.head(named).iterrows()
    ]
    overlap = len(rows) > 1 and bool((rows["low_micros"].iloc[:1].to_numpy() <= rows["high_micros"].iloc[1:2].to_numpy()).all())
    apart = (
        " The intervals of the first two overlap."
        if named > 1 and overlap and _interval(rows.iloc[0]) and _interval(rows.iloc[1])
        else ""
    )
    return f"In {currency} most was earned by {_then(told)}.{apart}"


def _doubts(report: Report, told: pd.DataFrame) -> list[str]:
    found = []
    at_risk = told[told["at_risk_micros"] != 0]
    if len(at_risk):
        found.append(
            f"Revenue at identity risk: {_amounts(at_risk, 'at_risk_micros', of='to_ads_micros')}. "
            "So much of what ads earned hangs on identifiers being of one person that may be of two."
        )
    else:
        found.append("No revenue is at identity risk: all that ads earned rests on exact links and click ids.")
    suspect = told[told["suspect_micros"] != 0]
    if len(suspect):
        less = _amounts(suspect, "suspect_micros", of="to_ads_micros")
        found.append(f"Without touches that look like fraud, ads would have earned less by {less}.")
    return found


def _hangs_on(report: Report) -> list[str]:
    """The row where the choice of algorithm moves most money, in the first currency."""
    if report.tables.algorithms["algorithm"].nunique() < 2:
        return []
    currency = currencies(report)[0]
    rows = report.tables.algorithms
    rows = rows[(rows["currency"] == currency) & (rows["channel"] != NO_AD)]
    wide = rows.pivot_table(index=report.view.keys, columns="algorithm", values="credit_micros", aggfunc="sum", fill_value=0)
    if wide.empty:
        return []
    span = wide.max(axis=1) - wide.min(axis=1)
    if not span.any():
        return [f"The choice of algorithm moves no {currency}."]
    most = wide.loc[span.idxmax()]
    name = span.idxmax() if isinstance(span.idxmax(), str) else span.idxmax()[0]
    low, high = str(most.idxmin()), str(most.idxmax())
    return [
        f"The choice of algorithm matters most for {name}: between {shown(int(most.min()))} {currency} ({algorithm(low)}) "
        f"and {shown(int(most.max()))} ({algorithm(high)})."
    ]


def _spend(told: pd.DataFrame) -> str:
    paid = told[told["spend_micros"] != 0]
    if paid.empty:
        return "No touch of the period has a price, so nothing is said of spend."
    cost = _cost(paid, told["conversions_of_ads"].sum())
    is_partial = (told["value_micros"] != 0).sum() > 1
    back = "".join(
        f" Each {row.currency} spent brought back {ratio(row.return_on_spend)}{f', counting what was earned in {row.currency} alone' if is_partial else ''}."
        for row in paid.itertuples()
        if row.value_micros
    )
    return f"Ads cost {_amounts(paid, 'spend_micros')}{cost}.{back}"


def _incremental(report: Report, told: pd.DataFrame) -> list[str]:
    if told["incremental_conversions"].isna().all():
        return ["What would not have come without ads is not known: no exposure-response model was champion on these days."]
    caused, paid = told["incremental_conversions"].sum(), told[told["spend_micros"] != 0]
    return [f"By the exposure-response model, {count(caused)} conversions would not have come without ads{_cost(paid, caused)}."]


def _since(report: Report) -> list[str]:
    if report.compared is None:
        return ["There is no earlier report of this period to compare with."]
    changes = report.tables.changes
    causes = [name for name in CAUSE_WORDS if changes[f"{name}_micros"].ne(0).any()]
    when = report.compared.made_at[:16].replace("T", " ")
    if not causes:
        return [f"Since the report of {when} UTC no credit has changed."]
    by = _then([CAUSE_WORDS[name] for name in causes])
    change = changes.assign(change=changes["now_micros"] - changes["before_micros"])
    net, gained = (each.groupby(change["currency"]).sum() for each in (change["change"], change["change"].clip(lower=0)))
    if net.ne(0).any():
        moved = [f"{_signed(int(micros))} {currency}" for currency, micros in net.items() if micros]
        return [
            f"Since the report of {when} UTC what conversions are worth changed by {_then(moved)}. What changed credit: {by}."
        ]
    moved = [f"{shown(int(micros))} {currency}" for currency, micros in gained.items() if micros]
    return [
        f"Since the report of {when} UTC {_then(moved)} moved from one row to another, and the sums stayed. What moved it: {by}."
    ]


def _ads(report: Report, currency: str) -> pd.DataFrame:
    rows = report.tables.campaigns
    return rows[(rows["currency"] == currency) & (rows["channel"] != NO_AD)]


def _interval(row: pd.Series) -> str:
    if _missing(row["low_micros"]) or _missing(row["high_micros"]):
        return ""
    return f" (95\u00a0%: {shown(int(row['low_micros']))} to {shown(int(row['high_micros']))})"


def _amounts(rows: pd.DataFrame, name: str, sign: int = 1, of: str = "") -> str:
    """Amounts by currency, with what share they are of another one."""
    told = []
    for _, row in rows.iterrows():
        share = f" ({percent(row[name] / row[of])})" if of and row[of] else ""
        told.append(f"{shown(sign * int(row[name]))} {row['currency']}{share}")
    return _then(told)


def _cost(paid: pd.DataFrame, conversions: float) -> str:
    if len(paid) != 1 or conversions <= 0:
        return ""
    return f", {shown(round(int(paid['spend_micros'].iloc[0]) / conversions))} {paid['currency'].iloc[0]} for each of {count(conversions)} conversions"


def _signed(micros: int) -> str:
    return f"+{shown(micros)}" if micros > 0 else shown(micros)


def _then(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "nothing"


def _missing(value: object) -> bool:
    return bool(pd.isna(value))
