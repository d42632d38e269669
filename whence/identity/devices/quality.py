"""How good the partners are: F-beta of each device's set, averaged over devices, with the doubt over households."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from whence.identity.devices.graph import BETA
from whence.identity.records.table import Pairs
from whence.identity.records.verdicts import Mask
from whence.measures import Measure, mean


def true_pairs(devices: npt.ArrayLike, owners: npt.ArrayLike) -> Pairs:
    """All pairs of devices with an owner in common; a row for each device and owner, devices by position.

    >>> pairs = true_pairs([0, 1, 2, 2], [7, 7, 7, 8])
    >>> list(zip(pairs.left.tolist(), pairs.right.tolist()))
    [(0, 1), (0, 2), (1, 2)]
    """
    device, owner = np.asarray(devices, dtype=np.int64), np.asarray(owners)
    order = np.lexsort((device, owner))
    device, owner = device[order], owner[order]
    starts = np.flatnonzero(np.concatenate([[True], owner[1:] != owner[:-1]])) if len(owner) else np.empty(0, np.int64)
    groups = [each for each in np.split(device, starts[1:]) if len(each) > 1]
    found = [np.stack([g[i] for i in np.triu_indices(len(g), 1)]) for g in groups]
    met = np.unique(np.concatenate(found, axis=1), axis=1) if found else np.empty((2, 0), np.int64)
    return Pairs(met[0].astype(np.int32), met[1].astype(np.int32))


def is_among(pairs: Pairs, truth: Pairs) -> Mask:
    """Whether each pair is one of the true ones."""
    size = 1 + max((int(side.max()) for side in (*pairs, *truth) if len(side)), default=0)
    one, other = (each.left.astype(np.int64) * size + each.right for each in (pairs, truth))
    return np.isin(one, other)


def fbeta(
    pairs: Pairs,
    is_partner: Mask,
    truth: Pairs,
    devices: npt.ArrayLike,
    households: npt.ArrayLike,
    beta: float = BETA,
    *,
    with_partners: bool = True,
) -> Measure:
    """The F-beta of the partner set of each of `devices` (positions), averaged; drawn anew by household for the interval.

    `is_partner` as from graph.partners, `households` has one for each device of all. A device without a true partner
    is left out, or with `with_partners=False` counts 1 when it was given none, and 0 otherwise.
    """
    unit = np.asarray(households)
    taken = np.concatenate([pairs.left[is_partner[:, 0]], pairs.right[is_partner[:, 1]]])
    hit = is_among(pairs, truth)
    hits = np.concatenate([pairs.left[is_partner[:, 0] & hit], pairs.right[is_partner[:, 1] & hit]])
    there = np.concatenate([truth.left, truth.right])
    given, right, wanted = (np.bincount(each, minlength=len(unit)) for each in (taken, hits, there))
    judged = np.asarray(devices, dtype=np.int64)
    judged = judged[wanted[judged] > 0] if with_partners else judged
    weight = beta**2
    scores = (1 + weight) * right / np.maximum(given + weight * wanted, 1e-12)
    scores = np.where((given == 0) & (wanted == 0), 1.0, scores)
    return mean(scores[judged], unit[judged])
