"""Values: how many different ones, one that is everywhere, new shapes, new words for old ones, amounts in another unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from monitoring import checks
from monitoring.checks import Check
from whence.contracts.events import EVENTS, LINK_KEYS

if TYPE_CHECKING:
    import duckdb

LEAST_VALUES = 50
"""With fewer values than this a share of them says nothing for sure."""
FAR = 1.3
"""Powers of ten that an amount is from its part's usual median to count as far: a factor of twenty."""
LEAST_PERSONS = 30
"""With fewer people who logged in, a day says nothing of how many things a person has."""
TEXTS = {name: tuple(field.name for field in schema if pa.types.is_string(field.type)) for name, schema in EVENTS.items()}
SAMPLED = 1_000_000
"""Rows beyond this are sampled, by their hash, where each is looked at closely."""
UNIQUE = ("event_id", "touch_id", "conversion_id")
"""Columns of which every row has its own."""
SHAPED = (*LINK_KEYS, "click_id", "ip_key", "locale", "country", "currency")
THINGS = 'coalesce("cookie_id", "device_id")'
PERSON = 'coalesce("email_hash", "external_id", "phone_hash")'


def value_checks(
    con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...], categories: Sequence[str]
) -> list[Check]:
    """Cardinality, the commonest value of each identifier, renamed categories, new shapes, things a person and persons a thing."""
    found = [*_cardinality(con, table, day), *_people(con, table, day)]
    found += _commonest(con, table, day, "top_value_share", (*LINK_KEYS, "click_id"))
    found += _commonest(con, table, day, "top_category_share", categories)
    if before:
        found += [check for name in categories for check in _renamed(con, table, day, before, name)]
        found += _shapes(con, table, day, before[-1])
    return found


def amount_checks(
    con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...], part: str, amount: str
) -> list[Check]:
    """By part the share of amounts that are far from the usual median: a unit that changed for some rows alone."""
    if not before:
        return []
    told = con.execute(
        f"""
        WITH usual AS (
            SELECT "{part}" AS part, median(log10("{amount}")) AS middle FROM "{table}"
            WHERE "{amount}" > 0 AND day IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1
        )
        SELECT part, count(*), count(*) FILTER (abs(log10("{amount}") - middle) > {FAR})
        FROM "{table}" JOIN usual ON "{part}" = part WHERE day = ? AND "{amount}" > 0 GROUP BY 1 ORDER BY 1
        """,
        [list(before), day],
    ).fetchall()
    return [checks.share(table, "far_amount_share", f"{amount}:{part}={name}", int(far), int(rows)) for name, rows, far in told]


def _cardinality(con: duckdb.DuckDBPyConnection, table: str, day: str) -> list[Check]:
    names = [name for name in TEXTS[table] if name not in UNIQUE]
    counted = ", ".join(f'approx_count_distinct("{name}"), count("{name}")' for name in names)
    row = con.execute(f'SELECT {counted} FROM "{table}" WHERE day = ?', [day]).fetchall()[0]
    pairs = zip(names, row[::2], row[1::2], strict=True)
    return [checks.plain(table, "distinct_values", name, float(values), int(held)) for name, values, held in pairs if held]


def _commonest(con: duckdb.DuckDBPyConnection, table: str, day: str, metric: str, names: Sequence[str]) -> list[Check]:
    """The share of a column's rows that its commonest value has: a placeholder, one hash for all, a column that is constant."""
    found = []
    for name in names:
        query = f'SELECT count(*) AS n FROM "{table}" WHERE day = ? AND "{name}" IS NOT NULL GROUP BY "{name}"'
        top, held = con.execute(f"SELECT coalesce(max(n), 0), coalesce(sum(n), 0) FROM ({query})", [day]).fetchall()[0]
        if held >= LEAST_VALUES:
            found.append(checks.share(table, metric, name, int(top), int(held)))
    return found


def _people(con: duckdb.DuckDBPyConnection, table: str, day: str) -> list[Check]:
    """Of rows with a log-in and a thing: things a person, and persons a thing and a network."""
    found = []
    for metric, segment, of, counted in (
        ("identifiers_per_person", "all", PERSON, THINGS),
        ("persons_per_identifier", "all", THINGS, PERSON),
        ("persons_per_identifier", "ip_key", '"ip_key"', PERSON),
    ):
        people, mean, spread = con.execute(
            f"""
            SELECT count(*), avg(n), stddev_samp(n) FROM (
                SELECT count(DISTINCT {counted}) AS n FROM "{table}"
                WHERE day = ? AND {of} IS NOT NULL AND {counted} IS NOT NULL GROUP BY {of}
            )
            """,
            [day],
        ).fetchall()[0]
        if people >= LEAST_PERSONS:
            found.append(checks.mean(table, metric, segment, mean, spread, int(people)))
    return found


def _renamed(con: duckdb.DuckDBPyConnection, table: str, day: str, before: tuple[str, ...], name: str) -> list[Check]:
    """How much of the earlier days has values that are gone; and how much of the day has new ones in their place, the smaller of both."""
    new, rows, gone, earlier = con.execute(
        f"""
        SELECT coalesce(sum(now) FILTER (usual = 0), 0), coalesce(sum(now), 0),
               coalesce(sum(usual) FILTER (now = 0), 0), coalesce(sum(usual), 0)
        FROM (
            SELECT count(*) FILTER (day = ?) AS now, count(*) FILTER (day <> ?) AS usual FROM "{table}"
            WHERE "{name}" IS NOT NULL AND (day = ? OR day IN (SELECT unnest(?::VARCHAR[]))) GROUP BY "{name}"
        )
        """,
        [day, day, day, list(before)],
    ).fetchall()[0]
    if rows < LEAST_VALUES:
        return []
    swapped = min(int(new) / max(int(rows), 1), int(gone) / max(int(earlier), 1))
    return [
        checks.share(table, "gone_share", name, int(gone), int(earlier)),
        checks.share(table, "renamed_share", name, swapped * int(rows), int(rows)),
    ]


def _shapes(con: duckdb.DuckDBPyConnection, table: str, day: str, before: str) -> list[Check]:
    """The share of identifiers and codes in a shape that the day before had not: another length, other kinds of signs."""
    rows = con.execute(f'SELECT count(*) FROM "{table}" WHERE day = ?', [day]).fetchall()[0][0]
    one_in = max(1, int(rows) // SAMPLED)
    found = []
    for name in [name for name in SHAPED if name in EVENTS[table].names]:
        shape = f"""hash(length("{name}"), regexp_matches("{name}", '[g-zG-Z]'), regexp_matches("{name}", '[^0-9a-zA-Z]'))"""
        held, earlier, odd = con.execute(
            f"""
            WITH shaped AS (
                SELECT day, {shape} AS shape, count(*) AS n FROM "{table}"
                WHERE "{name}" IS NOT NULL AND day IN (?, ?) AND hash(event_id) % {one_in} = 0 GROUP BY 1, 2
            )
            SELECT coalesce(sum(n) FILTER (day = ?), 0), coalesce(sum(n) FILTER (day = ?), 0),
                   coalesce(sum(n) FILTER (day = ? AND shape NOT IN (SELECT shape FROM shaped WHERE day = ?)), 0)
            FROM shaped
            """,
            [day, before, day, before, day, before],
        ).fetchall()[0]
        if min(held, earlier) >= LEAST_VALUES:
            found.append(checks.share(table, "odd_shape_share", name, int(odd), int(held)))
    return found
