"""Generated journeys for measuring rules and chains: some places are met more often, some again at once, and some sell better."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from whence.attribution.paths import Floats, Paths

JOURNEYS = 1_000_000
MEAN_LENGTH = 10.3
LONGEST = 90
AGAIN = 0.3
"""How often a touch is of the same place as the one before."""
CONVERTS = 0.075
"""How many journeys do; with 1 all of them."""
DAYS = 28


def walks(places: int, journeys: int = JOURNEYS, converts: float = CONVERTS, seed: int = 0) -> tuple[Paths, Floats]:
    """Journeys over so many channels or campaigns, and how many hours each touch lies before its journey's end."""
    draw = np.random.default_rng([seed, places])
    lengths = np.minimum(draw.geometric(1 / MEAN_LENGTH, journeys), LONGEST)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    popular = 1.0 / np.arange(1, places + 1) ** 0.7
    fresh = draw.choice(places, starts[-1], p=popular / popular.sum()).astype(np.int32)
    is_fresh = draw.random(starts[-1]) >= AGAIN
    is_fresh[starts[:-1]] = True
    codes = fresh[np.maximum.accumulate(np.where(is_fresh, np.arange(starts[-1]), 0))]
    sells = draw.gamma(2.0, 0.5, places)
    chance = np.add.reduceat(sells[codes], starts[:-1])
    converted = (draw.random(journeys) < converts * (chance / chance.mean()) ** (converts < 1)).astype(np.float64)
    hours = draw.random(starts[-1]) * DAYS * 24 - 1000.0 * np.repeat(np.arange(journeys), lengths)
    hours = -np.sort(-hours) + 1000.0 * np.repeat(np.arange(journeys), lengths)
    return Paths(tuple(f"place-{code:04d}" for code in range(places)), codes, starts, converted, 1.0 - converted), hours


def keep(folder: str, places: int, journeys: int = JOURNEYS, converts: float = CONVERTS) -> int:
    """Write such journeys as arrays, as a table of touches, and as a table of paths in words; the number of touches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    told, hours = walks(places, journeys, converts)
    arrays: dict[str, np.ndarray] = {
        "codes": told.codes,
        "starts": told.starts,
        "conversions": told.conversions,
        "nulls": told.nulls,
        "hours": hours,
    }
    for name, array in arrays.items():
        np.save(Path(folder) / f"{name}.npy", array)
    lengths = told.lengths
    touches = {
        "journey": np.repeat(np.arange(len(told), dtype=np.int32), lengths),
        "place": (np.arange(len(hours)) - np.repeat(told.starts[:-1], lengths)).astype(np.int32),
        "length": np.repeat(lengths, lengths).astype(np.int32),
        "code": told.codes,
        "hours": hours,
        "worth": np.repeat(told.conversions, lengths),
    }
    pq.write_table(pa.table(touches), f"{folder}/touches.parquet")
    words = pa.array(told.channels).take(pa.array(told.codes))
    paths = pa.compute.binary_join(pa.ListArray.from_arrays(pa.array(told.starts.astype(np.int32)), words), " > ")
    table = pa.table({"path": paths, "conversions": told.conversions, "nulls": told.nulls})
    pq.write_table(table, f"{folder}/paths.parquet")
    return len(hours)


def kept(folder: str) -> tuple[Paths, Floats]:
    """The journeys that were written there."""
    of = {name: np.load(Path(folder) / f"{name}.npy") for name in ("codes", "starts", "conversions", "nulls", "hours")}
    channels = tuple(f"place-{code:04d}" for code in range(int(of["codes"].max()) + 1))
    return Paths(channels, of["codes"], of["starts"], of["conversions"], of["nulls"]), of["hours"]
