"""The touches of 300,000 conversions among ten million: against pandas, by size, and with one person who has a tenth of all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.benching import Interval, Row, Runs, interleaved, median_range, ratio, verdict

TOUCHES = 10_000_000
SHARE = 0.03
"""Conversions for each touch."""
SIZES = (1_250_000, 2_500_000, 5_000_000, TOUCHES)
HOT = ((1_000_000, 1), (1_000_000, 1_000), (3_000_000, 1_000), (TOUCHES, 1), (TOUCHES, 1_000))
"""Touches and conversions of one person, among as many as otherwise."""
BESIDE = 2
"""Rounds of the peers without a target, at most."""
DAYS = 30
DAY = 86_400_000_000
CLICKS = 0.1
PER_PERSON = 10
AGAINST_ASOF = 0.25
SLOPE = 1.05
HOTTER = 2.0
COLUMNS = ("touch_id", "person_id", "happened_at", "seen_at", "kind", "campaign_id")

Ints = npt.NDArray[np.int64]


def measure(runs: int) -> list[Row]:
    """Rows against each peer, the slope by size, and a row for each hot key."""
    with TemporaryDirectory() as folder:
        for size in SIZES:
            keep(folder, f"even-{size}", size)
        for touches, conversions in HOT:
            keep(folder, f"hot-{touches}-{conversions}", TOUCHES, touches, conversions)
        even = f"even-{TOUCHES}"
        timed = interleaved({name: partial(job, folder, even) for name, job in _beside().items()}, min(runs, BESIDE))
        timed |= interleaved(
            {"ours": partial(ours, folder, even), "asof": partial(by_asof, folder, even)}
            | {
                f"hot-{touches}-{conversions}": partial(ours, folder, f"hot-{touches}-{conversions}")
                for touches, conversions in HOT
            }
            | {f"even-{size}": partial(ours, folder, f"even-{size}") for size in SIZES[:-1]},
            runs,
        )
        told = agree(folder, even)
    return [*_against(timed, told), _slope(timed), *_hot(timed)]


def _beside() -> dict[str, Callable[..., Any]]:
    """Peers without a target."""
    jobs = {"merge": by_merge, "asof of numbers": by_asof_of_numbers, "duckdb": by_duckdb}
    return jobs | {"polars": by_polars} if find_spec("polars") else jobs


def keep(folder: str, name: str, touches: int, hot: int = 0, conversions: int = 0) -> None:
    """Write touches and conversions of people who have ten touches each on average, all at random times; and of one hot person."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    draw = np.random.default_rng(0)
    bought = int(touches * SHARE)
    people, buyers = (draw.integers(1, touches // PER_PERSON, n) for n in (touches, bought))
    people[draw.permutation(touches)[:hot]] = 0
    buyers[:conversions] = 0

    def texts(letter: str, numbers: Ints) -> pa.Array:
        return pc.binary_join_element_wise(letter, pa.array(numbers).cast(pa.string()), "")

    def table(letter: str, of: Ints, kinds: pa.Array) -> dict[str, pa.Array]:
        at = draw.integers(0, DAYS * DAY, len(of)) + 1_777_593_600_000_000  # 2026-05-01
        seen = at + (draw.exponential(60e6, len(of))).astype(np.int64)
        instants = {"happened_at": pa.array(at, pa.timestamp("us", "UTC")), "seen_at": pa.array(seen, pa.timestamp("us", "UTC"))}
        return {f"{letter}_id": texts(letter[0], np.arange(len(of))), "person_id": texts("p", of), **instants, "kind": kinds}

    clicks = pa.DictionaryArray.from_arrays(pa.array((draw.random(touches) < CLICKS).astype(np.int8)), ["view", "click"])
    shown = table("touch", people, clicks.cast(pa.string()))
    shown["campaign_id"] = texts("campaign-", draw.integers(0, 1_000, touches))
    pq.write_table(pa.table(shown), f"{folder}/{name}-touches.parquet")
    pq.write_table(pa.table(table("conversion", buyers, pa.array(["purchase"] * bought))), f"{folder}/{name}-conversions.parquet")


def ours(folder: str, name: str) -> dict[str, Any]:
    """Every journey by the policy with all its context, from a table in memory."""
    import duckdb

    from whence.attribution.journeys import candidate_touches
    from whence.attribution.near import near
    from whence.attribution.policy import Policy

    conversions, touches = _read(folder, name)
    conversions = conversions.to_pandas()
    with duckdb.connect(config={"threads": 1, "memory_limit": "2GB"}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("touches", touches)
        held = _peak()
        started = time.process_time()
        pairs = candidate_touches(conversions, near(con, "touches", conversions, Policy()), Policy())
        seconds = time.process_time() - started
    most = int(pairs.groupby("conversion_id").size().max())
    if most > Policy().max_touches:
        raise AssertionError(f"A conversion has {most} touches.")
    _write(folder, name, "ours", pairs["conversion_id"], pairs["touch_id"])
    return {"seconds": seconds, "more_mb": _peak() - held, "pairs": len(pairs)}


def by_asof(folder: str, name: str) -> dict[str, Any]:
    """The last touch before each conversion by pandas, which wants both in the order of time."""
    import pandas as pd

    conversions, touches = (each.to_pandas() for each in _read(folder, name))
    started = time.process_time()
    met = pd.merge_asof(
        conversions.sort_values("happened_at"),
        touches.assign(touched_at=touches["happened_at"]).sort_values("happened_at"),
        on="happened_at",
        by="person_id",
        allow_exact_matches=False,
    )
    seconds = time.process_time() - started
    met = met[met["touch_id"].notna() & _in_reach(met["happened_at"], met["touched_at"], met["kind_y"])]
    _write(folder, name, "asof", met["conversion_id"], met["touch_id"])
    return {"seconds": seconds, "pairs": len(met)}


def by_asof_of_numbers(folder: str, name: str) -> dict[str, Any]:
    """The same where somebody has put numbers in the place of all ids, before time counts."""
    import pandas as pd

    conversions, touches = _read(folder, name)
    c = pd.DataFrame({"conversion": range(len(conversions)), "person": _numbers(conversions["person_id"])})
    t = pd.DataFrame({"touch": range(len(touches)), "person": _numbers(touches["person_id"])})
    c["happened_at"], t["happened_at"] = conversions["happened_at"].to_pandas(), touches["happened_at"].to_pandas()
    t["is_click"] = np.asarray(touches["kind"]) == "click"
    started = time.process_time()
    met = pd.merge_asof(
        c.sort_values("happened_at"), t.sort_values("happened_at"), on="happened_at", by="person", allow_exact_matches=False
    )
    return {"seconds": time.process_time() - started, "pairs": int(met["touch"].notna().sum())}


def by_merge(folder: str, name: str) -> dict[str, Any]:
    """All touches in reach of each conversion by pandas: all pairs of a person, and those of them that count."""
    conversions, touches = (each.to_pandas() for each in _read(folder, name))
    started = time.process_time()
    met = conversions.merge(touches, on="person_id", suffixes=("", "_touch"))
    met = met[_in_reach(met["happened_at"], met["happened_at_touch"], met["kind_touch"])]
    seconds = time.process_time() - started
    _write(folder, name, "merge", met["conversion_id"], met["touch_id"])
    return {"seconds": seconds, "pairs": len(met)}


def by_duckdb(folder: str, name: str) -> dict[str, Any]:
    """All pairs in reach by an equality of person and day in SQL; ids only, no journey."""
    import duckdb

    conversions, touches = _read(folder, name)
    query = f"""
        SELECT c.conversion_id, t.touch_id FROM touches t JOIN (
            SELECT conversion_id, person_id, epoch_us(happened_at) AS happened,
                unnest(range(epoch_us(happened_at) // {DAY} - 7, epoch_us(happened_at) // {DAY} + 1)) AS bucket
            FROM conversions
        ) c ON t.person_id = c.person_id AND epoch_us(t.happened_at) // {DAY} = c.bucket
        WHERE epoch_us(t.happened_at) < c.happened
            AND epoch_us(t.happened_at) + CASE t.kind WHEN 'click' THEN 7 ELSE 1 END * {DAY} >= c.happened
    """
    with duckdb.connect(config={"threads": 1}) as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("touches", touches)
        con.register("conversions", conversions)
        started = time.process_time()
        met = con.sql(query).to_arrow_table()
        seconds = time.process_time() - started
    _write(folder, name, "duckdb", met["conversion_id"], met["touch_id"])
    return {"seconds": seconds, "pairs": len(met)}


def by_polars(folder: str, name: str) -> dict[str, Any]:
    """All pairs in reach by polars: join and filter, streaming; ids only, no journey."""
    import polars as pl

    conversions, touches = (pl.from_arrow(each) for each in _read(folder, name))
    assert isinstance(conversions, pl.DataFrame)
    assert isinstance(touches, pl.DataFrame)
    started = time.process_time()
    age = pl.col("happened_at") - pl.col("happened_at_touch")
    reach = pl.when(pl.col("kind_touch") == "click").then(pl.duration(days=7)).otherwise(pl.duration(days=1))
    met = (
        conversions.lazy()
        .join(touches.lazy(), on="person_id", suffix="_touch")
        .filter((age > pl.duration()) & (age <= reach))
        .select("conversion_id", "touch_id")
        .collect(engine="streaming")
    )
    seconds = time.process_time() - started
    _write(folder, name, "polars", met["conversion_id"].to_arrow(), met["touch_id"].to_arrow())
    return {"seconds": seconds, "pairs": len(met)}


def agree(folder: str, name: str) -> dict[str, int]:
    """How many pairs each found; raises AssertionError where a peer has others than ours.

    Of the last touches by time only those in reach of their conversion are pairs; each is the last of ours.
    """
    mine = _kept(folder, name, "ours")
    told = {"ours": len(mine)}
    for peer in ("merge", "duckdb", "polars"):
        if (Path(folder) / f"{name}-{peer}.npy").exists():
            theirs = _kept(folder, name, peer)
            told[peer] = len(theirs)
            if not np.array_equal(mine, theirs):
                raise AssertionError(f"{peer} finds other pairs: {len(theirs):,} instead of {len(mine):,}.")
    last = _kept(folder, name, "asof")
    if not np.isin(_packed(last), _packed(mine)).all():
        raise AssertionError("merge_asof finds pairs that ours have not.")
    return told | {"asof": len(last)}


def _read(folder: str, name: str) -> tuple[Any, Any]:
    import pyarrow.parquet as pq

    return (
        pq.read_table(f"{folder}/{name}-conversions.parquet"),
        pq.read_table(f"{folder}/{name}-touches.parquet", columns=list(COLUMNS)),
    )


def _in_reach(bought: Any, shown: Any, kind: Any) -> Any:
    import pandas as pd

    age = bought - shown
    return (age > pd.Timedelta(0)) & (age <= pd.to_timedelta(np.where(kind == "click", 7, 1), unit="D"))


def _numbers(ids: Any) -> Ints:
    import pyarrow as pa
    import pyarrow.compute as pc

    return np.asarray(pc.cast(pc.utf8_slice_codeunits(pa.chunked_array(ids) if isinstance(ids, list) else ids, 1), pa.int64()))


def _write(folder: str, name: str, peer: str, conversions: Any, touches: Any) -> None:
    """The pairs as numbers, in order."""
    import pyarrow as pa

    pairs = np.column_stack([_numbers(each if hasattr(each, "type") else pa.array(each)) for each in (conversions, touches)])
    np.save(f"{folder}/{name}-{peer}.npy", pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def _kept(folder: str, name: str, peer: str) -> Ints:
    return np.asarray(np.load(f"{folder}/{name}-{peer}.npy"), dtype=np.int64)


def _packed(pairs: Ints) -> Ints:
    return np.asarray(pairs[:, 0] * TOUCHES + pairs[:, 1])


def _peak() -> float:
    """The most memory that this process has held, in megabytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _seconds(found: Runs) -> list[float]:
    return [answer["seconds"] for answer in found.answers]


def _against(timed: dict[str, Runs], told: dict[str, int]) -> list[Row]:
    what = f"{TOUCHES / 1e6:g} million touches × {int(TOUCHES * SHARE):,} conversions"
    mine = _seconds(timed["ours"])
    peak = median_range(timed["ours"].peak_mb).value
    more = median_range([answer["more_mb"] for answer in timed["ours"].answers]).value
    rows = [
        Row(
            f"journeys, {what}",
            f"{median_range(mine).value:.2f} CPU seconds",
            median_range(mine).show(),
            note=f"{told['ours']:,} pairs with all their context; at most {peak:,.0f} MB, {more:,.0f} more than to load the table",
        )
    ]
    peers = {
        "asof": (
            "pandas merge_asof with the sort that it wants",
            f"≤ {AGAINST_ASOF:g}",
            f"{told['asof']:,} last touches in reach",
        ),
        "merge": ("pandas merge and filter", "", "the same pairs"),
        "asof of numbers": ("pandas merge_asof with the sort, ids made numbers beforehand", "", "ours from texts all the same"),
        "duckdb": ("DuckDB, person and day", "", "the same pairs; theirs are ids alone, without a journey"),
        "polars": ("polars, join and filter", "", "the same pairs; theirs are ids alone, without a journey"),
    }
    for name, (peer, target, note) in peers.items():
        if name not in timed:
            continue
        theirs = _seconds(timed[name])
        found = ratio(mine[: len(theirs)], theirs)
        rows.append(
            Row(
                f"journeys against {peer}",
                f"{found.value:.2f} of its CPU time",
                found.show(),
                target,
                verdict(met=found.value <= AGAINST_ASOF) if target else "-",
                f"{median_range(theirs).value:.2f} CPU seconds, at most {median_range(timed[name].peak_mb).value:,.0f} MB; {note}",
            )
        )
    return rows


def _slope(timed: dict[str, Runs]) -> Row:
    """How CPU time grows with size, by a line through the logarithms, with that of each round."""
    by_size = [_seconds(timed["ours" if size == TOUCHES else f"even-{size}"]) for size in SIZES]
    sizes = [math.log(size) for size in SIZES]
    each = [float(np.polyfit(sizes, np.log(seconds), 1)[0]) for seconds in zip(*by_size, strict=True)]
    medians = [median_range(seconds).value for seconds in by_size]
    found = Interval(float(np.polyfit(sizes, np.log(medians), 1)[0]), min(each), max(each))
    told = ", ".join(f"{size / 1e6:g} million {seconds:.2f} s" for size, seconds in zip(SIZES, medians, strict=True))
    what = f"journeys, growth from {SIZES[0] / 1e6:g} to {SIZES[-1] / 1e6:g} million touches"
    return Row(what, f"slope {found.value:.2f}", found.show(), f"≤ {SLOPE:g}", verdict(met=found.value <= SLOPE), told)


def _hot(timed: dict[str, Runs]) -> list[Row]:
    rows = []
    for touches, conversions in HOT:
        found = timed[f"hot-{touches}-{conversions}"]
        times = ratio(_seconds(found), _seconds(timed["ours"]))
        more = median_range([answer["more_mb"] for answer in found.answers]).value
        rows.append(
            Row(
                f"journeys, {touches / 1e6:g} million of the touches and {conversions:,} conversion{'s' * (conversions > 1)} of one person",
                f"{times.value:.2f} × as even",
                times.show(),
                f"≤ {HOTTER:g} ×",
                verdict(met=times.value <= HOTTER),
                f"{median_range(_seconds(found)).value:.2f} CPU seconds, at most {median_range(found.peak_mb).value:,.0f} MB, {more:,.0f} more than to load the table",
            )
        )
    return rows
