"""A day of new records joins the people found before, without a rebuild, and gives the people that a rebuild would give.

What is frozen when a state is founded: what the columns are, the keys by which candidates are found, how often
each value occurs, the scorer, and the rules of clustering. A rebuild is `rebuild` over all records with the same
frozen parts; a day is `join`. Both give the same people, whatever the order of days, because

- a pair is a candidate by a key only through the block of that key: a block that no new record enters stays as it
  is, one that still fits the cap gets the pairs with its new records, and one that is over the cap, or now passes
  it, is blocked again as a whole, so that the pairs that the rebuild would not make are dropped here too;
- the log-odds of a pair depend on its two records and on the frozen frequencies (a value that was not there
  counts as one record), so that kept pairs keep theirs;
- people are found within the connected components of links, so that only components with a new or a dropped pair
  are clustered again, from their records in the order of their ids.

Searches by text are no part of a day: whom a record finds among its nearest depends on everybody at once. A plan with
searches is frozen without them, and `freeze` refuses one that has nothing else. What a founding run had beyond its keys,
by searches and by what people have said, `found` keeps as it was: those pairs stay whatever becomes of blocks, and a
rebuild that is to give the same people is given them (`State.kept`). New records get no such pairs.

On disk a state is a folder of Arrow files, which are mapped and not read, and `state.json`, which names them and
is replaced in one step: who is killed on the way leaves the state before, and who runs a day twice adds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit, logit

from whence.identity.clusters import Positions, Rules, cluster, components
from whence.identity.records import fields as columns
from whence.identity.records import keys, store
from whence.identity.records.compare import wordings
from whence.identity.records.retrieve import Plan
from whence.identity.records.saved import SCORERS
from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import MISSING, Codes, Column, Field, Fields, Floats, Pairs, Records
from whence.identity.records.worded import look
from whence.identity.records.wording import Wording

Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

STATE, VERSION = "state.json", 1
KEPT = 63
"""The bit of a pair that no key has to make: it stays."""
NEVER = -20.0
"""Log-odds of a pair of one source where no source holds anybody twice."""
SLOTS, FILTER = 128, 1 << 21
"""Slots for each key, and at most, of the filter that most records' keys are sorted out by: few enough for the processor's cache."""


TOUCHED = pa.schema([("record_id", pa.string()), ("person", pa.int64())])


class StateError(ValueError):
    """A day that cannot join, or a folder that holds no state; the message says what to do."""

    def __init__(self, said: str, record: str = "") -> None:
        super().__init__(said)
        self.record = record
        """The record that is in the way, where it is one."""


@dataclass(frozen=True)
class Frequencies:
    """How many records held each value of a field when the state was founded, by the value's digest."""

    digests: Bits
    """Sorted."""
    counts: Ints
    total: int

    def of(self, values: Sequence[str]) -> _Counts:
        """The count of each value; one that was not there counts as one record."""
        sought = _digests(values)
        order = np.argsort(sought)  # looked up from low to high, each lies near the last: three times as fast
        sought = sought[order]
        at = np.minimum(np.searchsorted(self.digests, sought), max(len(self.digests) - 1, 0))
        counts = np.ones(len(values), dtype=np.int64)
        if len(self.digests):
            known = self.digests[at] == sought
            counts[order[known]] = self.counts[at[known]]
        frozen = counts.view(_Counts)
        frozen.total = self.total
        return frozen


class _Counts(np.ndarray[tuple[int], np.dtype[np.int64]]):
    """Counts of some values out of a whole that is known: their sum is the whole's, so that shares are of all records."""

    total: int | None = None

    def sum(self, *args: Any, **more: Any) -> Any:
        """All records with a value."""
        return super().sum(*args, **more) if self.total is None else self.total


@dataclass(frozen=True)
class Frozen:
    """What stays as it was when the state was founded."""

    fields: Fields
    plan: Plan
    scorer: PairScorer
    rules: Rules
    frequencies: tuple[Frequencies, ...]
    """One for each field."""
    orders: tuple[tuple[str, ...], ...]
    """For each key the columns by which its large blocks are put in order."""
    wordings: Mapping[str, Wording]
    """How common words are in each field whose words are looked at."""

    def block(self, records: Records, numbers: Iterable[int]) -> Iterator[tuple[Ints, Ints, int]]:
        """The pairs of the keys of these numbers, by the places of their records, and the number of the key."""
        numbers, by_key = list(numbers), dict(zip(self.plan.keys, self.orders, strict=True))
        chosen = [self.plan.keys[number] for number in numbers]
        for number, blocked in zip(numbers, keys.block(records, chosen, self.plan.cap, by_key), strict=True):
            yield blocked.pairs // len(records), blocked.pairs % len(records), number


@dataclass(frozen=True)
class _Segment:
    """The pairs that one day brought, sorted by `left`; records are numbered as they arrived."""

    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    by: Bits
    """A bit for each key of the plan that makes the pair."""
    log_odds: Floats


@dataclass(frozen=True)
class State:
    """All records so far, their pairs, and their people; records are numbered as they arrived."""

    frozen: Frozen
    days: tuple[pa.Table, ...]
    """For each day its records, sorted by id: `id`, `source`, the normalised fields, the digests of the keys."""
    segments: tuple[_Segment, ...]
    changed: Mapping[int, int]
    """The pairs, numbered through all segments, that fewer keys make by now: what is left of `by`, 0 for none."""
    linked: Positions
    """The component of links of each record."""
    person: Positions
    """The person of each record, as a number that means nothing else."""
    names: tuple[str, ...] = ()
    """What the first days are called on disk, as far as they are there."""
    kept_as: str = ""
    """The file with what is frozen; empty before there is one."""

    def __len__(self) -> int:
        return len(self.person)

    def people(self) -> pa.Table:
        """`record_id` and `person`, sorted by record; people are numbered by their first record."""
        ids = self.column("id")
        order = pc.sort_indices(ids).to_numpy()
        found, first, codes = np.unique(self.person[order], return_index=True, return_inverse=True)
        number = np.empty(len(found), dtype=np.int64)
        number[np.argsort(first)] = np.arange(len(found))
        return pa.table({"record_id": ids.take(pa.array(order)), "person": number[codes]})

    def kept(self) -> pa.Table:
        """The pairs that stay whatever keys make: `left_id`, `right_id` and `log_odds`."""
        rows = [np.flatnonzero((each.by >> np.uint64(KEPT)) & np.uint64(1) == 1) for each in self.segments]
        parts = list(zip(self.segments, rows, strict=True))
        ids = self.column("id")
        left, right = (np.concatenate([getattr(each, side)[at] for each, at in parts]) for side in ("left", "right"))
        log_odds = np.concatenate([each.log_odds[at] for each, at in parts])
        return pa.table({"left_id": ids.take(pa.array(left)), "right_id": ids.take(pa.array(right)), "log_odds": log_odds})

    def pairs(self) -> tuple[Pairs, Floats]:
        """All pairs that are left, and their log-odds, by the positions of their records in the order of the ids."""
        order = pc.sort_indices(self.column("id")).to_numpy()
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        rows = np.arange(sum(len(each.left) for each in self.segments))
        left, right, by = _pairs_at(self, rows)
        is_left = by != 0
        one, two = place[left[is_left]], place[right[is_left]]
        low, high = np.minimum(one, two), np.maximum(one, two)
        sort = np.lexsort((high, low))
        return Pairs(low[sort], high[sort]), _gather(self, rows, "log_odds")[is_left][sort]

    def records(self) -> Records:
        """All records in the order of their ids, as they are compared."""
        return _part(self, np.arange(len(self)))[0]

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all days' records."""
        return pa.chunked_array([chunk for day in self.days for chunk in day[name].chunks], self.days[0].schema.field(name).type)


@dataclass(frozen=True)
class Joined:
    """What a day changed."""

    state: State
    added: int
    """New records; 0 for a day that had joined before."""
    compared: int
    """New pairs."""
    dropped: int
    """Pairs whose blocks have grown over the cap."""
    touched: pa.Table
    """`record_id` and `person` of every record whose component was clustered again: what the ledger has to hear."""


def freeze(records: Records, fields: Fields, plan: Plan, scorer: PairScorer, rules: Rules | None = None) -> Frozen:
    """Freeze a plan, a scorer, and the frequencies of these records."""
    if not plan.keys:
        raise StateError("The plan has no keys, only searches, which look at all records at once. Rebuild such a table each day.")
    if len(plan.keys) > KEPT:
        raise StateError(f"The plan has {len(plan.keys)} keys, and {KEPT} are the most. Leave out those that bring least.")
    frequencies = tuple(_frequencies(each) for each in records.columns)
    everyone = np.arange(len(records))
    orders = tuple(keys.telling(records, key, everyone) for key in plan.keys)
    return Frozen(fields, replace(plan, searches=()), scorer, rules or Rules(), frequencies, orders, wordings(records))


def rebuild(frozen: Frozen, table: pa.Table, kept: pa.Table | None = None) -> State:
    """The state after these rows, found from nothing else but the pairs of a founding run that are kept (`State.kept`)."""
    records = columns.prepare(table, frozen.fields)
    blocked = list(frozen.block(records, range(len(frozen.plan.keys))))
    told, said = _places(records, kept, "log_odds") if kept is not None else (np.zeros(0, dtype=np.int64), np.zeros(0))
    pairs, by = _distinct([*blocked, (told // len(records), told % len(records), KEPT)])
    log_odds = _log_odds(_counted(records, frozen), pairs, frozen)
    log_odds[np.searchsorted(_keys(pairs, len(records)), told)] = said
    return _founded(records, table, frozen, _Segment(pairs.left, pairs.right, by, log_odds))


def found(frozen: Frozen, table: pa.Table, searched: Pairs, told: pa.Table, least: float) -> State:
    """The state of a run that is finished: the people that it found, from the pairs that it had.

    `searched` are the pairs that its searches found, by position in the order of the ids. `told` are the pairs that it
    wrote down (`left_id`, `right_id`, `probability`): all from the probability `least` on. They keep what the run said
    where that is not what the scorer says, such as what people have said.
    """
    records = columns.prepare(table, frozen.fields)
    n = len(records)
    blocked = list(frozen.block(records, range(len(frozen.plan.keys))))
    sought = [*blocked, (searched.left.astype(np.int64), searched.right.astype(np.int64), KEPT)]
    pairs, _ = _distinct(sought)
    places, probability = _places(records, told, "probability")
    alone = places[~np.isin(places, _keys(pairs, n))]
    pairs, by = _distinct([*sought, (alone // n, alone % n, KEPT)])
    log_odds = _log_odds(_counted(records, frozen), pairs, frozen)
    said = np.full(len(log_odds), least)
    at = np.searchsorted(_keys(pairs, n), places)
    said[at] = probability
    is_told = np.isin(np.arange(len(log_odds)), at)
    is_other = np.where(is_told, np.abs(said - expit(log_odds)) > ALIKE, expit(log_odds) > least + ALIKE)
    log_odds = np.where(is_other, logit(np.clip(said, TINY, 1 - TINY)), log_odds)
    by = np.where(is_other, by | np.uint64(1 << KEPT), by)
    return _founded(records, table, frozen, _Segment(pairs.left, pairs.right, by, log_odds))


ALIKE, TINY = 1e-6, 1e-15
"""Probabilities that are the same but for rounding, and the distance that they keep from 0 and 1."""


def _founded(records: Records, table: pa.Table, frozen: Frozen, segment: _Segment) -> State:
    pairs = Pairs(segment.left, segment.right)
    linked, person = _people(len(records), pairs, segment.log_odds, frozen, records.source, _unique(records))
    return State(frozen, (_day(records, table, frozen),), (segment,), {}, linked, person)


def _places(records: Records, told: pa.Table, value: str) -> tuple[Ints, Floats]:
    """Pairs by the positions of their records, as one sorted number each, and what is told of them."""
    ids = pa.array(records.ids, pa.string())
    left, right = (pc.index_in(told[side], ids).combine_chunks() for side in ("left_id", "right_id"))
    if left.null_count or right.null_count:
        raise StateError(
            "A pair of the run is of a record that its folder does not hold. Run `whence resolve` with all rows again."
        )
    one, two = left.to_numpy().astype(np.int64), right.to_numpy().astype(np.int64)
    places = np.minimum(one, two) * len(records) + np.maximum(one, two)
    order = np.argsort(places, kind="stable")
    return places[order], told[value].to_numpy()[order]


def _keys(pairs: Pairs, n: int) -> Ints:
    return np.asarray(pairs.left.astype(np.int64) * n + pairs.right)


def _log_odds(records: Records, pairs: Pairs, frozen: Frozen) -> Floats:
    """What the scorer says, but for pairs of one source where no source holds anybody twice."""
    log_odds = np.array(frozen.scorer.log_odds(look(frozen.scorer, records, pairs, frozen.wordings)), dtype=np.float64)
    if frozen.rules.unique_sources and records.source is not None:
        log_odds[records.source[pairs.left] == records.source[pairs.right]] = NEVER
    return log_odds


def _unique(records: Records) -> dict[str, npt.NDArray[np.int32]]:
    return {each.field.name: each.codes for each in records.unique}


def join(state: State, table: pa.Table) -> Joined:
    """The state with a day of new rows. Rows that are there already are left out.

    Raises StateError for a row whose id is there with other values.
    """
    day = _without_known(state, _day(columns.prepare(table, state.frozen.fields), table, state.frozen))
    if not len(day):
        return Joined(state, 0, 0, 0, TOUCHED.empty_table())
    grown = replace(state, days=(*state.days, day))
    found = _candidates(grown, len(state))
    pairs, by = _distinct(found.pairs)
    log_odds = _scored(grown, pairs)
    grown = replace(grown, segments=(*state.segments, _Segment(pairs.left, pairs.right, by, log_odds)))
    changed = _shrunk(grown, found)
    grown = replace(grown, changed={**state.changed, **changed})
    gone = [row for row, left in changed.items() if left == 0]
    return _clustered(grown, len(state), gone, len(pairs.left))


def _frequencies(column: Column) -> Frequencies:
    digests = _digests(column.values)
    order = np.argsort(digests)
    return Frequencies(digests[order], column.counts[order], int(column.counts.sum()))


def _digests(values: Sequence[str]) -> Bits:
    """64 bits of each text, the same everywhere; never 0."""
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return np.maximum(cast(Bits, pd.util.hash_array(texts, categorize=False)), np.uint64(1))


def _counted(records: Records, frozen: Frozen) -> Records:
    """The same records, their values counted as they were when the state was founded."""
    counted = tuple(replace(column) for column in records.columns)
    for column, frequencies in zip(counted, frozen.frequencies, strict=True):
        column.__dict__["counts"] = frequencies.of(column.values)
    return replace(records, columns=counted)


def _day(records: Records, table: pa.Table, frozen: Frozen) -> pa.Table:
    """The rows of one day as a state keeps them."""
    texts = {f"text_{number}": _texts(column) for number, column in enumerate(records.columns)}
    texts |= {f"unique_{number}": _texts(column) for number, column in enumerate(records.unique)}
    parts = {part: _part_digests(records, part) for part in dict.fromkeys(part for key in frozen.plan.keys for part in key.parts)}
    digests = {f"key_{number}": _key_digests([parts[part] for part in key.parts]) for number, key in enumerate(frozen.plan.keys)}
    return pa.table(
        {"id": pa.array(records.ids, pa.string()), "source": _sources(records, table, frozen.fields), **texts, **digests}
    )


def _texts(column: Column) -> pa.Array:
    return pa.array(column.values, pa.string()).take(pa.array(column.codes, mask=column.codes == MISSING))


def _sources(records: Records, table: pa.Table, fields: Fields) -> pa.Array:
    if records.source is None or fields.source is None:
        return pa.nulls(len(records), pa.string())
    names = sorted(set(table[fields.source].cast(pa.string()).to_pylist()) - {None, ""})
    return pa.array(names, pa.string()).take(pa.array(records.source, mask=records.source == MISSING))


def _part_digests(records: Records, part: keys.Part) -> Bits:
    """A digest of each record's part of a key; 0 where it is missing."""
    codes, texts = keys.transformed(records.column(part.column), part.of)
    return np.append(_digests(texts), np.uint64(0))[codes]


def _key_digests(parts: Sequence[Bits]) -> Bits:
    """A digest of each record's key; 0 where a part is missing."""
    digests = np.zeros_like(parts[0])
    for part in parts:
        digests = digests * np.uint64(0x9E3779B97F4A7C15) + part
    return np.where(np.all([part != 0 for part in parts], axis=0), np.maximum(digests, np.uint64(1)), np.uint64(0))


def _without_known(state: State, day: pa.Table) -> pa.Table:
    """The rows of the day that are new."""
    kept = np.flatnonzero(pc.is_in(state.column("id"), day["id"].combine_chunks()).to_numpy())
    if not len(kept):
        return day
    for name in [name for name in day.column_names if not name.startswith("key_")]:
        before = state.column(name).take(pa.array(kept))
        now = day[name].take(pc.index_in(state.column("id").take(pa.array(kept)), day["id"].combine_chunks()))
        is_same = pc.if_else(pc.and_(pc.is_null(before), pc.is_null(now)), True, pc.fill_null(pc.equal(before, now), False))
        if not pc.all(is_same).as_py():
            record = state.column("id").take(pa.array(kept))[pc.index(is_same, False).as_py()]
            what = _name(state.frozen.fields, name)
            raise StateError(
                f"Record {record} is there already, with another {what}. Give the changed row an id of its own, or rebuild.",
                str(record),
            )
    return day.filter(pc.invert(pc.is_in(day["id"], state.column("id").take(pa.array(kept)).combine_chunks())))


def _name(fields: Fields, column: str) -> str:
    kind, _, number = column.partition("_")
    return (
        {"text": [each.name for each in fields.fields], "unique": fields.unique}[kind][int(number)]
        if number
        else str(fields.source)
    )


@dataclass
class _Found:
    """What the keys make of a day: pairs with a new record, and old pairs that a key does not make any more."""

    pairs: list[tuple[Ints, Ints, int]] = field(default_factory=list)
    lost: list[tuple[Ints, int]] = field(default_factory=list)


def _candidates(grown: State, old: int) -> _Found:
    """The pairs of each key, from the blocks that new records enter."""
    found, new = _Found(), grown.days[-1]
    sources = _source_codes(grown) if grown.frozen.fields.unique_sources else None
    for number in range(len(grown.frozen.plan.keys)):
        mine = new[f"key_{number}"].to_numpy()
        members, digests = _members(grown, number, mine, old)
        order = np.argsort(digests, kind="stable")
        members, digests = members[order], digests[order]
        starts = np.flatnonzero(np.append(True, digests[1:] != digests[:-1])[: len(digests)])
        sizes = np.diff(np.append(starts, len(digests)))
        is_large = np.repeat(sizes > grown.frozen.plan.cap + 1, sizes)
        left, right = _all_pairs(members[~is_large], digests[~is_large], old, sources)
        found.pairs.append((left, right, number))
        if is_large.any():
            _block_again(grown, old, number, members[is_large], found)
    return found


def _source_codes(grown: State) -> Ints:
    return _coded(grown.column("source"))[0].astype(np.int64)


def _members(grown: State, number: int, mine: Bits, old: int) -> tuple[Ints, Bits]:
    """All records whose key is that of a new one, and the digests of their keys."""
    sought = np.unique(mine[mine != 0])
    low = min(FILTER, 1 << (SLOTS * len(sought)).bit_length()) - 1
    slots = np.zeros(low + 1, dtype=np.bool_)
    slots[sought & np.uint64(low)] = True
    members, digests, start = [], [], 0
    for day in grown.days:
        for chunk in day[f"key_{number}"].chunks:
            kept = chunk.to_numpy()
            slot = kept.view(np.int64) & np.int64(low)
            near = np.flatnonzero(slots.take(slot, mode="clip"))  # all are inside: clipping is three times as fast as checking
            near = near[sought[np.minimum(np.searchsorted(sought, kept[near]), len(sought) - 1)] == kept[near]]
            members.append(near + start)
            digests.append(kept[near])
            start += len(kept)
    return np.concatenate(members), np.concatenate(digests)


def _all_pairs(members: Ints, digests: Bits, old: int, sources: Ints | None) -> tuple[Ints, Ints]:
    """Every pair of a new record and another one of its block; blocks lie together, records in the order they arrived."""
    lefts, rights, step = [], [], 1
    while step < len(members):
        is_pair = digests[step:] == digests[:-step]
        if not is_pair.any():
            break
        is_pair &= members[step:] >= old
        if sources is not None:
            is_pair &= sources[members[step:]] != sources[members[:-step]]
        lefts.append(members[:-step][is_pair])
        rights.append(members[step:][is_pair])
        step += 1
    nothing = np.zeros(0, dtype=np.int64)
    return np.concatenate([nothing, *lefts]), np.concatenate([nothing, *rights])


def _block_again(grown: State, old: int, number: int, members: Ints, found: _Found) -> None:
    """Block the large blocks as a rebuild would, and note the pairs that it would not make any more."""
    records, order = _part(grown, members)
    ((one, two, _),) = grown.frozen.block(records, [number])
    one, two = order[one], order[two]
    left, right = np.minimum(one, two), np.maximum(one, two)
    is_new = right >= old
    found.pairs.append((left[is_new], right[is_new], number))
    rows = _rows_of(grown, np.sort(members))
    ours, theirs, by = _pairs_at(grown, rows)
    inside = (by >> np.uint64(number)) & np.uint64(1) == 1
    inside &= np.isin(theirs, members)
    still = np.isin(ours * len(grown.column("id")) + theirs, left * len(grown.column("id")) + right)
    found.lost.append((rows[inside & ~still], number))


def _part(grown: State, members: Ints) -> tuple[Records, Ints]:
    """Some of the records, as a table of their own with the frozen counts, and their numbers in its order."""
    members = np.sort(members)
    fields = grown.frozen.fields
    rows = _taken(grown, members, [name for name in grown.days[0].column_names if not name.startswith("key_")])
    order = pc.sort_indices(rows["id"])
    rows, members = rows.take(order), members[order.to_numpy()]
    told = tuple(_column(each, rows[f"text_{number}"]) for number, each in enumerate(fields.fields))
    source = _coded(rows["source"])[0] if fields.source else None
    unique = tuple(_column(Field(name, "code"), rows[f"unique_{number}"]) for number, name in enumerate(fields.unique))
    records = Records(tuple(rows["id"].to_pylist()), told, source, None, fields.unique_sources, unique)
    return _counted(records, grown.frozen), members


def _taken(state: State, members: Ints, names: Sequence[str]) -> pa.Table:
    """Some columns of these records, which are sorted; day by day, since taken from all days at once each is copied whole."""
    starts = np.cumsum([0, *map(len, state.days)])
    places = np.searchsorted(members, starts)
    parts = zip(state.days, starts, places, places[1:], strict=False)
    return pa.concat_tables(day.select(names).take(pa.array(members[low:high] - start)) for day, start, low, high in parts)


def _column(described: Field, texts: pa.ChunkedArray) -> Column:
    return Column(described, *_coded(texts))


def _coded(texts: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    """Codes into the distinct texts in their order."""
    found = texts.combine_chunks().dictionary_encode()
    by_text = pc.sort_indices(found.dictionary)
    rank = np.full(len(by_text) + 1, MISSING, dtype=np.int32)
    rank[by_text.to_numpy()] = np.arange(len(by_text), dtype=np.int32)
    codes = rank[found.indices.fill_null(len(by_text)).to_numpy(zero_copy_only=False)]
    return codes, tuple(found.dictionary.take(by_text).to_pylist())


def _distinct(found: list[tuple[Ints, Ints, int]]) -> tuple[Pairs, Bits]:
    """The pairs, each once, sorted, with a bit for each key."""
    left, right = (np.concatenate([each[side] for each in found]) for side in (0, 1))
    bits = np.concatenate([np.full(len(each[0]), 1 << each[2], dtype=np.uint64) for each in found])
    order = np.lexsort((right, left))
    left, right, bits = left[order], right[order], bits[order]
    starts = np.flatnonzero(np.append(True, (left[1:] != left[:-1]) | (right[1:] != right[:-1]))[: len(left)])
    by = np.bitwise_or.reduceat(bits, starts) if len(starts) else bits
    return Pairs(left[starts].astype(np.int32), right[starts].astype(np.int32)), by


def _scored(grown: State, pairs: Pairs) -> Floats:
    """The log-odds of new pairs."""
    if not len(pairs.left):
        return np.zeros(0)
    records, members = _part(grown, np.union1d(pairs.left, pairs.right).astype(np.int64))
    place = np.empty(len(grown.column("id")), dtype=np.int32)
    place[members] = np.arange(len(members), dtype=np.int32)
    left, right = place[pairs.left], place[pairs.right]
    order = np.lexsort((np.maximum(left, right), np.minimum(left, right)))
    local = Pairs(np.minimum(left, right)[order], np.maximum(left, right)[order])
    log_odds = np.empty(len(order))
    log_odds[order] = _log_odds(records, local, grown.frozen)
    return log_odds


def _rows_of(state: State, members: Ints) -> Ints:
    """The numbers of all kept pairs whose left record is one of these."""
    rows, start = [np.zeros(0, dtype=np.int64)], 0
    for segment in state.segments:
        low, high = (np.searchsorted(segment.left, members.astype(np.int32), side) for side in ("left", "right"))
        counts = high - low
        rows.append(np.repeat(low - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum()) + start)
        start += len(segment.left)
    return np.concatenate(rows)


def _pairs_at(state: State, rows: Ints) -> tuple[Ints, Ints, Bits]:
    """Left, right and what is left of `by` of the pairs of these numbers."""
    left, right, by = (_gather(state, rows, name) for name in ("left", "right", "by"))
    if state.changed:
        changed = np.array(sorted(state.changed), dtype=np.int64)
        now = np.array([state.changed[row] for row in changed.tolist()], dtype=np.uint64)
        at = np.minimum(np.searchsorted(changed, rows), len(changed) - 1)
        by = np.where(changed[at] == rows, now[at], by)
    return left.astype(np.int64), right.astype(np.int64), by


def _gather(state: State, rows: Ints, name: str) -> npt.NDArray[Any]:
    """One column of the pairs of these numbers, through all segments."""
    parts = [getattr(segment, name) for segment in state.segments]
    ends = np.cumsum([len(part) for part in parts])
    values = np.empty(len(rows), dtype=parts[0].dtype)
    segment = np.searchsorted(ends, rows, "right")
    for number, part in enumerate(parts):
        here = segment == number
        values[here] = part[rows[here] - (ends[number] - len(part))]
    return values


def _shrunk(grown: State, found: _Found) -> dict[int, int]:
    """The old pairs that fewer keys make, and what is left of `by`."""
    left: dict[int, int] = {}
    for rows, number in found.lost:
        for row, by in zip(rows.tolist(), _pairs_at(grown, rows)[2].tolist(), strict=True):
            left[row] = left.get(row, by) & ~(1 << number)
    return left


def _clustered(grown: State, old: int, gone: list[int], compared: int) -> Joined:
    """Cluster the components again that have a new or a dropped pair."""
    n, segment = len(grown.column("id")), grown.segments[-1]
    is_link = segment.log_odds > grown.frozen.rules.cut
    touched = np.concatenate([segment.left[is_link], segment.right[is_link], *_gone(grown, gone)])
    touched = np.unique(touched[touched < old]).astype(np.int64)
    is_touched = np.zeros(int(grown.linked.max(initial=-1)) + 1, dtype=np.bool_)
    is_touched[grown.linked[touched]] = True
    members = np.concatenate([np.flatnonzero(is_touched[grown.linked]), np.arange(old, n)])
    unique = [f"unique_{number}" for number in range(len(grown.frozen.fields.unique))]
    told = _taken(grown, members, ["id", "source", *unique])
    rows = _rows_of(grown, members)
    order = pc.sort_indices(told["id"])
    told, members = told.take(order), members[order.to_numpy()]
    left, right, by = _pairs_at(grown, rows)
    place = np.full(n, MISSING, dtype=np.int32)
    place[members] = np.arange(len(members), dtype=np.int32)
    kept = (by != 0) & (place[right] != MISSING)
    pairs = Pairs(place[left[kept]], place[right[kept]])
    source = _coded(told["source"])[0] if grown.frozen.fields.source else None
    codes = {name: _coded(told[column])[0] for name, column in zip(grown.frozen.fields.unique, unique, strict=True)}
    linked, person = _people(len(members), pairs, _gather(grown, rows[kept], "log_odds"), grown.frozen, source, codes)
    state = replace(grown, linked=_with(grown.linked, members, linked, n), person=_with(grown.person, members, person, n))
    touched_people = pa.table({"record_id": told["id"], "person": person}, schema=TOUCHED)
    return Joined(state, n - old, compared, len(gone), touched_people)


def _gone(grown: State, gone: list[int]) -> tuple[Ints, Ints]:
    left, right, _ = _pairs_at(grown, np.array(gone, dtype=np.int64))
    return left, right


def _with(codes: Positions, members: Ints, mine: Codes, n: int) -> Positions:
    """The codes of all records, those of these members new; in 32 bits each as long as they fit."""
    first = int(codes.max(initial=-1)) + 1
    is_long = first + int(mine.max(initial=0)) > np.iinfo(np.int32).max
    grown = np.empty(n, dtype=np.int64 if is_long else codes.dtype)
    grown[: len(codes)], grown[len(codes) :] = codes, MISSING
    grown[members] = mine.astype(grown.dtype) + first
    return grown


def _people(
    n: int,
    pairs: Pairs,
    log_odds: Floats,
    frozen: Frozen,
    source: npt.NDArray[np.int32] | None,
    unique: Mapping[str, npt.NDArray[np.int32]],
) -> tuple[Codes, Codes]:
    """The component of links and the person of each record."""
    is_link = log_odds > frozen.rules.cut
    linked = components(n, pairs.left[is_link], pairs.right[is_link])
    return linked, cluster(n, pairs, log_odds, frozen.rules, unique, source).codes


def save(state: State, folder: Path) -> State:
    """Put a state into a folder: new days beside those that are there, and then `state.json` in one step."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(state.names)
    for number, (day, segment) in enumerate(zip(state.days, state.segments, strict=True)):
        pairs = pa.table(vars(segment))
        if number == len(names):
            names.append(f"{number:05d}-{_digest(day, pairs)}")
        _write(folder / f"records-{names[number]}.arrow", day)
        _write(folder / f"pairs-{names[number]}.arrow", pairs)
    told: dict[str, Any] = {"version": VERSION, "days": names, "frozen": state.kept_as or _keep(state.frozen, folder)}
    graph = pa.table({"linked": state.linked, "person": state.person})
    changed = pa.table({"row": pa.array(state.changed, pa.int64()), "by": pa.array(state.changed.values(), pa.uint64())})
    for kind, table in (("graph", graph), ("changed", changed)):
        told[kind] = f"{kind}-{_digest(table)}.arrow"
        _write(folder / told[kind], table)
    store.replace(folder / STATE, orjson.dumps(told, option=orjson.OPT_INDENT_2))
    kept = {told["graph"], told["changed"], *(f"{kind}-{name}.arrow" for name in names for kind in ("records", "pairs"))}
    for kind in ("records", "pairs", "graph", "changed"):
        for path in folder.glob(f"{kind}-*.arrow"):
            if path.name not in kept:
                path.unlink()
    return replace(state, names=tuple(names), kept_as=told["frozen"])


def load(folder: Path) -> State:
    """The state of a folder, its tables mapped into memory."""
    if not (folder / STATE).exists():
        raise StateError(f"{folder} holds no state. Found one with `rebuild` and `save`.")
    told = orjson.loads((folder / STATE).read_bytes())
    if told["version"] != VERSION:
        raise StateError(f"{folder} holds a state of version {told['version']}, and this is {VERSION}. Rebuild it.")
    graph, changed = _read(folder / told["graph"]), _read(folder / told["changed"])
    return State(
        frozen=_from_json(orjson.loads((folder / told["frozen"]).read_bytes()), folder),
        days=tuple(_read(folder / f"records-{name}.arrow") for name in told["days"]),
        segments=tuple(_segment(_read(folder / f"pairs-{name}.arrow")) for name in told["days"]),
        changed=dict(zip(changed["row"].to_pylist(), changed["by"].to_pylist(), strict=True)),
        linked=graph["linked"].to_numpy(),
        person=graph["person"].to_numpy(),
        names=tuple(told["days"]),
        kept_as=told["frozen"],
    )


def add_day(folder: Path, table: pa.Table) -> Joined:
    """Join a day to the state of a folder. Safe to run twice, and one at a time: store.BusyError when another run is at it."""
    with store.Folder(folder).locked():
        joined = join(load(folder), table)
        return replace(joined, state=save(joined.state, folder)) if joined.added else joined


def _segment(pairs: pa.Table) -> _Segment:
    return _Segment(*(pairs[name].to_numpy() for name in ("left", "right", "by", "log_odds")))


def _digest(*tables: pa.Table) -> str:
    """The same for the same content: names a file, so that one that is there already is right."""
    found = sha256()
    for table in tables:
        for column in table.columns:
            for chunk in column.chunks:
                for buffer in chunk.buffers():
                    found.update(buffer if buffer is not None else b"-")
    return found.hexdigest()[:16]


def _write(path: Path, table: pa.Table) -> None:
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    os.replace(draft, path)


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _keep(frozen: Frozen, folder: Path) -> str:
    """Write down what is frozen, once."""
    frequencies = _to_table(frozen.frequencies)
    file = f"frequencies-{_digest(frequencies)}.arrow"
    _write(folder / file, frequencies)
    told = orjson.dumps(_to_json(frozen) | {"frequencies": file}, option=orjson.OPT_SERIALIZE_NUMPY)
    name = f"frozen-{sha256(told).hexdigest()[:16]}.json"
    store.replace(folder / name, told)
    return name


def _to_table(frequencies: tuple[Frequencies, ...]) -> pa.Table:
    sizes = [len(each.digests) for each in frequencies]
    return pa.table(
        {
            "field": np.repeat(np.arange(len(sizes)), sizes),
            "digest": np.concatenate([np.zeros(0, np.uint64), *(each.digests for each in frequencies)]),
            "count": np.concatenate([np.zeros(0, np.int64), *(each.counts for each in frequencies)]),
        }
    )


def _to_json(frozen: Frozen) -> dict[str, Any]:
    return {
        "fields": asdict(frozen.fields),
        "plan": frozen.plan.to_json(),
        "scorer": frozen.scorer.to_json(),
        "rules": asdict(frozen.rules),
        "orders": frozen.orders,
        "wordings": {name: each.to_json() for name, each in frozen.wordings.items()},
        "totals": [each.total for each in frozen.frequencies],
    }


def _from_json(told: Mapping[str, Any], folder: Path) -> Frozen:
    number, digests, counts = (column.to_numpy() for column in _read(folder / told["frequencies"]).columns)
    bounds = np.searchsorted(number, np.arange(len(told["totals"]) + 1)).tolist()
    parts = zip(bounds[:-1], bounds[1:], told["totals"], strict=True)
    return Frozen(
        fields=described(told["fields"]),
        plan=Plan.from_json(told["plan"]),
        scorer=SCORERS[told["scorer"]["kind"]](told["scorer"]),
        rules=Rules(**told["rules"]),
        frequencies=tuple(Frequencies(digests[low:high], counts[low:high], total) for low, high, total in parts),
        orders=tuple(map(tuple, told["orders"])),
        wordings={name: Wording.from_json(each) for name, each in told["wordings"].items()},
    )


def described(told: Mapping[str, Any]) -> Fields:
    """The fields of plain values that `asdict` made."""
    more = {"fields": tuple(Field(**each) for each in told["fields"]), "unique": tuple(told.get("unique", ()))}
    return Fields(**(dict(told) | more))
