"""The touches of a large table that may matter to some conversions: one pass over its keys and times, one over its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from whence.attribution import journeys
from whence.attribution.journeys import CONVERSION_COLUMNS, DAY, GHOST, TOUCH_COLUMNS
from whence.attribution.meetings import ALWAYS, PACKED, Ints
from whence.attribution.policy import Policy

if TYPE_CHECKING:
    import duckdb

    from whence.attribution.told import Touches

KEYS = ("person_id", "click_id")
TOLD_APART = {"channel": "channel", "campaign_id": "campaign", "product": "product"}
"""What a policy's windows may name beside the kind of a touch: the column, and what a window calls it."""
KINDS = ("click", "engaged_view", "view", GHOST)
AT_ONCE = 1_000_000
"""Touches that are held before those are left out that nobody can be paid for."""
SPARE = 50
"""Of touches alike, so many more than the policy looks at are kept: a touch that was told twice may not count."""


def near(con: duckdb.DuckDBPyConnection, touches: str, conversions: pd.DataFrame, policy: Policy) -> pa.Table:
    """The rows of a table or view of `con` with which candidate_touches finds just what it finds with all of them.

    Columns are those of TOUCH_COLUMNS that are there. A touch is near when a conversion has its person or click_id, and it lies
    before the last of these and no further back than its kind may from the first; with it come all tellings of it. Of a key
    with many touches, only those are near that are in reach of the conversion after them, and of these, as far as they surely
    were known to it, as many of a kind as the policy looks at. So what is held in memory is a row for each key of a conversion,
    a bounded number of touches for each conversion, and its ghosts; `con` has its own limit.
    """
    names = [row[0] for row in con.sql(f"DESCRIBE {touches}").fetchall()]
    asked = [_Asked.of(conversions, key) for key in KEYS if key in names and key in conversions]
    is_bounded, spare = not policy.reengagement.conversions, SPARE
    while True:
        most = policy.max_touches + spare if is_bounded else None
        found = [_met(con, touches, names, each, policy, most) for each in asked if len(each.key)]
        rows = _told(con, touches, names, found)
        again = max((_most_retold(each, rows) for each in found), default=0)
        if again <= spare:
            return rows
        spare = 4 * again


def lately(touches: Touches, moments: pd.DataFrame, told_apart: str, days: float, most: int) -> pd.DataFrame:
    """The touches of moments' persons (person_id, happened_at) among which are the latest `most` of so many days before each.

    Touches without `told_apart` (a column) are left out. Of those between two moments of a person at most `most` are held, so
    that neither many touches nor many moments of one person make many rows. By (seen_at, event_id).
    """
    asked = journeys.table(moments.assign(conversion_id=None), CONVERSION_COLUMNS).select(["person_id", "happened_at"])
    touches.con.register("asked_moments", asked)
    found: pd.DataFrame = touches.con.sql(f"""
        SELECT t.* FROM {touches.name} t
        ASOF JOIN (SELECT DISTINCT * FROM asked_moments) m ON t.person_id = m.person_id AND t.happened_at < m.happened_at
        WHERE t."{told_apart}" IS NOT NULL AND epoch_us(m.happened_at) - epoch_us(t.happened_at) <= {round(days * DAY)}
        QUALIFY row_number() OVER (
            PARTITION BY m.person_id, m.happened_at ORDER BY t.happened_at DESC, t.seen_at DESC, t.event_id DESC
        ) <= {most}
        ORDER BY t.seen_at, t.event_id
    """).df()
    touches.con.unregister("asked_moments")
    return found


@dataclass(frozen=True)
class _Asked:
    """Conversions by one of their keys: in the order of keys, and of times within a key."""

    name: str
    keys: pa.Array
    key: Ints
    """Of each conversion, the place of its key in `keys`."""
    at: Ints
    known_by: Ints
    """The least of it and of all later conversions of the key: what was seen before it is known to all of them."""

    @classmethod
    def of(cls, conversions: pd.DataFrame, name: str) -> _Asked:
        table = journeys.table(conversions, CONVERSION_COLUMNS)
        table = table.filter(table[name].is_valid())
        keys = table[name].combine_chunks().dictionary_encode()
        key = keys.indices.to_numpy().astype(np.int64)
        at, known_by = (table[column].cast(pa.int64()).to_numpy() for column in ("happened_at", "known_by"))
        order = np.lexsort((at, key))
        least = pd.Series(known_by[order][::-1]).groupby(key[order][::-1]).cummin().to_numpy()[::-1]
        return cls(name, keys.dictionary, key[order], at[order], least)

    @cached_property
    def spans(self) -> pa.Table:
        """Each key with the first and the last time that it is asked about."""
        starts = np.flatnonzero(np.diff(self.key, prepend=-1))
        ends = np.append(starts[1:], len(self.key)) - 1
        return pa.table({"name": self.keys, "key": self.key[starts], "first": self.at[starts], "last": self.at[ends]})

    def after(self, wanted: Ints, key: Ints, at: Ints, begin: int, span: int) -> Ints:
        """The place of the first conversion of each key after each instant; keys are of `wanted`, instants in a `span` from `begin`."""
        number = np.zeros(len(self.keys), dtype=np.int64)
        number[wanted] = np.arange(1, len(wanted) + 1)
        rows = np.flatnonzero(number[self.key])
        packed = number[self.key[rows]] * span + self.at[rows] - begin
        return np.asarray(rows[np.searchsorted(packed, number[key] * span + at - begin, side="right")])


def _met(
    con: duckdb.DuckDBPyConnection, touches: str, names: list[str], asked: _Asked, policy: Policy, most: int | None
) -> pa.Table:
    """touch_id of the touches that may matter by one key, and `full`: a number for those of as many alike as are kept, else -1."""
    con.register("near_keys", asked.spans)
    happened = "epoch_us(t.happened_at::TIMESTAMPTZ)"
    seen = f"coalesce(epoch_us(t.seen_at::TIMESTAMPTZ), {happened})" if "seen_at" in names else happened
    reach = _furthest(policy)
    apart = [name for name, told in TOLD_APART.items() if name in names and any(getattr(each, told) for each in policy.windows)]
    reader = con.sql(f"""
        SELECT t.touch_id, k.key, {happened} AS happened, {seen} AS seen, {_by_kind(range(len(reach)))}::TINYINT AS kind
            {"".join(f', t."{name}"' for name in apart)}
        FROM {touches} t JOIN near_keys k ON t.{asked.name} = k.name
        WHERE {happened} < k."last" AND {happened} + {_by_kind(reach)} >= k."first"
    """).to_arrow_reader(AT_ONCE)
    held, room = reader.schema.empty_table(), AT_ONCE
    for batch in reader:
        held = pa.concat_tables([held, pa.Table.from_batches([batch])])
        if most and len(held) > room:
            held, _ = _cut(held, asked, most, reach, apart)
            room = len(held) + AT_ONCE
    con.unregister("near_keys")
    full = np.full(len(held), -1)
    if most and room > AT_ONCE:
        held, full = _cut(held, asked, most, reach, apart)
    return held.select(["touch_id"]).append_column("full", pa.array(full))


def _cut(held: pa.Table, asked: _Asked, most: int, reach: Ints, apart: list[str]) -> tuple[pa.Table, Ints]:
    """Without touches of busy keys that are out of reach, or have `most` later ones that are alike and surely known.

    Touches are alike that lie between the same two conversions of their key and are the same to every window.
    """
    key, at, seen, kind = (held[name].to_numpy() for name in ("key", "happened", "seen", "kind"))
    begin = int(min(at.min(), asked.at.min()))
    span = int(asked.at.max()) - begin + 1
    wanted = np.flatnonzero(np.bincount(key) > most)[: PACKED // span - 1]
    busy = np.flatnonzero(np.isin(key, wanted))
    at, seen, kind = at[busy], seen[busy], kind[busy]
    after = asked.after(wanted, key[busy], at, begin, span)
    age = asked.at[after] - at
    in_reach = age <= reach[kind]
    may_go = np.flatnonzero(in_reach & (seen < asked.known_by[after]) & (kind != KINDS.index(GHOST)))
    group = after[may_go] * len(reach) + kind[may_go]
    for name in apart:
        codes = pc.dictionary_encode(held[name].combine_chunks(), null_encoding="encode")
        group = group * len(codes.dictionary) + codes.indices.to_numpy()[busy[may_go]]
    group = np.unique(group, return_inverse=True)[1] if apart else group
    oldest = _oldest(group, age[may_go], most)[group]
    stays, full = np.full(len(held), True), np.full(len(held), -1)
    stays[busy] = in_reach
    stays[busy[may_go]] = age[may_go] <= oldest
    full[busy[may_go]] = np.where(oldest < ALWAYS, group, -1)
    return held.filter(pa.array(stays)), full[stays]


def _oldest(group: Ints, age: Ints, most: int) -> Ints:
    """For each group the age of the `most`-th youngest; ALWAYS where there are fewer."""
    span = int(age.max(initial=0)) + 1
    if int(group.max(initial=0)) < PACKED // span - 1:
        groups, ages = np.divmod(np.sort(group * span + age), span)
    else:
        order = np.lexsort((age, group))
        groups, ages = group[order], age[order]
    sizes = np.bincount(groups)
    has_many = sizes >= most
    oldest = np.full(len(sizes), ALWAYS)
    oldest[has_many] = ages[(np.cumsum(sizes) - sizes)[has_many] + most - 1]
    return oldest


def _told(con: duckdb.DuckDBPyConnection, touches: str, names: list[str], found: list[pa.Table]) -> pa.Table:
    """All tellings of the touches that were found."""
    con.register(
        "near_ids",
        pa.concat_tables([pa.table({"touch_id": pa.array([], pa.string())}), *(each.select(["touch_id"]) for each in found)]),
    )
    columns = ", ".join(f't."{name}"' for name in TOUCH_COLUMNS if name in names)
    rows = con.sql(f"SELECT {columns} FROM {touches} t SEMI JOIN near_ids n ON t.touch_id = n.touch_id").to_arrow_table()
    con.unregister("near_ids")
    return rows


def _most_retold(found: pa.Table, rows: pa.Table) -> int:
    """Of the touches that are alike and not all here, the most that were told more than once."""
    full = found.filter(pc.greater_equal(found["full"], 0))
    if not len(full):
        return 0
    tellings = pc.value_counts(rows["touch_id"])
    retold = tellings.field("values").filter(pc.greater(tellings.field("counts"), 1))
    return int(np.bincount(full.filter(pc.is_in(full["touch_id"], value_set=retold))["full"].to_numpy()).max(initial=0))


def _furthest(policy: Policy) -> Ints:
    """The longest look-back that any window gives a touch of each of KINDS, and of any other, in microseconds."""
    days = [max([0.0, *(each.days for each in policy.windows if each.touch in ("", _stands_for(kind)))]) for kind in KINDS]
    furthest = [max(each, policy.reengagement.window_days) for each in days]
    return np.array([round(each * DAY) for each in (*furthest, policy.reach_days)], dtype=np.int64)


def _stands_for(kind: str) -> str:
    """A ghost would have been a view."""
    return "view" if kind == GHOST else kind


def _by_kind(values: Iterable[int]) -> str:
    """A number for each of KINDS, and one for any other, as SQL."""
    *each, other = values
    cases = (f"WHEN '{kind}' THEN {value}" for kind, value in zip(KINDS, each, strict=True))
    return f"CASE t.kind {' '.join(cases)} ELSE {other} END"
