"""Whom anonymous persons may be, what the journeys say about it, and partitions of people drawn from that."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

OVER = 1e-6
"""An owner's probabilities may sum to so much above 1 before that is a mistake."""
FEW = 10.0
"""A kind of evidence is believed as far as it was seen more often than this; below, as all kinds together are."""
ROUNDS = 500
CLOSE = 1e-7
OWNERS = 20_000
"""So many owners are drawn for together."""


class OptionsError(ValueError):
    """Options that cannot be: the message says which."""


@dataclass(frozen=True)
class Options:
    """Whom each anonymous person (an owner) may be: one of its targets, each with a probability, or nobody known.

    Owners and targets are positions in `units`; what exact links hold together is one unit.
    """

    units: pd.Index
    owner: Ints
    target: Ints
    probability: Floats
    is_linked: Marks
    """The link that was taken, at most one an owner."""
    island: Ints
    """By unit: units that some partition could bring together have one number."""

    @classmethod
    def of(cls, options: pd.DataFrame, units: pd.Index) -> Options:
        """From rows of owner, target, probability and is_linked (absent: none is), among these units and perhaps others.

        An owner is no target, and its probabilities sum to 1 at most; OptionsError says where that is not so.
        """
        known = units.union(pd.Index(options["owner"])).union(pd.Index(options["target"])).unique()
        owner, target = (np.asarray(known.get_indexer(options[name]), dtype=np.int64) for name in ("owner", "target"))
        probability = options["probability"].to_numpy(dtype=np.float64)
        linked = options["is_linked"].to_numpy(dtype=bool) if "is_linked" in options else np.zeros(len(options), dtype=bool)
        order = np.lexsort((target, owner))
        made = cls(known, owner[order], target[order], probability[order], linked[order], _islands(owner, target, len(known)))
        made._check()
        return made

    def __len__(self) -> int:
        return len(self.owner)

    @cached_property
    def owners(self) -> Ints:
        """The number of each option's owner, from 0 and rising, since options lie by owner."""
        return np.asarray(np.cumsum(np.diff(self.owner, prepend=self.owner[:1]) != 0), dtype=np.int64)

    def likely(self, probability: Floats) -> Options:
        """The same options with other probabilities."""
        return replace(self, probability=probability)

    def draw(self, times: int, rng: np.random.Generator) -> Marks:
        """Partitions at random: a row for each option, a column for each draw, True where the owner is that target."""
        drawn = np.zeros((len(self), times), dtype=np.bool_)
        first = np.searchsorted(self.owners, np.arange(int(self.owners.max(initial=-1)) + 1))
        before = np.cumsum(self.probability) - self.probability
        for begin in range(0, len(first), OWNERS):
            owners = first[begin : begin + OWNERS]
            rows = slice(int(owners[0]), int(first[begin + OWNERS]) if begin + OWNERS < len(first) else len(self))
            mine = self.owners[rows]
            lot = rng.random((len(owners), times), dtype=np.float32)[mine - begin]
            low = (before[rows] - before[first[mine]])[:, None]
            drawn[rows] = (lot >= low) & (lot < low + self.probability[rows, None])
        return drawn

    def who(self, chosen: Marks, units: Ints) -> Ints:
        """Who each of these units is when these options hold: the unit of its target, else itself. Columns as in `chosen`.

        A unit below 0 is nobody known, and stays so.
        """
        place = np.full(len(self.units) + 1, -1, dtype=np.int64)
        place[units] = np.arange(len(units))
        place[-1] = -1
        mine = np.flatnonzero(place[self.owner] >= 0)
        people = np.repeat(units[:, None], chosen.shape[1], axis=1)
        option, draw = np.nonzero(chosen[mine])
        people[place[self.owner[mine]][option], draw] = self.target[mine][option]
        return people

    def stated(self) -> tuple[Ints, Floats]:
        """By unit: who it is as the links that were taken have it, and how sure that is; the last place is for nobody known."""
        who, sure = np.append(np.arange(len(self.units)), -1), np.ones(len(self.units) + 1)
        who[self.owner[self.is_linked]] = self.target[self.is_linked]
        sure[self.owner[self.is_linked]] = self.probability[self.is_linked]
        return who, sure

    @property
    def people(self) -> csr_array:
        """How units make up people, in square: for amounts x by unit, the mean over partitions of the sum over people of their
        squared amounts is the sum of squares of `people @ x`.

        Of a target that is itself and everybody who is it: with independent owners, the square of the mean, and for each
        owner what its own variance adds, 1 less the sum of its squared probabilities.
        """
        n = len(self.units)
        apart = np.ones(n)
        apart -= np.bincount(self.owner, self.probability**2, n)
        own = csr_array((np.sqrt(np.maximum(apart, 0.0)), (np.arange(n), np.arange(n))), shape=(n, n))
        return own + csr_array((self.probability, (self.target, self.owner)), shape=(n, n))

    def neighbours(self, least: float) -> tuple[Ints, Ints]:
        """Pairs of units that a partition may bring together, both ways round: linked by an option, or to one target."""
        by_target = np.argsort(self.target, kind="stable")
        owner, target, p = self.owner[by_target], self.target[by_target], self.probability[by_target]
        size = np.bincount(target, minlength=len(self.units))[target]
        first = np.searchsorted(target, target)
        left = np.repeat(np.arange(len(owner)), size)
        right = np.arange(len(left)) - np.repeat(np.cumsum(size) - size, size) + first[left]
        is_likely = (left != right) & (p[left] * p[right] >= least)
        one = np.concatenate([self.owner, self.target, owner[left[is_likely]]])
        other = np.concatenate([self.target, self.owner, owner[right[is_likely]]])
        both = np.sort(one * len(self.units) + other)
        both = both[np.diff(both, prepend=-1) != 0]
        return both // len(self.units), both % len(self.units)

    def _check(self) -> None:
        for name, is_wrong in (
            ("is an owner and a target: only persons without an account are anonymous", np.isin(self.owner, self.target)),
            ("has a probability outside 0 to 1", ~((self.probability >= 0) & (self.probability <= 1))),
            ("has a target twice", (np.diff(self.owner, prepend=-1) == 0) & (np.diff(self.target, prepend=-1) == 0)),
            ("has probabilities that sum to more than 1", np.bincount(self.owners, self.probability)[self.owners] > 1 + OVER),
            ("has two links that were taken", np.bincount(self.owners, self.is_linked)[self.owners] > 1),
        ):
            if is_wrong.any():
                raise OptionsError(f"{self.units[self.owner[int(np.argmax(is_wrong))]]} {name}.")


def of_decisions(decisions: pd.DataFrame, owners: pd.Series, accounts: Collection[str]) -> pd.DataFrame:
    """Rows for `Options.of` from what was decided about anonymous signals: owner, target, probability, is_linked.

    `decisions` are rows of the table of the ranker that compares signals with known persons (subject, option, made_at,
    probability, chosen); `owners` is the exact person of each subject, `accounts` are the persons that a log-in names, both
    as known now: who has logged in since is no longer in doubt. Of each owner the last day on which it was compared counts;
    its probability for a target is the mean over the signals that had it as a candidate, and where those sum to more than 1
    they are scaled down, since an owner is one person.
    """
    day = pd.to_datetime(decisions["made_at"], utc=True).dt.floor("D")
    rows = decisions.assign(owner=decisions["subject"].map(owners), target=decisions["option"], day=day).dropna(subset="owner")
    rows = rows[~rows["owner"].isin(accounts) & rows["target"].isin(accounts)]
    rows = rows[rows["day"] == rows.groupby("owner")["day"].transform("max")]
    found = rows.groupby(["owner", "target"], as_index=False).agg(
        probability=("probability", "mean"), is_linked=("chosen", "max")
    )
    whole = found.groupby("owner")["probability"].transform("sum").clip(lower=1.0)
    return found.assign(probability=found["probability"] / whole, is_linked=found["is_linked"].astype(bool))


@dataclass(frozen=True)
class Evidence:
    """What outcomes say about options, and who made us think so."""

    log_ratio: Floats
    """By kind of outcome: how much likelier it is for a true option than for a false one."""
    probability: Floats
    """By option: with the outcome known."""
    influence: csr_array
    """By unit (row) and kind: by how much the log-ratio would be less without this owner, to first order."""

    @classmethod
    def none(cls, options: Options) -> Evidence:
        """Nothing learned."""
        return cls(np.zeros(0), options.probability, csr_array((len(options.units), 0)))


def evidence(options: Options, kind: Ints, kinds: int) -> Evidence:
    """Learn from all options together what their outcomes say, by expectation-maximisation, and put it to the probabilities.

    An outcome is what a link would bring, a number below `kinds` for each option, 0 for nothing: to bring a touch before its
    conversion is something that links of one person do more often than links of two, so a link that does so is likelier than
    its probability said, which was calibrated over all. Without this step drawn partitions would make journeys shorter and
    credit smaller than they are. Outcomes that the probabilities know already change little. Kinds that were seen seldom are
    drawn to what holds for all kinds but 0. What is learned takes outcomes to be independent of the probabilities among true
    and among false options; where false options of busy owners have other probabilities, it is off by as much.
    """
    if not (kind > 0).any():
        return Evidence.none(options)
    some = _maximised(options, np.minimum(kind, 1), np.ones((2, 2)))
    seen = np.bincount(kind[kind > 0], minlength=kinds) + 1e-9
    seen[0] = 0
    chances = _maximised(options, kind, FEW * np.column_stack([some[:, 0], np.outer(some[:, 1], (seen / seen.sum())[1:])]))
    log_ratio = np.log(chances[TRUE] / chances[FALSE])
    return Evidence(log_ratio, _posterior(options, log_ratio, kind), _influence(options, chances, kind))


TRUE, FALSE = range(2)


def _maximised(options: Options, kind: Ints, like: Floats) -> Floats:
    """The chances of each kind (column) for true and for false options; `like` counts as seen beforehand."""
    chances = like / like.sum(axis=1, keepdims=True)
    for _ in range(ROUNDS):
        held = chances
        p = _posterior(options, np.log(chances[TRUE] / chances[FALSE]), kind)
        chances = np.stack([np.bincount(kind, weight, like.shape[1]) for weight in (p, 1 - p)]) + like
        chances = np.asarray(chances / chances.sum(axis=1, keepdims=True))
        if np.abs(chances - held).max() < CLOSE:
            break
    return np.asarray(chances)


def _posterior(options: Options, log_ratio: Floats, kind: Ints) -> Floats:
    owners = options.owners
    weight = options.probability * np.exp(log_ratio)[kind]
    nobody = np.maximum(1 - np.bincount(owners, options.probability), 0.0)
    whole = (nobody + np.bincount(owners, weight))[owners]
    return np.asarray(np.divide(weight, whole, out=np.zeros_like(weight), where=whole > 0))


def _influence(options: Options, chances: Floats, kind: Ints) -> csr_array:
    """By unit and kind, from the scores of the owners and their outer product as the information."""
    kinds = chances.shape[1]
    owners = options.owners
    n = int(owners.max()) + 1
    p = _posterior(options, np.log(chances[TRUE] / chances[FALSE]), kind)
    score, prior = [], np.zeros((2 * kinds, 2 * kinds))
    for place, (weight, chance) in enumerate(zip((p, 1 - p), chances, strict=True)):
        count = np.bincount(owners * kinds + kind, weight, n * kinds).reshape(n, kinds)
        score.append(count - count.sum(axis=1, keepdims=True) * chance)
        part = slice(place * kinds, (place + 1) * kinds)
        prior[part, part] = FEW * (np.diag(chance) - np.outer(chance, chance))
    scores = np.hstack(score)
    moved = (scores @ np.linalg.pinv(scores.T @ scores + prior, hermitian=True)).reshape(n, 2, kinds)
    moved -= np.einsum("nik,ik->ni", moved, chances)[:, :, None]
    by_owner = csr_array(moved[:, TRUE] - moved[:, FALSE])
    unit = options.owner[np.searchsorted(owners, np.arange(n))]
    place = csr_array((np.ones(n), (unit, np.arange(n))), shape=(len(options.units), n))
    return place @ by_owner


def _islands(owner: Ints, target: Ints, units: int) -> Ints:
    edges = coo_array((np.ones(len(owner), dtype=np.int8), (owner, target)), shape=(units, units))
    return np.asarray(connected_components(edges, directed=False)[1], dtype=np.int64)
