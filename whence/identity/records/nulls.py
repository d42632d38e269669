"""How many pairs would look as good if the columns said nothing of each other: a null model of records from shuffled columns.

The best of a million pairs of strangers look good whatever the table, and where hardly anybody is there twice there is nothing
better. So strangers are made up whose fields come from different pairs drawn at random, columns that go together from one pair.
Where they reach the scores of those who would be joined nearly as often as the candidates do, these are believed only as far as
they outnumber the strangers.

Paper: B. Efron et al., Empirical Bayes analysis of a microarray experiment, JASA 96 (2001).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from whence.identity.records import fellegi_sunter as agreement
from whence.identity.records.scorer import PairScorer
from whence.identity.records.table import Evidence, Floats
from whence.identity.records.vouching import IMPLIED, RARE

Bools = npt.NDArray[np.bool_]

TIMES = 8
"""How often the pairs drawn at random are put together anew."""
MANY = 0.5
"""The share of the pairs that would be joined that strangers would be as well, from which the scores are doubted …"""
FEWEST = 10.0
"""… and how many strangers there must be."""
COMMON = 0.004
"""The chance that two records share a value from which hardly any of those who do are one person."""
MORE = 1.5
"""How many times as many as all who may be one person."""
SURE = 3.0
"""Log-odds that hardly any stranger may have …"""
HARDLY = 0.05
"""… for each pair that has, or they are others than those that were looked at: they agree in what these never agree in alone."""
BINS = 20
LEAST = 1e-3
"""The least share of strangers that is told from none."""
LOW = -2.0
"""Log-odds from which scores are looked at."""


def outnumbering(
    scorer: PairScorer, log_odds: Floats, chance: Evidence, possible: float, share: float, implied: Bools, seed: int
) -> Floats | None:
    """The log-odds, none higher than by how much pairs of such a score outnumber strangers; None where strangers are few.

    `chance` are pairs drawn at random, `possible` the number of pairs that there are, and `share` the part of the candidates
    that `log_odds` are of.
    """
    if not len(chance.values) or not len(log_odds):
        return None
    strangers = scorer.log_odds(_shuffled(chance, scorer.log_odds(chance) > 0, implied, seed))
    each = possible / max(len(strangers), 1)
    expected, found = each * float((strangers > 0).sum()), float((log_odds > 0).sum()) / share
    surely = each * float((strangers > SURE).sum()), float((log_odds > SURE).sum()) / share
    if expected < max(FEWEST, MANY * found) or surely[0] > max(HARDLY * surely[1], 1.0):
        return None
    shown = log_odds[log_odds > LOW]
    edges = np.unique(np.quantile(shown, np.linspace(0, 1, BINS + 1)[1:-1]))
    of_pairs = np.bincount(np.searchsorted(edges, shown, side="right"), minlength=len(edges) + 1) / share
    of_strangers = each * np.bincount(np.searchsorted(edges, strangers[strangers > LOW], side="right"), minlength=len(edges) + 1)
    ratio = isotonic_regression(of_strangers / np.maximum(of_pairs, 1.0), weights=np.maximum(of_pairs, 1.0), increasing=False).x
    chances = np.clip(ratio, LEAST, 1 - LEAST)
    most = np.log((1 - chances) / chances)[np.searchsorted(edges, log_odds, side="right")]
    return np.where(log_odds > LOW, np.minimum(log_odds, most), log_odds)


def _shuffled(chance: Evidence, likely: Bools, implied: Bools, seed: int) -> Evidence:
    """Pairs whose fields come from different pairs; columns that imply each other from one.

    Some of the pairs drawn are of one person: those that are `likely` show nothing of how often strangers share what few have.
    """
    names = agreement.fields(chance)
    group = connected_components(csr_matrix(implied | _go_together(chance)), directed=False)[1]
    of = np.asarray([group[names.index(name.rpartition(":")[0])] for name in chance.names])
    generator, n = np.random.default_rng(seed), len(chance.values)
    values = np.empty((TIMES * n, len(of)), dtype=np.float32)
    equal = np.asarray([(_likeness(chance, name) == 1.0).mean() for name in names])
    for each in np.unique(of):
        is_common = likely.all() or equal[group == each].max() >= max(COMMON, MORE * likely.mean())
        drawn = np.arange(n) if is_common else np.flatnonzero(~likely)
        values[:, of == each] = chance.values[generator.choice(drawn, TIMES * n)][:, of == each]
    return Evidence(chance.names, values)


def _likeness(evidence: Evidence, name: str) -> npt.NDArray[np.float32]:
    return np.asarray(evidence.values[:, evidence.names.index(f"{name}:likeness")])


def _go_together(chance: Evidence) -> Bools:
    """Which columns strangers mostly share both of, if they share one, as flats of one size have as many rooms.

    Hardly any of those who share what so many do are one person.
    """
    names = agreement.fields(chance)
    likeness = np.column_stack([_likeness(chance, name) for name in names])
    equal, known = likeness == 1.0, ~np.isnan(likeness)
    said = np.eye(len(names), dtype=np.bool_)
    for one in range(len(names)):
        for other in range(len(names)):
            both = equal[:, one] & known[:, other]
            if both.sum() < max(RARE, COMMON * known[:, one].sum()) or not known[:, other].any():
                continue
            by_chance = equal[:, other].sum() / known[:, other].sum()
            if equal[both, other].mean() > by_chance + IMPLIED * (1 - by_chance):
                said[one, other] = said[other, one] = True
    return said
