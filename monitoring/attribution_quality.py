"""Where did credit go, how many people are known, and, where the world's truth is at hand, is it right?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from monitoring import checks
from monitoring.checks import Check
from whence import measures
from whence.attribution import quality as attribution
from whence.contracts.events import LINK_KEYS
from whence.identity import quality as identity

if TYPE_CHECKING:
    import duckdb

ACCOUNT = "external_id"
"""The kind of identifier of which a person has one."""
SIZES = (0.5, 0.9, 0.99)
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


def person_checks(con: duckdb.DuckDBPyConnection, day: str, most: int) -> list[Check]:
    """New answers of the day by method; how large persons are, and which are too large or hold what cannot be of one person.

    `con` has `persons` and `people`; a person with more than `most` identifiers is too large, and one with two accounts is two.
    """
    methods = dict(con.execute("SELECT method, count(*) FROM persons WHERE day = ? GROUP BY 1", [day]).fetchall())
    row = con.execute(
        f"""
        WITH sizes AS (
            SELECT count(*) AS n, count(*) FILTER (identifier LIKE '{ACCOUNT}:%') AS accounts FROM people GROUP BY person_id
        )
        SELECT coalesce(max(n), 0), count(*), coalesce(sum(n), 0), coalesce(sum(n) FILTER (n > ?), 0), count(*) FILTER (accounts > 0),
               count(*) FILTER (accounts > 1), quantile_disc(n, {list(SIZES)}) FROM sizes
        """,
        [most],
    ).fetchall()[0]
    largest, persons, identifiers, crowded, named, torn, sizes = row
    found = [checks.count("persons", "links", method, int(methods.get(method, 0))) for method in ("exact", "ranked")]
    found.append(checks.plain("persons", "largest", "all", float(largest), int(sum(methods.values()))))
    found += [checks.plain("persons", "size", f"{q:g}", float(n), persons) for q, n in zip(SIZES, sizes or (), strict=False)]
    return [
        *found,
        checks.share("persons", "crowded_share", "all", crowded, int(identifiers)),
        checks.share("persons", "contradicting_share", "all", torn, named),
    ]


def credit_checks(credits: pd.DataFrame) -> list[Check]:
    """By algorithm: the share that no ad earned, each channel's, and what rests on doubtful links; and how often channels claim the same.

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
        found.append(_at_risk(str(algorithm), rows[rows["touch_id"] != ""]))
    return [*found, *_claims(kept)]


def truth_checks(credits: pd.DataFrame, truth: pd.DataFrame, touches: pd.DataFrame) -> list[Check]:
    """By algorithm, against what the simulated world knows: credit on the true cause, and the channels' error.

    `truth` are rows of truth_conversions, `touches` touch_id and channel of every touch that may be a cause.
    """
    return [
        checks.plain("credits", metric, each.algorithm, _known(value), each.conversions)
        for each in attribution.quality(credits, truth, touches)
        for metric, value in (("true_credit", each.credit_to_cause), ("channel_error", each.channel_error))
    ]


def pair_checks(assigned: pd.Series, truth: pd.Series) -> list[Check]:
    """Precision, recall and F1 over pairs of events put together; both name a person by event_id.

    >>> assigned, truth = pd.Series({"e1": "a", "e2": "a", "e3": "b"}), pd.Series({"e1": "x", "e2": "x", "e3": "x"})
    >>> [round(check.value, 3) for check in pair_checks(assigned, truth)]
    [1.0, 0.333, 0.5]
    """
    found = identity.quality(assigned, truth)
    named = {"true_precision": found.precision, "true_recall": found.recall, "true_f1": found.f1}
    return [checks.plain("persons", metric, "all", _known(value), found.signals) for metric, value in named.items()]


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _at_risk(algorithm: str, paid: pd.DataFrame) -> Check:
    """The share of the credit that is expected to rest on links between identifiers that are not so."""
    total = float(paid["credit_micros"].sum())
    doubtful = float((paid["credit_micros"] * (1 - paid["certainty"].fillna(1.0))).sum())
    return checks.plain("credits", "at_identity_risk", algorithm, doubtful / total if total else None, len(paid))


def _claims(credits: pd.DataFrame) -> list[Check]:
    claimed = credits[(credits["algorithm"] == CLAIMS) & (credits["touch_id"] != "")]
    if claimed.empty:
        return []
    channels = claimed.groupby("conversion_id")["channel"].nunique().to_numpy()
    measure = measures.mean(channels)
    return [Check("credits", "double_counting", "all", measure.value, measure.low, measure.high, measure.n)]
