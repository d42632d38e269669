"""Where did credit go, how many people are known, and, where the world's truth is at hand, is it right?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from monitoring import checks
from monitoring.checks import Check
from whence import measures
from whence.contracts.events import LINK_KEYS

if TYPE_CHECKING:
    import duckdb

CLAIMS = "linear"
"""The algorithm whose rows hold every candidate touch: what each channel would claim for itself."""


def match_checks(con: duckdb.DuckDBPyConnection, table: str, day: str) -> list[Check]:
    """Of an event table's rows on the day: the share whose person is known, and known by a log-in.

    `con` has views of the table and of `people` (identifier, person_id, has_account).
    """
    joins = " ".join(f"LEFT JOIN people AS {key} ON {key}.identifier = '{key}:' || e.{key}" for key in LINK_KEYS)
    person = ", ".join(f"{key}.person_id" for key in LINK_KEYS)
    account = ", ".join(f"{key}.has_account" for key in LINK_KEYS)
    row = con.execute(
        f"""
        SELECT count(*), count(coalesce({person})), count(*) FILTER (coalesce({account}))
        FROM "{table}" AS e {joins} WHERE e.day = ?
        """,
        [day],
    ).fetchall()[0]
    rows, someone, named = row
    if not rows:
        return []
    return [checks.share(table, "known_share", "all", someone, rows), checks.share(table, "match_rate", "all", named, rows)]


def person_checks(con: duckdb.DuckDBPyConnection, day: str) -> list[Check]:
    """New answers of the day by method, and the size of the largest person; `con` has `persons` and `people`."""
    methods = dict(con.execute("SELECT method, count(*) FROM persons WHERE day = ? GROUP BY 1", [day]).fetchall())
    largest = con.execute("SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM people GROUP BY person_id)").fetchall()[0]
    found = [checks.count("persons", "links", method, int(methods.get(method, 0))) for method in ("exact", "ranked")]
    return [*found, checks.plain("persons", "largest", "all", float(largest[0]), int(sum(methods.values())))]


def credit_checks(credits: pd.DataFrame) -> list[Check]:
    """By algorithm: the share that no ad earned and each channel's share; and how often channels claim the same.

    `credits` are a day's rows of the table; refunds (negative credit) are left out.
    """
    kept = credits[credits["credit_micros"] >= 0]
    found: list[Check] = []
    for algorithm, rows in kept.groupby("algorithm", sort=True):
        conversions = rows["conversion_id"].nunique()
        none = rows["share"].where(rows["touch_id"] == "", 0.0).groupby(rows["conversion_id"]).sum()
        measure = measures.mean(none.to_numpy())
        found.append(
            Check("credits", "unattributed_share", str(algorithm), measure.value, measure.low, measure.high, conversions)
        )
        total = int(rows["credit_micros"].sum())
        by_channel = rows.groupby("channel")["credit_micros"].sum()
        for channel, micros in by_channel.items():
            share = float(micros / total) if total else None
            found.append(checks.plain("credits", "credit_share", f"{algorithm}:{channel or 'no ad'}", share, conversions))
    return [*found, *_claims(kept)]


def truth_checks(credits: pd.DataFrame, truth: pd.DataFrame) -> list[Check]:
    """By algorithm, against what the simulated world knows: credit on the true cause, and each channel's error.

    `truth` has conversion_id, caused_by (touch_id, or null for no ad) and cause_channel.
    """
    known = credits[credits["credit_micros"] >= 0].merge(truth, on="conversion_id")
    found: list[Check] = []
    for algorithm, rows in known.groupby("algorithm", sort=True):
        cause = rows["caused_by"].where(rows["caused_by"].notna(), "")
        right = rows["share"].where(rows["touch_id"] == cause, 0.0).groupby(rows["conversion_id"]).sum()
        measure = measures.mean(right.to_numpy())
        found.append(Check("credits", "true_credit", str(algorithm), measure.value, measure.low, measure.high, measure.n))
        found.append(checks.plain("credits", "channel_error", str(algorithm), _channel_error(rows), measure.n))
    return found


def pair_checks(assigned: pd.Series, truth: pd.Series) -> list[Check]:
    """Precision, recall and F1 over pairs of events put together, by counting cells, not pairs.

    `assigned` and `truth` name each event's person; an event without a person stands alone.

    >>> [round(c.value, 3) for c in pair_checks(pd.Series(["a", "a", "b"]), pd.Series(["x", "x", "x"]))]
    [1.0, 0.333, 0.5]
    """
    alone = pd.Series([f"alone {i}" for i in range(len(assigned))], index=assigned.index)
    mine, true = assigned.where(assigned.notna(), alone), truth
    cells, ours, theirs = (_pairs(counts) for counts in _sizes(mine, true))
    precision, recall = cells / ours if ours else None, cells / theirs if theirs else None
    f1 = 2 * cells / (ours + theirs) if ours + theirs else None
    named = {"true_precision": precision, "true_recall": recall, "true_f1": f1}
    return [checks.plain("persons", metric, "all", value, len(assigned)) for metric, value in named.items()]


def _sizes(mine: pd.Series, true: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    frame = pd.DataFrame({"mine": mine.to_numpy(), "true": true.to_numpy()})
    return frame.groupby(["mine", "true"]).size(), frame.groupby("mine").size(), frame.groupby("true").size()


def _pairs(sizes: pd.Series) -> float:
    n = sizes.to_numpy(dtype="float64")
    return float((n * (n - 1) / 2).sum())


def _claims(credits: pd.DataFrame) -> list[Check]:
    claimed = credits[(credits["algorithm"] == CLAIMS) & (credits["touch_id"] != "")]
    if claimed.empty:
        return []
    channels = claimed.groupby("conversion_id")["channel"].nunique().to_numpy()
    measure = measures.mean(channels)
    return [Check("credits", "double_counting", "all", measure.value, measure.low, measure.high, measure.n)]


def _channel_error(rows: pd.DataFrame) -> float:
    """Half the sum of gaps between each channel's credited and true share of the conversions, no ad among them."""
    conversions = rows["conversion_id"].nunique()
    credited = rows.groupby("channel")["share"].sum() / conversions
    causes = rows.drop_duplicates("conversion_id")["cause_channel"].fillna("")
    true = causes.value_counts() / conversions
    return float(np.abs(credited.sub(true, fill_value=0.0)).sum() / 2)
