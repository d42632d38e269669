"""Fetches what quality is measured on: decisions, and what is known of the people and events that they were about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from monitoring.quality import labels
from monitoring.quality.labels import Known
from whence.attribution.policy import of as policy_of
from whence.contracts.events import EVENTS
from whence.contracts.models import ATTRIBUTION_RANKER, EXPOSURE_RESPONSE, IDENTITY_RANKER
from whence.contracts.times import Window

if TYPE_CHECKING:
    import duckdb

    from whence.contracts.settings import Settings
    from whence.lake import Lake

MOST_ROWS = 100_000
"""Decisions of a span that are measured: a level that is a tenth off shows in some thousands of them."""
FIELDS = ("channel", "campaign_id", "placement", "kind", "touch_kind", "conversion_kind")
"""Inputs whose worst value is told, where the model has them; the route is told for every model."""

TOUCHES = (*labels.NEEDED, "touch_id", "kind")
CONVERSIONS = (*labels.NEEDED, "conversion_id", "kind", "refund_of")
"""What labels look at of an event."""


def decided(lake: Lake, model: str, days: Sequence[str]) -> pd.DataFrame:
    """Up to MOST_ROWS decisions of the days, the same ones every time, whole subjects together: day, subject, option, probability, FIELDS, route."""
    fields = ", ".join(f"json_extract_string(features, '$.{name}') AS \"{name}\"" for name in FIELDS)
    query = f"""
        SELECT day, subject, option, probability, {fields}, route FROM decisions
        WHERE model = ? AND day IN (SELECT unnest(?::VARCHAR[])) AND probability IS NOT NULL
        ORDER BY md5(subject), decision_id LIMIT {MOST_ROWS}
    """
    around = Window(date.fromisoformat(min(days)), date.fromisoformat(max(days)))
    with lake.connect(around, "decisions") as con:
        frame: pd.DataFrame = con.execute(query, [model, list(days)]).df()
    return frame


def known(settings: Settings, lake: Lake, model: str, span: Window, last: date, decisions: pd.DataFrame) -> Known:
    """What is known at the end of `last` about the decisions of the span: as much of it as the model's labels look at."""
    if model == EXPOSURE_RESPONSE:
        return Known()
    reach = policy_of(settings).reach_days if model == ATTRIBUTION_RANKER else 1.0
    with lake.connect(Window(span.first - timedelta(days=int(reach) + 1), last), *EVENTS) as con:
        if model == IDENTITY_RANKER:
            con.register("asked", decisions[["subject"]].drop_duplicates().astype("string"))
            told = signals(con, "event_id IN (SELECT subject FROM asked)")
            before = answers(lake, span.first - timedelta(days=1), exactly=True)
            return Known(signals=told, exact_before=before, exact_now=answers(lake, last, exactly=True))
        return Known(_events(con, "touches", TOUCHES), _events(con, "conversions", CONVERSIONS), persons=answers(lake, last))


def _events(con: duckdb.DuckDBPyConnection, name: str, columns: Sequence[str]) -> pd.DataFrame:
    chosen = ", ".join(f'"{column}"' for column in columns)
    frame: pd.DataFrame = con.sql(f'SELECT {chosen} FROM "{name}" ORDER BY seen_at, event_id').df()
    return frame


def signals(con: duckdb.DuckDBPyConnection, which: str) -> pd.DataFrame:
    """Events as signals, whichever table they came from; `which` is a condition on their rows."""
    chosen = ", ".join(f'"{name}"' for name in labels.NEEDED)
    union = " UNION ALL ".join(f'SELECT {chosen} FROM "{name}" WHERE {which}' for name in EVENTS)
    frame: pd.DataFrame = con.sql(f"{union} ORDER BY event_id").df()
    return frame


def answers(lake: Lake, last: date, *, exactly: bool = False) -> pd.DataFrame:
    """Whose each identifier is as of the end of `last`: identifier and person_id; `exactly` looks beneath ranked answers."""
    names = ("persons", "exact_persons") if exactly else ("persons",)
    days = [day for name in names for day in lake.days(name)]
    first = min(date.fromisoformat(min(days)), last) if days else last
    exact_rows = "SELECT day, identifier, person_id FROM persons WHERE method = 'exact' UNION ALL SELECT day, identifier, person_id FROM exact_persons"
    source = exact_rows if exactly else "SELECT day, identifier, person_id FROM persons"
    newest = "QUALIFY row_number() OVER (PARTITION BY identifier ORDER BY day DESC) = 1"
    with lake.connect(Window(first, last), *names) as con:
        frame: pd.DataFrame = con.sql(f"SELECT identifier, person_id FROM ({source}) {newest} ORDER BY identifier").df()
    return frame
