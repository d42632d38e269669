"""Fields vouch for each other: how often one agrees tells how many pairs are matches among those that the others describe alike.

Naive agreement models take fields for independent and count a household's shared name and address many times over.
Here each field in turn is foretold from the others by boosted trees, which learn what those share. Among pairs that
are alike in the other fields it agrees at a rate between that of strangers and that of matches, and where it lies
between is the chance of a match. Only the one field and the rest need be independent, given the truth.

Papers: A. Blum, T. Mitchell, Combining labeled and unlabeled data with co-training, COLT 1998; the correction for a
noisy label is that of N. Natarajan et al., Learning with noisy labels, NIPS 2013.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from whence.calibration import Calibrator
from whence.identity.records import fellegi_sunter as agreement
from whence.identity.records import headers
from whence.identity.records.boosted import Boosted, direction
from whence.identity.records.choose import HOME
from whence.identity.records.fellegi_sunter import SILENT, FellegiSunter, Levels
from whence.identity.records.table import MISSING, Codes, Column, Evidence, Floats, Records

Matrix = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

SAMPLE = 60_000
"""Pairs that are learned from."""
FEWEST = 500
"""Pairs with a value below which a field vouches for nothing …"""
STRICT = agreement.EDGES.index(0.8) + 1
"""The least level of likeness that counts as agreement."""
RARE = 30
"""… and how many must agree, and how many differ."""
LEARNER: dict[str, Any] = {
    "learning_rate": 0.2,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "lambda_l2": 5.0,
    "feature_fraction": 0.7,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
ROUNDS = 30
SETTLING = 8
"""How often rates and chances are found from each other."""
LEAST_GAP = 0.02
CAREFUL = 0.25
"""The share of all gain that witnesses have who find so many matches or fewer: others see more than people."""
AMPLE = 1.5
"""How many times as many matches a witness may find and keep its weight; beyond, it falls with the square."""
WORD = re.compile(r"[^\W\d_]+|\d+")
COMMON = 0.02
"""The chance that two records share a value from which a field is too common to vouch: what strangers share proves nothing."""
CROWD = 10
"""Others that share a value, beyond which those who do are taken for strangers …"""
IMPLIED = 0.7
"""… and the share of them that agree elsewhere, too, beyond chance, from which both fields say the same of a group."""
TOO_COMMON = 0.1
"""The chance that two records share a value from which a field is left alone: a given name tells the sex, and adds to it."""
TEXTUAL = 0.3
"""Share of words found in another field of the same record, beyond chance, from which two fields say the same."""


@dataclass(frozen=True)
class Witness:
    """One field's testimony on the sampled pairs."""

    field: int
    level: Levels
    agrees: Bools
    foretold: Floats
    """The chance that it agrees, from fields that do not repeat it, by models that have not seen the pair."""
    rates: tuple[float, float]
    """How often it agrees among strangers and among matches, at first."""
    gain: float
    """How much better than chance it was foretold: its weight."""

    @property
    def worth(self) -> float:
        """Weight times the share of pairs that it can speak on."""
        return self.gain * float((self.level != SILENT).mean())


@dataclass(frozen=True)
class Vouched:
    """A scorer learned from fields alone, and how much they had to say."""

    scorer: Boosted
    witnesses: tuple[str, ...]
    worth: float


def fit(
    records: Records, evidence: Evidence, weights: FellegiSunter, said: Bools, *, seed: int = 0, threads: int = 1
) -> Vouched | None:
    """A scorer without labels; None when no field can be foretold from the others; `said` are those of `implied`."""
    rows = _sample(len(evidence.values), seed)
    sampled = Evidence(evidence.names, evidence.values[rows])
    learner = LEARNER | {"seed": seed, "num_threads": threads}
    home = _is_home(records)
    found = _witnesses(sampled, weights, repeats(records) | said | np.outer(home, home), _is_common(records), learner)
    if not found:
        return None
    odds = _together(found)
    names = agreement.fields(evidence)
    scorer = student(sampled, odds, seed=seed, threads=threads)
    return Vouched(scorer, tuple(names[each.field] for each in found), sum(each.worth for each in found))


def _sample(n: int, seed: int) -> npt.NDArray[np.int64]:
    if n <= SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False))


def repeats(records: Records, seed: int = 0) -> Bools:
    """Which fields repeat each other: the words of one are found in the other of the same record, beyond chance."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(len(records), min(len(records), 2000), replace=False)
    words = [_words(column.values, column.codes[rows]) for column in records.columns]
    shuffled = generator.permutation(len(rows))
    said = np.eye(len(words), dtype=np.bool_)
    for one in range(len(words)):
        for other in range(one):
            others = [words[other][place] for place in shuffled]
            said[one, other] = said[other, one] = _found(words[one], words[other]) - _found(words[one], others) > TEXTUAL
    return said


def implied(records: Records, seed: int = 0) -> Bools:
    """Which fields say the same of whole groups: most of the many strangers that share one share the other, as towns and postcodes.

    A field is looked at where its values are shared by so many that hardly any of those who share one are one person.
    """
    said = np.eye(len(records.columns), dtype=np.bool_)
    for place, column in enumerate(records.columns):
        left, right = _sharing(column, seed)
        for other, theirs in enumerate(records.columns):
            expected = by_chance(theirs)
            ours = theirs.codes[left]
            known = (ours != MISSING) & (theirs.codes[right] != MISSING)
            if known.sum() < RARE or expected > TOO_COMMON:
                continue
            if (ours == theirs.codes[right])[known].mean() > expected + IMPLIED * (1 - expected):
                said[place, other] = said[other, place] = True
    return said


def _sharing(column: Column, seed: int) -> tuple[Codes, Codes]:
    """Pairs of records drawn from those that share a value with more than CROWD others; none where there are few."""
    crowd = np.append(column.counts > CROWD, False)[column.codes]
    rows = np.flatnonzero(crowd).astype(np.int32)
    if not len(rows) or len(rows) < 0.5 * (column.codes != MISSING).sum():
        return rows[:0], rows[:0]
    generator = np.random.default_rng(seed)
    rows = rows[np.argsort(column.codes[rows], kind="stable")]
    starts = np.searchsorted(column.codes[rows], column.codes[rows], side="left")
    sizes = column.counts[column.codes[rows]]
    drawn = generator.integers(0, len(rows), 20_000)
    other = rows[starts[drawn] + generator.integers(0, sizes[drawn])]
    apart = rows[drawn] != other
    return rows[drawn][apart], other[apart]


def _is_common(records: Records) -> Bools:
    return np.asarray([by_chance(column) > COMMON for column in records.columns], dtype=np.bool_)


def by_chance(column: Column) -> float:
    """The chance that two records share a value."""
    share = column.counts / max(column.counts.sum(), 1)
    return float(share @ share)


def _is_home(records: Records) -> Bools:
    """Which fields say where somebody lives: who moves changes all of them at once, so that they do not vouch for each other."""
    told = [column.field.kind in HOME and not headers.is_birth(column.field.name) for column in records.columns]
    return np.asarray(told, dtype=np.bool_)


def _words(values: tuple[str, ...], codes: npt.NDArray[np.int32]) -> list[frozenset[str]]:
    return [frozenset() if code == MISSING else frozenset(WORD.findall(values[code])) for code in codes.tolist()]


def _found(ours: list[frozenset[str]], theirs: list[frozenset[str]]) -> float:
    shares = [len(a & b) / min(len(a), len(b)) for a, b in zip(ours, theirs, strict=True) if a and b]
    return float(np.mean(shares)) if shares else 0.0


def _witnesses(
    evidence: Evidence, weights: FellegiSunter, said: Bools, common: Bools, learner: dict[str, Any]
) -> tuple[Witness, ...]:
    names = agreement.fields(evidence)
    seen = agreement.all_levels(evidence)
    half = np.random.default_rng(learner["seed"]).random(len(seen)) < 0.5
    found = []
    for field in range(len(names)):
        weight = np.asarray(weights.weights[field].levels)
        is_strong = (weight > max(1.0, weight.max() / 2)) & (np.arange(len(weight)) >= STRICT)
        agrees = np.append(is_strong, False)[seen[:, field]]
        others = tuple(names[other] for other in range(len(names)) if not said[field, other])
        signals = [place for place, signal in enumerate(evidence.names) if signal.rpartition(":")[0] in others]
        known = seen[:, field] != SILENT
        if common[field] or known.sum() < FEWEST or not RARE < agrees[known].sum() < known.sum() - RARE or not signals:
            continue
        foretold = _foretold(evidence.values[:, signals], agrees, known, half, learner)
        found.append(_witness(field, seen[:, field], agrees, known, foretold))
    return tuple(each for each in found if each.gain > 0)


def _foretold(x: Matrix, agrees: Bools, known: Bools, half: Bools, learner: dict[str, Any]) -> Floats:
    """The chance of agreement of each pair, by a model of the other half of the pairs."""
    import lightgbm

    settings = learner | {"objective": "binary"}
    foretold = np.empty(len(x))
    for side in (half, ~half):
        rows = lightgbm.Dataset(x[side & known], agrees[side & known].astype(np.float32), params=settings)
        model = lightgbm.train(settings, rows, ROUNDS)
        foretold[~side] = model.predict(x[~side], num_threads=learner["num_threads"])
    return foretold


def _witness(field: int, level: Levels, agrees: Bools, known: Bools, foretold: Floats) -> Witness:
    """The rates at both ends of what was foretold, and how far apart it lies for pairs that agree and differ."""
    order = np.argsort(-foretold[known], kind="stable")
    ranked = agrees[known][order]
    of_matches, of_strangers = float(ranked[: max(50, len(ranked) // 200)].mean()), float(ranked[len(ranked) // 2 :].mean())
    told = float(foretold[known & agrees].mean() - foretold[known & ~agrees].mean())
    return Witness(
        field, level, agrees, foretold, (of_strangers, of_matches), max(of_matches - of_strangers, 0.0) * max(told, 0.0)
    )


def _together(witnesses: tuple[Witness, ...]) -> Floats:
    """Log-odds of each pair: each witness's chance from the others and its own agreement on top, averaged by gain.

    The rates of agreement are found from the chances, and the chances from the rates, in turn.
    """
    rates = [each.rates for each in witnesses]
    gains = _trusted(witnesses, [float(_chance(each, at).sum()) for each, at in zip(witnesses, rates, strict=True)])[:, None]
    for turn in range(SETTLING + 1):
        chances = np.stack([_chance(each, at) for each, at in zip(witnesses, rates, strict=True)])
        if turn < SETTLING:
            overall = expit((gains * logit(chances)).sum(axis=0) / gains.sum())
            rates = [_rates(each, overall) for each in witnesses]
    own = np.stack([_own(each, chance) for each, chance in zip(witnesses, chances, strict=True)])
    return np.asarray((gains * (logit(chances) + own)).sum(axis=0) / gains.sum())


def _trusted(witnesses: tuple[Witness, ...], matches: list[float]) -> Floats:
    """The gain of each witness, less as it finds more matches than the more careful ones do."""
    gains, found = np.asarray([each.gain for each in witnesses]), np.maximum(np.asarray(matches), 1.0)
    order = np.argsort(found, kind="stable")
    careful = found[order][np.searchsorted(np.cumsum(gains[order]), CAREFUL * gains.sum())]
    return np.asarray(gains * np.minimum(AMPLE * careful / found, 1.0) ** 2)


def _chance(witness: Witness, rates: tuple[float, float]) -> Floats:
    of_strangers, of_matches = rates
    return np.clip((witness.foretold - of_strangers) / max(of_matches - of_strangers, 0.05), 1e-4, 1 - 1e-4)


def _rates(witness: Witness, chance: Floats) -> tuple[float, float]:
    known = witness.level != SILENT
    is_match, agrees = chance[known], witness.agrees[known]
    of_strangers = float((1 - is_match) @ agrees / max(float((1 - is_match).sum()), 1e-9))
    of_matches = max(float(is_match @ agrees / max(float(is_match.sum()), 1e-9)), of_strangers + LEAST_GAP)
    return min(of_strangers, of_matches - LEAST_GAP), of_matches


def _own(witness: Witness, chance: Floats) -> Floats:
    """What the field's own level adds, given the chance that the others give."""
    own = np.zeros(agreement.COUNT)
    for _ in range(SETTLING):
        is_match = expit(logit(chance) + np.append(own, 0.0)[witness.level])
        matches, others = agreement.rates(witness.level, is_match), agreement.rates(witness.level, 1 - is_match)
        own = agreement.rising(matches, others)
    return np.append(own, 0.0)[witness.level]


def student(evidence: Evidence, odds: Floats, *, seed: int = 0, threads: int = 1, rounds: int = 2 * ROUNDS) -> Boosted:
    """One model of all signals that gives what others gave together."""
    import lightgbm

    settings = LEARNER | {
        "objective": "cross_entropy",
        "num_leaves": 31,
        "min_data_in_leaf": 30,
        "monotone_constraints": [direction(name) for name in evidence.names],
        "seed": seed,
        "num_threads": threads,
    }
    plain = [f"signal_{place}" for place in range(len(evidence.names))]
    rows = lightgbm.Dataset(evidence.values, expit(odds).astype(np.float32), feature_name=plain, params=settings)
    text = lightgbm.train(settings, rows, rounds).model_to_string().partition("\nparameters:")[0] + "\n"
    return Boosted(evidence.names, (text,), Calibrator("platt", float(expit(odds).mean()), (1.0, 0.0)))
