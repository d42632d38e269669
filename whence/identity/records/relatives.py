"""Relatives: pairs that share a home and what goes with it, and agree no more than strangers in what a person has alone.

Without labels those who agree in a surname, an address and a phone are taken for one person, since these vouch for each
other; families, and firms of one group, do as well. So Fellegi and Sunter's model gets classes of its own for them: one
that agrees in nothing personal, and one for each personal field that alone is as among strangers, such as twins. Mistakes
come one at a time: where hardly any pair differs in all that is personal, there are no relatives, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logsumexp

from whence.identity.records import fellegi_sunter as agreement
from whence.identity.records import headers
from whence.identity.records.fellegi_sunter import COUNT, EDGES, SILENT, FellegiSunter, Levels
from whence.identity.records.table import Column, Evidence, Field, Floats, Records
from whence.identity.records.vouching import STRICT

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

PERSONAL = frozenset({"given_name", "name", "date", "code", "text"})
"""Kinds of which a person has one value that lasts; names of things and firms are texts."""
DIFFERS = int(np.searchsorted(EDGES, 0.5, side="right"))
"""Levels below this one are of values that are not one value misspelt."""
SELDOM = 0.03
"""The share of true pairs whose personal field may differ for no reason at all."""
LASTING = 0.5
"""A field that differs more often than that where all else speaks for one person is not personal, such as remarks."""
MANY = 0.2
"""The share of the pairs that would be joined that agree in nothing personal, from which they are believed no longer …"""
COMES_AND_GOES = 0.3
"""How much more often another field agrees where a lone personal one does."""
RARE = 30
"""… and how many there must be at least."""
FAR_MORE = 3.0
"""How much more often those who agree are believed than those who do not, of a field that says something by itself."""
ONE_WORD = 1.3
"""Words in a value up to which it is one word …"""
SHOWN = 500
"""… by so many of the values."""
SAMPLE = 10_000
"""Pairs from which rates are found."""
ROUNDS = 30


@dataclass(frozen=True)
class Told:
    """Log-odds of pairs, and the fields that tell relatives from one person."""

    log_odds: Floats
    fields: tuple[str, ...]


def told_apart(
    records: Records, evidence: Evidence, log_odds: Floats, weights: FellegiSunter, chance: Evidence, others: float
) -> Told | None:
    """The log-odds that each pair is one person, with relatives as classes of their own; None where those are hardly joined.

    `log_odds` are what is believed so far, `weights` those of `fit_to_all`, `chance` pairs of strangers, and `others` the
    number of pairs that are no candidates.
    """
    rows = np.unique(np.linspace(0, len(log_odds) - 1, min(len(log_odds), SAMPLE)).astype(np.int64))
    some, believed = agreement.all_levels(Evidence(evidence.names, evidence.values[rows])), log_odds[rows] > 0
    own = _personal(records, some, weights, believed) if len(rows) else ()
    if not _is_enough(records, own, some, believed) or len(own) == some.shape[1] or not len(chance.values):
        return None
    found = _fitted(some, agreement.all_levels(chance), others * len(rows) / len(log_odds), own)
    if not _are_joined(found.joint(some), log_odds[rows], some[:, list(own)]):
        return None
    odds = found.joint(agreement.all_levels(evidence))
    named = tuple(records.columns[place].field.name for place in own)
    return Told(np.asarray(odds[0] - logsumexp(odds[1:], axis=0)), named)


def _is_enough(records: Records, own: Sequence[int], seen: Levels, believed: Bools) -> bool:
    """Two fields that are personal, a given name, which is it by itself, a name that says something, or a title with which
    another field comes and goes.

    One text alone may be a genre, or a description that every shop writes anew.
    """
    if len(own) != 1 or records.columns[own[0]].field.kind == "given_name":
        return len(own) > 0
    if records.columns[own[0]].field.kind == "name" and _says_something(seen[:, own[0]], believed):
        return True
    agrees, differs = believed & (seen[:, own[0]] >= STRICT), believed & _differs(seen[:, own[0]])
    others = [place for place in range(seen.shape[1]) if place != own[0]]
    return any(_share(seen[agrees, place]) - _share(seen[differs, place]) >= COMES_AND_GOES for place in others)


def _says_something(level: Levels, believed: Bools) -> bool:
    """Whether those who agree in a field are believed far more often than those who do not: days and remarks agree anywhere."""
    agrees, differs = level >= STRICT, _differs(level)
    return bool(agrees.any() and differs.any() and believed[agrees].mean() >= FAR_MORE * believed[differs].mean())


def _differs(level: Levels) -> Bools:
    return np.asarray((level != SILENT) & (level < DIFFERS))


def _share(level: Levels) -> float:
    """How often two values agree where both are there; 0 where hardly any are."""
    known = level[level != SILENT]
    return float((known >= STRICT).mean()) if len(known) >= RARE else 0.0


def _are_joined(joint: Floats, log_odds: Floats, personal: Levels) -> bool:
    """Whether many of the pairs that would be joined are relatives who agree in nothing personal."""
    would, chance = expit(log_odds), np.exp(joint - logsumexp(joint, axis=0))
    in_nothing = (personal < STRICT).all(axis=1) & (personal != SILENT).any(axis=1)
    relatives = (1 - chance[0] - chance[-1]) * in_nothing
    return bool(would @ relatives >= max(RARE, MANY * would.sum()))


def _personal(records: Records, seen: Levels, weights: FellegiSunter, believed: Bools) -> tuple[int, ...]:
    """The places of the fields that only one person has, and keeps; what all who would be joined share tells nobody apart."""
    may_be = [
        place
        for place, column in enumerate(records.columns)
        if _is_personal(column.field) and _agrees(seen[:, place]) and _tells(seen[believed, place])
    ]
    added = np.column_stack([np.append(each.levels, 0.0)[seen[:, place]] for place, each in enumerate(weights.weights)])
    odds = weights.base + added.sum(axis=1)
    others = {place: odds - added[:, place] for place in may_be}
    may_last = [place for place in may_be if _lasts(seen, place, may_be, others[place]) is not False]
    own = []
    for place in may_last:
        lasts = _lasts(seen, place, may_last, others[place])
        if lasts is None:
            field = records.columns[place].field
            is_told = len(may_last) == 1 or _says_something(seen[:, place], believed)
            lasts = _is_surely(field) or (field.kind != "date" and is_told)
        if lasts:
            own.append(place)
    if _are_named(records, seen, believed):
        own = [place for place in own if _is_surely(records.columns[place].field)]
    return tuple(own)


def _are_named(records: Records, seen: Levels, believed: Bools) -> bool:
    """Whether those who would be joined share the names of people: what they differ in is not theirs then, such as who gets a gift.

    A header says that names are people's, or two columns of names in one word each, as those of an artist are seldom.
    """
    shared = [
        column for place, column in enumerate(records.columns) if _agrees(seen[:, place]) and not _tells(seen[believed, place])
    ]
    return any(_is_said(column.field) for column in shared) or sum(map(_is_a_part, shared)) > 1


def _is_said(field: Field) -> bool:
    return field.kind == "given_name" or (field.kind == "name" and headers.is_person(field.name))


def _is_a_part(column: Column) -> bool:
    """Whether a column has names of one word, of which a whole one takes several."""
    shown = column.values[:: max(1, len(column.values) // SHOWN)]
    return column.field.kind == "name" and 0 < sum(len(value.split()) for value in shown) <= ONE_WORD * len(shown)


def _is_surely(field: Field) -> bool:
    """Whether a field is a person's own whatever else is in the table; a day may be that of an event, a text a remark."""
    return field.kind == "given_name" or headers.is_birth(field.name)


def _agrees(level: Levels) -> bool:
    """Whether anybody agrees at all: what names each row anew, such as the article number of a shop, tells nothing."""
    return int((level >= STRICT).sum()) >= RARE


def _tells(level: Levels) -> bool:
    """Whether many of those who would be joined do not agree."""
    known = level[level != SILENT]
    return bool((known < STRICT).sum() >= MANY * len(known))


def _is_personal(field: Field) -> bool:
    """By its kind; firms of one group share the address of a page, though it is a code."""
    if field.kind == "year":
        return headers.is_birth(field.name)
    return field.kind in PERSONAL and "url" not in headers.says(field.name)


def _lasts(seen: Levels, place: int, personal: Sequence[int], odds: Floats) -> bool | None:
    """Whether a field seldom differs where another personal one agrees, none differs, and all others speak for one person.

    None where no other ever agrees with it.
    """
    rest, level = seen[:, [each for each in personal if each != place]], seen[:, place]
    one = (rest >= STRICT).any(axis=1) & ~_differs(rest).any(axis=1) & (odds > 0) & (level != SILENT)
    return bool((level[one] < DIFFERS).mean() <= LASTING) if one.sum() >= RARE else None


@dataclass(frozen=True)
class _Classes:
    """What pairs of each class are like: those of one person first, relatives, strangers last."""

    shares: Floats
    rates: list[list[Floats]]
    """By class and field, the share of each level."""

    def joint(self, seen: Levels) -> Floats:
        """The logarithm of each class's share times the chance of what is seen, shape (classes, pairs)."""
        found = np.repeat(np.log(self.shares)[:, None], len(seen), axis=1)
        for place in range(seen.shape[1]):
            logs = np.column_stack([np.log(np.stack([of[place] for of in self.rates])), np.zeros(len(self.rates))])
            found += logs[:, seen[:, place]]
        return found


def _fitted(seen: Levels, drawn: Levels, others: float, own: tuple[int, ...]) -> _Classes:
    """Shares and rates by expectation and maximisation, of candidates and of `others` that agree as those drawn do."""
    levels, times = np.unique(seen, axis=0, return_counts=True)
    rest = [_counts(drawn[:, place]) * others / len(drawn) for place in range(seen.shape[1])]
    apart = [own, *((place,) for place in own)] if len(own) > 1 else [own]
    model = _start(levels, times.astype(np.float64), rest, others, apart)
    for _ in range(ROUNDS):
        joint = model.joint(levels)
        model = _maximised(levels, np.exp(joint - logsumexp(joint, axis=0)) * times, rest, others, (own, apart))
    return model


def _counts(level: Levels) -> Floats:
    return np.asarray(np.bincount(level[level != SILENT], minlength=COUNT) + 1e-3)


def _start(levels: Levels, times: Floats, rest: list[Floats], others: float, apart: list[tuple[int, ...]]) -> _Classes:
    """Where pairs of one person and relatives agree, most do in full; a sixth of the candidates are of either."""
    fields = range(levels.shape[1])
    strangers = [agreement.of_strangers(agreement.rates(levels[:, place], times, rest[place])) for place in fields]
    first = agreement.first_guess()
    relatives = [[_as_strangers(strangers[at], strangers[at]) if at in places else first for at in fields] for places in apart]
    part = times.sum() / (times.sum() + others) / 6
    shares = np.asarray([part, *[part / len(apart)] * len(apart), 1 - 2 * part])
    return _Classes(shares, [[first for _ in fields], *relatives, strangers])


def _maximised(
    levels: Levels, pairs: Floats, rest: list[Floats], others: float, tied: tuple[tuple[int, ...], list[tuple[int, ...]]]
) -> _Classes:
    """Rates and shares from the chance of each class; what is tied stays as among strangers, or seldom differs."""
    (own, apart), fields = tied, range(levels.shape[1])
    found = [[agreement.rates(levels[:, place], weight) for place in fields] for weight in pairs[:-1]]
    strangers = [agreement.rates(levels[:, place], pairs[-1], rest[place]) for place in fields]
    for rates, places in zip(found[1:], apart, strict=True):
        for place in places:
            rates[place] = _as_strangers(rates[place], strangers[place])
    for place in own:
        found[0][place] = _seldom_differing(found[0][place])
    total = pairs.sum(axis=1)
    shares = (total + np.append(np.zeros(len(total) - 1), others)) / (total.sum() + others)
    return _Classes(np.clip(shares, 1e-12, 1.0), [*found, strangers])


def _as_strangers(rates: Floats, strangers: Floats) -> Floats:
    """Agreement as rare as among strangers; what is less than that, such as a name within a name, as it comes."""
    below = rates[:STRICT] / rates[:STRICT].sum() * strangers[:STRICT].sum()
    return np.concatenate([below, strangers[STRICT:]])


def _seldom_differing(rates: Floats) -> Floats:
    differing = rates[:DIFFERS].sum()
    if differing <= SELDOM:
        return rates
    return np.concatenate([rates[:DIFFERS] * SELDOM / differing, rates[DIFFERS:] * (1 - SELDOM) / (1 - differing)])
