"""What each device did up to a moment: Ibis expressions that count, and the matrices that the counts fill."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from whence.identity.records.table import Pairs

Expr = Any
"""An Ibis table or column; Ibis ships no types that mypy could read quickly."""
Matrix = Any
"""A scipy CSR matrix, which has no types either."""
Floats = npt.NDArray[np.float64]

COLUMNS = ("device", "happened_at", "seen_at", "ip_key", "site", "user_agent", "locale", "country")
"""What a request has. `device` names a browser's cookie or an app's advertising id; any other may be null."""
SLOT_HOURS = 2
LEAST_REQUESTS, LEAST_DAYS = 10, 2
"""A device seen less than that has no habits yet by which it could be placed."""
CHUNK = 200_000
"""Pairs whose rows are multiplied at once."""
VIEWS = ("network", "network_day", "network_slot", "site", "hour", "day", "user_agent", "system", "locale", "country")
"""The ways in which devices are compared: each is a kind of token, and how often each device had it."""


@dataclass(frozen=True)
class Profiles:
    """All devices, sorted by name, and for each view how often each device had each token."""

    devices: tuple[str, ...]
    counts: dict[str, Matrix]
    """By view of VIEWS: shape (devices, tokens)."""
    left_out: int
    """Devices that were seen too little to be placed."""
    first: Floats
    """Days since 1970 of the first and the last request of each device."""
    last: Floats

    def __len__(self) -> int:
        return len(self.devices)


def uses(requests: Expr, as_of: datetime) -> Expr:
    """The requests that were known before `as_of`, with a column for each view."""
    known = requests.filter(requests.seen_at < as_of, requests.device.notnull())
    at = known.happened_at
    day = at.strftime("%Y-%m-%d")
    slot = (at.hour() // SLOT_HOURS).cast("string")
    return known.select(
        "device",
        "happened_at",
        "site",
        "user_agent",
        "locale",
        "country",
        network=known.ip_key,
        network_day=known.ip_key.concat("|").concat(day),
        network_slot=known.ip_key.concat("|").concat(day).concat("|").concat(slot),
        hour=at.hour().cast("string"),
        day=day,
        system=known.user_agent.re_extract("[^ ]+$", 0),
    )


def counted(used: Expr, view: str) -> Expr:
    """A row for each device and token of the view: device, token, n."""
    there = used.filter(used[view].notnull())
    return there.group_by(device=there.device, token=there[view]).agg(n=there.count())


def spans(used: Expr) -> Expr:
    """A row for each device: its first and last request in seconds since 1970, its requests, and its days."""
    at = used.happened_at.epoch_seconds()
    return used.group_by("device").agg(first=at.min(), last=at.max(), requests=used.count(), days=used.day.nunique())


def profile(requests: pa.Table, as_of: datetime, least_requests: int = LEAST_REQUESTS, least_days: int = LEAST_DAYS) -> Profiles:
    """The profiles of the devices from the requests (columns of COLUMNS) that were seen before `as_of`.

    A device with fewer than `least_requests`, or seen on fewer than `least_days`, is left out. The order of the requests does not matter. Raises ValueError for a table that lacks a column.
    """
    if absent := [name for name in COLUMNS if name not in requests.column_names]:
        raise ValueError(f"The requests lack {', '.join(absent)}. Give the columns {', '.join(COLUMNS)}; a column may be null.")
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("requests", requests.select(list(COLUMNS)))
        table = ibis.table(ibis.Schema.from_pyarrow(requests.select(list(COLUMNS)).schema), name="requests")
        used = keep(con, "used", uses(table, as_of))
        every = ask(con, spans(used)).sort_by("device")
        is_seen = pc.and_(pc.greater_equal(every["requests"], least_requests), pc.greater_equal(every["days"], least_days))
        span = every.filter(is_seen)
        devices = span["device"].combine_chunks()
        counts = {view: _matrix(ask(con, counted(used, view)), devices) for view in VIEWS}
    first, last = (span[name].to_numpy() / 86_400.0 for name in ("first", "last"))
    return Profiles(tuple(devices.to_pylist()), counts, every.num_rows - span.num_rows, first, last)


def keep(con: duckdb.DuckDBPyConnection, name: str, expression: Expr) -> Expr:
    """Run an expression into a temporary table, and return the expression that reads it."""
    con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {ibis.to_sql(expression, dialect='duckdb')}")
    return ibis.table(expression.schema(), name=name)


def ask(con: duckdb.DuckDBPyConnection, expression: Expr) -> pa.Table:
    """The rows of an expression."""
    return con.sql(str(ibis.to_sql(expression, dialect="duckdb"))).to_arrow_table()


def _matrix(counted_rows: pa.Table, devices: pa.Array) -> Matrix:
    tokens = counted_rows["token"].combine_chunks().dictionary_encode()
    distinct = np.array(tokens.dictionary.to_pylist(), dtype=object)
    place = np.argsort(np.argsort(distinct)) if len(distinct) else np.empty(0, np.int64)
    place_of = pc.index_in(counted_rows["device"], devices)
    row = pc.fill_null(place_of, -1).to_numpy()
    is_kept = row >= 0
    column = place[tokens.indices.to_numpy()] if len(distinct) else np.empty(0, np.int64)
    times = counted_rows["n"].to_numpy().astype(np.float64)
    shape = (len(devices), max(1, len(distinct)))
    found = sparse.csr_matrix((times[is_kept], (row[is_kept], column[is_kept])), shape=shape)
    found.sort_indices()
    return found


def by_rarity(counts: Matrix) -> Matrix:
    """Counts damped by their logarithm, and weighted by how few devices have the token."""
    held = np.maximum(np.bincount(counts.indices, minlength=counts.shape[1]), 1)
    return counts.log1p() @ sparse.diags_array(np.log(np.maximum(counts.shape[0], 2) / held))


def unit_rows(matrix: Matrix) -> Matrix:
    """Rows of length 1, or of zeros."""
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags_array(1 / np.maximum(length, 1e-12)) @ matrix)


def dots(matrix: Matrix, pairs: Pairs, other: Matrix | None = None) -> Floats:
    """The dot product of the two rows of each pair; the right row is taken from `other` where it is given."""
    theirs = matrix if other is None else other
    parts = [
        np.asarray(matrix[pairs.left[at : at + CHUNK]].multiply(theirs[pairs.right[at : at + CHUNK]]).sum(axis=1)).ravel()
        for at in range(0, len(pairs.left), CHUNK)
    ]
    return np.concatenate(parts) if parts else np.empty(0)
