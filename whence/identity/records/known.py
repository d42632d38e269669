"""What people have said of single pairs: learned from like labels, and never overruled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from whence.identity.records.table import MISSING, Floats, Pairs, Records

Known = Mapping[tuple[str, str], bool]
"""By two record ids whether they are one person."""
Ints = npt.NDArray[np.int64]

SAID = 14.0
"""The log-odds of what a person has said: more than evidence ever brings together, less than certainty."""


def places(records: Records, known: Known) -> tuple[Pairs, npt.NDArray[np.bool_]]:
    """The known pairs by position, sorted, and whether each is one person; pairs of records that are not there are left out.

    >>> records = Records(("a", "b", "c"), ())
    >>> pairs, same = places(records, {("c", "a"): True, ("b", "x"): False})
    >>> pairs.left.tolist(), pairs.right.tolist(), same.tolist()
    ([0], [2], [True])
    """
    if not known:
        return Pairs(np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int32)), np.empty(0, dtype=bool)
    at = {name: place for place, name in enumerate(records.ids)}
    found = {tuple(sorted((at[a], at[b]))): same for (a, b), same in known.items() if a in at and b in at and a != b}
    rows = sorted(found)
    ends = np.array(rows, dtype=np.int32).reshape(-1, 2)
    return Pairs(ends[:, 0], ends[:, 1]), np.array([found[row] for row in rows], dtype=bool)


def with_known(records: Records, pairs: Pairs, known: Known) -> Pairs:
    """The candidates and the known pairs together, each once, sorted."""
    if not known:
        return pairs
    said, _ = places(records, known)
    keys = np.union1d(_keys(pairs, len(records)), _keys(said, len(records)))
    return Pairs((keys // len(records)).astype(np.int32), (keys % len(records)).astype(np.int32)) if len(keys) else pairs


def labelled(records: Records, pairs: Pairs, known: Known) -> tuple[Ints, Floats, Ints]:
    """The pairs with a known answer: their places, 1 for one person, and the two people of each.

    A pair is labelled by what a person said of it, or else by the label column where both records have one. People are
    what all labels together make one, so that a scorer can be judged on people that it has never seen.
    """
    said, same = places(records, known)
    answer = np.full(len(pairs.left), np.nan)
    if records.labels is not None:
        ours, theirs = records.labels[pairs.left], records.labels[pairs.right]
        both = (ours != MISSING) & (theirs != MISSING)
        answer[both] = ours[both] == theirs[both]
    rows, there = _found(pairs, said, len(records))
    answer[rows] = same[there]
    told = np.flatnonzero(~np.isnan(answer))
    person = _people(records, Pairs(said.left[same], said.right[same]))
    return told, answer[told], np.column_stack([person[pairs.left[told]], person[pairs.right[told]]])


def stands_for(records: Records, same: Floats) -> Floats:
    """How many candidate pairs each labelled one stands for, next to those of one person.

    Where a share of the people is labelled, so is that share of the pairs of one person, but only its square of the others.
    """
    share = 1.0 if records.labels is None else float((records.labels != MISSING).mean())
    return np.where(same == 1, 1.0, 1 / max(share, 1e-3))


def settled(records: Records, pairs: Pairs, log_odds: Floats, known: Known) -> Floats:
    """The log-odds with what people have said in their place."""
    if not known:
        return log_odds
    said, same = places(records, known)
    rows, there = _found(pairs, said, len(records))
    found = log_odds.copy()
    found[rows] = np.where(same[there], SAID, -SAID)
    return found


def _people(records: Records, same: Pairs) -> Ints:
    """A person for each record: connected by what was said, or by one label."""
    if not len(same.left) and records.labels is not None:
        return records.labels.astype(np.int64)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(records)
    left, right = [same.left], [same.right]
    if records.labels is not None:
        order = np.argsort(records.labels, kind="stable")
        order = order[records.labels[order] != MISSING]
        chained = records.labels[order[1:]] == records.labels[order[:-1]]
        left.append(order[:-1][chained])
        right.append(order[1:][chained])
    ends = (np.concatenate(left), np.concatenate(right))
    graph = coo_matrix((np.ones(len(ends[0])), ends), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _found(pairs: Pairs, said: Pairs, n: int) -> tuple[Ints, Ints]:
    """Where the known pairs are among the pairs: positions in both."""
    if not len(said.left):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    _, rows, there = np.intersect1d(_keys(pairs, n), _keys(said, n), assume_unique=True, return_indices=True)
    return rows, there


def _keys(pairs: Pairs, n: int) -> Ints:
    return np.asarray(pairs.left.astype(np.int64) * n + pairs.right)
