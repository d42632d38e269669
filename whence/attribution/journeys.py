"""Journeys: for each conversion, the touches that could have earned it, as known then and as the policy lets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from whence.attribution import inactivity, meetings, places, reach
from whence.attribution.meetings import Bools, Bought, Ints, Shown
from whence.attribution.policy import SAME_PRODUCT, Policy

CLICK = "click"
GHOST = "eligible"
ANOTHER = "\0another"
"""A product that no window names."""
TOUCH_COLUMNS = (
    "touch_id",
    "person_id",
    "happened_at",
    "seen_at",
    "kind",
    "campaign_id",
    "channel",
    "product",
    "click_id",
    "cookie_id",
    "device_id",
    "ip_key",
    "person_probability",
)
CONVERSION_COLUMNS = (
    "conversion_id",
    "person_id",
    "happened_at",
    "seen_at",
    "kind",
    "product",
    "click_id",
    "cookie_id",
    "device_id",
    "ip_key",
    "person_probability",
    "known_by",
)
DAY = 86_400_000_000
"""In microseconds."""
MANY = 50_000
"""Rows from which on it pays to open a database for a hash."""
TIMES = ("happened_at", "seen_at", "known_by")
INSTANT = pa.timestamp("us", tz="UTC")
Codes = tuple[Ints, list[str | None]]
"""A number for each row, and what the numbers stand for."""


def candidate_touches(
    conversions: pd.DataFrame, touches: pd.DataFrame | pa.Table, policy: Policy, activity: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Pairs of a conversion and a touch of the same person (or the same click_id) that the policy lets earn it.

    `conversions` has CONVERSION_COLUMNS and `touches` TOUCH_COLUMNS (person_id from identity.exact.who; an absent column counts
    as missing, but ids, times and kinds must be there). Tables larger than memory likes go through `near.near` first.

    - A touch counts when it happened before the conversion (never at the very same instant), within the policy's window, and
      was seen before the end of the UTC day on which the conversion was seen, or before `known_by` where that is given.
    - Of several tellings of one touch or conversion, the one that was seen first counts.
    - A ghost (`eligible`) is never a candidate, but is counted as context, as far back as the window of a view goes.
    - Where a click counts and the policy has `click_over_view`, views and engaged views do not.
    - For the conversions of `reengagement`, a touch counts only if there was no `activity` (person_id, happened_at, seen_at) of
      its person between `inactivity_days` before it and it, as far as that was seen before `known_by`.
    - Of what counts, the latest `max_touches` are kept; of two at the same instant, the one with the greater touch_id is later.

    Returns, sorted by conversion_id, touched_at, touch_id, a row a pair: conversion_id, touch_id, via (person or click_id),
    person_id, campaign_id, channel, product (advertised), touch_kind, conversion_kind, converted_at, seen_at, touched_at,
    hours_before, ip_key (of the touch), same_cookie, same_device, same_ip (1, 0 or NaN), same_click (1 when the click_id is the
    same, 0 when the conversion carries one and it is not, NaN when it carries none: the label, never an input), certainty (the
    probability that both are of one person: 1 where the click_id is the same, else the product of both `person_probability`, of
    which an absent one is 1), eligible_campaign and eligible_any (ghosts before the conversion), place (0 the first touch),
    from_last (0 the last), path_length, clicks_in_path.

    Raises ValueError when the policy asks for activity and none is given.
    """
    both = _Sides(table(conversions, CONVERSION_COLUMNS), table(touches, TOUCH_COLUMNS), policy)
    conversion, touch = _paid(both, policy, activity)
    return places.numbered(_beside(both, conversion, touch).assign(**_ghosts(both, conversion, touch)))


class _Keys:
    """Codes of the persons and click ids of conversions, and of touches that share them; -1 for none."""

    def __init__(self, bought: pa.Table, told: pa.Table):
        self.asked_person, self.person = _shared(bought["person_id"], told["person_id"])
        self.asked_click, self.click = _shared(bought["click_id"], told["click_id"])

    def keep(self, bought: Ints, told: Ints) -> None:
        """Leave only these rows of both sides."""
        self.asked_person, self.asked_click = self.asked_person[bought], self.asked_click[bought]
        self.person, self.click = self.person[told], self.click[told]

    @property
    def any(self) -> Bools:
        """Touches that share a key with a conversion."""
        return (self.person >= 0) | (self.click >= 0)

    @property
    def ways(self) -> tuple[tuple[Ints, Ints], ...]:
        """By which keys touches are found: those of touches and those of conversions."""
        by_person, by_click = (self.person, self.asked_person), (self.click, self.asked_click)
        return (by_person, by_click) if (self.click >= 0).any() else (by_person,)

    @property
    def both(self) -> tuple[Ints, Ints]:
        """A key of person and click id together: what this finds, each of the two finds."""
        clicks = int(max(self.asked_click.max(initial=0), self.click.max(initial=0))) + 1
        pairs = ((self.person, self.click), (self.asked_person, self.asked_click))
        touches, asked = (np.where((person >= 0) & (click >= 0), person * clicks + click, -1) for person, click in pairs)
        return touches, asked


class _Sides:
    """Conversions, and touches in the order of time, with their keys, and in codes by what the policy's windows tell apart.

    Both are counted by their places here; the tables stay as they came until the pairs are known.
    """

    def __init__(self, conversions: pa.Table, touches: pa.Table, policy: Policy):
        self.keys = _Keys(conversions, touches)
        self._bought_rows = _once(conversions, "conversion_id")
        rows = _once(touches, "touch_id", self.keys.any)
        self._shown_rows = rows = rows[_by_time(touches, rows)]
        self.keys.keep(self._bought_rows, rows)
        self._conversions, self._touches, self._policy = conversions, touches, policy
        shown_group, self._shown_kinds, bought_group, self._bought_kinds = _told_apart(self, policy)
        kind, kinds = self.told_codes("kind")
        self.is_ghost, self.is_click = (np.array([each == name for each in kinds], dtype=bool)[kind] for name in (GHOST, CLICK))
        at, seen = _micros(touches["happened_at"])[rows], _micros(touches["seen_at"])[rows]
        self.shown = Shown(at, seen, np.full(len(at), meetings.ALWAYS), shown_group, max(len(self._shown_kinds), 1))
        self.asked = Bought(_micros(self.bought("happened_at")), _micros(self.bought("known_by")), bought_group)
        self._days: dict[tuple[int, ...], Ints] = {}

    def told(self, name: str, places: Ints | None = None) -> pa.Array:
        """A column of the touches, or of some."""
        return _taken(self._touches[name], self._shown_rows if places is None else self._shown_rows[places])

    def bought(self, name: str, places: Ints | None = None) -> pa.Array:
        """A column of the conversions, or of some."""
        return _taken(self._conversions[name], self._bought_rows if places is None else self._bought_rows[places])

    def told_codes(self, name: str, wanted: Set[str] | None = None) -> Codes:
        """The touches' values of a column as numbers."""
        return _codes(self._touches[name], self._shown_rows, wanted)

    def bought_codes(self, name: str, wanted: Set[str] | None = None, other: str | None = None) -> Codes:
        """The conversions' values of a column as numbers."""
        return _codes(self._conversions[name], self._bought_rows, wanted, other)

    def looks(self, shown: Ints, converted: Ints) -> Ints:
        """How far back conversions look for touches, by their codes, in microseconds."""
        asked, which = np.unique(shown * len(self._bought_kinds) + converted, return_inverse=True)
        if len(asked) == 0:
            return shown
        name = tuple(asked.tolist())
        if name not in self._days:
            self._days[name] = self._asked_days(asked)
        return np.asarray(self._days[name][which])

    def _asked_days(self, asked: Ints) -> Ints:
        shown, converted = np.divmod(asked, len(self._bought_kinds))
        pairs = [self._shown_kinds.iloc[shown], self._bought_kinds.iloc[converted]]
        found = reach.days(pd.concat([each.reset_index(drop=True) for each in pairs], axis=1), self._policy)
        return np.asarray(np.rint(found * DAY).astype(np.int64))


def table(rows: pd.DataFrame | pa.Table, columns: Sequence[str]) -> pa.Table:
    """Exactly these columns, texts and times of one kind each; a row without seen_at is known already."""
    made = {name: _column(rows, name) for name in columns}
    made["seen_at"] = pc.coalesce(made["seen_at"], made["happened_at"])
    if "known_by" in made and made["known_by"].null_count:
        ends = pc.add(pc.floor_temporal(made["seen_at"], unit="day"), pa.scalar(DAY, pa.duration("us")))
        made["known_by"] = pc.coalesce(made["known_by"], ends)
    return pa.table(made)


def _column(rows: pd.DataFrame | pa.Table, name: str) -> pa.Array:
    kind = INSTANT if name in TIMES else pa.float64() if name == "person_probability" else pa.string()
    if name not in (rows.column_names if isinstance(rows, pa.Table) else rows.columns):
        return pa.nulls(len(rows), kind)
    if isinstance(rows, pa.Table):
        column = rows[name].combine_chunks()
    elif name in TIMES:
        column = pa.array(pd.to_datetime(rows[name], utc=True, cache=False).astype("datetime64[us, UTC]"), from_pandas=True)
    else:
        column = pa.array(rows[name], from_pandas=True)
    return column if column.type == kind else column.cast(kind)


def _once(rows: pa.Table, name: str, wanted: Bools | None = None) -> Ints:
    """Which rows to look at: of one id the one seen first, whatever their order; with `wanted`, of ids that have such a row."""
    ids = rows[name].combine_chunks()
    kept = np.arange(len(rows))
    if wanted is not None and not wanted.all():
        kept = np.flatnonzero(pc.is_in(ids, value_set=ids.filter(pa.array(wanted))).to_numpy(zero_copy_only=False))
        ids = _taken(ids, kept)
    if not _has_repeats(ids):
        return kept
    codes = ids.dictionary_encode().indices.to_numpy()
    again = np.bincount(codes)[codes] > 1
    if not again.any():
        return kept
    told = rows.take(pa.array(kept[again])).append_column("row", pa.array(kept[again]))
    others = [each for each in rows.column_names if each not in (name, "seen_at")]
    told = told.sort_by([(each, "ascending") for each in (name, "seen_at", *others)]).combine_chunks()
    is_repeat = pc.equal(told[name][1:].combine_chunks(), told[name][:-1].combine_chunks()).to_numpy(zero_copy_only=False)
    first = told["row"].to_numpy()[np.append(True, ~is_repeat)]
    return np.sort(np.concatenate([kept[~again], first]))


def _has_repeats(ids: pa.Array) -> bool:
    """Whether an id may be there twice: surely when the ids are few; when they are many, a hash may also be."""
    if len(ids) < MANY:
        return len(ids.dictionary_encode().dictionary) < len(ids)
    import duckdb

    with duckdb.connect(config={"threads": 1}) as con:
        con.register("ids", pa.table({"id": ids}))
        hashes = con.sql("SELECT hash(id) AS hash FROM ids").to_arrow_table()["hash"].to_numpy()
    return bool((np.diff(np.sort(hashes)) == 0).any())


def _by_time(told: pa.Table, rows: Ints) -> Ints:
    """The rows in the order of their times, and of their ids where these are equal."""
    at = _micros(told["happened_at"])[rows]
    order = np.argsort(at)
    is_same = np.diff(at[order]) == 0
    if is_same.any():
        is_tied = np.append(is_same, False) | np.append(False, is_same)
        tied = order[is_tied]
        order[is_tied] = tied[np.lexsort((_ranks(_taken(told["touch_id"], rows[tied])), at[tied]))]
    return order


def _told_apart(both: _Sides, policy: Policy) -> tuple[Ints, pd.DataFrame, Ints, pd.DataFrame]:
    """The kind of each touch and of each conversion to the policy's windows, and the kinds; a ghost would have been a view."""
    channels, campaigns, products, conversions = (
        {getattr(each, name) for each in policy.windows} - {""} for name in ("channel", "campaign", "product", "conversion")
    )
    if SAME_PRODUCT in products:
        products |= set(pc.unique(both.bought("product")).to_pylist()) & set(pc.unique(both.told("product")).to_pylist())
    kind, kinds = both.told_codes("kind")
    shown = _together(
        touch_kind=(kind, ["view" if each == GHOST else each for each in kinds]),
        channel=both.told_codes("channel", channels),
        campaign_id=both.told_codes("campaign_id", campaigns),
        touch_product=both.told_codes("product", products),
    )
    converted = _together(
        conversion_kind=both.bought_codes("kind", conversions | set(policy.reengagement.conversions)),
        product=both.bought_codes("product", products, other=ANOTHER if products else None),
    )
    return *shown, *converted


def _paid(both: _Sides, policy: Policy, activity: pd.DataFrame | None) -> tuple[Ints, Ints]:
    """Conversions and the touches that may be paid for them, by conversion_id and time."""
    parts = [(np.zeros(0, dtype=np.int64),) * 2]
    for shown, is_asked in _by_activity(both, policy, activity):
        for keys, asked in both.keys.ways:
            can_earn, wanted = np.where(both.is_ghost, -1, keys), np.where(is_asked, asked, -1)
            parts.append(meetings.latest(shown, can_earn, both.asked, wanted, both.looks, policy.max_touches))
    total = max(len(both.is_ghost), 1)
    found = np.unique(np.concatenate([conversion * total + touch for conversion, touch in parts]))
    if policy.click_over_view:
        found = found[_goes_first(*np.divmod(found, total), both.is_click)]
    found = found[meetings.from_last(found // total) < policy.max_touches]
    conversion, touch = np.divmod(found, total)
    met, which = np.unique(conversion, return_inverse=True)
    order = np.lexsort((touch, _ranks(both.bought("conversion_id", met))[which]))
    return conversion[order], touch[order]


def _by_activity(both: _Sides, policy: Policy, activity: pd.DataFrame | None) -> Iterator[tuple[Shown, Bools]]:
    """The touches as conversions see them, and which these are: some ask whether the person had been quiet."""
    back = policy.reengagement
    wins_back = _is(both.bought("kind"), back.conversions) & (back.inactivity_days > 0)
    if not wins_back.all():
        yield both.shown, ~wins_back
    if back.conversions and back.inactivity_days > 0 and activity is None:
        raise ValueError(
            f"The policy '{policy.name}' asks whether people were inactive for {back.inactivity_days:g} days, and no activity was "
            "given. Give the sightings and conversions (person_id, happened_at, seen_at), or take [reengagement] out of the policy."
        )
    if wins_back.any() and activity is not None:
        until = inactivity.until(both.told("person_id"), both.shown.at, activity, back.inactivity_days)
        yield replace(both.shown, until=until), wins_back


def _goes_first(conversion: Ints, touch: Ints, is_click: Bools) -> Bools:
    """Clicks, and all else where there are none."""
    clicked = np.zeros(int(conversion.max(initial=-1)) + 1, dtype=bool)
    clicked[conversion[is_click[touch]]] = True
    return np.asarray(is_click[touch] | ~clicked[conversion])


def _beside(both: _Sides, conversion: Ints, touch: Ints) -> pd.DataFrame:
    c = {name: both.bought(name, conversion) for name in CONVERSION_COLUMNS}
    t = {name: both.told(name, touch) for name in TOUCH_COLUMNS}
    person = both.keys.asked_person[conversion]
    is_person = (person >= 0) & (person == both.keys.person[touch])
    same_click = _same(pc.fill_null(t["click_id"], ""), c["click_id"])
    sure = [pc.fill_null(each["person_probability"], 1.0).to_numpy(zero_copy_only=False) for each in (c, t)]
    rows = {
        "conversion_id": c["conversion_id"],
        "touch_id": t["touch_id"],
        "via": pa.array(np.where(is_person, "person", "click_id")),
        "person_id": c["person_id"],
        "campaign_id": t["campaign_id"],
        "channel": t["channel"],
        "product": t["product"],
        "touch_kind": t["kind"],
        "conversion_kind": c["kind"],
        "converted_at": c["happened_at"],
        "seen_at": c["seen_at"],
        "touched_at": t["happened_at"],
        "hours_before": (both.asked.at[conversion] - both.shown.at[touch]) / 1e6 / 3600,
        "ip_key": t["ip_key"],
        "same_cookie": _same(t["cookie_id"], c["cookie_id"]),
        "same_device": _same(t["device_id"], c["device_id"]),
        "same_ip": _same(t["ip_key"], c["ip_key"]),
        "same_click": same_click,
        "certainty": np.where(same_click == 1, 1.0, sure[0] * sure[1]),
    }
    made: pd.DataFrame = pa.table(rows).to_pandas()
    return made


def _ghosts(both: _Sides, conversion: Ints, touch: Ints) -> dict[str, Ints]:
    """How many ghosts were in reach of each pair's conversion: of the pair's campaign, and of any."""
    if not both.is_ghost.any():
        return {"eligible_campaign": (none := np.zeros(len(conversion), dtype=np.int64)), "eligible_any": none}
    campaign, names = both.told_codes("campaign_id")
    by_any, by_campaign = np.zeros_like(campaign), campaign
    return {
        "eligible_campaign": _ghosts_alike(both, conversion, touch, by_campaign, len(names)),
        "eligible_any": _ghosts_alike(both, conversion, touch, by_any, 1),
    }


def _ghosts_alike(both: _Sides, conversion: Ints, touch: Ints, alike: Ints, kinds: int) -> Ints:
    """Those that are alike to the pair's touch; each question is asked once."""
    asked, which = np.unique(conversion * kinds + alike[touch], return_inverse=True)
    of, kind = np.divmod(asked, kinds)

    def count(keys: Ints, asked_keys: Ints) -> Ints:
        ghosts = np.where(both.is_ghost & (keys >= 0), keys * kinds + alike, -1)
        wanted = np.where(asked_keys[of] >= 0, asked_keys[of] * kinds + kind, -1)
        return meetings.counted(both.shown, ghosts, both.asked.of(of), wanted, both.looks)

    found = sum((count(*way) for way in both.keys.ways), np.zeros(len(asked), dtype=np.int64))
    if len(both.keys.ways) > 1:
        found = found - count(*both.keys.both)
    return np.asarray(found[which])


def _taken(column: pa.ChunkedArray | pa.Array, rows: Ints) -> pa.Array:
    found = column.take(pa.array(rows))
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _shared(asked: pa.ChunkedArray, told: pa.ChunkedArray) -> tuple[Ints, Ints]:
    names = pc.unique(asked).drop_null()
    first, second = (pc.fill_null(pc.index_in(each, value_set=names), -1).to_numpy().astype(np.int64) for each in (asked, told))
    return first, second


def _codes(column: pa.ChunkedArray, rows: Ints, wanted: Set[str] | None = None, other: str | None = None) -> Codes:
    """A number for each value, and what they stand for; values that are not wanted stand for `other`."""
    if wanted is not None and not wanted and other is None:
        return np.zeros(len(rows), dtype=np.int64), [None]
    found = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    values = found.dictionary.to_pylist()
    if wanted is not None:
        values = [each if each is None or each in wanted else other for each in values]
    names = {each: place for place, each in enumerate(dict.fromkeys(values))}
    places = np.array([names[each] for each in values], dtype=np.int64)
    return places[found.indices.to_numpy()[rows]], list(names)


def _together(**columns: Codes) -> tuple[Ints, pd.DataFrame]:
    """One number for each combination of codes that there is, and the combinations."""
    sizes = [max(len(names), 1) for _, names in columns.values()]
    codes, which = np.unique(np.ravel_multi_index([each for each, _ in columns.values()], sizes), return_inverse=True)
    parts = zip(columns, np.unravel_index(codes, sizes), strict=True)
    return which, pd.DataFrame({name: np.array(columns[name][1], dtype=object)[part] for name, part in parts})


def _is(column: pa.Array, values: Sequence[str]) -> Bools:
    return np.asarray(pc.is_in(column, value_set=pa.array(values, pa.string())).to_numpy(zero_copy_only=False))


def _same(left: pa.Array, right: pa.Array) -> npt.NDArray[np.float64]:
    return np.asarray(pc.equal(left, right).cast(pa.float64()).to_numpy(zero_copy_only=False))


def _ranks(ids: pa.Array) -> Ints:
    return np.asarray(pc.rank(ids, sort_keys="ascending", tiebreaker="dense").to_numpy().astype(np.int64))


def _micros(instants: pa.ChunkedArray | pa.Array) -> Ints:
    return np.asarray(instants.cast(pa.int64()).to_numpy())
