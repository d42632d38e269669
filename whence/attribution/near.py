"""The touches of a large table that may matter to some conversions: one pass over its keys and times, one over its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from whence.attribution.journeys import DAY, TOUCH_COLUMNS
from whence.attribution.policy import Policy

if TYPE_CHECKING:
    import duckdb

KEYS = ("person_id", "click_id")


def near(con: duckdb.DuckDBPyConnection, touches: str, conversions: pd.DataFrame, policy: Policy) -> pa.Table:
    """The rows of a table or view of `con` with which candidate_touches finds just what it finds with all of them.

    Columns are those of TOUCH_COLUMNS that are there. A touch is near when a conversion has its person or click_id, and it lies
    before the last of these and no further back than its kind may from the first; with it come all tellings of it. What is held in
    memory is a row for each key of a conversion and the touches found; `con` has its own limit.
    """
    names = [row[0] for row in con.sql(f"DESCRIBE {touches}").fetchall()]
    columns = ", ".join(f't."{name}"' for name in TOUCH_COLUMNS if name in names)
    found = [_met(con, touches, columns, key, conversions, policy) for key in KEYS if key in names and key in conversions]
    rows = pa.concat_tables(
        [each for each in found if each is not None] or [con.sql(f"SELECT {columns} FROM {touches} t LIMIT 0").to_arrow_table()]
    )
    con.register("near_ids", rows.select(["touch_id"]))
    told = f"FROM {touches} t SEMI JOIN near_ids n ON t.touch_id = n.touch_id"
    [(tellings,)] = con.sql(f"SELECT count(*) {told}").fetchall()
    if tellings > len(rows) or len(found) > 1:
        rows = con.sql(f"SELECT {columns} {told}").to_arrow_table()
    con.unregister("near_ids")
    return rows


def _met(
    con: duckdb.DuckDBPyConnection, touches: str, columns: str, key: str, conversions: pd.DataFrame, policy: Policy
) -> pa.Table | None:
    """The touches between the first and the last conversion of their key, each as far back as its kind may be."""
    asked = conversions[[key, "happened_at"]].dropna()
    if asked.empty:
        return None
    at = pd.to_datetime(asked["happened_at"], utc=True).astype("datetime64[us, UTC]").astype("int64")
    con.register("near_keys", pa.table({"key": pa.array(asked[key], pa.string()), "at": at.to_numpy()}))
    happened = "epoch_us(t.happened_at::TIMESTAMPTZ)"
    rows = con.sql(f"""
        SELECT {columns} FROM {touches} t
        JOIN (SELECT key, min("at") AS "first", max("at") AS "last" FROM near_keys GROUP BY key) k ON t.{key} = k.key
        WHERE {happened} < k."last" AND {happened} + {_furthest(policy)} >= k."first"
    """).to_arrow_table()
    con.unregister("near_keys")
    return rows


def _furthest(policy: Policy) -> str:
    """The longest look-back that any window gives a touch of this kind, in microseconds, as SQL; a ghost's is that of a view."""
    cases = []
    for kind, stands_for in (("click", "click"), ("engaged_view", "engaged_view"), ("view", "view"), ("eligible", "view")):
        days = max([0.0, *(each.days for each in policy.windows if each.touch in ("", stands_for))])
        cases.append(f"WHEN '{kind}' THEN {round(max(days, policy.reengagement.window_days) * DAY)}")
    return f"CASE t.kind {' '.join(cases)} ELSE {round(policy.reach_days * DAY)} END"
