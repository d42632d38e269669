"""A day's run of attribution where a key, a day or a table is large: what memory it takes, beside that of a small one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infra.benching import Row, Runs, interleaved, median_range
from whence.contracts.times import Window

if TYPE_CHECKING:
    from whence.contracts.settings import Settings

DAYS = Window(date(2026, 5, 1), date(2026, 5, 14))
BEFORE = Window(date(2026, 3, 2), date(2026, 4, 30))
"""Conversions of these days may be told of again, and refunded."""
PEOPLE = 20_000
TOUCHES = 200_000
CONVERSIONS = 10_000
BEHIND = 50_000
"""People behind the network that has millions."""
BUSY = 5
"""Conversions a day of the person who has millions."""
CLICKS = 0.1
LIMIT = "1GB"
"""Of DuckDB, which counts beyond it on disk."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shop:
    """A fortnight in which everybody met ten ads, and what there is more of."""

    said: str = "nobody who stands out"
    of_person: int = 0
    """Touches more, over the days, of one person."""
    of_network: int = 0
    """The same of one address with many people."""
    today: int = 0
    """Touches more on the last day, of everybody."""
    identifiers: int = 0
    """Identifiers more whose person is known, and who are not seen in these days."""
    bought: int = 0
    """Conversions more, over the days, of everybody."""
    sold: int = 0
    """The same of people not seen in these days, in the two months before them."""
    is_valued: bool = False
    """Whether conversion-value has a champion, which scores the touches of the day."""


EVEN = "even"
SHOPS = {
    EVEN: Shop(),
    "person": Shop("1 million more of one person", of_person=1_000_000),
    "network": Shop("10 million more of one address", of_network=10_000_000),
    "bought": Shop("200,000 more conversions in these days", bought=200_000),
    "identifiers": Shop("3 million more identifiers are known", identifiers=3_000_000),
    "sold": Shop("3 million more conversions in the two months before", sold=3_000_000),
    "valued": Shop("conversion-value scores the day's", is_valued=True),
    "today": Shop("conversion-value scores the day's, and there are half a million more of them", today=500_000, is_valued=True),
}


def measure(runs: int) -> list[Row]:
    """A row for each shop."""
    with TemporaryDirectory() as folder:
        for name in SHOPS:
            keep(folder, name)
        timed = interleaved({name: partial(credited, folder, name) for name in SHOPS}, runs)
    return [_row(name, timed[name]) for name in SHOPS]


def keep(folder: str, name: str) -> None:
    """The tables of a shop."""
    shop, draw, settings = SHOPS[name], np.random.default_rng(0), _settings(folder, name)
    people = np.arange(PEOPLE + BEHIND + shop.identifiers)
    cookies = _texts("c", people)
    known = {"identifier": np.char.add("cookie_id:", cookies), "person_id": np.char.add("p", cookies)}
    sure = {"probability": np.ones(len(people)), "method": np.full(len(people), "exact")}
    first = Window(DAYS.first, DAYS.first)
    _write(settings, "persons", first, {**known, **sure, "seen_at": np.full(len(people), first.start)}, len(people))
    for number, day in enumerate(Window(each, each) for each in DAYS):
        _show(settings, shop, number, day, cookies, draw)
        many = (CONVERSIONS + shop.bought) // len(DAYS.days) - BUSY
        buyers = np.append(np.zeros(BUSY, dtype=np.int64), draw.integers(0, PEOPLE, many))
        _sell(settings, day, f"s{number}-", cookies[buyers], draw)
    for number, each in enumerate(BEFORE if shop.sold else ()):
        strangers = _texts("x", draw.integers(0, shop.sold, shop.sold // len(BEFORE.days)))
        _sell(settings, Window(each, each), f"b{number}-", strangers, draw)
    if shop.is_valued:
        _crown(settings, _valuer(settings))


def credited(folder: str, name: str) -> dict[str, Any]:
    """The last day's credit by every algorithm that needs no model, and by what touches the news of a day is found; written."""
    from serving.daily.batch import attribute_conversions

    settings = _settings(folder, name)
    for table in ("credits", "decisions"):
        shutil.rmtree(f"{settings.tables_uri}/{table}", ignore_errors=True)
    found = attribute_conversions(settings, Window(DAYS.last, DAYS.last), now=datetime(2026, 5, 15, tzinfo=UTC))
    return {"conversions": found.conversions, "rows": found.credits, "scored": found.touches}


def _settings(folder: str, name: str) -> Settings:
    from whence.contracts.settings import Settings, Tables

    return Settings(home=Path(folder, name), tables=Tables(memory_limit=LIMIT))


def _show(
    settings: Settings, shop: Shop, number: int, day: Window, cookies: npt.NDArray[np.str_], draw: np.random.Generator
) -> None:
    own = TOUCHES // len(DAYS.days) + (shop.today if day.last == DAYS.last else 0)
    many = shop.of_network // len(DAYS.days)
    who = [
        draw.integers(0, PEOPLE, own),
        PEOPLE + draw.integers(0, BEHIND, many),
        np.zeros(shop.of_person // len(DAYS.days), int),
    ]
    people = np.concatenate(who)
    rows, ids = len(people), np.arange(len(people)) + number * 10_000_000
    shown = {
        "touch_id": _texts("t", ids),
        "event_id": _texts("e", ids),
        "kind": np.where(draw.random(rows) < CLICKS, "click", "view"),
        "campaign_id": _texts("campaign-", draw.integers(0, 20, rows)),
        "channel": _texts("channel-", draw.integers(0, 8, rows)),
        "placement": np.full(rows, "feed"),
        "cookie_id": cookies[people],
        "ip_key": _texts("n", np.minimum(people, PEOPLE)),
        "user_agent": np.full(rows, "Chrome 124 Android"),
        "country": np.full(rows, "DE"),
    }
    _write(settings, "touches", day, shown | _times(draw, day, rows), rows)


def _sell(settings: Settings, day: Window, letter: str, cookies: npt.NDArray[np.str_], draw: np.random.Generator) -> None:
    rows = len(cookies)
    sold = {
        "conversion_id": _texts(letter, np.arange(rows)),
        "event_id": _texts(letter, np.arange(rows)),
        "kind": np.full(rows, "purchase"),
        "source": np.full(rows, "pixel"),
        "value_micros": np.full(rows, 1_000_000),
        "currency": np.full(rows, "EUR"),
        "cookie_id": cookies,
    }
    _write(settings, "conversions", day, sold | _times(draw, day, rows), rows)


def _write(settings: Settings, table: str, day: Window, columns: dict[str, Any], rows: int) -> None:
    import pyarrow as pa

    from whence.contracts.tables import TABLES
    from whence.lake import Lake

    schema = TABLES[table].schema
    given = {"day": np.full(rows, str(day)), "consent": np.full(rows, "granted"), **columns}
    Lake.of(settings).replace(table, pa.table([_column(given, field, rows) for field in schema], schema=schema), day)


def _crown(settings: Settings, digest: str) -> None:
    from registry.journal import Journal
    from whence.contracts.models import CONVERSION_VALUE

    now = datetime(2026, 5, 1, tzinfo=UTC)
    Journal.of(settings).promote(CONVERSION_VALUE, digest, "", ("for a benchmark",), "infra.bench_attribution", 0, now)


def _valuer(settings: Settings) -> str:
    """A model of all inputs that a touch has, with labels drawn at random: what it says does not matter here, what it takes does."""
    import lightgbm as lgb

    from whence import calibration
    from whence.attribution import value
    from whence.bundle import encode, golden_rows, write_bundle
    from whence.contracts.models import CONVERSION_VALUE, FeatureSchema
    from whence.lake import Lake

    frame = value.touch_frame(Lake.of(settings).read("touches", Window(DAYS.first, DAYS.first)).to_pandas())
    categories = {name: tuple(sorted(frame[name].dropna().unique())) for name in value.SCHEMA_CATEGORIES}
    schema = FeatureSchema(value.SCHEMA_NUMBERS, categories)
    matrix, labels = encode(frame, schema), np.random.default_rng(0).integers(0, 2, len(frame))
    names = {"feature_name": list(schema.names), "categorical_feature": list(categories)}
    quiet = {"objective": "binary", "num_threads": 1, "verbosity": -1}
    trees = lgb.train(quiet, lgb.Dataset(matrix, labels, params=quiet, **names), 100)
    level = calibration.fit("platt", trees.predict(matrix, raw_score=True), labels)
    golden = golden_rows(frame, schema, 64)
    return write_bundle(settings.bundles, CONVERSION_VALUE, trees.model_to_string(), level.to_json(), schema, golden, {})


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
    scored = f"; {answer['scored']:,} touches scored" if answer["scored"] else ""
    told = (
        f"{median_range(found.cpu).value:,.0f} CPU seconds; {answer['conversions']:,} conversions of the day, "
        f"{answer['rows']:,} rows{scored}; DuckDB held to {LIMIT}"
    )
    what = f"a day's credit: {TOUCHES:,} touches in {len(DAYS.days)} days, {SHOPS[name].said}"
    return Row(what, f"at most {peak.value:,.0f} MB", peak.show(0), note=told)
