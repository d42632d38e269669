"""Whether those who look alike are people at all: where hardly anybody is there twice, neighbours look most alike.

Without labels the pairs that agree best are taken for matches, as a class of their own. In a table without duplicates
that class is another one: people of one street, discs of one artist. It shows in how little of what two such records
tell agrees, when each field counts by how much it tells.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from whence.identity.records import headers
from whence.identity.records.choose import HOME
from whence.identity.records.table import Column, Evidence, Floats, Records
from whence.identity.records.vouching import TOO_COMMON, by_chance, repeats

Bools = npt.NDArray[np.bool_]

BLURRED = 0.5
"""Likeness that strangers have of each other anyway; only what is above it counts."""
MOSTLY = 0.53
"""Agreement that likely matches have on average at least: those of real duplicates have more, neighbours a quarter to a half …"""
ALONE = 0.45
"""… and where there is one column, which says all or nothing."""
OWN = 0.65
"""What a single pair must agree in to be believed where the others are strangers."""
FEW = 20
"""Records that hold a value at most which is believed to be one person's."""
ALIKE = 0.8
"""Likeness below which two accounts, or two addresses for mail, are not one misspelt."""
MAILED = 2.0
"""Log-odds, at least, of a pair to whom the same mail is sent."""
EVENTS = frozenset({"date", "day", "number", "category", "ip", "user_agent"})
"""Kinds that may be of an event rather than of whom it happens to."""
COINCIDENCE = 0.1
"""How much more often than by chance they agree, up to which they say nothing of who it is …"""
ENOUGH = 30
"""… and how many likely matches that must be seen in."""
LONE = 1.3
"""Fields in which likely matches agree on average, below which one field alone makes them …"""
SEVERAL = 2.5
"""… where they tell so many."""
APART = 3
"""Fields in which two records differ, from which one that agrees is chance …"""
OFTEN = 0.01
"""… and the share of those who would be joined, from which such pairs are no rare slips."""
CAUTION = 1.0
"""What is taken off the log-odds of pairs in a table of one column, where nothing but likeness speaks for them."""
REFUSED = -6.0
"""Log-odds of a pair that agrees in less."""


def agreement(records: Records, evidence: Evidence, log_odds: Floats) -> Floats:
    """How much of what both records tell agrees, 0 to 1, shape (pairs,); nothing where they share no field.

    A field counts by its bits: the logarithm of one over the chance that two records share its value. Fields that repeat
    each other count as one, and so do those that say where somebody lives. Records that share fewer fields than it takes to
    name one of them agree in little, whatever those say. What comes with an event, such as a day, an amount or a room, says
    nothing where those who are believed to be one, by `log_odds`, agree in it no more than strangers do.
    """
    home = np.asarray([column.field.kind in HOME for column in records.columns])
    said = repeats(records) | np.outer(home, home)
    bits = np.asarray([_bits(column.counts.astype(np.float64)) for column in records.columns]) / said.sum(axis=1)
    at = [evidence.names.index(f"{column.field.name}:likeness") for column in records.columns]
    likeness = evidence.values[:, at].astype(np.float64)
    bits[[_is_of_an_event(column, likeness[:, place], expit(log_odds)) for place, column in enumerate(records.columns)]] = 0.0
    told = ~np.isnan(likeness) @ bits
    agreed = np.clip((np.nan_to_num(likeness) - BLURRED) / (1 - BLURRED), 0, 1) @ bits
    return np.asarray(agreed / np.maximum(told, np.log2(max(len(records), 2))))


def _is_of_an_event(column: Column, likeness: Floats, chance: Floats) -> bool:
    """Whether a day, an amount or a category agrees no more among those believed to be one than among strangers."""
    if column.field.kind not in EVENTS or headers.is_birth(column.field.name):
        return False
    weight = chance * ~np.isnan(likeness)
    agreed = float(weight @ (likeness >= ALIKE))
    return weight.sum() >= ENOUGH and agreed <= (by_chance(column) + COINCIDENCE) * float(weight.sum())


def named(records: Records, evidence: Evidence) -> tuple[Bools, Bools]:
    """Pairs that share what only one person has, and differ in nothing of that kind nor in their names; and of those, e-mails.

    Neighbours share homes, phones and pages; hardly anybody shares an account, a device, or an address to which mail is sent.
    """
    shares, mailed = np.zeros(len(evidence.values), dtype=np.bool_), np.zeros(len(evidence.values), dtype=np.bool_)
    differs = np.zeros(len(evidence.values), dtype=np.bool_)
    for column in records.columns:
        likeness, rarity = (
            evidence.values[:, evidence.names.index(f"{column.field.name}:{signal}")] for signal in ("likeness", "rarity")
        )
        says = headers.says(column.field.name)
        if column.field.kind in ("email", "code") and "url" not in says:
            is_own = (likeness == 1.0) & (rarity >= np.log(column.counts.sum() / FEW))
            shares |= is_own
            mailed |= is_own & (column.field.kind == "email" or not says.keys().isdisjoint(("email", "phone")))
        if column.field.kind in ("email", "code", "given_name", "name") and "url" not in says:
            differs |= likeness < (BLURRED if column.field.kind in ("given_name", "name") else ALIKE)
    return shares & ~differs, mailed & ~differs


def _bits(counts: Floats) -> float:
    share = counts / max(counts.sum(), 1.0)
    return float(-np.log2(max(share @ share, 1e-12))) if len(counts) else 0.0


def are_lone(records: Records, evidence: Evidence, log_odds: Floats) -> bool:
    """Whether likely matches agree in hardly more than one field, of several that both tell: then chance alone explains it.

    Fields that many strangers share do not count.
    """
    telling = [column.field.name for column in records.columns if by_chance(column) <= TOO_COMMON]
    likeness = evidence.values[:, [evidence.names.index(f"{name}:likeness") for name in telling]]
    chance = expit(log_odds) / max(float(expit(log_odds).sum()), 1.0)
    agreeing, told = (float(chance @ which.sum(axis=1)) for which in (likeness >= ALIKE, ~np.isnan(likeness)))
    return agreeing < LONE and told >= SEVERAL


def coincide(records: Records, evidence: Evidence, log_odds: Floats) -> Bools:
    """Pairs that agree in one field at most and differ in APART or more, such as two concerts in one town, unless they are rare
    among those who would be joined, or share what only one person has.

    Fields that many strangers share do not count, and those that say where somebody lives count as one.
    """
    if not (log_odds > 0).any():
        return np.zeros(len(log_odds), dtype=np.bool_)
    telling = [column for column in records.columns if by_chance(column) <= TOO_COMMON]
    home = np.asarray([column.field.kind in HOME for column in telling], dtype=np.bool_)
    likeness = evidence.values[:, [evidence.names.index(f"{column.field.name}:likeness") for column in telling]]

    def count(where: Bools) -> npt.NDArray[np.int64]:
        return np.asarray(where[:, ~home].sum(axis=1) + where[:, home].any(axis=1))

    found = (count(likeness >= ALIKE) <= 1) & (count(likeness < BLURRED) >= APART) & ~named(records, evidence)[0]
    would = log_odds > 0
    return found if (found & would).sum() > OFTEN * would.sum() else np.zeros_like(found)


def doubted(agreed: Floats, log_odds: Floats, is_lone: bool = False, mostly: float = MOSTLY) -> Floats | None:
    """The log-odds without those of strangers, where likely matches are mostly that; None where they are people.

    They are people where they agree in `mostly` of what they tell on average.

    >>> doubted(np.array([0.2, 0.1, 0.9]), np.array([4.0, 5.0, 3.0])).tolist()
    [-6.0, -6.0, 3.0]
    >>> doubted(np.array([0.8, 0.3, 0.9]), np.array([4.0, -5.0, 3.0])) is None
    True
    """
    chance = expit(log_odds)
    if chance.sum() < 1 or (float(chance @ agreed / chance.sum()) >= mostly and not is_lone):
        return None
    return np.where(agreed >= OWN, log_odds, np.minimum(log_odds, REFUSED))
