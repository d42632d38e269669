"""How much money moves from which campaign to which, when one credit takes the place of another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pandas as pd

from whence.attribution.credit import split

NOT_COUNTED = "(not counted)"
"""Where the value of a conversion is that only one of the two counts."""

KEYS = ["conversion_id", "currency"]
FLOWS = ("currency", "from_campaign", "to_campaign", "micros", "conversions")
SUMMARY = ("currency", "conversions", "moved_conversions", "before_micros", "moved_micros")
TOTALS = ("currency", "campaign_id", "before_micros", "after_micros", "change_micros")


def flows(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What moves from campaign to campaign, to the micro: FLOWS, the largest first.

    `before` and `after` are credit by one algorithm each (columns of credit.ROW). Of each conversion,
    the campaigns that lose give to those that gain, in proportion to what these gain; so what leaves a campaign in all, less
    what comes to it, is exactly what it has less. The empty campaign is no ad.

    >>> row = {"conversion_id": ["c", "c"], "currency": "EUR", "campaign_id": ["a", "b"]}
    >>> flows(pd.DataFrame({**row, "credit_micros": [10, 0]}), pd.DataFrame({**row, "credit_micros": [3, 7]})).values.tolist()
    [['EUR', 'a', 'b', 7, 1]]
    """
    moved = pd.DataFrame(_exchanged(_changes(before, after)), columns=list(FLOWS[:4])).astype({"micros": "int64"})
    found = moved.groupby(list(FLOWS[:3]))["micros"].agg(["sum", "size"]).reset_index().set_axis(list(FLOWS), axis=1)
    return found.sort_values(["micros", *FLOWS[:3]], ascending=[False, True, True, True], ignore_index=True)


def totals(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What each campaign has before and after: TOTALS, the largest change first; no ad is the empty campaign."""
    both = _changes(before, after).groupby(["currency", "campaign_id"])[["before", "after"]].sum().reset_index()
    both = both.assign(change=both["after"] - both["before"]).set_axis(list(TOTALS), axis=1)
    ranked = both.assign(size=-both["change_micros"].abs()).sort_values(["size", *TOTALS[:2]], ignore_index=True)
    return ranked[list(TOTALS)]


def summary(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """How much moves in all: SUMMARY, a row a currency; a conversion has moved when any of it has.

    What only the later one counts is no part of `before_micros`.
    """
    changes = _changes(before, after)
    gained = changes.assign(moved=changes["change"].clip(lower=0), is_real=changes["campaign_id"] != NOT_COUNTED)
    each = (
        gained.assign(before=gained["before"].where(gained["is_real"], 0)).groupby(KEYS)[["before", "moved"]].sum().reset_index()
    )
    each = each.assign(conversions=1, is_moved=each["moved"].gt(0).astype("int64"))
    return (
        each.groupby("currency")[["conversions", "is_moved", "before", "moved"]]
        .sum()
        .reset_index()
        .set_axis(list(SUMMARY), axis=1)
    )


def _changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """What each campaign has of each conversion: KEYS, campaign_id, before, after, change; the changes of each sum to 0."""
    sums = [
        each.groupby([*KEYS, "campaign_id"])["credit_micros"].sum().rename(name)
        for name, each in (("before", before), ("after", after))
    ]
    both = pd.concat(sums, axis=1).fillna(0).astype("int64").reset_index()
    both = both.assign(change=both["after"] - both["before"])
    gap = both.groupby(KEYS)[["before", "after", "change"]].sum().query("change != 0").reset_index()
    missing = pd.DataFrame(
        {
            **{name: gap[name] for name in KEYS},
            "campaign_id": NOT_COUNTED,
            "before": gap["change"].clip(lower=0),
            "after": -gap["change"].clip(upper=0),
            "change": -gap["change"],
        }
    )
    return pd.concat([both, missing], ignore_index=True) if len(missing) else both


def _exchanged(changes: pd.DataFrame) -> Iterator[tuple[str, str, str, int]]:
    """What each that loses gives to each that gains, of one conversion after the other."""
    moved = changes[changes["change"] != 0].sort_values([*KEYS, "campaign_id"])
    rows = zip(moved["conversion_id"], moved["currency"], moved["campaign_id"], moved["change"].tolist(), strict=True)
    for (_, currency), of_one in groupby(rows, key=lambda row: row[:2]):
        both = [(campaign, change) for _, _, campaign, change in of_one]
        names, wanted = [name for name, change in both if change > 0], [change for _, change in both if change > 0]
        for giver, change in both:
            if change < 0:
                given = split(-change, wanted)
                wanted = [want - part for want, part in zip(wanted, given, strict=True)]
                yield from ((currency, giver, name, part) for name, part in zip(names, given, strict=True) if part)
