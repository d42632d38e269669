"""How sure each campaign's credit is: intervals from resampling people and who is who, and the revenue at identity risk.

Two questions have two intervals. What would other people of the same kind have brought, had we known each of them? That is
`low` to `high`: it is about what may be expected of the campaign. And what did these very people bring, had we known each of
them? That is `identity_low` to `identity_high`: it is about the statement, and without uncertain links it is the statement.

Identity is resampled by partitions: each anonymous person is, in each draw, one of those whom it may be or nobody known, by
calibrated probabilities. Every draw is a set of journeys as they may have been; the mean over draws is what to expect
(`expected_micros`), and how draws differ is what not knowing leaves open. People are resampled by the Poisson bootstrap, which
for a sum needs no drawing: its variance is the sum of squares of what people bring, on average over partitions of who is one.
Of the mean over draws that is the whole variance: with the probabilities given, not knowing makes the mean less variable than
the credit itself (the law of total variance), and adding the variance between draws would give intervals that cover too much.
What is learned from the same people, namely what journeys say about links, adds its part by its influence on each campaign.

What is not covered: probabilities whose calibration is off, exact links that are wrong, candidates that were never compared,
two anonymous persons who are one without anybody knowing either, orders whose cool-down or newness another partition would
change, counts of ghosts, and algorithms whose models another partition would fit otherwise. What journeys say about links is
learned without labels, and only roughly: with very many people, intervals are narrow, and the mean is off by a part of them
that matters (the bench says by how much).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from whence.attribution import journeys, places
from whence.attribution.credit import NO_AD
from whence.attribution.partitions import Evidence, Options, evidence
from whence.attribution.policy import Policy
from whence.attribution.sums import Totals, added, interval

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
Share = Callable[[pd.DataFrame], pd.Series]
"""Pairs, with their places on the path, to the share of each."""

PLACE = ("campaign_id", "channel")
DRAWS = 100
SEED = 7
KINDS = 20
"""So many campaigns, the most frequent ones, have evidence of their own about links; the others share theirs."""
NEAR = (24.0,)
"""And what a link would bring is told apart by how many hours before the conversion it would lie."""
ALL = 1 << 30
"""No bound on the touches of a conversion: the policy's own is laid on each draw."""
LEAST = 0.01
"""Options, and pairs of options, less likely than this are taken for none: there are too many of them to tell anything."""
COLUMNS = 10
"""So many draws are told apart together."""
BLOCK = 4_000_000
"""Pairs × draws that are looked at together."""
NORMAL = 1.959964


def from_credits(credits: pd.DataFrame, by: Sequence[str] = PLACE, draws: int = DRAWS, seed: int = SEED) -> pd.DataFrame:
    """Intervals from stored credit alone: rows of `credits` of one algorithm, current versions, of a report's days.

    Touches of a person that have one certainty below 1 came over one link. In each draw a link holds with its certainty;
    where it does not, its touches lose their credit to the other touches of the journey that were paid, in proportion, or to
    no ad. A row a currency and key, in whole micros: credit_micros (as stated), expected_micros, low_micros, high_micros,
    identity_low_micros, identity_high_micros, at_risk_micros (what of the credit is expected to rest on links that are not
    so), and people, how many earned it.

    Cheap, and covers less than `from_partitions`: links that were missed are not in stored credit, so that draws can only
    take away, and touches that earned nothing cannot take over. Therefore the ends lie around the credit as stated, as if
    false and missed links weighed the same, and both variances are added.
    """
    rows = _stored(credits)
    cells = _Cells.of(rows, by)
    amounts, units = rows["credit_micros"].to_numpy(dtype=np.float64), rows["unit"].to_numpy(dtype=np.int64)
    stated, drawn = Totals.none(len(cells.keys)), Totals.none(len(cells.keys))
    stated.add(units, cells.codes, amounts)
    is_ad = (rows["touch_id"] != NO_AD).to_numpy()
    at_stake = rows["conversion_id"].isin(rows.loc[is_ad & (rows["certainty"] < 1), "conversion_id"]).to_numpy()
    drawn.add(units[~at_stake], cells.codes[~at_stake], amounts[~at_stake])
    case = _paid(rows, cells, is_ad & at_stake)
    alive = _links_hold(case.pairs, draws, np.random.default_rng(seed))
    for rows_of, block in case.blocks(draws):
        _resample(block, alive[rows_of], _pass_on, drawn)
    at_risk = added(cells.codes, amounts * (1 - rows["certainty"].to_numpy()), len(cells.keys))
    return _table(cells, stated.sums, at_risk, drawn, interval(stated, stated.variance + drawn.between), stated.sums)


def from_partitions(
    conversions: pd.DataFrame,
    touches: pd.DataFrame,
    options: pd.DataFrame,
    policy: Policy,
    share: Share,
    *,
    by: Sequence[str] = PLACE,
    activity: pd.DataFrame | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
    is_informed: bool = True,
) -> pd.DataFrame:
    """Intervals from partitions drawn anew: people are put together, journeys joined and shares computed for each.

    `conversions` and `touches` are as journeys.candidate_touches takes them, with `unit` in place of person_id: the person by
    exact links alone, None where nobody knows. `conversions` also has value_micros (net of refunds where there are some),
    currency, and perhaps `pays`. `options` has owner (unit of an anonymous person), target, probability (calibrated; all
    candidates that were compared, also those that were not linked, for else missed links are missing) and is_linked (the
    links that were taken: they make the credit as stated). `activity` has `unit` in place of person_id, too. `share` is the
    algorithm, as `lambda pairs: rules.share(pairs, "last_touch", policy)`. Rows and columns as in `from_credits`.

    Only conversions that an uncertain link could reach are computed anew, and each of their journeys once for all draws in
    which it is the same. Before drawing, probabilities learn what the journeys say (partitions.evidence) unless `is_informed`
    is False, as where they know the journeys already.
    """
    told = _told(conversions, touches, _likely(options), policy, activity)
    cells = _Cells.of(pd.concat([told.pairs, told.bought.assign(campaign_id=NO_AD, channel=NO_AD)], ignore_index=True), by)
    kind = _kinds(told)
    said = evidence(told.options, kind, int(kind.max(initial=0)) + 1) if is_informed else Evidence.none(told.options)
    informed = told.options.likely(said.probability)
    chosen = informed.draw(draws, np.random.default_rng(seed))
    totals = Totals.none(len(cells.keys), informed.people, said.influence)
    stated, at_risk = _outright(told, cells, policy, share, totals)
    case = _open(told, cells)
    for rows_of, block in case.blocks(draws):
        drawn = _resample(block, told.alive(chosen, rows_of), _on_journeys(policy, share), totals)
        _learned(drawn, told.options, chosen, kind, totals)
    return _table(cells, stated, at_risk, totals, interval(totals, totals.variance + totals.between / draws), totals.sums)


@dataclass(frozen=True)
class _Cells:
    """The rows of the result: a currency and a key each."""

    keys: pd.DataFrame
    codes: Ints
    """The cell of each row that they were made of."""

    @classmethod
    def of(cls, rows: pd.DataFrame, by: Sequence[str]) -> _Cells:
        names = ["currency", *by]
        nobody = rows[["currency"]].drop_duplicates().assign(**dict.fromkeys(by, NO_AD))
        both = pd.concat([rows[names], nobody[names]], ignore_index=True)
        grouped = both.groupby(names, sort=True)
        keys = grouped.size().index.to_frame(index=False)
        return cls(keys, np.asarray(grouped.ngroup().to_numpy(dtype=np.int64)[: len(rows)]))

    def no_ad(self, currency: pd.Series) -> Ints:
        """The cell of what no ad earned in each currency."""
        place = self.keys[(self.keys.drop(columns="currency") == NO_AD).all(axis=1)]
        return np.asarray(currency.map(pd.Series(place.index, index=place["currency"])).to_numpy(dtype=np.int64))


@dataclass(frozen=True)
class _Case:
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

    def blocks(self, draws: int) -> Iterator[tuple[slice, _Case]]:
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
            yield rows, _Case(pairs, self.conversion[rows] - begin, self.cell[rows], *whose)
            begin = end


@dataclass(frozen=True)
class _Drawn:
    """What islands brought to cells in each draw, less their mean."""

    island: Ints
    cell: Ints
    apart: Floats
    """A row an island and cell, a column a draw."""


@dataclass(frozen=True)
class _Told:
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


NOBODY = -1


def _told(
    conversions: pd.DataFrame, touches: pd.DataFrame, options: pd.DataFrame, policy: Policy, activity: pd.DataFrame | None
) -> _Told:
    named = pd.concat([conversions["unit"], touches["unit"]])
    known = Options.of(options, pd.Index(named.dropna().unique()))
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
    return _Told(bought, pairs, conversion, sides, np.asarray(is_sure), known)


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
    """The pairs of each conversion with the touches of its own unit, and of each unit that it may turn out to share a person with."""
    wide = replace(policy, click_over_view=False, max_touches=ALL)
    touches, activity = (
        None if frame is None else frame.assign(person_id=frame["unit"].astype(object).where(frame["unit"].notna(), None))
        for frame in (touches, activity)
    )
    assert touches is not None
    at, other = known.neighbours(LEAST)
    unit = known.units.get_indexer(conversions["unit"])
    first, size = np.searchsorted(at, unit), np.searchsorted(at, unit, side="right") - np.searchsorted(at, unit)
    size = np.where(unit == NOBODY, 0, size)
    row = np.repeat(np.arange(len(conversions)), size)
    place = np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size) + first[row]
    own = conversions.assign(person_id=conversions["unit"].astype(object).where(conversions["unit"].notna(), None))
    copies = conversions.iloc[row].assign(person_id=known.units.take(other[place]).astype(object), click_id=None)
    row = np.concatenate([np.arange(len(conversions)), row])
    asked = pd.concat([own, copies], ignore_index=True) if len(copies) else own
    pairs = journeys.candidate_touches(asked.assign(conversion_id=np.arange(len(asked)).astype(str)), touches, wide, activity)
    number = pairs["conversion_id"].to_numpy().astype(np.int64)
    pairs = pairs.assign(conversion_id=conversions["conversion_id"].to_numpy()[row[number]])
    clicked = pairs.loc[(number < len(own)) & (pairs["via"] == "click_id").to_numpy(), ["conversion_id", "touch_id"]]
    is_twice = (number >= len(own)) & pairs["touch_id"].isin(clicked["touch_id"]).to_numpy()
    found = pd.MultiIndex.from_frame(pairs.loc[is_twice, ["conversion_id", "touch_id"]])
    is_twice[is_twice] = found.isin(pd.MultiIndex.from_frame(clicked))
    return pairs[~is_twice].reset_index(drop=True)


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


def _kinds(told: _Told) -> Ints:
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


def _outright(told: _Told, cells: _Cells, policy: Policy, share: Share, totals: Totals) -> tuple[Floats, Floats]:
    """Credit as stated by cell, and what of it is at identity risk; what no link decides about is added to `totals`."""
    options, value = told.options, told.bought["value_micros"].to_numpy(dtype=np.float64)
    cell, nobody = cells.codes[: len(told.pairs)], cells.no_ad(told.bought["currency"])
    unit = told.bought["unit"].to_numpy(dtype=np.int64)
    who, sure = options.stated()
    is_paid = told.is_sure | (who[told.sides[:, 0]] == who[told.sides[:, 1]])
    share_of = np.zeros(len(told.pairs))
    share_of[is_paid] = _on_journeys(policy, share)(told.pairs[is_paid].reset_index(drop=True))
    credit = share_of * value[told.conversion]
    rest = value - np.bincount(told.conversion, credit, len(value))
    doubt = np.where(told.is_sure, 0.0, 1 - sure[told.sides[:, 0]] * sure[told.sides[:, 1]])
    is_closed = ~told.is_open
    closed_pairs = is_closed[told.conversion]
    totals.add(unit[told.conversion[closed_pairs]], cell[closed_pairs], credit[closed_pairs])
    totals.add(unit[is_closed], nobody[is_closed], rest[is_closed])
    n = len(cells.keys)
    return added(cell, credit, n) + added(nobody, rest, n), added(cell, credit * doubt, n)


def _open(told: _Told, cells: _Cells) -> _Case:
    rows, bought = told.rows, told.bought[told.is_open]
    return _Case(
        told.pairs[rows],
        np.unique(told.conversion[rows], return_inverse=True)[1].astype(np.int64),
        cells.codes[: len(told.pairs)][rows],
        bought["unit"].to_numpy(dtype=np.int64),
        bought["island"].to_numpy(dtype=np.int64),
        bought["value_micros"].to_numpy(dtype=np.float64),
        cells.no_ad(bought["currency"]),
    )


def _on_journeys(policy: Policy, share: Share) -> Callable[[pd.DataFrame], Floats]:
    """Shares of the pairs of a partition: what the policy lays on a whole journey is laid on it here."""

    def shares(pairs: pd.DataFrame) -> Floats:
        kept = pairs
        if policy.click_over_view:
            is_click = kept["touch_kind"] == places.CLICK
            kept = kept[is_click | ~kept["conversion_id"].isin(kept.loc[is_click, "conversion_id"])]
        kept = places.numbered(kept)
        kept = places.numbered(kept[kept["from_last"] < policy.max_touches])
        found = share(kept).reindex(pairs.index, fill_value=0.0) if len(kept) else pd.Series(0.0, index=pairs.index)
        return np.asarray(found.to_numpy(dtype=np.float64))

    return shares


def _resample(case: _Case, alive: Marks, shares: Callable[[pd.DataFrame], Floats], totals: Totals) -> _Drawn:
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


def _spread(journey: Ints, often: Ints, of: Ints, cell: Ints, amount: Floats, island: Ints, totals: Totals) -> _Drawn:
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
    return _Drawn(islands, cells, apart)


def _learned(drawn: _Drawn, options: Options, chosen: Marks, kind: Ints, totals: Totals) -> None:
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


def _stored(credits: pd.DataFrame) -> pd.DataFrame:
    """The rows with `unit` (who converted, a conversion alone where nobody knows), `value` and a certainty each; by unit."""
    value = credits.groupby("conversion_id")["credit_micros"].transform("sum").astype("float64")
    person = credits["person_id"].astype(object).where(credits["person_id"].notna(), "?" + credits["conversion_id"])
    certainty = credits["certainty"].astype("float64").fillna(1.0)
    rows = credits.assign(unit=person.groupby(person).ngroup().to_numpy(), value=value, certainty=certainty)
    return rows.sort_values(["unit", "conversion_id", "touch_id"], ignore_index=True)


def _paid(rows: pd.DataFrame, cells: _Cells, is_in: Marks) -> _Case:
    paid = rows[is_in]
    paid = paid.assign(ads=paid.groupby("conversion_id")["credit_micros"].transform("sum"))
    of = paid.drop_duplicates("conversion_id")
    return _Case(
        paid.reset_index(drop=True),
        pd.factorize(paid["conversion_id"])[0].astype(np.int64),
        cells.codes[is_in],
        of["unit"].to_numpy(dtype=np.int64),
        of["unit"].to_numpy(dtype=np.int64),
        of["value"].to_numpy(dtype=np.float64),
        cells.no_ad(of["currency"]),
    )


def _links_hold(paid: pd.DataFrame, draws: int, rng: np.random.Generator) -> Marks:
    """Of each row (a touch that was paid) and draw: whether the link that it came over holds."""
    link = paid.groupby(["unit", "certainty"]).ngroup().to_numpy()
    certainty = paid.groupby(["unit", "certainty"]).size().index.get_level_values("certainty").to_numpy(dtype=np.float64)
    holds: Marks = (rng.random((len(certainty), draws)) < certainty[:, None])[link] if len(paid) else np.zeros((0, draws), bool)
    return holds


def _pass_on(paid: pd.DataFrame) -> Floats:
    """Shares of the touches that are left: all that was paid on the journey, in proportion to what they had."""
    left = paid.groupby("conversion_id")["credit_micros"].transform("sum").to_numpy(dtype=np.float64)
    whole = left * paid["value"].to_numpy(dtype=np.float64)
    share = (paid["credit_micros"] * paid["ads"]).to_numpy(dtype=np.float64)
    return np.asarray(np.divide(share, whole, out=np.zeros(len(paid)), where=whole != 0))


def _table(
    cells: _Cells, stated: Floats, at_risk: Floats, drawn: Totals, interval: tuple[Floats, Floats], centre: Floats
) -> pd.DataFrame:
    wide = NORMAL * np.sqrt(drawn.between)
    micros = {
        "credit_micros": stated,
        "expected_micros": drawn.sums,
        "low_micros": interval[0],
        "high_micros": interval[1],
        "identity_low_micros": centre - wide,
        "identity_high_micros": centre + wide,
        "at_risk_micros": at_risk,
    }
    whole = {name: np.rint(values).astype(np.int64) for name, values in micros.items()}
    return cells.keys.assign(**whole, people=drawn.count)
