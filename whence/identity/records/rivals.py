"""Two sources without repeats: a record's best partner in the other source is real if nothing in its own source comes as near.

Whatever is alike within a source is alike by chance, since a source holds nobody twice. So the best pairs within
sources, and the second best between them, show how good a pair of strangers can look; the best between the sources
are matches as far as they look better. Trees learn to tell the two kinds apart, and are asked about records that they
have not seen.

Paper: the same competition is used for spectra in L. Käll et al., Semi-supervised learning for peptide
identification, Nature Methods 4 (2007).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

from whence.identity.records import vouching
from whence.identity.records.boosted import direction
from whence.identity.records.table import Codes, Evidence, Floats, Pairs

Bools = npt.NDArray[np.bool_]

TURNS = 1
ROUNDS = 80
BINS = 40
LEAST = 1e-4
FEWEST = 100
"""Best pairs and strangers below which nothing is learned."""
LEARNER: dict[str, Any] = {**vouching.LEARNER, "objective": "cross_entropy", "learning_rate": 0.1}
ALIKE = 0.9
"""Likeness that each field must have for two records to be alike in all they tell."""
TOLD = 0.7
"""What their equal values tell at least, as a share of what it takes to name one record."""
REPEATED = 0.25
"""How many records may have one like them in their own source, for each that has one in the other …"""
OUTNUMBERED = 1.4
"""How many times as many partners may be believed as look better than strangers do."""
COMMON = 0.08
"""… or for each record at all …"""
NAMED = 0.25
"""How many records, as a share of all, may share what only one has with another of their own source …"""
CHANCE = 0.5
"""… and never so many of those that there would be if the column said nothing, such as how somebody was won."""
SEVERAL = 0.015
"""The share of those with a partner in another source who may have two there."""


def are_without_repeats(pairs: Pairs, evidence: Evidence, source: Codes, named: Bools) -> bool:
    """Whether sources seem to hold nobody twice: pairs that are alike in each field lie between them, hardly within, one a record.

    Songs of one album are alike in most fields, and not in their titles. Where hardly any pairs are alike there is nothing
    to see, and several tables are taken to be without repeats. Of the pairs that share what only one has, such as a device
    or an account, which are `named`, hardly any lie within a source either.
    """
    if len(np.unique(source)) < 2:
        return False
    likeness = evidence.values[:, [place for place, name in enumerate(evidence.names) if name.endswith(":likeness")]]
    known = ~np.isnan(likeness)
    rarity = evidence.values[:, [place for place, name in enumerate(evidence.names) if name.endswith(":rarity")]]
    is_rare = np.nansum(rarity, axis=1) >= TOLD * np.log(max(len(source), 2))
    alike = is_rare & (known.sum(axis=1) >= 2) & ((likeness >= ALIKE) | ~known).all(axis=1)
    between = source[pairs.left] != source[pairs.right]
    repeated, partnered = (_records(pairs, alike & where) for where in (~between, between))
    within, across = (_records(pairs, named & where) for where in (~between, between))
    if within > max(across, NAMED * len(source)):
        return False
    if len(np.unique(source)) > 2 and partnered >= FEWEST and repeated >= CHANCE * partnered * _within_by_chance(source):
        return False
    if partnered >= FEWEST and _with_several(pairs, alike & between, source) > SEVERAL:
        return False
    return repeated <= max(REPEATED * partnered, COMMON * len(source))


def _with_several(pairs: Pairs, rows: Bools, source: Codes) -> float:
    """Of the records that have a partner in another source among these pairs, the share that has two or more there."""
    sides = _Sides(len(source), pairs, source)
    partners = np.bincount(np.concatenate([sides.left[rows], sides.right[rows]]), minlength=sides.contests)
    return float((partners > 1).sum() / max((partners > 0).sum(), 1))


def _within_by_chance(source: Codes) -> float:
    """How many pairs lie within sources for each between them, if sources say nothing of who is who."""
    share = np.unique(source, return_counts=True)[1] / len(source)
    return float(share @ share / (1 - share @ share))


def _records(pairs: Pairs, rows: Bools) -> int:
    return len(np.unique(np.concatenate([pairs.left[rows], pairs.right[rows]])))


def judged(n: int, pairs: Pairs, evidence: Evidence, source: Codes, start: Floats, *, seed: int = 0, threads: int = 1) -> Floats:
    """Log-odds of each pair, from a first score that only has to put matches near the top; shape (pairs,)."""
    sides = _Sides(n, pairs, source)
    score = start
    side = np.random.default_rng(seed).random(n) < 0.5
    for _ in range(TURNS):
        best, second, within = _contest(sides, score)
        if min(best.sum(), second.sum()) < FEWEST:
            break
        chance = np.where(best, expit(_least(score, best, second, within)), 0.0)
        shown = best | second | within
        score = _learned(pairs, evidence, shown, chance, side, LEARNER | {"seed": seed, "num_threads": threads})
    return _least(score, *_contest(sides, score))


def outnumbered(n: int, pairs: Pairs, source: Codes, score: Floats) -> bool:
    """Whether far more partners are believed than look better than strangers do."""
    sides = _Sides(n, pairs, source)
    best, second, within = _contest(sides, score)
    if min(best.sum(), second.sum()) < FEWEST:
        return False
    return bool(expit(score[best]).sum() > OUTNUMBERED * expit(_least(score, best, second, within)[best]).sum())


def alone(n: int, pairs: Pairs, score: Floats) -> Floats:
    """The log-odds of pairs of one table by how much better its records' best partners look than their second best."""
    sides = _Sides(n, pairs, np.zeros(n, dtype=np.int32))
    best = _both_best(sides, score)
    second = _a_best(sides, np.where(best, -np.inf, score))
    return _against(score, best, second) if min(best.sum(), second.sum()) >= FEWEST else score


class _Sides:
    """The contests that pairs are part of: one for each record and source that it may have a partner in."""

    def __init__(self, n: int, pairs: Pairs, source: Codes) -> None:
        sources = int(source.max()) + 1
        self.between = source[pairs.left] != source[pairs.right]
        self.left = pairs.left.astype(np.int64) * sources + source[pairs.right]
        self.right = pairs.right.astype(np.int64) * sources + source[pairs.left]
        self.contests = n * sources

    def tops(self, score: Floats) -> Floats:
        """The best score in each contest."""
        top = np.full(self.contests, -np.inf)
        np.maximum.at(top, self.left, score)
        np.maximum.at(top, self.right, score)
        return top


def _contest(sides: _Sides, score: Floats) -> tuple[Bools, Bools, Bools]:
    """Pairs that are the one best of both records between the sources; the second best there; the best within sources."""
    best = _both_best(sides, np.where(sides.between, score, -np.inf))
    second = _a_best(sides, np.where(sides.between & ~best, score, -np.inf))
    within = _both_best(sides, np.where(sides.between, -np.inf, score))
    return best, second, within


def _least(score: Floats, best: Bools, second: Bools, within: Bools) -> Floats:
    """The log-odds against whichever strangers look better; there are none within sources where nobody compared those."""
    odds = _against(score, best, second)
    return np.minimum(odds, _against(score, best, within)) if within.sum() >= FEWEST else odds


def _a_best(sides: _Sides, score: Floats) -> Bools:
    top = sides.tops(score)
    return np.asarray(np.isfinite(score) & ((score == top[sides.left]) | (score == top[sides.right])))


def _both_best(sides: _Sides, score: Floats) -> Bools:
    """Pairs that no other of either record equals."""
    top = sides.tops(score)
    leads = np.isfinite(score) & (score == top[sides.left]), np.isfinite(score) & (score == top[sides.right])
    ties = np.bincount(sides.left[leads[0]], minlength=sides.contests)
    ties += np.bincount(sides.right[leads[1]], minlength=sides.contests)
    return np.asarray(leads[0] & leads[1] & (ties[sides.left] == 1) & (ties[sides.right] == 1))


def _against(score: Floats, best: Bools, strangers: Bools) -> Floats:
    """Log-odds of a match at each score: how much more often the best have it than strangers, above where they have it alike."""
    edges = np.unique(np.quantile(score[best], np.linspace(0, 1, BINS + 1)[1:-1])) if best.any() else np.zeros(0)
    bins = np.searchsorted(edges, score, side="right")
    of_best, of_strangers = (np.bincount(bins[kind], minlength=len(edges) + 1) + 0.5 for kind in (best, strangers))
    share_best, share_strangers = of_best / of_best.sum(), of_strangers / of_strangers.sum()
    ratio = np.exp(isotonic_regression(np.log(share_best / share_strangers), weights=share_best + share_strangers).x)
    odds = logit(np.clip(1 - min(float(ratio[0]), 1.0) / ratio, LEAST, 1 - LEAST))
    return np.asarray(np.interp(score, *_knots(score, bins, odds)))


def _knots(score: Floats, bins: npt.NDArray[np.int64], odds: Floats) -> tuple[Floats, Floats]:
    there = np.unique(bins)
    return np.asarray([np.median(score[bins == each]) for each in there]), odds[there]


def _learned(pairs: Pairs, evidence: Evidence, shown: Bools, chance: Floats, side: Bools, learner: dict[str, Any]) -> Floats:
    """Scores of all pairs by models of the records on the other side."""
    import lightgbm

    settings = learner | {"monotone_constraints": [direction(name) for name in evidence.names]}
    score = np.empty(len(chance))
    for mine in (side[pairs.left], ~side[pairs.left]):
        chosen = shown & mine
        rows = lightgbm.Dataset(evidence.values[chosen], chance[chosen].astype(np.float32), params=settings)
        model = lightgbm.train(settings, rows, ROUNDS)
        score[~mine] = model.predict(evidence.values[~mine], raw_score=True, num_threads=learner["num_threads"])
    return score
