"""Uncertain journeys in many draws: each that comes up is shared out once, and added up by who bought and by draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from whence.attribution.partitions import Options
from whence.attribution.sums import Totals, added

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

SEED = 11
COLUMNS = 10
"""So many draws are told apart together."""
BLOCK = 4_000_000
"""Pairs × draws that are looked at together."""


@dataclass(frozen=True)
class Case:
    """Conversions whose journeys are uncertain, by island and unit, with all their pairs, by conversion."""

    pairs: pd.DataFrame
    conversion: Ints
    """Of each pair: the conversion's number, rising."""
    cell: Ints
    unit: Ints
    """Of each conversion; and so are the rest."""
    island: Ints
    """Rising; within it the unit is."""
    value: Floats
    nobody: Ints
    """The cell of no ad."""

    def blocks(self, draws: int) -> Iterator[tuple[slice, Case]]:
        """Parts of about BLOCK pairs × draws, of whole islands where these are not too large; first which pairs they hold."""
        if not len(self.pairs):
            return
        until = np.searchsorted(self.conversion, np.arange(len(self.unit)), side="right")
        large, small = until * draws // (4 * BLOCK), until * draws // BLOCK
        ends = np.flatnonzero(np.append(self.island[1:] != self.island[:-1], True))
        stops = ends[np.append(small[ends][1:] != small[ends][:-1], True)]
        units = np.flatnonzero(np.append(self.unit[1:] != self.unit[:-1], True))
        stops = np.union1d(stops, units[np.append(large[units][1:] != large[units][:-1], True)])
        begin = 0
        for end in (stops + 1).tolist():
            rows = slice(int(until[begin - 1]) if begin else 0, int(until[end - 1]))
            part = slice(begin, end)
            pairs = self.pairs.iloc[rows].reset_index(drop=True)
            whose = (self.unit[part], self.island[part], self.value[part], self.nobody[part])
            yield rows, Case(pairs, self.conversion[rows] - begin, self.cell[rows], *whose)
            begin = end


@dataclass(frozen=True)
class Drawn:
    """What islands brought to cells in each draw, less their mean."""

    island: Ints
    cell: Ints
    apart: Floats
    """A row an island and cell, a column a draw."""


def resample(case: Case, alive: Marks, shares: Callable[[pd.DataFrame], Floats], totals: Totals) -> Drawn:
    """Add what the case's units bring on average over draws, and how that differs; give back what they bring in each."""
    journey, conversion, draw = _journeys(case.conversion, len(case.unit), alive)
    start = np.searchsorted(case.conversion, np.arange(len(case.unit) + 1))
    size = np.diff(start)[conversion]
    of = np.repeat(np.arange(len(conversion)), size)
    row = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size) + start[conversion][of]
    is_alive = alive[row, draw[of]]
    of, row = of[is_alive], row[is_alive]
    frame = case.pairs.iloc[row].reset_index(drop=True).assign(conversion_id=of)
    amount = shares(frame) * case.value[conversion[of]] if len(frame) else np.zeros(0)
    rest = case.value[conversion] - np.bincount(of, amount, len(conversion))
    of = np.concatenate([of, np.arange(len(conversion))])
    brought = pd.Series(np.concatenate([amount, rest])).groupby([of, np.concatenate([case.cell[row], case.nobody[conversion]])])
    total = brought.sum()
    of, cell = (total.index.get_level_values(level).to_numpy(dtype=np.int64) for level in (0, 1))
    often = np.bincount(journey.ravel(), minlength=len(conversion))
    amount = total.to_numpy()
    totals.add(case.unit[conversion[of]], cell, amount * often[of] / alive.shape[1])
    return _spread(journey, often, of, cell, amount, case.island[conversion], totals)


def _journeys(conversion: Ints, count: int, alive: Marks) -> tuple[Ints, Ints, Ints]:
    """The journey of each conversion (row) and draw (column), and of each journey the conversion and the first draw."""
    rng = np.random.default_rng(SEED)
    mark = rng.integers(0, 1 << 63, len(conversion), dtype=np.uint64)
    first = np.searchsorted(conversion, np.arange(count))
    told = np.empty((count, alive.shape[1]), dtype=np.uint64)
    for begin in range(0, alive.shape[1], COLUMNS):
        columns = slice(begin, begin + COLUMNS)
        told[:, columns] = np.add.reduceat(np.where(alive[:, columns], mark[:, None], np.uint64(0)), first, axis=0)
    told += rng.integers(0, 1 << 63, count, dtype=np.uint64)[:, None]
    codes, names = pd.factorize(told.ravel())
    seen = np.full(len(names), len(codes), dtype=np.int64)
    np.minimum.at(seen, codes, np.arange(len(codes)))
    return codes.reshape(told.shape), seen // alive.shape[1], seen % alive.shape[1]


def _spread(journey: Ints, often: Ints, of: Ints, cell: Ints, amount: Floats, island: Ints, totals: Totals) -> Drawn:
    """From what each journey brings to each cell to what each island brings in each draw."""
    draws = journey.shape[1]
    draw = np.argsort(journey.ravel(), kind="stable") % draws
    start, times = np.cumsum(often) - often, often[of]
    key, keys = pd.factorize(island[of] * totals.cells + cell)
    entry = np.repeat(np.arange(len(of)), times)
    place = np.arange(len(entry)) - np.repeat(np.cumsum(times) - times, times) + start[of[entry]]
    table = np.bincount(key[entry] * draws + draw[place], amount[entry], len(keys) * draws).reshape(-1, draws)
    apart = table - table.mean(axis=1, keepdims=True)
    islands, cells = keys // totals.cells, keys % totals.cells
    totals.between += added(cells, (apart**2).sum(axis=1) / (draws - 1), totals.cells)
    return Drawn(islands, cells, apart)


def learn(drawn: Drawn, options: Options, chosen: Marks, kind: Ints, totals: Totals) -> None:
    """How far sums move with what was learned: the covariance of what is brought with how often options of a kind are true."""
    kinds = len(totals.pull)
    island = options.island[options.owner]
    mine = np.flatnonzero(np.isin(island, drawn.island))
    if not kinds or not len(mine):
        return
    key, keys = pd.factorize(island[mine] * kinds + kind[mine])
    order = np.argsort(key, kind="stable")
    starts = np.searchsorted(key[order], np.arange(len(keys)))
    count = np.add.reduceat(chosen[mine[order]], starts, axis=0, dtype=np.float64)
    asked = pd.DataFrame({"island": keys // kinds, "asked": np.arange(len(keys))})
    both = asked.merge(pd.DataFrame({"island": drawn.island, "brought": np.arange(len(drawn.island))}), on="island")
    step = max(BLOCK // chosen.shape[1], 1)
    for begin in range(0, len(both), step):
        a, b = (both[name].to_numpy()[begin : begin + step] for name in ("asked", "brought"))
        together = np.einsum("ij,ij->i", count[a], drawn.apart[b]) / (chosen.shape[1] - 1)
        np.add.at(totals.pull, (keys[a] % kinds, drawn.cell[b]), together)
