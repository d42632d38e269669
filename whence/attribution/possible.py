"""Every pair of a conversion and a touch that some partition of people has, and what a link would bring."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from whence.attribution import journeys
from whence.attribution.partitions import Options
from whence.attribution.policy import Policy
from whence.attribution.sums import added

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

NOBODY = -1
"""The unit of whoever is unknown."""
LEAST = 0.01
"""Options, and pairs of options, less likely than this are taken for none: there are too many of them to tell anything."""
KINDS = 20
"""So many campaigns, the most frequent ones, have evidence of their own about links; the others share theirs."""
NEAR = (24.0,)
"""And what a link would bring is told apart by how many hours before the conversion it would lie."""
ALL = 1 << 30
"""No bound on the touches of a conversion: the policy's own is laid on each partition."""


@dataclass(frozen=True)
class Told:
    """Conversions, and every pair that some partition has; units in place of people."""

    bought: pd.DataFrame
    """conversion_id, value_micros, currency, unit (its number), island, by island and unit."""
    pairs: pd.DataFrame
    conversion: Ints
    """Of each pair: the position in `bought`, rising."""
    sides: Ints
    """Of each pair: the unit of the conversion and that of the touch, NOBODY where unknown."""
    is_sure: Marks
    """Of each pair: whether it needs no link."""
    options: Options

    @property
    def is_open(self) -> Marks:
        """Of each conversion: whether links decide about its touches."""
        return np.asarray(added(self.conversion, ~self.is_sure, len(self.bought)) > 0)

    @property
    def rows(self) -> Marks:
        """Of each pair: whether its conversion is open."""
        return self.is_open[self.conversion]

    def alive(self, chosen: Marks, rows: slice) -> Marks:
        """Of the open conversions' pairs between these rows (row) and by draw (column): whether they are of one person."""
        open_rows = np.flatnonzero(self.rows)[rows]
        units, place = np.unique(self.sides[open_rows], return_inverse=True)
        who = self.options.who(chosen, units)
        place = place.reshape(-1, 2)
        return np.asarray(self.is_sure[open_rows, None] | (who[place[:, 0]] == who[place[:, 1]]))


def pairs_told(
    conversions: pd.DataFrame, touches: pd.DataFrame, options: pd.DataFrame, policy: Policy, activity: pd.DataFrame | None
) -> Told:
    """Join each conversion with the touches of everybody whom it may turn out to share a person with.

    Arguments as in doubt.from_partitions. What the policy lays on a whole journey (clicks before views, how many touches) is
    left to each partition.
    """
    named = pd.concat([conversions["unit"], touches["unit"]])
    known = Options.of(_likely(options), pd.Index(named.dropna().unique()))
    bought = conversions.assign(unit=_numbers(conversions["unit"], known))
    bought = bought.assign(island=_islands(bought["unit"].to_numpy(dtype=np.int64), known))
    bought = bought.sort_values(["island", "unit", "conversion_id"], ignore_index=True)
    pairs = _met(conversions, touches, known, policy, activity)
    if "pays" in conversions:
        pairs = pairs[pairs["conversion_id"].isin(conversions.loc[conversions["pays"].astype(bool), "conversion_id"])]
    conversion = pd.Index(bought["conversion_id"]).get_indexer(pairs["conversion_id"]).astype(np.int64)
    currency = bought["currency"].to_numpy()[conversion]
    order = _in_time(conversion, pairs)
    pairs, conversion = pairs.assign(currency=currency).iloc[order].reset_index(drop=True), conversion[order]
    sides = np.column_stack([_units(pairs["conversion_id"], conversions, known), _units(pairs["touch_id"], touches, known)])
    is_sure = (sides[:, 0] == sides[:, 1]) & (sides[:, 0] != NOBODY) | (pairs["same_click"] == 1).to_numpy()
    return Told(bought, pairs, conversion, sides, np.asarray(is_sure), known)


def asked(conversions: pd.DataFrame, options: pd.DataFrame) -> pd.DataFrame:
    """The conversions as near.near has to be asked to find all touches that `pairs_told` looks at; a unit stands as the person_id."""
    known = Options.of(_likely(options), pd.Index(conversions["unit"].dropna().unique()))
    return _copied(conversions, known)[0]


def _in_time(conversion: Ints, pairs: pd.DataFrame) -> Ints:
    """The order by conversion, time and touch_id; texts are compared only where times are equal."""
    at = pairs["touched_at"].astype("int64").to_numpy()
    order = np.lexsort((at, conversion))
    is_next = (np.diff(conversion[order]) == 0) & (np.diff(at[order]) == 0)
    tied = np.flatnonzero(np.append(is_next, False) | np.insert(is_next, 0, False)) if len(order) else order
    rows = order[tied]
    order[tied] = rows[np.lexsort((pairs["touch_id"].to_numpy()[rows], at[rows], conversion[rows]))]
    return order


def _likely(options: pd.DataFrame) -> pd.DataFrame:
    """The options that are worth a draw, and those that were taken."""
    kept = options["probability"] >= LEAST
    return options[kept | options["is_linked"].astype(bool)] if "is_linked" in options else options[kept]


def _met(
    conversions: pd.DataFrame, touches: pd.DataFrame, known: Options, policy: Policy, activity: pd.DataFrame | None
) -> pd.DataFrame:
    """The pairs of each conversion with the touches of whoever it is asked about."""
    wide = replace(policy, click_over_view=False, max_touches=ALL)
    touches, activity = (
        None if frame is None else frame.assign(person_id=frame["unit"].astype(object).where(frame["unit"].notna(), None))
        for frame in (touches, activity)
    )
    assert touches is not None
    copied, row = _copied(conversions, known)
    pairs = journeys.candidate_touches(copied.assign(conversion_id=np.arange(len(copied)).astype(str)), touches, wide, activity)
    number = pairs["conversion_id"].to_numpy().astype(np.int64)
    pairs = pairs.assign(conversion_id=conversions["conversion_id"].to_numpy()[row[number]])
    clicked = pairs.loc[(number < len(conversions)) & (pairs["via"] == "click_id").to_numpy(), ["conversion_id", "touch_id"]]
    is_twice = (number >= len(conversions)) & pairs["touch_id"].isin(clicked["touch_id"]).to_numpy()
    found = pd.MultiIndex.from_frame(pairs.loc[is_twice, ["conversion_id", "touch_id"]])
    is_twice[is_twice] = found.isin(pd.MultiIndex.from_frame(clicked))
    return pairs[~is_twice].reset_index(drop=True)


def _copied(conversions: pd.DataFrame, known: Options) -> tuple[pd.DataFrame, Ints]:
    """Each conversion, by its own unit, and again by each unit that it may turn out to share a person with; which it is."""
    at, other = known.neighbours(LEAST)
    unit = known.units.get_indexer(conversions["unit"])
    first, size = np.searchsorted(at, unit), np.searchsorted(at, unit, side="right") - np.searchsorted(at, unit)
    size = np.where(unit == NOBODY, 0, size)
    row = np.repeat(np.arange(len(conversions)), size)
    place = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size) + first[row]
    own = conversions.assign(person_id=conversions["unit"].astype(object).where(conversions["unit"].notna(), None))
    copies = conversions.iloc[row].assign(person_id=known.units.take(other[place]).astype(object), click_id=None)
    row = np.concatenate([np.arange(len(conversions)), row])
    return pd.concat([own, copies], ignore_index=True) if len(copies) else own, row


def _numbers(unit: pd.Series, known: Options) -> Ints:
    """The number of each one's unit; whoever is unknown is one alone, after all others."""
    at = known.units.get_indexer(unit)
    return np.where(at == NOBODY, len(known.units) + np.arange(len(unit)), at).astype(np.int64)


def _islands(unit: Ints, known: Options) -> Ints:
    """The number of each unit's island, the unknown after all others."""
    is_known = unit < len(known.units)
    island = unit + int(known.island.max(initial=-1)) + 1
    island[is_known] = known.island[unit[is_known]]
    return island


def _units(ids: pd.Series, frame: pd.DataFrame, known: Options) -> Ints:
    """The unit of each id of a conversion or touch; the first row of an id tells."""
    rows = frame.drop_duplicates(ids.name)
    own = known.units.get_indexer(rows["unit"])
    return np.asarray(own[pd.Index(rows[ids.name]).get_indexer(ids)], dtype=np.int64)


def kinds(told: Told) -> Ints:
    """What each option would bring: 0 for nothing, else the campaign whose touch would come to lie nearest to a conversion."""
    options = told.options
    rows = ~told.is_sure
    pairs = told.pairs.loc[rows, ["hours_before", "campaign_id"]]
    sides = told.sides[rows]
    wanted = options.owner * len(options.units) + options.target
    kind = np.zeros(len(options), dtype=np.int64)
    if not len(pairs) or not len(options):
        return kind
    order = np.argsort(wanted)
    often = pairs["campaign_id"].value_counts().index
    hours = pairs["hours_before"].to_numpy(dtype=np.float64)
    campaign = np.minimum(often.get_indexer(pairs["campaign_id"]), KINDS)
    campaign = campaign * (len(NEAR) + 1) + np.searchsorted(NEAR, hours) + 1
    near = np.argsort(-hours, kind="stable")
    for owner, target in ((0, 1), (1, 0)):
        asked = (sides[:, owner] * len(options.units) + sides[:, target])[near]
        at = order[np.minimum(np.searchsorted(wanted[order], asked), len(order) - 1)]
        is_found = wanted[at] == asked
        kind[at[is_found]] = campaign[near][is_found]
    return kind
