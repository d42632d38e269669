"""Who an identifier belongs to, who we thought so when, and why it changed: an append-only ledger with two times.

What an event says. "As known from `known_at` on: from `valid_at` on, this identifier belongs to this person"
(or to nobody, for a retract). It holds for all later `valid_at`, until an event that came to be known later says
otherwise. So `resolve(identifier, valid_at, known_at)` looks at the identifier's events with both times at or
before those asked, and takes the one known last. It follows that

- nothing is ever rewritten: an event is known later than all before it, so that what was answered for a
  `known_at` in the past is answered the same for ever, and a later merge changes no row that asked then;
- asked for now, the answer is that of the last publication;
- the past can be corrected: a publication with an earlier `valid_at` changes what held from then on, as known
  from its own `known_at` on; what held before that, and what was known before, stay as they are;
- a publication says only what the ledger does not say yet, so that it is safe to run twice.

Which id a person has. The cluster that holds most identifiers of a person keeps its id (of several such
persons the oldest, then the least id; of several such clusters the one whose identifiers have been with the
person longest, then the one with the least identifier). Absorbed persons end. What is split off gets a new id
made from the least identifier and the day, unless it holds at least half of what an absorbed person last had:
then that person is back, under its old id. An id is never given to anyone else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from whence.contracts.tables import PERSON_EVENTS
from whence.contracts.times import utc

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Instants = datetime | npt.NDArray[np.datetime64]
Assignment = Mapping[str, int | str] | tuple[Sequence[str], Sequence[int | str] | npt.NDArray[np.integer[Any]]]
"""The cluster of each identifier, all numbers or all texts: a mapping, or identifiers and clusters side by side."""

NOBODY = -1

ASSIGN, MERGE, SPLIT, RETRACT = "assign", "merge", "split", "retract"

SCHEMA = pa.schema(PERSON_EVENTS)

PEOPLE = pa.schema([("identifier", pa.string()), ("person_id", pa.string())])
"""Who is who at one time: what `Ledger.people` gives, and what `fuse` and `changes` compare."""


class LedgerError(ValueError):
    """A publication that the ledger cannot take; the message says what to do."""


@dataclass(frozen=True)
class Ledger:
    """All events so far, in the order in which they came to be known.

    >>> first, later = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 5, 2, tzinfo=UTC)
    >>> ledger = Ledger().plus(Ledger().publish({"a": 1, "b": 1, "c": 2}, first, first, "the first run"))
    >>> merge = ledger.publish({"a": 1, "b": 1, "c": 1}, later, later, "the second run")
    >>> merge.select(["kind", "identifier"]).to_pylist()
    [{'kind': 'merge', 'identifier': 'c'}]
    >>> ledger = ledger.plus(merge)
    >>> ledger.resolve("c", later, later) == ledger.resolve("a", later, later)
    True
    >>> ledger.resolve("c", later, known_at=first) == ledger.resolve("a", later, known_at=first)
    False
    """

    events: pa.Table = field(default_factory=SCHEMA.empty_table)

    @classmethod
    def of(cls, events: pa.Table) -> Ledger:
        """The ledger of these rows, in any order; more columns than the schema's are left out."""
        rows = events.select(SCHEMA.names).cast(SCHEMA).sort_by([("known_at", "ascending"), ("identifier", "ascending")])
        ledger = cls(rows.combine_chunks())
        said_twice = (np.diff(ledger._by_identifier.codes) == 0) & (np.diff(ledger._by_identifier.known) == 0)
        if said_twice.any():
            twice = ledger._names[int(ledger._by_identifier.codes[int(np.argmax(said_twice))])]
            raise LedgerError(f"{twice} has two events of one known_at. Store every publication once.")
        return ledger

    def plus(self, events: pa.Table) -> Ledger:
        """The ledger with a publication's events; they must have come to be known after all that are here."""
        if not len(events):
            return self
        first = pc.min(events["known_at"]).as_py()
        if self.known_until is not None and first <= self.known_until:
            raise LedgerError(f"Events known from {first} on came after those of {self.known_until}. Add them in order, once.")
        return Ledger(pa.concat_tables([self.events, events.cast(SCHEMA)]))

    @cached_property
    def known_until(self) -> datetime | None:
        """When the last event came to be known; None without events."""
        return cast(datetime, self.events["known_at"][-1].as_py()) if len(self.events) else None

    def publish(
        self, assignment: Assignment, valid_at: datetime, known_at: datetime, cause: str, *, complete: bool = False
    ) -> pa.Table:
        """The events that make the ledger say: from valid_at on, each cluster is one person. Store them, then add them.

        Identifiers that are not named keep their person; with `complete` they belong to nobody from then on. Name
        all identifiers of every person that is touched. Raises LedgerError for an identifier named twice, and for
        a known_at that is not later than all before, unless the ledger said the same by then.
        """
        identifiers, clusters = _in_order(assignment)
        valid, known = utc(valid_at), utc(known_at)
        events = self.as_known(known)._published(identifiers, clusters, (valid, known, cause), complete)
        if len(events) and self.known_until is not None and known <= self.known_until:
            raise LedgerError(
                f"{len(events)} identifiers, {events['identifier'][0]} the first, would change what was answered for "
                f"{known.isoformat()}, and the ledger knows until {self.known_until.isoformat()}. Publish with a later known_at; "
                "to correct the past, with an earlier valid_at."
            )
        return events

    def record(self, people: pa.Table, valid_at: datetime, known_at: datetime, cause: str) -> pa.Table:
        """The events that make the ledger say what `people` says: identifier and person_id, the ids given by somebody else.

        Name everybody: a person that has no identifier here is absorbed. A merge holds for as long as its identifier has been
        known, since who turns out to be one person was so all along; everything else holds from valid_at on.
        Raises LedgerError as `publish` does.
        """
        rows = people.sort_by("identifier").combine_chunks()
        identifiers, given = rows["identifier"].combine_chunks(), rows["person_id"].combine_chunks()
        persons = pa.concat_arrays([self._persons, given.filter(pc.invert(pc.is_in(given, self._persons))).unique()])
        then, now = _positions(pa.chunked_array([given]), persons), self._now(self._place(identifiers))
        lives_on = np.bincount(then, minlength=len(persons)) > 0
        said = (utc(valid_at), utc(known_at), cause)
        events = _rows(identifiers, now, then, then != now, persons, said, lives_on)
        if len(events) and self.known_until is not None and said[1] <= self.known_until:
            raise LedgerError(f"The ledger knows until {self.known_until.isoformat()}. Record with a later known_at.")
        return self._since_known(events)

    def _since_known(self, rows: pa.Table) -> pa.Table:
        """The rows with every merge moved back to when its identifier was first valid."""
        first = self.events.group_by("identifier").aggregate([("valid_at", "min")])
        since = first["valid_at_min"].take(pc.index_in(rows["identifier"], first["identifier"].combine_chunks()))
        valid = pc.if_else(
            pc.and_kleene(pc.equal(rows["kind"], MERGE), pc.less(since, rows["valid_at"])), since, rows["valid_at"]
        )
        return rows.set_column(rows.column_names.index("valid_at"), rows.schema.field("valid_at"), valid)

    def retract(self, identifiers: Iterable[str], valid_at: datetime, known_at: datetime, cause: str) -> pa.Table:
        """The events that make these identifiers nobody's from valid_at on; those that are nobody's already are left out."""
        names = pa.array(sorted(set(identifiers)), pa.string())
        valid, known = utc(valid_at), utc(known_at)
        if self.known_until is not None and known <= self.known_until:
            raise LedgerError(f"The ledger knows until {self.known_until.isoformat()}. Retract with a later known_at.")
        now = self._now(self._place(names))
        return _rows(names, now, np.full(len(names), NOBODY), now != NOBODY, self._persons, (valid, known, cause), None)

    def as_known(self, known_at: datetime) -> Ledger:
        """The ledger as it was at this time."""
        if self.known_until is None or self.known_until <= known_at:
            return self
        return Ledger(self.events.slice(0, int(np.searchsorted(_micros(self.events["known_at"]), _instant(known_at), "right"))))

    def resolve(self, identifier: str, valid_at: datetime, known_at: datetime) -> str | None:
        """Whom the identifier belonged to at valid_at, as known at known_at; None when it was nobody's."""
        return cast("str | None", self.resolve_many([identifier], valid_at, known_at)[0].as_py())

    def resolve_many(self, identifiers: Sequence[str] | pa.Array, valid_at: Instants, known_at: Instants) -> pa.Array:
        """The same for many: a text or null for each. Times are one for all, or one each (numpy instants, in UTC)."""
        rows = self._by_identifier
        places = self._place(identifiers)
        until = np.searchsorted(rows.instants, _broadcast(known_at, len(places)), "right")
        at = np.searchsorted(rows.keys, places * (len(rows.instants) + 1) + until, "left") - 1
        valid = _broadcast(valid_at, len(places))
        answer = np.full(len(places), NOBODY)
        open_ = np.flatnonzero(places >= 0)
        while len(open_):  # once, but for corrections of the past
            here = at[open_]
            is_own = (here >= 0) & (rows.codes[here] == places[open_])
            open_, here = open_[is_own], here[is_own]
            holds = rows.valid[here] <= valid[open_]
            answer[open_[holds]] = rows.persons[here[holds]]
            open_ = open_[~holds]
            at[open_] -= 1
        return _texts(self._persons, answer)

    def history(self, identifier: str) -> pa.Table:
        """Everything that was ever said of an identifier, in the order in which it came to be known."""
        return self.events.filter(pc.equal(self.events["identifier"], identifier))

    def people(self) -> pa.Table:
        """Who is who by all that is known: `identifier` and `person_id`, sorted; nobody's identifiers are left out."""
        now = self._latest.persons
        table = pa.table([self._names, _texts(self._persons, now)], schema=PEOPLE).filter(pa.array(now != NOBODY))
        return table if _is_sorted(table["identifier"]) else table.sort_by("identifier")

    def _published(self, identifiers: pa.Array, clusters: Ints, said: _Said, complete: bool) -> pa.Table:
        places = self._place(identifiers)
        now = self._now(places)
        owner, persons = self._owners(identifiers, clusters, places, now, said[1])
        then = owner[clusters]
        is_new = (then != now) | ((places >= 0) & (self._steady(places) > _instant(said[0])))
        lives_on = np.zeros(len(persons), dtype=np.bool_)
        lives_on[then] = True
        if complete:
            rest = self._unnamed(places)
            identifiers = pa.concat_arrays([identifiers, self._names.take(pa.array(rest))])
            now = np.concatenate([now, self._latest.persons[rest]])
            then = np.concatenate([then, np.full(len(rest), NOBODY)])
            is_new = np.concatenate([is_new, np.ones(len(rest), dtype=np.bool_)])
        else:
            lives_on[: len(self._persons)] |= self._members > np.bincount(now[now >= 0], minlength=len(self._persons))
        return _rows(identifiers, now, then, is_new, persons, said, lives_on)

    def _owners(self, identifiers: pa.Array, clusters: Ints, places: Ints, now: Ints, known: datetime) -> tuple[Ints, pa.Array]:
        """The person of each cluster, and all persons, the new ones at the end."""
        number = int(clusters.max(initial=-1)) + 1
        owner = np.full(number, NOBODY)
        self._keep(owner, clusters, places, now)
        self._bring_back(owner, clusters, places)
        nameless = np.flatnonzero(owner == NOBODY)
        founders = identifiers.take(pa.array(np.unique(clusters, return_index=True)[1][nameless]))
        owner[nameless] = len(self._persons) + np.arange(len(nameless))
        return owner, pa.concat_arrays([self._persons, self._new_ids(founders, known)])

    def _keep(self, owner: Ints, clusters: Ints, places: Ints, now: Ints) -> None:
        """Give each person to the cluster that holds most of it, and each cluster the person it holds most of."""
        known = np.flatnonzero(now >= 0)
        if not len(known):
            return
        number = len(self._persons)
        keys, of, overlap = np.unique(clusters[known] * number + now[known], return_inverse=True, return_counts=True)
        since = np.full(len(keys), np.iinfo(np.int64).max)
        np.minimum.at(since, of, self._latest.joined[places[known]])
        cluster, person = keys // number, keys % number
        order = np.lexsort((cluster, since, self._seniority[person], -overlap))
        _pair_off(owner, cluster[order], person[order])

    def _bring_back(self, owner: Ints, clusters: Ints, places: Ints) -> None:
        """Give clusters that are nobody's the absorbed persons of whose last identifiers they hold at least half."""
        rows, number = self._by_identifier, len(self._persons)
        is_open = np.zeros(len(self._names), dtype=np.bool_)
        is_open[places[places >= 0]] = (owner[clusters] == NOBODY)[places >= 0]
        ended = self._members == 0
        if not number or not is_open.any() or not ended.any():
            return
        last = np.full(number, np.iinfo(np.int64).min)
        left = rows.froms >= 0
        np.maximum.at(last, rows.froms[left], rows.known[left])
        is_last = left & ended[rows.froms] & (rows.known == last[rows.froms])
        had = np.bincount(rows.froms[is_last], minlength=number)
        is_last &= is_open[rows.codes]
        cluster_of = np.full(len(self._names), NOBODY)
        cluster_of[places[places >= 0]] = clusters[places >= 0]
        keys, overlap = np.unique(cluster_of[rows.codes[is_last]] * number + rows.froms[is_last], return_counts=True)
        cluster, person = keys // number, keys % number
        order = np.lexsort((cluster, self._seniority[person], -overlap))
        order = order[2 * overlap[order] >= had[person[order]]]
        _pair_off(owner, cluster[order], person[order])

    def _new_ids(self, founders: pa.Array, known: datetime) -> pa.Array:
        """A new id for each founder: the day and a digest of the founder; of the instant too where that was used before."""
        ids = pa.array(_person_ids(founders.to_pylist(), known), pa.string())
        for at in np.flatnonzero(pc.is_in(ids, self._persons).to_numpy(zero_copy_only=False)).tolist():
            again = person_id(f"{founders[at]} {known.isoformat()}", known)
            ids = pa.concat_arrays([ids[:at], pa.array([again], pa.string()), ids[at + 1 :]])
        return ids

    def _unnamed(self, places: Ints) -> Ints:
        """The identifiers that belong to somebody and are not among these."""
        is_held = self._latest.persons != NOBODY
        is_held[places[places >= 0]] = False
        return np.flatnonzero(is_held)

    def _place(self, identifiers: Sequence[str] | pa.Array) -> Ints:
        """Where each identifier is in `_names`; −1 for one that was never named."""
        if len(identifiers) < 100:
            return np.array([self._places.get(str(each), -1) for each in identifiers], dtype=np.int64)
        found = pc.index_in(pa.array(identifiers, pa.string()), self._names)
        return cast(Ints, found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64))

    def _now(self, places: Ints) -> Ints:
        """Whose the identifiers at these places are by all that is known."""
        return np.where(places >= 0, self._latest.persons[places], NOBODY) if len(self._names) else np.full(len(places), NOBODY)

    @cached_property
    def _coded(self) -> tuple[pa.Array, Ints]:
        coded = self.events["identifier"].combine_chunks().dictionary_encode()
        return coded.dictionary, coded.indices.to_numpy().astype(np.int64)

    @property
    def _names(self) -> pa.Array:
        """All identifiers, in the order in which they came to be known."""
        return self._coded[0]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self._names.to_pylist())}

    @cached_property
    def _persons(self) -> pa.Array:
        """All person ids ever, in the order in which they came to be known."""
        return self.events["person_id"].combine_chunks().drop_null().unique()

    @cached_property
    def _by_identifier(self) -> _Rows:
        return _Rows.of(self.events, self._coded[1], self._persons)

    @cached_property
    def _latest(self) -> _Latest:
        return _Latest.of(self._by_identifier, len(self._names))

    @cached_property
    def _members(self) -> Ints:
        """How many identifiers each person has now."""
        return np.bincount(self._latest.persons[self._latest.persons >= 0], minlength=len(self._persons))

    @cached_property
    def _seniority(self) -> Ints:
        """The place of each person by age, then id."""
        rows = self._by_identifier
        founded = np.full(len(self._persons), np.iinfo(np.int64).max)
        held = rows.persons >= 0
        np.minimum.at(founded, rows.persons[held], rows.known[held])
        by_id = np.empty(len(founded), dtype=np.int64)
        by_id[pc.sort_indices(self._persons).to_numpy()] = np.arange(len(founded))
        place = np.empty(len(founded), dtype=np.int64)
        place[np.lexsort((by_id, founded))] = np.arange(len(founded))
        return place

    def _steady(self, places: Ints) -> Ints:
        """Since when, in the world, each identifier has been where it is now, by all that is known."""
        return self._latest.steady[np.maximum(places, 0)] if len(self._names) else np.zeros(len(places), dtype=np.int64)


def person_id(founder: str, known_at: datetime) -> str:
    """The id of a person founded by this identifier: ids sort by the day on which they came to be known.

    >>> person_id("cookie_id:c1", datetime(2026, 5, 1, 10, tzinfo=UTC))
    'p20260501-dff55f7879f910c9'
    """
    return _person_ids([founder], known_at)[0]


def _person_ids(founders: list[str], known_at: datetime) -> list[str]:
    day = f"p{known_at:%Y%m%d}-"
    return [day + sha256(founder.encode()).hexdigest()[:16] for founder in founders]


_Said = tuple[datetime, datetime, str]
"""valid_at, known_at and cause of a publication."""


@dataclass(frozen=True)
class _Rows:
    """The events as numbers, by identifier and then as they came to be known."""

    codes: Ints
    known: Ints
    valid: Ints
    persons: Ints
    froms: Ints
    instants: Ints
    """The distinct known_at, in order."""
    keys: Ints
    """Identifier and known_at in one number that grows."""

    @classmethod
    def of(cls, events: pa.Table, codes: Ints, persons: pa.Array) -> _Rows:
        order = np.argsort(codes, kind="stable")
        codes, known = codes[order], _micros(events["known_at"])[order]
        instants = np.unique(known)
        keys = codes * (len(instants) + 1) + np.searchsorted(instants, known)
        person, before = (_positions(events[name], persons)[order] for name in ("person_id", "from_person"))
        return cls(codes, known, _micros(events["valid_at"])[order], person, before, instants, keys)


@dataclass(frozen=True)
class _Latest:
    """What is known last of each identifier."""

    persons: Ints
    joined: Ints
    """Since which known_at it has been there."""
    steady: Ints
    """Since which valid_at it has been there, by all that is known."""

    @classmethod
    def of(cls, rows: _Rows, number: int) -> _Latest:
        last = np.searchsorted(rows.codes, np.arange(number), "right") - 1
        persons = rows.persons[last]
        # An event is in sight while no later one of its identifier starts at or before it in the world.
        instants, valid = np.unique(rows.valid, return_inverse=True)
        ranks = rows.codes * (len(instants) + 1) + valid
        later = np.minimum.accumulate(ranks[::-1])[::-1]
        in_sight = np.append(ranks[:-1] < later[1:], True)[: len(ranks)]
        return cls(
            persons,
            rows.known[_run_starts(rows.codes, rows.persons)],
            rows.valid[in_sight][_run_starts(rows.codes[in_sight], rows.persons[in_sight])],
        )


def _ends(codes: Ints) -> Bools:
    return np.append(codes[1:] != codes[:-1], True)[: len(codes)]


def _run_starts(codes: Ints, values: Ints) -> Ints:
    """For each code, where the run of equal values at its end begins; codes are sorted."""
    begins = np.append(True, (codes[1:] != codes[:-1]) | (values[1:] != values[:-1]))[: len(codes)]
    starts: Ints = np.maximum.accumulate(np.where(begins, np.arange(len(codes)), 0))
    return starts[_ends(codes)]


def _in_order(assignment: Assignment) -> tuple[pa.Array, Ints]:
    """The identifiers, sorted, and their clusters, numbered by their least identifier."""
    names, groups = (list(assignment), list(assignment.values())) if isinstance(assignment, Mapping) else assignment
    identifiers, clusters = pa.array(names, pa.string()), pa.array(groups).dictionary_encode()
    if identifiers.null_count or clusters.null_count:
        raise LedgerError("An identifier, or its cluster, is empty. Leave out what is not known.")
    if not _is_sorted(identifiers):
        order = pc.sort_indices(identifiers)
        identifiers, clusters = identifiers.take(order), clusters.take(order)
        twice = pc.equal(identifiers[1:], identifiers[:-1])
        if pc.any(twice).as_py():
            raise LedgerError(
                f"{identifiers[pc.index(twice, True).as_py()]} is assigned twice. Give each identifier one cluster."
            )
    codes = clusters.indices.to_numpy().astype(np.int64)
    found, first = np.unique(codes, return_index=True)
    number = np.empty(int(codes.max(initial=-1)) + 1, dtype=np.int64)
    number[found[np.argsort(first)]] = np.arange(len(found))
    return identifiers, number[codes]


def _is_sorted(names: pa.Array | pa.ChunkedArray) -> bool:
    """Whether names grow, each once."""
    return len(names) < 2 or bool(pc.all(pc.less(names[:-1], names[1:])).as_py())


def _pair_off(owner: Ints, cluster: Ints, person: Ints) -> None:
    """Give clusters their persons in the order given, each once; changes `owner`, by cluster."""
    is_sole = (np.bincount(cluster)[cluster] == 1) & (np.bincount(person)[person] == 1) if len(cluster) else np.zeros(0, np.bool_)
    owner[cluster[is_sole]] = person[is_sole]
    given: set[int] = set()
    for one, other in zip(cluster[~is_sole].tolist(), person[~is_sole].tolist(), strict=True):
        if owner[one] == NOBODY and other not in given:
            owner[one] = other
            given.add(other)


def _rows(
    identifiers: pa.Array, now: Ints, then: Ints, is_new: Bools, persons: pa.Array, said: _Said, lives_on: Bools | None
) -> pa.Table:
    """The events for the identifiers that are new or have moved, sorted by identifier."""
    kept = np.flatnonzero(is_new)
    identifiers, now, then = identifiers.take(pa.array(kept)), now[kept], then[kept]
    has_moved = (now != NOBODY) & (now != then)
    kind = np.zeros(len(kept), dtype=np.int8)
    if lives_on is not None:
        kind[has_moved] = np.where(lives_on[now[has_moved]], 2, 1)
    kind[then == NOBODY] = 3
    kinds = pa.DictionaryArray.from_arrays(pa.array(kind), pa.array([ASSIGN, MERGE, SPLIT, RETRACT])).cast(pa.string())
    valid, known, cause = (pa.repeat(pa.scalar(value), len(kept)) for value in said)
    event_ids = pc.binary_join_element_wise(f"{said[1]:%Y%m%dT%H%M%S.%f}", identifiers, " ")
    columns = [event_ids, kinds, identifiers, _texts(persons, then), _texts(persons, now), valid, known, cause]
    rows = pa.table([each.cast(wanted.type) for each, wanted in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)
    return rows if _is_sorted(rows["identifier"]) else rows.sort_by("identifier")


def _texts(persons: pa.Array, codes: Ints) -> pa.Array:
    return persons.take(pa.array(codes, mask=codes < 0))


def _positions(texts: pa.ChunkedArray, persons: pa.Array) -> Ints:
    found = pc.index_in(texts.combine_chunks(), persons)
    return cast(Ints, found.fill_null(NOBODY).to_numpy(zero_copy_only=False).astype(np.int64))


def _micros(instants: Any) -> Ints:
    return cast(Ints, instants.cast(pa.int64()).to_numpy())


def _instant(moment: datetime) -> int:
    return round((utc(moment) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


def _broadcast(moments: Instants, number: int) -> Ints:
    if isinstance(moments, datetime):
        return np.full(number, _instant(moments))
    return np.asarray(moments).astype("datetime64[us]").astype(np.int64)


@dataclass(frozen=True)
class Limits:
    """What one publication may change before a person has to look at it. Shares count from `least` on."""

    max_identifiers: int = 500
    """Identifiers of one person."""
    max_moved: float = 0.05
    """The share of the identifiers known before that change their person."""
    max_merged: float = 0.05
    """The share of the persons known before that are absorbed in a day."""
    max_in_largest: float = 0.01
    """The share of all identifiers that the largest person may hold."""
    least: int = 1000
    """With fewer identifiers than this, shares say nothing."""


@dataclass(frozen=True)
class Tripped:
    """Why a publication was stopped."""

    limit: str
    """The field of Limits that was passed."""
    value: float
    allowed: float
    person_id: str | None
    """The person that it is most about."""
    message: str


def fuse(before: pa.Table, after: pa.Table, limits: Limits | None = None, days: float = 1.0, force: str = "") -> Tripped | None:
    """Stop a publication that would over-merge: the first limit that it passes, or None.

    `before` and `after` are who is who (see Ledger.people); `days` is the time between them, for merges a day.
    With a reason in `force` nothing is stopped; write the reason into the publication's cause.

    >>> who = pa.table({"identifier": ["a", "b", "c"], "person_id": ["p", "p", "p"]})
    >>> print(fuse(who, who, Limits(max_identifiers=2)).message)
    Not published: person p would have 3 identifiers, and max_identifiers is 2. Look at why its identifiers are together; \
if it is right, raise max_identifiers, or publish with a reason in force.
    >>> fuse(who, who, Limits(max_identifiers=2), force="a family account, checked by hand")
    """
    limits = limits or Limits()
    if force or not len(after):
        return None
    moves = _Moves.of(before, after)
    size, person = moves.largest
    is_many, was_many = len(after) >= limits.least, len(before) >= limits.least
    absorbed, into = moves.most_absorbing
    found = [
        ("max_identifiers", size, limits.max_identifiers, True, person, "person {} would have {} identifiers"),
        ("max_in_largest", size / len(after), limits.max_in_largest, is_many, person, "person {} would hold {:.1%} of all identifiers"),
        ("max_merged", moves.merged / max(moves.persons, 1) / days, limits.max_merged, was_many, into,
         f"{moves.merged} persons would be absorbed, most ({absorbed}) by {{}}: {{:.1%}} of all persons a day"),
        ("max_moved", moves.moved / max(len(before), 1), limits.max_moved, was_many, moves.most_gaining,
         f"{moves.moved} identifiers would change their person, most to {{}}: {{:.1%}} of all"),
    ]  # fmt: skip
    for limit, value, allowed, is_counted, who, what in found:
        if is_counted and value > allowed:
            message = (
                f"Not published: {what.format(who, value)}, and {limit} is {allowed}. Look at why its identifiers are together; "
                f"if it is right, raise {limit}, or publish with a reason in force."
            )
            return Tripped(limit, float(value), float(allowed), who, message)
    return None


@dataclass(frozen=True)
class Changes:
    """What a batch of merges and splits would change downstream."""

    persons_before: int
    persons_after: int
    persons_merged: int
    """Persons that are absorbed: none of their identifiers stay, and some go to others."""
    persons_split: int
    """Persons whose identifiers go to two persons or more."""
    identifiers_new: int
    identifiers_gone: int
    identifiers_moved: int
    """Identifiers known before that change their person."""
    weights_moved: Mapping[str, float]
    """For each weight, such as conversions or value in micros, how much goes with the identifiers that move."""
    rows: pa.Table
    """A row for each pair of persons with something moving: from_person, to_person (null for nobody), identifiers, weights."""


def changes(before: pa.Table, after: pa.Table, weights: pa.Table | None = None) -> Changes:
    """Compare who is who before and after; `weights` has `identifier`, each once, and columns of numbers that go with it.

    >>> before = pa.table({"identifier": ["a", "b", "c"], "person_id": ["p", "p", "q"]})
    >>> after = pa.table({"identifier": ["a", "b", "c"], "person_id": ["p", "p", "p"]})
    >>> weights = pa.table({"identifier": ["c"], "conversions": [3]})
    >>> found = changes(before, after, weights)
    >>> found.persons_merged, found.identifiers_moved, found.weights_moved
    (1, 1, {'conversions': 3.0})
    """
    moves = _Moves.of(before, after)
    names = [name for name in weights.column_names if name != "identifier"] if weights is not None else []
    gone = moves.now >= 0
    is_change = gone & (moves.now != moves.then)
    number = len(moves.names) + 1
    keys, of = np.unique(moves.now[is_change] * number + moves.then[is_change] + 1, return_inverse=True)
    columns: dict[str, Any] = {
        "from_person": _texts(moves.names, keys // number),
        "to_person": _texts(moves.names, keys % number - 1),
        "identifiers": np.bincount(of, minlength=len(keys)),
    }
    for name in names:
        columns[name] = np.bincount(of, _weights(weights, name, moves.identifiers)[is_change], minlength=len(keys))
    rows = pa.table(columns).sort_by([("identifiers", "descending"), ("from_person", "ascending"), ("to_person", "ascending")])
    return Changes(
        persons_before=moves.persons,
        persons_after=len(np.unique(moves.then[moves.then >= 0])),
        persons_merged=moves.merged,
        persons_split=moves.split,
        identifiers_new=int((~gone).sum()),
        identifiers_gone=int((moves.then < 0).sum()),
        identifiers_moved=moves.moved,
        weights_moved={name: float(pc.sum(rows[name]).as_py() or 0.0) for name in names},
        rows=rows,
    )


@dataclass(frozen=True)
class _Moves:
    """Every identifier before and after, as positions in `names`; NOBODY where it was not, or is no more."""

    identifiers: pa.Array
    now: Ints
    then: Ints
    names: pa.Array

    @classmethod
    def of(cls, before: pa.Table, after: pa.Table) -> _Moves:
        olds, news = (table.select(PEOPLE.names).cast(PEOPLE).combine_chunks() for table in (before, after))
        both = pa.concat_tables([olds, news])
        identifiers, names = (both[name].combine_chunks().unique() for name in PEOPLE.names)
        now, then = (np.full(len(identifiers), NOBODY) for _ in range(2))
        for codes, table in ((now, olds), (then, news)):
            codes[_positions(table["identifier"], identifiers)] = _positions(table["person_id"], names)
        return cls(identifiers, now, then, names)

    @property
    def persons(self) -> int:
        """How many there were."""
        return len(np.unique(self.now[self.now >= 0]))

    @cached_property
    def _is_moved(self) -> Bools:
        moved: Bools = (self.now >= 0) & (self.then >= 0) & (self.now != self.then)
        return moved

    @property
    def moved(self) -> int:
        return int(self._is_moved.sum())

    @cached_property
    def _is_absorbed(self) -> Bools:
        """For each person whether it ends, and others have what was its."""
        number = len(self.names)
        lives = np.bincount(self.then[self.then >= 0], minlength=number) > 0
        return (np.bincount(self.now[self._is_moved], minlength=number) > 0) & ~lives

    @property
    def merged(self) -> int:
        return int(self._is_absorbed.sum())

    @property
    def split(self) -> int:
        kept = (self.now >= 0) & (self.then >= 0)
        ways = np.unique(self.now[kept] * len(self.names) + self.then[kept]) // max(len(self.names), 1)
        return int((np.bincount(ways) > 1).sum()) if len(ways) else 0

    @property
    def largest(self) -> tuple[int, str]:
        """The size of the largest person, and its id."""
        sizes = np.bincount(self.then[self.then >= 0])
        return int(sizes.max()), str(self.names[int(sizes.argmax())])

    @property
    def most_absorbing(self) -> tuple[int, str | None]:
        """How many persons the one that absorbs most would absorb, and its id."""
        is_part = self._is_moved & self._is_absorbed[self.now]
        number = len(self.names)
        into = np.bincount(np.unique(self.then[is_part] * number + self.now[is_part]) // number, minlength=1)
        return int(into.max()), str(self.names[int(into.argmax())]) if into.max() else None

    @property
    def most_gaining(self) -> str | None:
        gained = np.bincount(self.then[self._is_moved], minlength=1)
        return str(self.names[int(gained.argmax())]) if gained.max() else None


def _weights(weights: pa.Table, name: str, identifiers: pa.Array) -> npt.NDArray[np.float64]:
    """The weight of each identifier, 0 where none is given."""
    at = _positions(pa.chunked_array([identifiers]), weights["identifier"].combine_chunks())
    values = np.append(weights[name].cast(pa.float64()).fill_null(0.0).to_numpy(), 0.0)
    return cast("npt.NDArray[np.float64]", values[at])
