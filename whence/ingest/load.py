"""From batches to tables: check, set the duplicates and the faulty aside, write whole days, and account for every row."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from whence.contracts.events import EVENTS
from whence.contracts.settings import Settings
from whence.contracts.tables import TABLES
from whence.contracts.times import Window
from whence.ingest.batch import Batch, Fault, Source
from whence.ingest.check import check
from whence.lake import Lake

REPEATS_FOR = timedelta(days=30)
"""How long after its first delivery an event may come again and still be known as a duplicate."""
SAID = {"touches": ("kind", "campaign_id", "price_micros", "currency"), "conversions": ("kind", "value_micros", "currency")}
"""What money hangs on: an event that comes again and says another is no mere repetition."""
ROWS_AT_ONCE = 250_000
"""Days are written together up to so many rows; a day is always written whole."""
OTHER = (
    "Event {} was told before with another {}, {} and now {}. The first counts. If this corrects it, deliver the file anew in place "
    "of the first one; if it is another event, give it an event_id of its own."
)
IS_REFUND = "coalesce(kind = 'refund' OR refund_of IS NOT NULL OR value_micros < 0, FALSE)"
CLASH = (
    "conversion_id is {}, and a sale has it. A refund is a conversion of its own, and would take the place of what it takes back: leave "
    "conversion_id out of its section of the mapping; order_id or refund_of says what it is of."
)
TRUTH = ("truth_signals", "truth_conversions")
PLACE = [pa.field("_source", pa.string()), pa.field("_row", pa.int64())]
FAULTS = TABLES["quarantine"].schema
Progress = Callable[[int, int], None]
_Opened = Callable[[str], AbstractContextManager[duckdb.DuckDBPyConnection]]
"""Opens a table's staged and earlier rows."""


@dataclass(frozen=True)
class Tally:
    """What became of the rows of one table."""

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class IngestReport:
    """What became of every row of a window: read = accepted + duplicates + quarantined, table by table."""

    window: Window
    tables: dict[str, Tally]
    changed: tuple[str, ...] = field(default=())
    """The tables whose content is another than before."""

    @property
    def total(self) -> Tally:
        """All tables together."""
        every = list(self.tables.values())
        return Tally(
            *(sum(getattr(tally, name) for tally in every) for name in ("read", "accepted", "duplicates", "quarantined"))
        )


def load(settings: Settings, source: Source, window: Window, progress: Progress | None) -> IngestReport:
    """Take the window's rows in; the tables' days become exactly what the source gives for them."""
    lake = Lake.of(settings)
    settings.home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="ingest-", dir=settings.home) as folder, _Staging(Path(folder)) as staging:
        for batch in source.batches(window):
            staging.take(batch, window)
            if progress:
                progress(staging.rows, 0)
        staging.close()
        return _write(lake, staging, window)


class _Staging:
    """Rows on their way, on disk: the window's good rows by table, the faulty ones, and how many came."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = 0
        self._writers: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> _Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take(self, batch: Batch, window: Window) -> None:
        """Check a batch and keep what belongs to the window."""
        if batch.table in TRUTH:
            self._keep(batch, batch.rows, batch.numbers, window)
            return
        if batch.faults or batch.rows.num_rows:
            checked = check(batch)
            self._keep(batch, checked.rows, checked.numbers, window)
            self._refuse(batch, checked.faults, window)

    def files(self, name: str) -> list[str]:
        """The staged file of a table, if any row came."""
        return [str(path) for path in [self.folder / f"{name}.parquet"] if path.exists()]

    def close(self) -> None:
        """Finish the files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def _keep(self, batch: Batch, rows: pa.RecordBatch, numbers: pa.Array, window: Window) -> None:
        days = _days(rows, batch.day)
        rows = rows.add_column(0, "day", days).append_column("_source", pa.array([batch.source] * rows.num_rows, pa.string()))
        rows = rows.append_column("_row", numbers)
        self._append(batch.table, rows.filter(pc.is_in(days, pa.array(window.days))))

    def _refuse(self, batch: Batch, faults: tuple[Fault, ...], window: Window) -> None:
        if not faults:
            return
        place = {row: at for at, row in enumerate(batch.numbers.to_pylist())}
        days = _days(batch.rows, batch.day).to_pylist()
        events = batch.rows["event_id"].to_pylist()
        rows = [
            {
                "day": days[place[fault.row]] if fault.row in place else batch.day,
                "table": batch.table,
                "source": batch.source,
                "row": fault.row,
                "event_id": events[place[fault.row]] if fault.row in place else None,
                "field": fault.field,
                "reason": fault.reason,
            }
            for fault in faults
        ]
        self._append("quarantine", pa.RecordBatch.from_pylist([row for row in rows if row["day"] in window.days], FAULTS))

    def _append(self, name: str, rows: pa.RecordBatch) -> None:
        if not rows.num_rows:
            return
        schema = _shape(name)
        if name not in self._writers:
            self._writers[name] = pq.ParquetWriter(self.folder / f"{name}.parquet", schema)
        self._writers[name].write_batch(rows.select(schema.names).cast(schema))
        self.rows += rows.num_rows


def _shape(name: str) -> pa.Schema:
    return FAULTS if name == "quarantine" else pa.schema([*TABLES[name].schema, *PLACE])


def _days(rows: pa.RecordBatch, otherwise: str) -> pa.Array:
    """The UTC day of each row's delivery; the source's own day where that is unknown."""
    if "seen_at" not in rows.column_names:
        return pa.array([otherwise] * rows.num_rows, pa.string())
    days = pc.strftime(rows["seen_at"], format="%Y-%m-%d")
    return pc.fill_null(days, otherwise).cast(pa.string())


def _write(lake: Lake, staging: _Staging, window: Window) -> IngestReport:
    """Write the events, then the quarantine, and last the counts: who sees counts sees all the rest."""
    changed: set[str] = set()
    refused = pq.read_table(staging.files("quarantine")[0]) if staging.files("quarantine") else FAULTS.empty_table()
    with duckdb.connect(config={"memory_limit": lake.memory_limit, "temp_directory": str(staging.folder)}) as base:
        opened = partial(_open, lake, staging, window, base)
        told = [_write_events(lake, opened, name, window, changed) for name in EVENTS]
        tallies, refused = [counted for counted, _ in told], pa.concat_tables([refused, *(others for _, others in told)])
        for name in TRUTH:
            if staging.files(name) or lake.days(name):
                _write_truth(lake, opened, name, window, changed)
        counts = _counts(base, pa.concat_tables(tallies), refused)
        refused = _once(base, refused)
    for name, rows in (("quarantine", refused), ("ingest_counts", counts)):
        if lake.replace(name, rows, window):
            changed.add(name)
    return IngestReport(window, _tallies(counts), tuple(sorted(changed)))


def _write_events(lake: Lake, opened: _Opened, name: str, window: Window, changed: set[str]) -> tuple[pa.Table, pa.Table]:
    """Write the table's days without repeats; return how many rows of each day and source were fresh and repeated, and rows for
    the quarantine: repeats that contradict what counts."""
    with opened(name) as con:
        con.execute(f"CREATE TEMP TABLE marked AS {_marked(name)}")
        for part in _parts(con, window):
            rows = con.sql(f"SELECT {_columns(name)} FROM marked WHERE is_good AND {_within(part)}").to_arrow_table()
            if lake.replace(name, rows, part):
                changed.add(name)
        counted = con.sql(f"""
            SELECT day, '{name}' AS "table", _source AS source,
                count(*) FILTER (is_good) AS accepted, count(*) FILTER (is_repeat AND field IS NULL) AS duplicates
            FROM marked GROUP BY day, _source""").to_arrow_table()
        others = con.sql(f"""
            SELECT day, '{name}' AS "table", _source AS source, _row AS row, event_id, coalesce(field, 'conversion_id') AS field,
                CASE WHEN is_repeat THEN format({_quoted(OTHER)}, event_id, field, was, now) ELSE format({_quoted(CLASH)}, now) END AS reason
            FROM marked WHERE NOT is_good AND (NOT is_repeat OR field IS NOT NULL) ORDER BY ALL""").to_arrow_table()
        return counted, others.select(FAULTS.names).cast(FAULTS)


def _marked(name: str) -> str:
    """The staged rows, and of each whether its event is told already and, where that says another `field` of SAID, which: `was`, `now`.

    What `is_good` is neither that, nor a refund by the name of a sale.
    """
    fields = SAID.get(name, ())
    firsts = "".join(f", first_value({each}) OVER of_event AS first_{each}" for each in fields)
    was = {each: f"CASE WHEN e.event_id IS NULL THEN s.first_{each} ELSE e.{each} END" for each in fields}
    other = {each: f"s.{each} <> {was[each]}" for each in fields}

    def chosen(said: Mapping[str, str]) -> str:
        return f"CASE {' '.join(f'WHEN {other[each]} THEN {said[each]}' for each in fields)} END" if fields else "NULL::VARCHAR"

    told = f"""
        SELECT s.*, s.place > 1 OR e.event_id IS NOT NULL AS is_repeat, {chosen({each: _quoted(each) for each in fields})} AS field,
            {chosen({each: f"({was[each]})::VARCHAR" for each in fields})} AS was,
            {chosen({each: f"s.{each}::VARCHAR" for each in fields})} AS now
        FROM (
            SELECT *, row_number() OVER of_event AS place{firsts} FROM staged
            WINDOW of_event AS (PARTITION BY event_id ORDER BY seen_at, click_id IS NULL, _source, _row)
        ) s LEFT JOIN (
            SELECT DISTINCT ON (event_id) event_id{"".join(f", {each}" for each in fields)} FROM {name} SEMI JOIN staged USING (event_id)
        ) e ON e.event_id = s.event_id"""
    if name != "conversions":
        return f"SELECT *, NOT is_repeat AS is_good FROM ({told})"
    sold = f"""(
        bool_or(NOT {IS_REFUND}) OVER (PARTITION BY conversion_id ORDER BY seen_at)
        OR conversion_id IN (SELECT conversion_id FROM conversions WHERE NOT {IS_REFUND})
    )"""
    return f"""
        SELECT * EXCLUDE (now), CASE WHEN is_repeat THEN now ELSE conversion_id END AS now,
            NOT is_repeat AND NOT ({IS_REFUND} AND {sold}) AS is_good
        FROM ({told})"""


def _write_truth(lake: Lake, opened: _Opened, name: str, window: Window, changed: set[str]) -> None:
    with opened(name) as con:
        for part in _parts(con, window, "staged"):
            rows = con.sql(f"SELECT {_columns(name)} FROM staged WHERE {_within(part)}").to_arrow_table()
            if lake.replace(name, rows, part):
                changed.add(name)


@contextmanager
def _open(
    lake: Lake, staging: _Staging, window: Window, base: duckdb.DuckDBPyConnection, name: str
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to `base` with the staged rows as `staged`, and with what earlier days hold under the table's own name."""
    earlier = Window(window.first - REPEATS_FOR, window.first - timedelta(days=1))
    with lake.connect(earlier, name, base=base) as con:
        if files := staging.files(name):
            path = files[0].replace("'", "''")
            con.execute(f"CREATE TEMP VIEW staged AS SELECT * FROM read_parquet('{path}')")
        else:
            con.register("staged", _shape(name).empty_table())
        yield con


def _parts(con: duckdb.DuckDBPyConnection, window: Window, table: str = "marked") -> Iterator[Window]:
    """The window in runs of days small enough to be held in memory."""
    sizes = dict(con.sql(f"SELECT day, count(*) FROM {table} GROUP BY day").fetchall())
    first, held = window.first, 0
    for day in window:
        size = sizes.get(day.isoformat(), 0)
        if held and held + size > ROWS_AT_ONCE:
            yield Window(first, day - timedelta(days=1))
            first, held = day, 0
        held += size
    yield Window(first, window.last)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _columns(name: str) -> str:
    return ", ".join(f'"{column}"' for column in TABLES[name].schema.names)


def _within(window: Window) -> str:
    return f"day BETWEEN '{window.first}' AND '{window.last}'"


def _once(base: duckdb.DuckDBPyConnection, refused: pa.Table) -> pa.Table:
    """Of a row of the source that two sections of a table refused, or that holds several rows, one reason."""
    with base.cursor() as con:
        con.register("refused", refused)
        key = 'day, "table", source, row'
        once = con.sql(f"SELECT DISTINCT ON ({key}) * FROM refused ORDER BY {key}, field, reason").to_arrow_table()
        return once.select(FAULTS.names).cast(FAULTS)


def _counts(base: duckdb.DuckDBPyConnection, told: pa.Table, refused: pa.Table) -> pa.Table:
    with base.cursor() as con:
        con.register("told", told)
        con.register("refused", refused)
        return con.sql("""
            WITH every AS (
                SELECT day, "table", source, accepted, duplicates, 0 AS quarantined FROM told
                UNION ALL SELECT day, "table", source, 0, 0, 1 FROM refused
            )
            SELECT day, "table", source, sum(accepted + duplicates + quarantined)::BIGINT AS read,
                sum(accepted)::BIGINT AS accepted, sum(duplicates)::BIGINT AS duplicates, sum(quarantined)::BIGINT AS quarantined
            FROM every GROUP BY ALL""").to_arrow_table()


def _tallies(counts: pa.Table) -> dict[str, Tally]:
    names = ("read", "accepted", "duplicates", "quarantined")
    summed = counts.group_by("table").aggregate([(name, "sum") for name in names]).to_pylist()
    return {
        **dict.fromkeys(EVENTS, Tally()),
        **{row["table"]: Tally(*(row[f"{name}_sum"] for name in names)) for row in summed},
    }
