"""What to teach a model when labels are not ripe: five ways to turn labels as known now into labels with a weight.

`fsiw` weighs, `soft` and `em` put a chance in place of a 0 that may become a 1, `rescale` weighs by the maturity curve
alone, and `naive` takes what is seen. None is best everywhere; training lets them compete (see training.delayed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from whence.delay.curve import Floats, late
from whence.delay.deadline import as_known
from whence.delay.rows import Rows
from whence.delay.speed import LEAST, known_by_age, learned

CLIP = 10.0
"""No label counts more often than this; a rare late label must not carry the whole fit."""
PASSES = 3
"""How often `em` finds the chances again."""
TURNS = 2
"""How often `fsiw` finds the rate again that its weights of 0s need, and that needs these weights."""
DEFAULT = "fsiw"


@dataclass(frozen=True)
class Taught:
    """For each row the label to teach, 0 to 1, and how much it counts; ripe rows have their own label and count 1."""

    label: Floats
    weight: Floats


def correct(name: str, rows: Rows) -> Taught:
    """What to teach of these rows by one of CORRECTIONS. Raises ValueError for another name."""
    if name not in CORRECTIONS:
        raise ValueError(f"There is no correction of labels '{name}'. There are {', '.join(CORRECTIONS)}.")
    if rows.ripe.all() or not rows.label.any():
        return naive(rows)
    return CORRECTIONS[name](rows)


def naive(rows: Rows) -> Taught:
    """Labels as seen: conversions still to come are taught as none. Right only where delays hardly matter."""
    return Taught(rows.label, np.ones(len(rows.label)))


def rescale(rows: Rows) -> Taught:
    """Each known conversion stands for its share of those to come, by the maturity curve of its segment alone."""
    return Taught(rows.label, _weights(rows, rows.known_by_curve(), rows.late_by_curve()))


def fsiw(rows: Rows) -> Taught:
    """Feedback shift weights by the row's features, times the chance that its conversion would be known by its age.

    Such weights stay right when both labels of a row are multiplied by anything that its features and age decide. With
    that chance a fresh row counts by what it can tell: its rare conversion is not multiplied, its many 0s count little.
    """
    known = known_by_age(rows)
    zero = known * (1 - _late_by_features(rows, known))
    return Taught(rows.label, np.where(rows.ripe | (rows.label > 0), 1.0, zero))


def soft(rows: Rows) -> Taught:
    """A 0 becomes the chance of a conversion yet, as a model learned it from what became of 0s since an earlier deadline.

    The deadline lies back by the window, or by half the history where that is short; what comes still later is added
    by the curve. Wang, Zhang, Guan, et al.: Unbiased delayed feedback label correction (KDD 2023).
    """
    back = min(rows.window, float(rows.elapsed.max()) / 2)
    then = as_known(rows.elapsed, rows.delay, back)
    is_open = np.isnan(then.delay)
    x, since = rows.features[then.happened][is_open], rows.label[then.happened][is_open]
    if min(since.sum(), (1 - since).sum()) < LEAST:
        return _softened(rows, rows.late_by_curve())
    came = learned(rows, np.column_stack([x, then.elapsed[is_open]]), since)
    soon = expit(came(np.column_stack([rows.features, rows.elapsed])))
    known, later = rows.curve.known_by(rows.elapsed), rows.curve.known_by(rows.elapsed + back)
    return _softened(rows, np.minimum(soon * (1 - known) / np.maximum(later - known, 1 / CLIP), 1.0))


def em(rows: Rows) -> Taught:
    """A 0 becomes the chance of a conversion yet that follows from the row's rate and speed, found in turn with the rate.

    Chapelle: Modeling delayed feedback in display advertising (KDD 2014), with trees for both of its models.
    """
    known = known_by_age(rows)
    chance = _late_by_features(rows, known)
    for _ in range(PASSES - 1):
        taught = _softened(rows, chance)
        place, label, weight = unfolded(taught.label, taught.weight)
        chance = late(expit(learned(rows, rows.features[place], label, weight)(rows.features)), known)
    return _softened(rows, chance)


CORRECTIONS: Mapping[str, Callable[[Rows], Taught]] = MappingProxyType(
    {"fsiw": fsiw, "soft": soft, "em": em, "rescale": rescale, "naive": naive}
)


def fsiw_weights(
    features: npt.ArrayLike,
    elapsed: npt.ArrayLike,
    delay: npt.ArrayLike,
    window: float,
    *,
    categories: tuple[int, ...] = (),
    seed: int = 7,
    threads: int = 2,
) -> Floats:
    """A weight for each row, so that labels as seen now train as the final ones would; not yet by what a row can tell.

    `features` is n × k; `elapsed` the time since each row happened; `delay` the time until its conversion was
    known, NaN while there is none; all in one unit. A conversion that is known stands for those of its kind still
    to come and counts 1 / P(known by now | it converts); a row without one counts 1 − P(it will yet convert).
    Small models learn both chances from what is known now, so nobody has to wait. Ripe rows count 1.

    Yasui, Morishita, Fujita, Shibata: A feedback shift correction in predicting conversion rates under delayed
    feedback (WWW 2020).
    """
    rows = Rows.of(features, elapsed, delay, window, categories=categories, seed=seed, threads=threads)
    if rows.ripe.all() or not rows.label.any():
        return np.ones(len(rows.label))
    known = known_by_age(rows)
    return _weights(rows, known, _late_by_features(rows, known))


def unfolded(label: Floats, weight: Floats) -> tuple[npt.NDArray[np.int64], Floats, Floats]:
    """Rows with labels of 0 or 1 alone: one between them comes twice, as a 1 and as a 0 that share its weight.

    Gives the place of each in the rows given, its label and its weight; the loss and its gradient stay the same.

    >>> place, label, weight = unfolded(np.array([1.0, 0.25]), np.array([1.0, 2.0]))
    >>> place.tolist(), label.tolist(), weight.tolist()
    ([0, 1, 1], [1.0, 1.0, 0.0], [1.0, 0.5, 1.5])
    """
    between = np.flatnonzero((label > 0) & (label < 1))
    first = np.where((label > 0) & (label < 1), label, 1.0) * weight
    place = np.concatenate([np.arange(len(label)), between])
    ones = np.concatenate([np.where(label > 0, 1.0, 0.0), np.zeros(len(between))])
    order = np.argsort(place, kind="stable")
    return place[order], ones[order], np.concatenate([first, ((1 - label) * weight)[between]])[order]


def _weights(rows: Rows, known: Floats, chance: Floats) -> Floats:
    weight = np.where(rows.label > 0, 1 / np.maximum(known, 1 / CLIP), 1 - chance)
    return np.asarray(np.where(rows.ripe, 1.0, weight))


def _softened(rows: Rows, chance: Floats) -> Taught:
    label = np.where(rows.ripe | (rows.label > 0), rows.label, chance)
    return Taught(np.asarray(label), np.ones(len(label)))


def _late_by_features(rows: Rows, known: Floats) -> Floats:
    """The chance of a conversion yet, by a model of the rate that is learned with weights of 0s by everybody's rate, then its own."""
    chance = rows.late_by_curve()
    if min(rows.label.sum(), (1 - rows.label).sum()) < LEAST:
        return chance
    for _ in range(TURNS):
        rate = learned(rows, rows.features, rows.label, _weights(rows, known, chance) * known)
        chance = late(expit(rate(rows.features)), known)
    return chance
