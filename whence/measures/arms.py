"""Two models side by side: how much worse the challenger is than what is tolerated, in standard errors.

Rows of one person go together. So whatever is counted is counted by group of people, the same groups in both arms, and doubt
comes from leaving out a group at a time: that holds for people who are in one arm alone, and for requests that both answered.
Counts of groups add up over processes and hours.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc, ndtri, stdtr

from whence.measures.intervals import Floats, codes_of, floats
from whence.measures.levels import log_losses
from whence.measures.sequential import FARTHEST

GROUPS = 32
"""Groups of people that counts are kept by."""
CHAMPION, CHALLENGER = 0, 1
"""The arms, as they lie in every array of counts: arm × group, or arm × group × bin."""
HALF = 0.5
"""Added to every bin: a bin that one arm has not met yet is no infinite difference."""


def failures(bad: npt.ArrayLike, asked: npt.ArrayLike) -> float:
    """How sure it is that the challenger fails more often; `bad` and `asked` are counts by arm and group.

    Both must be sure: the exact test of all failures, which knows how few they are, and the differences between groups of
    people, which know that one person may bring many.

    >>> asked = np.full((2, GROUPS), 20)
    >>> bad = np.zeros((2, GROUPS)); bad[CHALLENGER] = 1
    >>> failures(bad, asked) > 5, failures(bad[::-1], asked) < -5
    (True, True)
    >>> one_person = np.zeros((2, GROUPS)); one_person[CHALLENGER, 3] = 20
    >>> failures(one_person, asked) < 1.5
    True
    """
    x, n = np.asarray(bad, dtype=np.float64), np.asarray(asked, dtype=np.float64)
    if not n.sum(axis=1).all():
        return 0.0
    there = n.sum(axis=0) > 0
    without = [_excess(x.sum(axis=1) - x[:, each], n.sum(axis=1) - n[:, each]) for each in np.flatnonzero(there)]
    return min(exactly(x.sum(axis=1), n.sum(axis=1)), _jackknife(_excess(x.sum(axis=1), n.sum(axis=1)), without))


def exactly(bad: npt.ArrayLike, asked: npt.ArrayLike) -> float:
    """How sure it is that the challenger fails more often, were all requests independent: given how many failed in all.

    >>> round(exactly([10, 10], [1000, 1000]), 1), exactly([0, 10], [1900, 100]) > 6
    (-0.2, True)
    """
    x, n = floats(bad), floats(asked)
    if not x[CHALLENGER]:
        return -FARTHEST
    return _z(float(bdtrc(x[CHALLENGER] - 1, int(x.sum()), n[CHALLENGER] / n.sum())))


def shift(counts: npt.ArrayLike, tolerated: float) -> float:
    """How sure it is that the scores lie elsewhere than the champion's, by a stability index of more than `tolerated`.

    `counts` are by arm, group and bin. The index is corrected for what few rows alone would give.

    >>> same = np.full((2, GROUPS, 4), 5)
    >>> moved = same.copy(); moved[CHALLENGER] = [17, 1, 1, 1]
    >>> shift(same, 0.25) < -5, shift(moved, 0.25) > 5
    (True, True)
    """
    found = np.asarray(counts, dtype=np.float64)
    all_of_them = found.sum(axis=1)
    if not all_of_them.sum(axis=1).all():
        return 0.0
    there = np.flatnonzero(found.sum(axis=(0, 2)))
    return _jackknife(stability(all_of_them) - tolerated, [stability(all_of_them - found[:, g]) - tolerated for g in there])


def stability(counts: npt.ArrayLike) -> float:
    """The population stability index of two rows of counts: 0 for the same shares, by custom other ones above 0.25.

    >>> stability([[10, 10], [10, 10]]), round(stability([[900, 100], [500, 500]]), 2)
    (0.0, 0.88)
    """
    padded = np.asarray(counts, dtype=np.float64) + HALF
    shares = padded / padded.sum(axis=1, keepdims=True)
    return float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())


def loss(
    labels: npt.ArrayLike, champion: npt.ArrayLike, challenger: npt.ArrayLike, people: npt.ArrayLike, tolerated: float
) -> float:
    """How sure it is that the challenger's log loss on the same rows is above the champion's by more than a share `tolerated`.

    Every person counts the same, however many rows are theirs.

    >>> labels, people = [1, 0] * 40, list(range(80))
    >>> loss(labels, [0.5] * 80, [0.9, 0.3] * 40, people, 0.0) < -5
    True
    """
    excess = log_losses(labels, challenger) - (1 + tolerated) * log_losses(labels, champion)
    return _over_people(_by_person(excess, people))


def level(
    labels: npt.ArrayLike, champion: npt.ArrayLike, challenger: npt.ArrayLike, people: npt.ArrayLike, tolerated: float
) -> float:
    """How sure it is that the challenger's level is farther off than the champion's, by more than a factor `tolerated`.

    The level is observed over expected positives, every person counting the same; 1.25 and 0.8 are off by the same.

    >>> labels, people = [1, 0, 0, 0] * 100, list(range(400))
    >>> level(labels, [0.25] * 400, [0.5] * 400, people, 1.2) > 5, level(labels, [0.5] * 400, [0.25] * 400, people, 1.2) < -5
    (True, True)
    """
    y = _by_person(floats(labels), people)
    seen, gaps, by_person = y.sum() + HALF, [], []
    for probabilities in (champion, challenger):
        p = _by_person(floats(probabilities), people)
        gaps.append(float(np.log(seen / (p.sum() + HALF))))
        by_person.append(np.sign(gaps[-1]) * (y / seen - p / (p.sum() + HALF)))
    excess = abs(gaps[CHALLENGER]) - abs(gaps[CHAMPION]) - float(np.log(tolerated))
    return _over_people(len(y) * (by_person[CHALLENGER] - by_person[CHAMPION]) + excess)


def _excess(bad: Floats, asked: Floats) -> float:
    """How much more often the challenger fails; an arm without a request fails never."""
    shares = bad / np.maximum(asked, 1)
    return float(shares[CHALLENGER] - shares[CHAMPION])


def _jackknife(value: float, without: list[float]) -> float:
    """How sure a value is above zero, from its values without each group in turn; its bias is taken off."""
    groups, rest = len(without), np.asarray(without)
    if groups < 2:
        return 0.0
    unbiased = groups * value - (groups - 1) * float(rest.mean())
    error = float(np.sqrt((groups - 1) / groups * ((rest - rest.mean()) ** 2).sum()))
    return _t(unbiased, error, groups - 1)


def _by_person(values: Floats, people: npt.ArrayLike) -> Floats:
    """The mean of each person's rows."""
    codes, count = codes_of(people, len(values))
    return np.asarray(np.bincount(codes, values, count) / np.bincount(codes, minlength=count))


def _over_people(values: Floats) -> float:
    """How sure it is that the mean over people is above zero."""
    if len(values) < 2:
        return 0.0
    return _t(float(values.mean()), float(values.std(ddof=1)) / float(np.sqrt(len(values))), len(values) - 1)


def _t(value: float, error: float, freedom: int) -> float:
    """Student's t as the normal deviate that is as rare."""
    if error <= 1e-12 * abs(value):
        return float(np.sign(value)) * FARTHEST
    return -_z(float(stdtr(freedom, value / error))) if value < 0 else _z(float(stdtr(freedom, -value / error)))


def _z(tail: float) -> float:
    """The normal deviate with so much above it."""
    return float(np.clip(-ndtri(tail), -FARTHEST, FARTHEST))
