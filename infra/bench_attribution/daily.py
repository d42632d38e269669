"""A day's run of attribution where one person, or one network, has millions of the touches: what memory it takes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.benching import Row, Runs, interleaved, median_range
from whence.contracts.times import Window

DAYS = Window(date(2026, 5, 1), date(2026, 5, 14))
PEOPLE = 20_000
TOUCHES = 200_000
CONVERSIONS = 10_000
HOT = {"person": 1_000_000, "network": 10_000_000}
EVEN = "even"
SAID = {EVEN: "nobody who stands out", "person": "1 million more of one person", "network": "10 million more of one address"}
BEHIND = 50_000
"""People behind the network that has millions."""
CLICKS = 0.1
LIMIT = "1GB"
"""Of DuckDB, which counts beyond it on disk."""

Ints = npt.NDArray[np.int64]


def measure(runs: int) -> list[Row]:
    """A row for each hot key."""
    with TemporaryDirectory() as folder:
        keep(folder, EVEN)
        for name, touches in HOT.items():
            keep(folder, name, touches)
        timed = interleaved({name: partial(credited, folder, name) for name in (EVEN, *HOT)}, runs)
    return [_row(name, timed[name]) for name in (EVEN, *HOT)]


def keep(folder: str, name: str, hot: int = 0) -> None:
    """Tables of a fortnight in which everybody met ten ads; and more of one person, or of one network with many people."""
    import pyarrow as pa

    from whence.contracts.tables import TABLES
    from whence.lake import Lake

    lake, draw = Lake(f"{folder}/{name}/tables"), np.random.default_rng(0)

    def write(table: str, day: Window, columns: dict[str, Any], rows: int) -> None:
        schema = TABLES[table].schema
        given = {"day": np.full(rows, str(day)), "consent": np.full(rows, "granted"), **columns}
        lake.replace(table, pa.table([_column(given, field, rows) for field in schema], schema=schema), day)

    people = np.arange(PEOPLE)
    cookies = _texts("c", np.arange(PEOPLE + BEHIND))
    known = {"identifier": np.char.add("cookie_id:", cookies), "person_id": np.char.add("p", cookies)}
    sure = {"probability": np.ones(len(cookies)), "method": np.full(len(cookies), "exact")}
    write(
        "persons", Window(DAYS.first, DAYS.first), {**known, **sure, "seen_at": np.full(len(cookies), DAYS.start)}, len(cookies)
    )
    for number, day in enumerate(Window(each, each) for each in DAYS):
        own, more = TOUCHES // len(DAYS.days), hot // len(DAYS.days)
        others = PEOPLE + draw.integers(0, BEHIND, more) if name == "network" else np.zeros(more, dtype=np.int64)
        who = np.concatenate([draw.integers(0, PEOPLE, own), others])
        where = np.where(who < PEOPLE, who, PEOPLE)
        ids = np.arange(own + more) + number * 10_000_000
        shown = {
            "touch_id": _texts("t", ids),
            "event_id": _texts("e", ids),
            "kind": np.where(draw.random(own + more) < CLICKS, "click", "view"),
            "campaign_id": _texts("campaign-", draw.integers(0, 20, own + more)),
            "channel": _texts("channel-", draw.integers(0, 8, own + more)),
            "placement": np.full(own + more, "feed"),
            "cookie_id": cookies[who],
            "ip_key": _texts("n", where),
        }
        write("touches", day, shown | _times(draw, day, own + more), own + more)
        bought = CONVERSIONS // len(DAYS.days)
        sold = {
            "conversion_id": _texts("s", np.arange(bought) + number * bought),
            "event_id": _texts("s", np.arange(bought) + number * bought),
            "kind": np.full(bought, "purchase"),
            "source": np.full(bought, "pixel"),
            "value_micros": np.full(bought, 1_000_000),
            "currency": np.full(bought, "EUR"),
            "cookie_id": cookies[np.where(np.arange(bought) < 5, 0, draw.choice(people, bought))],
        }
        write("conversions", day, sold | _times(draw, day, bought), bought)


def credited(folder: str, name: str) -> dict[str, Any]:
    """The last day's credit by every algorithm that needs no model, and by what touches the news of a day is found."""
    from serving.daily import crediting
    from whence.attribution.policy import Policy
    from whence.lake import Lake

    lake = Lake(f"{folder}/{name}/tables", memory_limit=LIMIT)
    models = crediting.Models(lambda _, __: None, lambda rows, _: rows)
    found = crediting.of_day(lake, DAYS.last, Policy(), models, datetime(2026, 5, 15, tzinfo=UTC))
    return {"conversions": found.conversions, "rows": len(found.rows)}


def _times(draw: np.random.Generator, day: Window, rows: int) -> dict[str, Any]:
    """Times of the day; it was seen as it happened."""
    micros = round((day.end - day.start) / timedelta(microseconds=1))
    at = np.datetime64(day.start.replace(tzinfo=None), "us") + draw.integers(0, micros, rows)
    return {"happened_at": at, "seen_at": at}


def _texts(letter: str, numbers: Ints) -> npt.NDArray[np.str_]:
    return np.char.add(letter, numbers.astype(str))


def _column(given: dict[str, Any], field: Any, rows: int) -> Any:
    import pyarrow as pa

    return pa.array(given[field.name]).cast(field.type) if field.name in given else pa.nulls(rows, field.type)


def _row(name: str, found: Runs) -> Row:
    peak, answer = median_range(found.peak_mb), found.answers[0]
    told = f"{median_range(found.cpu).value:,.0f} CPU seconds; {answer['conversions']:,} conversions of the day, {answer['rows']:,} rows; DuckDB held to {LIMIT}"
    what = f"a day's credit: {TOUCHES:,} touches in {len(DAYS.days)} days, {SAID[name]}"
    return Row(what, f"at most {peak.value:,.0f} MB", peak.show(0), note=told)
