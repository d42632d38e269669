"""How sure it is that two devices are one person's: boosted trees on a pair's own signals, then on what its neighbours say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import expit, logit

from whence.identity.devices.pairs import against_rivals
from whence.identity.devices.profiles import dots
from whence.identity.records import boosted
from whence.identity.records.boosted import Boosted, BoostedError
from whence.identity.records.table import Evidence, Floats, Pairs

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ROUNDS, FLOOR = 100, 1e-6
NOBODY = -1
"""The unit of a device whose owner nobody knows."""


@dataclass(frozen=True)
class Ranker:
    """Two scorers that look at pairs alone, each learned from half of the people, and one that also asks the neighbours.

    The halves are there so that no labelled pair is scored by a model that learned from it: its neighbours would
    seem surer than they are.
    """

    alone: tuple[Boosted, Boosted]
    together: Boosted
    shift: float = 0.0
    """Added to the log-odds, where matches are commoner or rarer than among the pairs that it learned from."""

    def log_odds(self, evidence: Evidence, pairs: Pairs, devices: int, units: npt.ArrayLike | None = None) -> Floats:
        """Calibrated log-odds that the two devices of each pair are one person's, shape (pairs,).

        `units` as it was given to `fit`, where the pairs that it learned from are among these.
        """
        known = _known(units, devices)
        alone = _apart(self.alone, evidence, pairs, known)
        return self.together.log_odds(with_neighbours(evidence, alone, pairs, devices)) + self.shift

    def to_json(self) -> dict[str, Any]:
        """A plain dict; `from_json` gives back the same answers."""
        alone = [each.to_json() for each in self.alone]
        return {"kind": "devices", "alone": alone, "together": self.together.to_json(), "shift": self.shift}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Ranker:
        """The ranker of a dict that `to_json` made; raises BoostedError for anything else."""
        if given.get("kind") != "devices" or len(given.get("alone", ())) != 2 or "together" not in given:
            raise BoostedError("This is no ranker of devices as it was written. Train it again, or restore the file.")
        one, other = (Boosted.from_json(each) for each in given["alone"])
        return cls((one, other), Boosted.from_json(given["together"]), float(given["shift"]))


def fit(
    evidence: Evidence,
    pairs: Pairs,
    labels: npt.ArrayLike,
    units: npt.ArrayLike,
    *,
    share: float = 1.0,
    seeds: Sequence[int] = (0,),
) -> Ranker:
    """A ranker learned from labelled pairs: 1 for one person, 0 for two, NaN where nobody knows.

    `units` has a whole number for each device: whoever is learned from or judged as a whole (an account, better a
    household), NOBODY for a device without. A pair is learned from when both its units are known. `share` is the
    share of all units that are known: of two units both are known only with its square, so such a pair weighs
    1 / share, and the probabilities hold for pairs as they are met.
    Raises TooFewLabels when either half of the units shows fewer than ten pairs of either kind.
    """
    y = np.asarray(labels, dtype=np.float64)
    unit = np.asarray(units, dtype=np.int64)
    if len(y) != len(evidence.values) or not 0 < share <= 1:
        raise ValueError(
            f"{len(evidence.values)} pairs, {len(y)} labels and a share of {share:g} came. Give a label a pair, a share above 0."
        )
    groups = np.column_stack([unit[pairs.left], unit[pairs.right]])
    is_labelled = ~np.isnan(y) & (groups != NOBODY).all(axis=1)
    is_apart = groups[:, 0] != groups[:, 1]
    weights = np.where(is_apart, 1 / share, 1.0)
    half = _half(groups)

    def some(which: Evidence, rows: Mask) -> Evidence:
        return Evidence(which.names, which.values[rows])

    def alone(one: Mask, other: Mask) -> Boosted:
        given = weights[one] * np.where(is_apart[one], 2.0, 1.0)
        told = (some(evidence, other), y[other])
        return boosted.fit(
            some(evidence, one), y[one], groups[one], weights=given, calibrate_on=told, is_monotone=False, seeds=seeds
        )

    one, other = (is_labelled & (half == number).all(axis=1) for number in (0, 1))
    both = (alone(one, other), alone(other, one))
    full = some(with_neighbours(evidence, _apart(both, evidence, pairs, unit), pairs, len(unit)), is_labelled)
    at, given = groups[is_labelled], weights[is_labelled]
    return Ranker(both, boosted.fit(full, y[is_labelled], at, weights=given, is_monotone=False, seeds=seeds))


def adapted(ranker: Ranker, log_odds: Floats, base: float) -> Ranker:
    """The ranker for all pairs, where the labelled ones were no fair sample: its `log_odds` of all pairs, and the
    (weighted) share of matches among the labelled ones.

    Two devices of one person are likelier to be labelled both than two of strangers, yet what they look like does
    not depend on the label. So the share of matches is sought at which the probabilities, moved to it, average to it.
    Saerens, Latinne, Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities (2002).
    """
    share = float(base)
    for _ in range(ROUNDS):
        share = float(np.clip(expit(log_odds + logit(share) - logit(base)).mean(), FLOOR, 1 - FLOOR))
    return replace(ranker, shift=ranker.shift + float(logit(share) - logit(base)))


def with_neighbours(evidence: Evidence, log_odds: Floats, pairs: Pairs, devices: int) -> Evidence:
    """The evidence with what the pairs around each pair say, going by the log-odds of each pair alone.

    `support` is the expected number of third devices that are both one's and the other's; `against` that of devices
    that are the one's and not the other's; and the pair's log-odds are compared with those of its rivals.
    """
    p = expit(log_odds)
    both = (np.concatenate([pairs.left, pairs.right]), np.concatenate([pairs.right, pairs.left]))
    near = sparse.csr_matrix((np.concatenate([p, p]), both), shape=(devices, devices))
    partners = np.asarray(near.sum(axis=1)).ravel()
    support = dots(near, pairs)
    one, other = partners[pairs.left] - p - support, partners[pairs.right] - p - support
    columns = {
        "alone": log_odds,
        "neighbours_support": support,
        "neighbours_against_least": np.minimum(one, other),
        "neighbours_against_most": np.maximum(one, other),
        **{f"alone_{what}": values for what, values in against_rivals(log_odds, pairs, devices).items()},
    }
    told = np.column_stack([evidence.values, *columns.values()]).astype(np.float32)
    return Evidence((*evidence.names, *columns), told)


def _apart(alone: tuple[Boosted, Boosted], evidence: Evidence, pairs: Pairs, units: Ints) -> Floats:
    """The log-odds of each pair by the model that has not seen it, or the mean of both where neither has."""
    first, second = (model.log_odds(evidence) for model in alone)
    half = _half(np.column_stack([units[pairs.left], units[pairs.right]]))
    mean = (first + second) / 2
    return np.where((half == 0).all(axis=1), second, np.where((half == 1).all(axis=1), first, mean))


def _known(units: npt.ArrayLike | None, devices: int) -> Ints:
    return np.full(devices, NOBODY, dtype=np.int64) if units is None else np.asarray(units, dtype=np.int64)


def _half(units: Ints) -> Ints:
    """0 or 1 by a unit's number alone (the finisher of SplitMix), NOBODY for an unknown one."""
    mixed = (units.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.where(units == NOBODY, NOBODY, ((mixed >> np.uint64(33)) & np.uint64(1)).astype(np.int64))
