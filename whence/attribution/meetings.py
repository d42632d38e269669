"""Which touches meet which conversions: the latest in reach, and how many ghosts, by binary search in sorted lists.

Touches stand in the order of their times, and are named by their place in it. Those that share a key (a person or a click id)
and are alike to the policy make a list; a conversion's touches in a list lie between two places. So neither a person with a
million touches nor a thousand conversions of one person ever make a pair that is not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Reach = Callable[[Ints, Ints], Ints]
"""The look-back in microseconds for kinds of touch and kinds of conversion, pair by pair; 0 for none."""

CHUNK = 4_000_000
"""Pairs that are looked at one by one at a time: what bounds the memory of late news about a hot key."""
PACKED = 1 << 62
ALWAYS = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Shown:
    """Touches in the order of their times: place by place, in microseconds and codes."""

    at: Ints
    seen: Ints
    """It is known of from after this instant on …"""
    until: Ints
    """… and may be paid while no later one is asked about: from then on something speaks against it."""
    group: Ints
    """What the policy's windows tell apart."""
    groups: int


@dataclass(frozen=True)
class Bought:
    """Conversions, or questions about them, in microseconds and codes."""

    at: Ints
    known_by: Ints
    group: Ints

    def of(self, rows: Ints) -> Bought:
        """These rows alone."""
        return Bought(self.at[rows], self.known_by[rows], self.group[rows])


@dataclass(frozen=True)
class _Lists:
    """Touches by list, and within it by time."""

    names: Ints
    """Of each list: key × groups + group."""
    order: Ints
    """Touches, list by list."""
    list_of: Ints
    """Of each of `order`, the list's number."""
    places: Ints
    """Of each of `order`: list number × touches + place. Ascending."""


@dataclass(frozen=True)
class _Spans:
    """Questions: a conversion and a list of its key, and between which places its touches lie."""

    conversion: Ints
    list_of: Ints
    low: Ints
    high: Ints


def latest(shown: Shown, keys: Ints, bought: Bought, asked: Ints, reach: Reach, most: int) -> tuple[Ints, Ints]:
    """Conversions and touches that share a key, of each conversion and group the latest `most` or more.

    `keys` and `asked` are the keys of touches and of conversions, -1 for none; a touch with -1 is left out. A touch counts when it
    happened before the conversion and within reach, and seen < known_by ≤ until.
    """
    lists, spans = _lined_up(shown, keys, bought, asked, reach)
    always, sometimes = _by_when_known(shown, lists, spans, bought)
    first, last = _between(lists.places[always], spans, len(shown.at))
    conversion, touch = _pairs(lists.order[always], spans.conversion, np.maximum(first, last - most), last)
    parts = [(conversion, touch)]
    for rows, late, span in _one_by_one(shown, lists, spans, bought, sometimes):
        kept = from_last(span) < most
        parts.append((rows[kept], late[kept]))
    return np.concatenate([each for each, _ in parts]), np.concatenate([each for _, each in parts])


def counted(shown: Shown, keys: Ints, bought: Bought, asked: Ints, reach: Reach) -> Ints:
    """How many touches each conversion has that share its key and count as in `latest`."""
    lists, spans = _lined_up(shown, keys, bought, asked, reach)
    always, sometimes = _by_when_known(shown, lists, spans, bought)
    first, last = _between(lists.places[always], spans, len(shown.at))
    found = np.zeros(len(asked), dtype=np.int64)
    np.add.at(found, spans.conversion, last - first)
    for rows, _, _ in _one_by_one(shown, lists, spans, bought, sometimes):
        np.add.at(found, rows, 1)
    return found


def _lined_up(shown: Shown, keys: Ints, bought: Bought, asked: Ints, reach: Reach) -> tuple[_Lists, _Spans]:
    total = len(shown.at)
    has_key = np.flatnonzero(keys >= 0)
    codes, order = _sorted(keys[has_key] * shown.groups + shown.group[has_key], has_key, total)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    list_of = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(codes))))
    lists = _Lists(codes[starts], order, list_of, list_of * total + order)
    by_key = np.argsort(asked)  # searches in order stay in the cache
    by_key = by_key[asked[by_key] >= 0]
    first = np.searchsorted(lists.names, asked[by_key] * shown.groups)
    last = np.searchsorted(lists.names, (asked[by_key] + 1) * shown.groups)
    conversion, number = _pairs(np.arange(len(starts)), by_key, first, last)
    back = reach(lists.names[number] % shown.groups, bought.group[conversion])
    until = bought.at[conversion]
    low, high = np.searchsorted(shown.at, until - back), np.searchsorted(shown.at, until)
    some = np.flatnonzero(low < high)
    return lists, _Spans(conversion[some], number[some], low[some], high[some])


def _sorted(codes: Ints, places: Ints, total: int) -> tuple[Ints, Ints]:
    """By code, then by place; where both fit into one number, sorting numbers is many times faster than sorting places by them."""
    if int(codes.max(initial=0)) < PACKED // max(total, 1):
        return np.divmod(np.sort(codes * total + places), max(total, 1))
    by_code = np.argsort(codes, kind="stable")
    return codes[by_code], places[by_code]


def _by_when_known(shown: Shown, lists: _Lists, spans: _Spans, bought: Bought) -> tuple[Bools, Bools]:
    """Which of the lists' touches are known and payable for every later conversion of their key, and which for some only."""
    seen, until = shown.seen[lists.order], shown.until[lists.order]
    if len(spans.conversion) == 0:
        return (none := np.zeros(len(lists.order), dtype=bool)), none
    known_by = bought.known_by[spans.conversion]
    always = (seen < known_by.min()) & (until >= known_by.max())
    doubtful = np.flatnonzero(~always)
    sometimes = np.zeros(len(always), dtype=bool)
    if len(doubtful):
        least, most = _later(lists, spans, known_by, doubtful, len(shown.at))
        always[doubtful] = (seen[doubtful] < least) & (until[doubtful] >= most)
        sometimes[doubtful] = ~always[doubtful] & (seen[doubtful] < most) & (until[doubtful] >= least)
    return always, sometimes


def _later(lists: _Lists, spans: _Spans, known_by: Ints, touches: Ints, total: int) -> tuple[Ints, Ints]:
    """The least and the greatest `known_by` among the conversions after each touch of its list."""
    ends = spans.list_of * total + spans.high
    order = np.argsort(ends)
    instants, ranks = np.unique(known_by[order], return_inverse=True)
    apart = spans.list_of[order] * len(instants)  # lists are walked from the last to the first, and never mix
    least = np.minimum.accumulate((ranks + apart)[::-1])[::-1] - apart
    most = np.maximum.accumulate((ranks - apart)[::-1])[::-1] + apart
    after = np.searchsorted(ends[order], lists.places[touches], side="right")
    at = np.minimum(after, len(order) - 1)
    has_later = (after < len(order)) & (spans.list_of[order][at] == lists.list_of[touches])
    return np.where(has_later, instants[least[at]], 0), np.where(has_later, instants[most[at]], np.iinfo(np.int64).min)


def _between(places: Ints, spans: _Spans, total: int) -> tuple[Ints, Ints]:
    begin = spans.list_of * total
    return np.searchsorted(places, begin + spans.low), np.searchsorted(places, begin + spans.high)


def _one_by_one(
    shown: Shown, lists: _Lists, spans: _Spans, bought: Bought, sometimes: Bools
) -> Iterator[tuple[Ints, Ints, Ints]]:
    """Conversion, touch and question of the pairs that only their own times decide, some whole questions at a time."""
    order = lists.order[sometimes]
    first, last = _between(lists.places[sometimes], spans, len(shown.at))
    some = np.flatnonzero(first < last)
    chunks = np.cumsum(last[some] - first[some]) // CHUNK
    for part in np.split(some, np.flatnonzero(np.diff(chunks)) + 1) if len(some) else ():
        span, touch = _pairs(order, part, first[part], last[part])
        known_by = bought.known_by[spans.conversion[span]]
        counts = (shown.seen[touch] < known_by) & (known_by <= shown.until[touch])
        yield spans.conversion[span[counts]], touch[counts], span[counts]


def _pairs(values: Ints, owners: Ints, first: Ints, last: Ints) -> tuple[Ints, Ints]:
    """Each owner beside its values[first:last]."""
    found = last - first
    owner = np.repeat(owners, found)
    return owner, values[np.repeat(first - np.cumsum(found) + found, found) + np.arange(len(owner))]


def from_last(groups: Ints) -> Ints:
    """Of rows that lie together by group: how many of the group come after each.

    >>> from_last(np.array([4, 4, 4, 1])).tolist()
    [2, 1, 0, 0]
    """
    ends = np.append(np.flatnonzero(np.diff(groups)), len(groups) - 1) if len(groups) else np.zeros(0, dtype=np.int64)
    sizes = np.diff(ends, prepend=-1)
    return np.asarray(np.repeat(ends, sizes) - np.arange(len(groups)))
