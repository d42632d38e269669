"""People out of pairs: correlation clustering on calibrated log-odds, and the groups that we refuse to make one person.

Every pair that was compared speaks for (log-odds above the cut) or against its two records being one person;
a pair that nobody compared counts `Rules.absent`. The best partition is the one in which the log-odds within
people sum to the most. It is looked for inside each connected component of the pairs that speak for: components
in which nothing speaks against, or less than any of the links that hold them together, are one person; of the
others, small ones are solved exactly, all of a size in one matrix product, and only larger ones are merged greedily
and then improved record by record.

Log-odds are counted in steps of 2⁻²⁰, so that sums are exact: neither the order of pairs, nor threads, nor the
rest of the table change a result. What happens in one component depends on nothing outside it.

Paper: N. Bansal, A. Blum, S. Chawla, Correlation clustering, Machine Learning 56 (2004); the greedy merging is
greedy additive edge contraction, M. Keuper et al., ICCV 2015.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching, minimum_spanning_tree

from whence.identity.records.table import MISSING, Codes, Floats, Pairs

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Positions = Codes | Ints

STEP = 2.0**-20
"""Log-odds are rounded to multiples of this."""

STRONGEST = 1000.0
"""Log-odds beyond this count as this."""

NEVER = -(2.0**44)
"""The weight of a pair that must stay apart: more than all others of a small component together."""

PLACE = 32
"""Bits of a link's place; its weight, STRONGEST steps at most, has those above."""

CHUNK = 4_000_000
"""How many sums are held at once while small components are solved."""

ALONE = 1 << 18
"""A matrix product of so many terms is done by one thread; of more, a second one takes part, and then waits at full speed."""

GIANT = 5_000
"""A component with more records than this is parted along its weakest links before anything is merged in it."""

TOO_LARGE, CONTRADICTION, HUB = "too large", "contradiction", "hub"


@dataclass(frozen=True)
class Rules:
    """What may become one person."""

    cut: float = 0.0
    """The log-odds from which on a pair speaks for one person; decisions with another F-beta move it."""
    absent: float = 0.0
    """What a pair that was not compared counts, zero or less."""
    max_size: int = 200
    """More records than this are no person: they are split along their weakest links."""
    max_degree: int = 200
    """A record with more links than this is a hub, and is left alone."""
    unique_sources: bool = False
    """True when no source holds one person twice."""
    exact: int = 8
    """Components up to this size are solved exactly; beyond 8 the greedy way is quicker."""
    rounds: int = 10
    """How often the greedy solution is improved at most."""

    def __post_init__(self) -> None:
        if self.absent > 0:
            raise ValueError(f"absent is {self.absent}: a pair that was not compared cannot speak for one person. Use 0 or less.")
        if self.max_size < 1 or self.max_degree < 1:
            raise ValueError("max_size and max_degree must be 1 or more.")
        if not 1 <= self.exact <= 9:
            raise ValueError(f"exact is {self.exact}: solving exactly takes 1 to 9 records; beyond, it takes too long.")


@dataclass(frozen=True)
class Refusal:
    """A group of records that was not made one person as the pairs alone would have it."""

    reason: str
    """`too large`, `contradiction` or `hub`."""
    size: int
    """Records in the group; for a hub, its links."""
    record: int
    """The position of the group's first record, or of the hub."""
    detail: str
    """In words: what was found and what was done."""


@dataclass(frozen=True)
class Clusters:
    """Which records are one person. Clusters are numbered by their first record."""

    codes: Codes
    """The cluster of each record."""
    sizes: Ints
    """Records in each cluster."""
    weakest: Floats
    """For each cluster the log-odds of its weakest link: the least on its maximum spanning tree; NaN for one record."""
    weakest_pair: Codes
    """The two records of that link, shape (clusters, 2); MISSING for one record."""
    cohesion: Floats
    """For each cluster the share of its pairs of records that a compared pair speaks for; 1 for one record."""
    refusals: tuple[Refusal, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.sizes)


def components(n: int, left: Positions, right: Positions) -> Codes:
    """The connected component of each of `n` records, numbered by its first record.

    >>> components(5, np.array([3, 1]), np.array([4, 3])).tolist()
    [0, 1, 2, 1, 1]
    """
    edges = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(n, n))
    found = connected_components(edges.tocsr(), directed=False)[1]
    return _numbered(found)


def cluster(
    n: int,
    pairs: Pairs,
    log_odds: Floats,
    rules: Rules | None = None,
    unique: Mapping[str, Codes] | None = None,
    source: Codes | None = None,
) -> Clusters:
    """Which of `n` records are one person, from the calibrated log-odds of the pairs that were compared.

    `unique` are fields of which a person has one value, such as an account id: codes by record, MISSING where
    nothing is known; records with different values stay apart. So do records of one `source` when
    `rules.unique_sources`. Pairs may come in any order, each once.
    Raises ValueError for a pair that is there twice, is of one record, lies outside the table, or has no log-odds.

    >>> pairs = Pairs(np.array([0, 1, 0, 3]), np.array([1, 2, 2, 4]))
    >>> cluster(5, pairs, np.array([4.0, 1.0, -3.0, 2.0])).codes.tolist()
    [0, 0, 1, 2, 2]
    """
    rules = rules or Rules()
    graph, hubs = _without_hubs(_graph(n, pairs, log_odds, rules), rules)
    ties = _Apart(tuple((unique or {}).items()), source if rules.unique_sources else None)
    linked = components(n, *graph.links)
    parted = _parted(graph, ties)
    found = linked if parted is graph else components(n, *parted.links)
    graph = parted
    codes = _one_to_one(graph, ties) if _is_between_two(ties) else _partition(graph, found, ties, rules)
    contradicting = (*_giants(linked), *_contradictions(linked, codes, ties))
    codes, large = _fitting(graph, codes, rules)
    return _described(graph, codes, (*hubs, *contradicting, *large), rules)


@dataclass(frozen=True)
class _Graph:
    """Compared pairs, sorted, with whole numbers of steps as weights; those above zero are links."""

    n: int
    left: Positions
    right: Positions
    weight: Floats

    @cached_property
    def links(self) -> tuple[Positions, Positions]:
        is_link = self.weight > 0
        return self.left[is_link], self.right[is_link]

    def only(self, kept: Bools) -> _Graph:
        return _Graph(self.n, self.left[kept], self.right[kept], self.weight[kept])


@dataclass(frozen=True)
class _Apart:
    """What keeps records apart whatever their pairs say."""

    unique: tuple[tuple[str, Codes], ...]
    source: Codes | None

    def __bool__(self) -> bool:
        return bool(self.unique) or self.source is not None

    def between(self, a: Positions, b: Positions) -> Bools:
        """Whether records a and b may not be one person, in the shape that both broadcast to."""
        apart = np.zeros(np.broadcast(a, b).shape, dtype=np.bool_)
        for _, codes in self.unique:
            apart |= (codes[a] != codes[b]) & (codes[a] != MISSING) & (codes[b] != MISSING)
        if self.source is not None:
            apart |= (self.source[a] == self.source[b]) & (self.source[a] != MISSING)
        return apart

    def within(self, groups: Codes, number: int) -> dict[str, Bools]:
        """For each rule, whether each group holds two records that it keeps apart."""
        broken: dict[str, Bools] = {}
        for name, codes in self.unique:
            known = codes != MISSING
            least, most = np.full(number, np.iinfo(np.int64).max), np.full(number, -1, dtype=np.int64)
            np.minimum.at(least, groups[known], codes[known])
            np.maximum.at(most, groups[known], codes[known])
            broken[f"different values of {name}"] = least < most
        if self.source is not None:
            known = self.source != MISSING
            keys = groups[known].astype(np.int64) * (int(self.source.max(initial=0)) + 1) + self.source[known]
            distinct = np.bincount(np.unique(keys) // (int(self.source.max(initial=0)) + 1), minlength=number)
            broken["two records of one source"] = distinct < np.bincount(groups[known], minlength=number)
        return broken


def _numbered(codes: npt.NDArray[np.integer]) -> Codes:
    """The same groups, numbered by their first record."""
    if bool(np.all(codes[1:] <= np.maximum.accumulate(codes)[:-1] + 1)) and codes[:1].tolist() in ([], [0]):
        return codes.astype(np.int32, copy=False)
    first = np.full(int(codes.max(initial=-1)) + 1, len(codes), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    order = np.argsort(first, kind="stable")
    number = np.empty(len(order), dtype=np.int32)
    number[order] = np.arange(len(order), dtype=np.int32)
    numbered: Codes = number[codes]
    return numbered


def _graph(n: int, pairs: Pairs, log_odds: Floats, rules: Rules) -> _Graph:
    """The pairs in their order, weighted from the cut, each checked."""
    low, high = np.minimum(pairs.left, pairs.right), np.maximum(pairs.left, pairs.right)
    if len(low) and (low.min() < 0 or high.max() >= n):
        raise ValueError(f"A pair names record {max(int(high.max()), -int(low.min()))}, and there are {n} records.")
    keys = low.astype(np.int64) * n + high
    weight = np.rint(np.clip(np.asarray(log_odds, dtype=np.float64) - rules.cut, -STRONGEST, STRONGEST) / STEP)
    if not bool(np.all(keys[:-1] < keys[1:])):
        order = np.argsort(keys, kind="stable")
        low, high, keys, weight = low[order], high[order], keys[order], weight[order]
    _refuse("is of one record", low, high, low == high)
    _refuse("is there twice", low[1:], high[1:], keys[1:] == keys[:-1])
    _refuse("has no log-odds (NaN)", low, high, np.isnan(weight))
    return _Graph(n, low.astype(np.int32, copy=False), high.astype(np.int32, copy=False), weight)


def _refuse(what: str, left: Positions, right: Positions, wrong: Bools) -> None:
    if wrong.any():
        at = int(np.argmax(wrong))
        raise ValueError(
            f"The pair of records {left[at]} and {right[at]} {what}. Give each compared pair once, with its log-odds."
        )


def _without_hubs(graph: _Graph, rules: Rules) -> tuple[_Graph, list[Refusal]]:
    """The graph without the pairs of records that have too many links, and those records."""
    left, right = graph.links
    degree = np.bincount(left, minlength=graph.n) + np.bincount(right, minlength=graph.n)
    is_hub = degree > rules.max_degree
    if not is_hub.any():
        return graph, []
    said = "Record {} links to {} others, more than max_degree {}: it was left alone."
    hubs = [
        Refusal(HUB, int(degree[at]), int(at), said.format(at, degree[at], rules.max_degree)) for at in np.flatnonzero(is_hub)
    ]
    return graph.only(~is_hub[graph.left] & ~is_hub[graph.right]), hubs


def _parted(graph: _Graph, ties: _Apart) -> _Graph:
    """The graph with every pair that contradicts itself at its lowest weight."""
    if not ties:
        return graph
    return _Graph(graph.n, graph.left, graph.right, np.where(ties.between(graph.left, graph.right), NEVER, graph.weight))


def _partition(graph: _Graph, found: Codes, ties: _Apart, rules: Rules) -> Codes:
    """The people inside each component: all of it where nothing speaks against, else the best partition that we find.

    Those of a partition that no links hold together are parted: it loses nothing.
    """
    sizes = np.bincount(found)
    inside = graph.only(found[graph.left] == found[graph.right])
    is_hard = _is_conflicted(inside, found, sizes, ties, rules)
    inside = inside.only(is_hard[found[inside.left]])
    groups, hard = _Groups.of(found, is_hard), np.flatnonzero(is_hard)
    codes = found.astype(np.int64) * int(sizes.max(initial=1))  # room for the people of each component
    for size in range(2, rules.exact + 1):
        chosen = hard[sizes[hard] == size]
        for some in np.array_split(chosen, -(-len(chosen) * len(_partitions(size)) // CHUNK)) if len(chosen) else ():
            codes[groups.records(some)] += _solved(inside, groups, some, ties, rules)
    for records, part in _parts(inside, groups, hard[sizes[hard] > rules.exact]):
        for places, piece in _manageable(part):
            codes[records[places]] += places[_greedy(piece, _claims(records[places], ties), rules)]
    left, right = inside.links
    is_inside = codes[left] == codes[right]
    held = components(graph.n, left[is_inside], right[is_inside])
    first = np.where(is_hard[found], _first(held), _first(found))
    number = np.cumsum(first == np.arange(graph.n), dtype=np.int32) - 1
    return number[first]


def _first(codes: Codes) -> Ints:
    """The first record of each one's group, where groups are numbered by it."""
    return np.flatnonzero(np.diff(np.maximum.accumulate(codes), prepend=-1))[codes]


def _manageable(part: _Graph) -> Iterator[tuple[Ints, _Graph]]:
    """A component, or, where it is giant, its pieces along its weakest links: what merging takes grows faster than records."""
    if part.n <= GIANT:
        yield np.arange(part.n), part
        return
    found = _numbered(np.unique(_pieces(part.only(part.weight > 0), GIANT), return_inverse=True)[1])
    number = int(found.max()) + 1
    inside = part.only(found[part.left] == found[part.right])
    yield from _parts(inside, _Groups.of(found, np.ones(number, dtype=np.bool_)), np.arange(number))


@dataclass(frozen=True)
class _Groups:
    """The records of some of the groups, group by group, each group's in their order."""

    of_record: Codes
    sizes: Ints
    starts: Ints
    members: Ints
    rank: Ints
    """The place of each of these records in its group."""

    @classmethod
    def of(cls, codes: Codes, is_chosen: Bools) -> _Groups:
        sizes = np.where(is_chosen, np.bincount(codes, minlength=len(is_chosen)), 0)
        starts = np.cumsum(sizes) - sizes
        members = np.flatnonzero(is_chosen[codes])
        members = members[np.argsort(codes[members], kind="stable")]
        rank = np.zeros(len(codes), dtype=np.int64)
        rank[members] = np.arange(len(members)) - np.repeat(starts, sizes)
        return cls(codes, sizes, starts, members, rank)

    def records(self, groups: Ints) -> Ints:
        """The records of groups that have the same size: a row for each group."""
        return self.members[self.starts[groups][:, None] + np.arange(self.sizes[groups[0]])]


def _is_conflicted(inside: _Graph, found: Codes, sizes: Ints, ties: _Apart, rules: Rules) -> Bools:
    """Whether a component may be better off as more people than one.

    It is not where links hold it together each of which outweighs all that speaks against: parting it anywhere loses one.
    """
    number, component = len(sizes), found[inside.left]
    against = np.bincount(component, np.maximum(-inside.weight, 0), minlength=number)
    if rules.absent < 0:
        against = against - _steps(rules.absent) * (sizes * (sizes - 1) // 2 - np.bincount(component, minlength=number))
    broken = np.any([np.zeros(number, dtype=np.bool_), *ties.within(found, number).values()], axis=0)
    is_strong = (inside.weight > against[component]) & (against > 0)[component]
    held = components(inside.n, inside.left[is_strong], inside.right[is_strong])
    parts = np.bincount(found[_first(held) == np.arange(inside.n)], minlength=number)
    return np.asarray(broken | ((against > 0) & ((parts > 1) | (sizes > GIANT))))


@cache
def _partitions(size: int) -> npt.NDArray[np.int64]:
    """Every way to part `size` records, as the number of each one's person; those with more people first."""
    ways = [[0]]
    for _ in range(size - 1):
        ways = [[*way, person] for way in ways for person in range(max(way) + 2)]
    return np.array(sorted(ways, key=lambda way: (-max(way), way)), dtype=np.int64)


def _solved(inside: _Graph, groups: _Groups, chosen: Ints, ties: _Apart, rules: Rules) -> Ints:
    """The best partition of each of the components chosen, all of one size: the sums of all partitions in one product."""
    records = groups.records(chosen)
    size = records.shape[1]
    weights = np.full((len(chosen), size, size), _steps(rules.absent))
    row = np.searchsorted(chosen, groups.of_record[inside.left])
    here = chosen[np.minimum(row, len(chosen) - 1)] == groups.of_record[inside.left]
    weights[row[here], groups.rank[inside.left[here]], groups.rank[inside.right[here]]] = inside.weight[here]
    first, second = np.triu_indices(size, 1)
    pairs = weights[:, first, second]
    if ties:
        pairs[ties.between(records[:, first], records[:, second])] = NEVER
    ways = _partitions(size)
    together = (ways[:, first] == ways[:, second]).astype(np.float64)
    step = max(1, ALONE // together.size)
    found = [np.argmax(pairs[at : at + step] @ together.T, axis=1) for at in range(0, len(pairs), step)]
    best: Ints = ways[np.concatenate(found)]
    return best


def _steps(log_odds: float) -> float:
    return float(np.rint(log_odds / STEP))


def _parts(inside: _Graph, groups: _Groups, chosen: Ints) -> Iterator[tuple[Ints, _Graph]]:
    """Each of the components chosen: its records, and its pairs by their places in it."""
    component = groups.of_record[inside.left]
    order = np.argsort(component, kind="stable")
    begins, ends = (np.searchsorted(component[order], chosen, side=side) for side in ("left", "right"))
    for group, begin, end in zip(chosen, begins, ends, strict=True):
        edges, start, size = order[begin:end], groups.starts[group], int(groups.sizes[group])
        left, right = groups.rank[inside.left[edges]], groups.rank[inside.right[edges]]
        yield groups.members[start : start + size], _Graph(size, left, right, inside.weight[edges])


_Claims = list[dict[tuple[int, int], int]]
"""For each record what only one value can be true of in a person; records that claim different values stay apart."""


def _claims(records: Ints, ties: _Apart) -> _Claims:
    """A record claims the value of each unique field, and to be the one record of its source."""
    claims: _Claims = [{} for _ in records]
    for number, (_, codes) in enumerate(ties.unique):
        for claim, value in zip(claims, codes[records].tolist(), strict=True):
            if value != MISSING:
                claim[number, 0] = value
    if ties.source is not None:
        for at, source in enumerate(ties.source[records].tolist()):
            if source != MISSING:
                claims[at][MISSING, source] = at
    return claims


def _contradict(a: dict[tuple[int, int], int], b: dict[tuple[int, int], int]) -> bool:
    return any(b.get(key, value) != value for key, value in a.items())


def _greedy(part: _Graph, claims: _Claims, rules: Rules) -> Ints:
    """A good partition of one component: merge what gains most, then move single records, until nothing gains."""
    absent = _steps(rules.absent)
    near: list[dict[int, float]] = [{} for _ in range(part.n)]
    for a, b, weight in zip(part.left.tolist(), part.right.tolist(), (part.weight - absent).tolist(), strict=True):
        near[a][b] = near[b][a] = weight  # what the pair adds to the sum of absent pairs
    labels = list(range(part.n))
    for _ in range(rules.rounds):
        labels = _merged(labels, near, claims, absent)
        if not _moved(labels, near, claims, absent, rules.rounds):
            break
    return np.unique(labels, return_inverse=True)[1]  # who moved out last has a number beyond the records


def _merged(labels: list[int], near: list[dict[int, float]], claims: _Claims, absent: float) -> list[int]:
    """Merge the two groups that gain most by it, again and again, as long as any two gain."""
    members: dict[int, list[int]] = {}
    for record, label in enumerate(labels):
        members.setdefault(label, []).append(record)
    held = {label: _together(claims, records) for label, records in members.items()}
    links: dict[int, dict[int, float]] = {label: {} for label in members}
    for record, others in enumerate(near):
        mine = links[labels[record]]
        for other, weight in others.items():
            if labels[other] != labels[record]:
                mine[labels[other]] = mine.get(labels[other], 0.0) + weight
    heap = [(-(w + absent * len(members[a]) * len(members[b])), a, b) for a in links for b, w in links[a].items() if a < b]
    heapq.heapify(heap)
    while heap and heap[0][0] < 0:
        promised, a, b = heapq.heappop(heap)
        if a not in members or b not in members or b not in links[a]:
            continue
        gain = links[a][b] + absent * len(members[a]) * len(members[b])
        if gain != -promised:
            if 0 < gain < -promised:  # the groups have grown since, and with them the pairs that are absent
                heapq.heappush(heap, (-gain, a, b))
            continue
        if _contradict(held[a], held[b]):
            links[a][b] = links[b][a] = NEVER
            continue
        keep, gone = (a, b) if (len(links[a]), -a) >= (len(links[b]), -b) else (b, a)
        members[keep] += members.pop(gone)
        held[keep] |= held.pop(gone)
        del links[keep][gone]
        for other, weight in links.pop(gone).items():
            if other == keep:
                continue
            del links[other][gone]
            links[keep][other] = links[other][keep] = links[keep].get(other, 0.0) + weight
            gain = links[keep][other] + absent * len(members[keep]) * len(members[other])
            if gain > 0:
                heapq.heappush(heap, (-gain, min(keep, other), max(keep, other)))
    return _labels(members.values(), len(labels))


def _together(claims: _Claims, records: list[int]) -> dict[tuple[int, int], int]:
    return {key: value for record in records for key, value in claims[record].items()}


def _labels(groups: Iterable[list[int]], n: int) -> list[int]:
    labels = [0] * n
    for group in groups:
        label = min(group)
        for record in group:
            labels[record] = label
    return labels


def _moved(labels: list[int], near: list[dict[int, float]], claims: _Claims, absent: float, rounds: int) -> bool:
    """Move each record to the group, or out to be alone, where it adds most; say whether any did. Changes `labels`."""
    sizes, held = (
        Counter(labels),
        Counter((label, *each) for label, mine in zip(labels, claims, strict=True) for each in mine.items()),
    )
    values = {(label, key): value for label, key, value in held}
    unused, has_moved = len(labels), False
    for _ in range(rounds):
        before = list(labels)
        for record, others in enumerate(near):
            gains: dict[int, float] = {}
            for other, weight in others.items():
                gains[labels[other]] = gains.get(labels[other], 0.0) + weight
            now, mine = labels[record], claims[record]
            stay = gains.get(now, 0.0) + absent * (sizes[now] - 1)
            options = [(gain + absent * sizes[to], -to) for to, gain in gains.items() if to != now]
            for gain, turned in [*sorted(options, reverse=True), (0.0, -unused)]:
                to = -turned
                if gain <= stay or gain < 0:
                    continue
                if any(held[to, key, values.get((to, key), value)] and values[to, key] != value for key, value in mine.items()):
                    continue
                sizes[now] -= 1
                sizes[to] += 1
                for key, value in mine.items():
                    held[now, key, value] -= 1
                    held[to, key, value] += 1
                    values[to, key] = value
                labels[record] = to
                unused += to == unused
                break
        if labels == before:
            break
        has_moved = True
    return has_moved


def _is_between_two(ties: _Apart) -> bool:
    """Whether every record is of one of two sources without duplicates, so that a person is a pair at most."""
    return ties.source is not None and set(np.unique(ties.source).tolist()) == {0, 1}


def _one_to_one(graph: _Graph, ties: _Apart) -> Codes:
    """Each record of one source with at most one of the other, so that the log-odds sum to the most.

    A record may also stay alone: each of the first source has a place of its own beside the second source's. So a pair that
    nothing speaks for is never taken, and need not be looked at: a hundred thousand of them took minutes.
    """
    assert ties.source is not None
    graph = graph.only(graph.weight > 0)
    is_first = ties.source == 0
    is_turned = ~is_first[graph.left]
    first, second = np.where(is_turned, graph.right, graph.left), np.where(is_turned, graph.left, graph.right)
    rows, row = np.unique(first, return_inverse=True)
    columns, column = np.unique(second, return_inverse=True)
    alone = np.arange(len(rows))
    shape = (len(rows), len(columns) + len(rows))
    # One more everywhere, because a zero is no edge; every way to fill the rows counts it as often.
    values = np.concatenate([graph.weight + 1, np.ones(len(rows))])
    table = coo_array((values, (np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone]))), shape=shape)
    at, taken = min_weight_full_bipartite_matching(table.tocsr(), maximize=True)
    is_pair = taken < len(columns)
    return components(graph.n, rows[at[is_pair]], columns[taken[is_pair]])


def _giants(linked: Codes) -> Iterator[Refusal]:
    """The components that are not even looked at as a whole."""
    sizes = np.bincount(linked)
    for group in np.flatnonzero(sizes > GIANT):
        first, size = int(np.argmax(linked == group)), int(sizes[group])
        said = f"{size} records from record {first} on are linked: what speaks against was weighed in parts of {GIANT} at most."
        yield Refusal(TOO_LARGE, size, first, said)


def _contradictions(linked: Codes, codes: Codes, ties: _Apart) -> Iterator[Refusal]:
    """The components in which links hold records together that may not be one person."""
    for what, broken in ties.within(linked, int(linked.max(initial=-1)) + 1).items():
        groups = _Groups.of(linked, broken)
        for group in np.flatnonzero(broken):
            start, size = groups.starts[group], int(groups.sizes[group])
            records = groups.members[start : start + size]
            parts = len(np.unique(codes[records]))
            said = f"{size} records from record {records[0]} on are linked, with {what}: they were parted into {parts} people."
            yield Refusal(CONTRADICTION, size, int(records[0]), said)


def _fitting(graph: _Graph, codes: Codes, rules: Rules) -> tuple[Codes, list[Refusal]]:
    """The same people, those with too many records parted along their weakest links."""
    is_large = np.bincount(codes) > rules.max_size
    if not is_large.any():
        return codes, []
    groups, large = _Groups.of(codes, is_large), np.flatnonzero(is_large)
    left, right = codes[graph.left], codes[graph.right]
    inside = graph.only((graph.weight > 0) & (left == right) & is_large[left])
    fitting = codes.astype(np.int64) * graph.n
    refusals = []
    for records, part in _parts(inside, groups, large):
        pieces = _pieces(part, rules.max_size)
        fitting[records] += pieces
        sizes = np.unique(pieces, return_counts=True)[1]
        said = (
            f"{part.n} records from record {records[0]} on are linked, more than max_size {rules.max_size}: they were parted "
            f"along their weakest links into {len(sizes)} people, the largest of {sizes.max()} records."
        )
        refusals.append(Refusal(TOO_LARGE, part.n, int(records[0]), said))
    return _numbered(np.unique(fitting, return_inverse=True)[1]), refusals


def _pieces(part: _Graph, max_size: int) -> Ints:
    """The largest groups that fit and that links of one strength or more hold together: the tree of single linkage, cut."""
    tops, whole, pieces = list(range(part.n)), {record: [record] for record in range(part.n)}, []
    order = np.lexsort((part.right, part.left, -part.weight))
    for level in np.split(order, np.flatnonzero(np.diff(part.weight[order])) + 1):
        grown: dict[int, list[int]] = {}
        for edge in level.tolist():
            a, b = _top(tops, int(part.left[edge])), _top(tops, int(part.right[edge]))
            if a != b:
                low, high = min(a, b), max(a, b)
                tops[high] = low
                grown.setdefault(low, [low]).extend(grown.pop(high, [high]))
        for top, merged in grown.items():
            fitting = [whole.pop(each) for each in merged if each in whole]  # the others are too large already
            if len(fitting) == len(merged) and sum(map(len, fitting)) <= max_size:
                whole[top] = [record for records in fitting for record in records]
            else:
                pieces += fitting
    return np.array(_labels([*pieces, *whole.values()], part.n), dtype=np.int64)


def _top(tops: list[int], record: int) -> int:
    """The record that stands for the group of this one; paths are shortened on the way."""
    while tops[record] != record:
        tops[record] = tops[tops[record]]
        record = tops[record]
    return record


def _described(graph: _Graph, codes: Codes, refusals: tuple[Refusal, ...], rules: Rules) -> Clusters:
    """The clusters with their weakest links and their cohesion."""
    left, right = graph.links
    weight = graph.weight[graph.weight > 0]
    is_inside = codes[left] == codes[right]
    left, right, weight = left[is_inside], right[is_inside], weight[is_inside]
    sizes, of = np.bincount(codes), codes[left]
    is_pair = sizes[of] == 2
    least = np.full(len(sizes), MISSING)
    least[of[is_pair]] = np.flatnonzero(is_pair)
    tree = np.flatnonzero(~is_pair)
    tree = tree[_spanning(graph.n, left[tree], right[tree], weight[tree])]
    least[of[tree]] = tree  # from the strongest on, so that the weakest link stays
    weakest, pair = np.full(len(sizes), np.nan), np.full((len(sizes), 2), MISSING, dtype=np.int32)
    has_link = least != MISSING
    weakest[has_link] = weight[least[has_link]] * STEP + rules.cut
    pair[has_link, 0], pair[has_link, 1] = left[least[has_link]], right[least[has_link]]
    links, possible = np.bincount(of, minlength=len(sizes)), sizes * (sizes - 1) // 2
    cohesion = np.where(sizes > 1, links / np.maximum(possible, 1), 1.0)
    return Clusters(codes, sizes, weakest, pair, cohesion, refusals)


def _spanning(n: int, left: Positions, right: Positions, weight: Floats) -> Ints:
    """The links on the maximum spanning tree, from the strongest on; of equal ones the last, so that there is one such tree."""
    if not len(left):
        return np.zeros(0, dtype=np.int64)
    keys = (weight.astype(np.int64) << PLACE) + np.arange(len(weight))  # one sort of whole numbers: a sixth of a stable one
    order = np.sort(keys)[::-1] & ((1 << PLACE) - 1)
    place = np.empty(len(order), dtype=np.float64)
    place[order] = np.arange(1, len(order) + 1)
    is_held = np.zeros(n, dtype=np.bool_)
    is_held[left] = is_held[right] = True
    number = np.cumsum(is_held) - 1
    size = int(is_held.sum())
    tree = minimum_spanning_tree(csr_array((place, (number[left], number[right])), shape=(size, size)))
    on_tree: Ints = order[np.sort(tree.data.astype(np.int64) - 1)]
    return on_tree
