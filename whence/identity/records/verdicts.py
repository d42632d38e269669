"""Verdicts on pairs: same, different or unsure, cut for each record where the F-beta that one asks for is best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from whence import calibration
from whence.identity.records.table import Floats, Pairs

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

DIFFERENT, UNSURE, SAME = -1, 0, 1
NAMES = {DIFFERENT: "different", UNSURE: "unsure", SAME: "same"}

NODES = ((2, 8), (4, 12), (8, 16), (16, 24), (64, 48), (400, 96))
"""How many points integrate a group of at most so many candidates; more than that never change the cut."""

LARGE = NODES[-1][0]
"""From here on the number of true candidates is so near its mean that the ratio of means is the mean of the ratio."""

UNLIKELY = 0.02
"""Candidates below this are never taken where others are far likelier."""
EDGE = 1e-9
MARGIN = 0.5
"""How far the log-odds of unsupervised probabilities may be off: a factor of 1.6 in the odds."""


@dataclass(frozen=True)
class Costs:
    """What mistakes cost against a look by a person, in any one currency."""

    false_merge: float = 10.0
    false_split: float = 5.0
    look: float = 1.0

    def band(self) -> tuple[float, float]:
        """The probabilities between which a look is cheaper than either verdict; (x, x) where it never is.

        >>> Costs(false_merge=10, false_split=5, look=1).band()
        (0.2, 0.9)
        """
        if min(self.false_merge, self.false_split, self.look) <= 0:
            raise ValueError(f"Costs are above 0; {self} came.")
        lower, upper = self.look / self.false_split, 1 - self.look / self.false_merge
        if lower < upper:
            return lower, upper
        indifferent = self.false_merge / (self.false_merge + self.false_split)
        return indifferent, indifferent


@dataclass(frozen=True)
class Margin:
    """How far calibrated log-odds may be off, from below and from above, at rising log-odds `at`."""

    at: tuple[float, ...] = (0.0,)
    below: tuple[float, ...] = (MARGIN,)
    above: tuple[float, ...] = (MARGIN,)

    def bounds(self, probabilities: Floats) -> tuple[Floats, Floats]:
        """The least and the greatest probability that each may really be."""
        odds = logit(np.clip(probabilities, EDGE, 1 - EDGE))
        below, above = np.interp(odds, self.at, self.below), np.interp(odds, self.at, self.above)
        return np.asarray(expit(odds - below)), np.asarray(expit(odds + above))


@dataclass(frozen=True)
class Verdicts:
    """A verdict for each pair (SAME, UNSURE, DIFFERENT), and whether it is linked if one must choose."""

    codes: npt.NDArray[np.int8]
    is_taken: Mask
    """The cut alone: what to link where nobody can be asked."""
    beta: float

    def counts(self) -> dict[str, int]:
        """How many pairs got each verdict."""
        return {name: int((self.codes == code).sum()) for code, name in NAMES.items()}


def expected_fbeta(probabilities: npt.ArrayLike, groups: npt.ArrayLike, beta: float = 1.0) -> tuple[Floats, Floats]:
    """The expected F-beta of taking each candidate and all the likelier ones of its group; and of taking none.

    Candidates are true independently, with their probability. The first array is aligned with `probabilities`; the
    second has one value a group, in rising order of its name: the chance that none is true (then, taking none is right).

    >>> taken, none = expected_fbeta([0.9, 0.2], [7, 7])
    >>> taken.round(3).tolist(), none.round(3).tolist()
    ([0.84, 0.673], [0.08])
    """
    p, group, order = _sorted(*_checked(probabilities, groups, beta))
    starts = _starts(group)
    expected, none = _expected(p, starts, np.zeros((3, len(starts))), beta)
    aligned = np.empty(len(p))
    aligned[order] = expected
    return aligned, none


def expected_fbeta_cut(probabilities: npt.ArrayLike, groups: npt.ArrayLike, beta: float = 1.0) -> Mask:
    """Which candidates to take so that each group's expected F-beta is greatest: always the likeliest ones, or none.

    `groups` names the record that each candidate is for (any integers). A beta below 1 takes fewer. Of cuts that
    are equally good the one with fewer is taken. All pairs as one group give the best cut for all pairs together.

    >>> expected_fbeta_cut([0.9, 0.6, 0.4, 0.1], [0, 0, 1, 1], beta=1).tolist()
    [True, True, False, False]
    >>> expected_fbeta_cut([0.9, 0.6, 0.4, 0.1], [0, 0, 1, 1], beta=0.25).tolist()
    [True, False, False, False]

    Lewis: Evaluating and optimizing autonomous text classification systems (1995), for the top-of-the-list form.
    """
    p, group = _checked(probabilities, groups, beta)
    mask = p > 0.5
    is_open = ~_settled(p, group, mask, beta)
    mask[is_open] = _best_top(p[is_open], group[is_open], beta)
    return mask


def pair_cut(pairs: Pairs, probabilities: Floats, beta: float = 1.0) -> Mask:
    """Which pairs to link: those that the cuts of both their records take.

    >>> pairs = Pairs(np.array([0, 1], dtype=np.int32), np.array([2, 2], dtype=np.int32))
    >>> pair_cut(pairs, np.array([0.9, 0.4])).tolist()
    [True, False]
    """
    return np.asarray(np.logical_and(*_sides(pairs, probabilities, beta)))


def decide(
    pairs: Pairs, probabilities: Floats, beta: float = 1.0, margin: Margin | None = None, costs: Costs | None = None
) -> Verdicts:
    """Same, different or unsure for each pair.

    With `costs`, unsure is what a look by a person is cheaper for. Otherwise unsure are the pairs whose verdict
    would be another if all probabilities were as high, or as low, as `margin` allows.

    >>> pairs = Pairs(np.array([0, 0, 0], dtype=np.int32), np.array([1, 2, 3], dtype=np.int32))
    >>> decide(pairs, np.array([0.99, 0.5, 0.01])).codes.tolist()
    [1, 0, -1]
    """
    taken = pair_cut(pairs, probabilities, beta)
    if costs:
        lower, upper = costs.band()
        is_unsure = (probabilities >= lower) & (probabilities <= upper) & (lower < upper)
    else:
        least, most = (margin or Margin()).bounds(probabilities)
        is_unsure = _flips(pairs, probabilities, least, beta, taken) | _flips(pairs, probabilities, most, beta, taken)
    codes = np.where(is_unsure, UNSURE, np.where(taken, SAME, DIFFERENT)).astype(np.int8)
    return Verdicts(codes, taken, beta)


def calibration_margin(
    raw: Floats, labels: npt.ArrayLike, groups: npt.ArrayLike, kind: str = "platt", draws: int = 40, level: float = 0.9
) -> Margin:
    """How far the log-odds of a calibrator fitted to these rows may be off, by drawing whole groups (people) anew.

    >>> rng = np.random.default_rng(0)
    >>> raw = rng.normal(size=400)
    >>> few = calibration_margin(raw[:40], rng.random(40) < expit(raw[:40]), np.arange(40))
    >>> many = calibration_margin(raw, rng.random(400) < expit(raw), np.arange(400))
    >>> few.below[5] > many.below[5]
    True
    """
    y = np.asarray(labels, dtype=np.float64)
    of = np.unique(np.asarray(groups), return_inverse=True)[1]
    full = calibration.fit(kind, raw, y)
    at = np.quantile(raw, np.linspace(0, 1, 21))
    middle = logit(full.apply(at))
    rng = np.random.default_rng(0)
    found = []
    for _ in range(draws):
        weights = rng.exponential(size=of.max() + 1)[of]  # Rubin's Bayesian bootstrap: no draw ever loses a class
        found.append(logit(calibration.fit(kind, raw, y, weights).apply(at)) - middle)
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2], axis=0)
    rising = np.r_[True, np.diff(middle) > 0]
    below, above = np.maximum(-low, 0)[rising], np.maximum(high, 0)[rising]
    return Margin(tuple(middle[rising].tolist()), tuple(below.tolist()), tuple(above.tolist()))


def _sides(pairs: Pairs, probabilities: Floats, beta: float) -> tuple[Mask, Mask]:
    """Each pair is a candidate of both its records: whether the left one's cut takes it, and the right one's."""
    both = np.concatenate([pairs.left, pairs.right])
    mask = expected_fbeta_cut(np.tile(probabilities, 2), both, beta)
    return mask[: len(probabilities)], mask[len(probabilities) :]


def _flips(pairs: Pairs, probabilities: Floats, moved: Floats, beta: float, taken: Mask) -> Mask:
    """Pairs whose verdict changes when the probabilities move; one that hardly moves is not unsure for its rivals' sake."""
    is_open = (probabilities > EDGE) & (probabilities < 1 - EDGE) & (np.abs(moved - probabilities) > EDGE)
    return np.asarray((pair_cut(pairs, moved, beta) != taken) & is_open)


def _settled(p: Floats, group: Ints, is_likely: Mask, beta: float) -> Mask:
    """Candidates of groups where one outcome is so likely that no cut but the one at 0.5 can be best.

    With k likely candidates all but e of the chance is on their being the true ones. Any other cut loses at least
    min(1, b) / ((1 + b) k + 1) of the F-beta there, so it cannot win it back when e is at most half of that.
    """
    number = group if len(group) and group.min() >= 0 and group.max() <= 4 * len(group) else _numbered(group)
    b = beta * beta
    doubt = np.bincount(number, np.minimum(p, 1 - p))
    likely = np.bincount(number, is_likely)
    return np.asarray((doubt <= 0.5 * min(1.0, b) / ((1 + b) * likely + 1))[number])


def _best_top(p: Floats, group: Ints, beta: float) -> Mask:
    """For each group the top that is best, by trying each; what is too unlikely to be taken only counts as missed."""
    is_head, tails = _heads(p, group, beta)
    mask = np.zeros(len(p), dtype=bool)
    mask[is_head] = _top(p[is_head], group[is_head], tails[:, is_head], beta)
    return mask


def _heads(p: Floats, group: Ints, beta: float) -> tuple[Mask, Floats]:
    """Which candidates may be taken, and for each the sums of p, p²/2 and p³/3 over the rest of its group.

    One more candidate helps only when its p is about F / (1 + b) or more, where b is beta squared and F is what can be
    had without it. F is at least what the likeliest candidate brings alone, by Jensen's inequality; half of that is safe.
    """
    number, b = _dense(group), beta * beta
    highest = np.zeros(int(number.max(initial=-1)) + 1)
    np.maximum.at(highest, number, p)
    alone = highest * (1 + b) / (1 + b * (1 + np.bincount(number, p, len(highest)) - highest))
    is_head = p >= np.minimum(UNLIKELY, 0.5 * alone / (1 + b))[number]
    rest = np.where(is_head, 0.0, p)
    sums = [np.bincount(number, rest**power / power, len(highest)) for power in (1, 2, 3)]
    return is_head, np.asarray(np.stack(sums)[:, number], dtype=np.float64)


def _top(p: Floats, group: Ints, tails: Floats, beta: float) -> Mask:
    p, group, order = _sorted(p, group)
    starts = _starts(group)
    taken, none = _expected(p, starts, tails[:, order][:, starts], beta)
    number = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(p))))
    best = np.maximum.reduceat(taken, starts) if len(p) else taken
    rank = np.arange(len(p)) - starts[number]
    is_best = taken >= best[number] - EDGE
    first = np.minimum.reduceat(np.where(is_best, rank, len(p)), starts) if len(p) else rank
    first[none >= best - EDGE] = -1
    mask = np.empty(len(p), dtype=bool)
    mask[order] = rank <= first[number]
    return mask


def _expected(p: Floats, starts: Ints, tails: Floats, beta: float) -> tuple[Floats, Floats]:
    """The expected F-beta of each top of sorted groups, and of none; `tails` are the sums over what is left out."""
    sizes = np.diff(np.append(starts, len(p)))
    expected = np.empty(len(p))
    for low, high, nodes in _classes():
        chosen = np.flatnonzero((sizes > low) & (sizes <= high))
        if len(chosen):
            rows = _rows(starts[chosen], sizes[chosen])
            expected[rows] = _integrated(p[rows], sizes[chosen], tails[:, chosen], beta, nodes)
    for at in np.flatnonzero(sizes > LARGE):
        group = slice(starts[at], starts[at] + sizes[at])
        expected[group] = _of_means(p[group], float(tails[0, at]), beta)
    none = np.multiply.reduceat(1 - p, starts) * np.exp(-tails.sum(axis=0)) if len(p) else np.zeros(0)
    return expected, none


def _checked(probabilities: npt.ArrayLike, groups: npt.ArrayLike, beta: float) -> tuple[Floats, Ints]:
    p, group = np.asarray(probabilities, dtype=np.float64), np.asarray(groups, dtype=np.int64)
    if beta <= 0:
        raise ValueError(f"Beta is above 0 (1 for F1, 0.5 to count precision more); {beta:g} came.")
    if len(p) != len(group):
        raise ValueError(f"{len(p)} probabilities and {len(group)} groups came. Give one group a candidate.")
    is_wrong = ~((p >= 0) & (p <= 1))
    if is_wrong.any():
        raise ValueError(f"Candidate {int(np.argmax(is_wrong))} has no probability between 0 and 1.")
    return p, group


def _sorted(p: Floats, group: Ints) -> tuple[Floats, Ints, Ints]:
    """Candidates by group, the likeliest first, ties by position; and where each came from."""
    order = np.lexsort((-p, group))
    return p[order], group[order], order


def _numbered(group: Ints) -> Ints:
    return np.asarray(np.unique(group, return_inverse=True)[1], dtype=np.int64)


def _dense(group: Ints) -> Ints:
    """Groups as numbers that are not much larger than there are candidates."""
    return group if len(group) and group.min() >= 0 and group.max() <= 4 * len(group) else _numbered(group)


def _starts(group: Ints) -> Ints:
    """Where each group begins, in sorted groups."""
    return np.flatnonzero(np.r_[True, group[1:] != group[:-1]][: len(group)])


def _classes() -> list[tuple[int, int, int]]:
    """Sizes of groups from, to, and the points that are enough for them."""
    tops = [0, *(top for top, _ in NODES)]
    return [(low, top, nodes) for low, (top, nodes) in zip(tops, NODES, strict=False)]


def _rows(starts: Ints, sizes: Ints) -> Ints:
    """The rows of the groups that start there, one after the other."""
    shift = np.repeat(starts - np.r_[0, np.cumsum(sizes)[:-1]], sizes)
    return np.asarray(np.arange(int(sizes.sum())) + shift)


def _integrated(p: Floats, sizes: Ints, tails: Floats, beta: float, nodes: int) -> Floats:
    """E[(1 + b) T / (j + b S)] for the top j of each group: T true among them, S true in the group, b = beta squared.

    1 / x is the integral of t^(x - 1) over [0, 1], which turns the mean over all 2^n outcomes into products:
    with u = t^b and q = 1 - p + p u, E[T t^(b S)] is the product of all q times the sum over the top j of p u / q.
    The integrand is a polynomial in s, where t = s^c and c makes both powers at least 1, so Gauss's points are exact
    for small groups and better than 1e-9 for large ones. Candidates in the tail are in the product alone, by the first
    three terms of their logarithm.
    """
    b = beta * beta
    c = max(1.0, 1 / b)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    starts = np.r_[0, np.cumsum(sizes)[:-1]]
    number = np.repeat(np.arange(len(sizes)), sizes)
    j = np.arange(len(p)) - starts[number] + 1
    total = np.zeros(len(p))
    for s, weight in zip((points + 1) / 2, weights / 2, strict=True):
        u = s ** (c * b)
        q = 1 - p + p * u
        partial = np.cumsum(p * u / q)
        partial -= (partial[starts] - (p * u / q)[starts])[number]
        tail = np.exp(-(tails[0] + (tails[1] + tails[2] * (1 - u)) * (1 - u)) * (1 - u))
        total += weight * c * s ** (c * j - 1) * (np.multiply.reduceat(q, starts) * tail)[number] * partial
    return np.asarray((1 + b) * total)


def _of_means(p: Floats, rest: float, beta: float) -> Floats:
    """The ratio of the means, for a group so large that its sums hardly vary."""
    b = beta * beta
    return np.asarray((1 + b) * np.cumsum(p) / (np.arange(1, len(p) + 1) + b * (p.sum() + rest)))
