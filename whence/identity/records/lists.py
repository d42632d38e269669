"""Two lists in one table that no column tells apart: each is written in its own way, and partners are in different ones.

One shop never lacks a price, the other writes its titles in small letters. Such marks split the rows in many ways, and any
of them can be sharpened until it fits itself; the one that parts two lists lies between records that share what is rare.
It is looked for in the directions in which rows differ most, learned from all marks together, and believed only where
partners that it was not learned from lie on different sides far more often than by chance. Those of one list that are alike
in all they tell, such as editions of one program, hide the others: so partners by each name alone are tried as well.

Paper: two views that teach each other are those of A. Blum, T. Mitchell, Combining labeled and unlabeled data with
co-training, COLT 1998.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import scipy.sparse as sp
from scipy.linalg import eigh, solve
from scipy.special import expit

from whence.identity.records.table import Floats
from whence.identity.records.texts import texts

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Cells = Sequence[str]
"""One column, a text for each row; empty where there is none."""

MOST = 60_000
"""Rows beyond which nothing is looked for."""
LEARNED = 8_000
"""Rows that are learned from, about …"""
WIDE = 12
"""… and the columns with most values that are looked at."""
ALONE = 4
"""Names that are looked at each by itself at most: those that most rows have."""
FEW = 4
"""Rows that share a word at most for it to make them partners …"""
FEWEST = 60
"""… and pairs of partners below which nothing is looked for."""
COMMON = 0.01
"""The share of the rows that must have a mark, and lack it, for it to tell anything."""
WORDS, VALUES = 150, 40
"""The commonest words and values of a column that are marks."""
DIRECTIONS = 8
CUTS = np.linspace(0.1, 0.9, 17)
"""Where each direction is cut to begin with, as shares of the rows."""
PARTED = (0.7, 0.9)
"""How often partners are taken to be in different lists, to begin with."""
STEADY, STEADY_WORDS = 0.3, 1.0
"""What is added to the variance of marks so that none decides alone, without words and with them."""
TURNS, TURNS_WORDS = 12, 4
SOFT = 6.0
"""The log-odds that a row's own marks may give at most while partners still speak."""
HELD = (0.55, 0.95)
"""Between which the share of partners in different lists is believed while it is learned."""
ONE_SIDED = 0.03
"""The share of rows below which a list is none."""
BETTER = 0.15
"""How much of the way from chance to always partners must lie in different lists, at least …"""
ERRORS = 4.0
"""… by how many standard errors …"""
SURE = 0.9
"""… and how sure of its list a row must be on average."""
OTHERWISE = 0.25
"""The share of the smaller list that may have the values of the other one, in a column that tells them apart."""

_WORD = re.compile(r"\d+(?:\.\d+)+|[^\W_]+")


@dataclass(frozen=True)
class _Partners:
    """Pairs of rows each of which shares more of what is rare with the other than with anybody else."""

    left: Ints
    right: Ints

    def of(self, some: Bools | Ints) -> _Partners:
        return _Partners(self.left[some], self.right[some])

    def beyond_chance(self, lists: Bools | Ints) -> tuple[float, float]:
        """How much of the way from chance to always they lie in different lists, and how many standard errors that is."""
        shares = np.bincount(lists) / len(lists)
        by_chance = float(1 - shares @ shares)
        beyond = float((lists[self.left] != lists[self.right]).mean()) - by_chance
        return beyond / max(1 - by_chance, COMMON), beyond / float(
            np.sqrt(max(by_chance * (1 - by_chance), COMMON) / len(self.left))
        )


@dataclass(frozen=True)
class _Line:
    """Log-odds that a row is of the second list, as a weighted sum of its marks."""

    weights: Floats
    base: float

    def __call__(self, marks: Floats) -> Floats:
        return np.asarray(marks @ self.weights + self.base)


def told_apart(table: pa.Table, names: Sequence[str], naming: Collection[str] = ()) -> Bools | None:
    """For each row whether it is of the second of two lists, by how these columns are written; None where it looks like one.

    Partners share what is rare in all columns, or in one of `naming`: each shop has its own words for the things of one
    maker, so that those of one list share more with each other than with the same thing in the other. The second list is
    the smaller one; the order of the rows makes no difference.
    """
    if not FEWEST <= len(table) <= MOST or not names:
        return None
    wide = sorted(((_cells(table[name]), name) for name in names), key=lambda each: -sum(map(bool, each[0])))[:WIDE]
    order = sorted(range(len(table)), key=lambda row: [column[row] for column, _ in wide])
    columns = [[column[row] for row in order] for column, _ in wide]
    alone = [[column] for column, (_, name) in zip(columns, wide, strict=True) if name in naming and len(wide) > 1]
    views = [columns, *alone[:ALONE]]
    partners = [each for each in (_some(_partners(view)) for view in views) if len(each.left) >= FEWEST]
    found = [each for each in (_split(columns, some) for some in partners) if each is not None]

    def borne_out(second: Bools) -> float:
        """By how many standard errors, those of all kinds of partners together: what some bear out others may deny."""
        return sum(some.beyond_chance(second)[1] for some in partners)

    best = max(found, key=borne_out, default=None)
    if best is None or borne_out(best) < ERRORS:
        return None
    second = np.empty(len(table), dtype=np.bool_)
    second[order] = best
    return second if second.mean() <= 0.5 else ~second


def telling(table: pa.Table, names: Sequence[str], among: Sequence[str], second: Bools) -> str | None:
    """The one of the columns `among`, such as a merchant, that says of which of these two lists a row is, or of which of more.

    Partners by what is rare in the columns `names` lie with different ones of its values no less than in different lists.
    """
    columns = [_cells(table[name]) for name in names if name not in among]
    partners = _some(_partners(sorted(columns, key=lambda column: -sum(map(bool, column)))[:WIDE]))
    if len(partners.left) < FEWEST:
        return None
    found = {name: np.unique(_cells(table[name]), return_inverse=True)[1] for name in among}
    told = {name: partners.beyond_chance(codes)[1] for name, codes in found.items() if _says(codes, second)}
    best = max(told, key=lambda name: told[name], default=None)
    return best if best is not None and told[best] >= max(partners.beyond_chance(second)[1], ERRORS) else None


def _says(codes: Ints, second: Bools) -> bool:
    """Whether each value is mostly of one list, so that few rows are of the other, as a share of the smaller list."""
    of_second, rows = np.bincount(codes, second), np.bincount(codes)
    return bool(np.minimum(of_second, rows - of_second).sum() <= OTHERWISE * min(second.sum(), len(second) - second.sum()))


def _split(columns: Sequence[Cells], partners: _Partners) -> Bools | None:
    """The rows of the second list, if these partners bear out that there are two."""
    rows = _shown(len(columns[0]), partners)
    shown = _Partners(np.searchsorted(rows, partners.left), np.searchsorted(rows, partners.right))
    marks = _Marks([[column[row] for row in rows] for column in columns])
    line = None if marks.is_word.all() else _believed(marks, shown)
    return None if line is None else line(marks.of(columns)) > 0


def _cells(column: pa.ChunkedArray) -> Cells:
    return [text.strip() if text else "" for text in texts(column).to_pylist()]


def _partners(columns: Sequence[Cells]) -> _Partners:
    """Rows that choose each other by the words that only a few rows have."""
    held = [_held(row) for row in zip(*columns, strict=True)]
    counts = Counter(each for row in held for each in row)
    place = {each: at for at, each in enumerate(sorted(each for each, count in counts.items() if 2 <= count <= FEW))}
    found = [(row, place[each], counts[each]) for row, those in enumerate(held) for each in sorted(those) if each in place]
    if not found:
        return _Partners(np.empty(0, np.int64), np.empty(0, np.int64))
    at, what, times = np.asarray(found, dtype=np.int64).T
    told = sp.csr_matrix((np.sqrt(np.log(len(held) / times)), (at, what)), shape=(len(held), len(place)))
    shared = (told @ told.T).tocoo()
    apart = shared.row != shared.col
    return _choosing(len(held), shared.row[apart].astype(np.int64), shared.col[apart].astype(np.int64), shared.data[apart])


def _held(row: Sequence[str]) -> set[str]:
    return {word for cell in row for word in _WORD.findall(cell.casefold())}


def _choosing(n: int, row: Ints, other: Ints, shared: Floats) -> _Partners:
    """Pairs whose two rows have no better partner, and no other as good."""
    best = np.zeros(n)
    np.maximum.at(best, row, shared)
    leads = shared >= best[row] - 1e-9
    once = np.bincount(row[leads], minlength=n) == 1
    chosen = np.full(n, -1)
    chosen[row[leads]] = other[leads]
    left = np.flatnonzero(once & (chosen >= 0))
    left = left[once[chosen[left]] & (chosen[chosen[left]] == left) & (left < chosen[left])]
    return _Partners(left, chosen[left])


def _some(partners: _Partners) -> _Partners:
    """Pairs from all over the table, no more than are learned from."""
    number = len(partners.left)
    return partners.of(np.unique(np.linspace(0, number - 1, min(number, LEARNED // 2)).astype(np.int64)))


def _shown(n: int, partners: _Partners) -> Ints:
    """The rows that are learned from: all partners, and others from all over the table."""
    return np.unique(np.concatenate([partners.left, partners.right, np.linspace(0, n - 1, min(n, LEARNED)).astype(np.int64)]))


class _Marks:
    """How rows are written, each mark standardised over the rows that were shown first."""

    def __init__(self, columns: Sequence[Cells]) -> None:
        self._ways = [_ways(column) for column in columns]
        found = self._found(columns)
        filled = ~np.isnan(found)
        self._mean = np.where(filled, found, 0.0).sum(axis=0) / np.maximum(filled.sum(axis=0), 1)
        spread = np.sqrt((np.where(filled, found - self._mean, 0.0) ** 2).mean(axis=0))
        self._kept = spread > COMMON
        self._spread = np.where(self._kept, spread, 1.0)
        self.all = self._standard(found)
        self.is_word = np.concatenate([way.is_word for way in self._ways])[self._kept]

    def of(self, columns: Sequence[Cells]) -> Floats:
        """The marks of other rows, shape (rows, marks)."""
        return self._standard(self._found(columns))

    def _found(self, columns: Sequence[Cells]) -> Floats:
        return np.hstack([way.marks(column) for way, column in zip(self._ways, columns, strict=True)])

    def _standard(self, found: Floats) -> Floats:
        return np.asarray(np.nan_to_num((found - self._mean) / self._spread)[:, self._kept])


@dataclass(frozen=True)
class _Ways:
    """What to look for in one column."""

    lengths: tuple[float, ...]
    signs: tuple[str, ...]
    words: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def is_word(self) -> Bools:
        """Which marks are words or values, rather than how anything is written."""
        plain = 1 + len(self.lengths) + len(self.signs) + len(SHAPES)
        return np.arange(plain + len(self.words) + len(self.values)) >= plain

    def marks(self, cells: Cells) -> Floats:
        """Whether each row has each mark, shape (rows, marks); not a number where it has no value, but for the first: none."""
        length = np.asarray([len(cell) for cell in cells])
        place = {word: at for at, word in enumerate(self.words)}
        worded = np.zeros((len(cells), len(place)))
        for row, cell in enumerate(cells if place else ()):
            worded[row, [place[word] for word in set(_WORD.findall(cell.casefold())) if word in place]] = 1.0
        plain = [
            *(length > each for each in self.lengths),
            *([sign in cell for cell in cells] for sign in self.signs),
            *([bool(shape(cell)) for cell in cells] for shape in SHAPES),
        ]
        equal = [[value == cell for cell in cells] for value in self.values]
        found = np.hstack(
            [np.asarray(plain, dtype=np.float64).T, worded, np.asarray(equal, dtype=np.float64).reshape(-1, len(cells)).T]
        )
        found[length == 0] = np.nan
        return np.column_stack([length == 0, found])


def _ways(cells: Cells) -> _Ways:
    filled = [cell for cell in cells if cell]
    lengths = np.unique(np.quantile([len(cell) for cell in filled], (0.1, 0.25, 0.5, 0.75, 0.9))) if filled else ()
    least, most = COMMON * len(cells), (1 - COMMON) * len(cells)

    def common(counts: Counter[str], number: int | None = None) -> tuple[str, ...]:
        ranked = sorted(counts.items(), key=lambda each: (-each[1], each[0]))[:number]
        return tuple(what for what, count in ranked if least < count < most)

    return _Ways(
        tuple(map(float, lengths)),
        common(Counter(sign for cell in filled for sign in set(cell) if not sign.isalnum())),
        common(Counter(word for cell in filled for word in set(_WORD.findall(cell.casefold()))), WORDS),
        common(Counter(filled), VALUES),
    )


SHAPES: tuple[Callable[[str], object], ...] = (
    str.isupper,
    str.islower,
    str.istitle,
    lambda cell: cell[:1].isdecimal(),
    lambda cell: cell[-1:].isdecimal(),
    re.compile(r".*\.\d\d", re.DOTALL).fullmatch,
)
"""How a value may be written as a whole: in capitals, with a number first or last, with two decimals."""


def _believed(marks: _Marks, partners: _Partners) -> _Line | None:
    """What tells two lists apart, if there are two: partners of which nothing was learned bear it out."""
    line = _learned(marks, partners)
    odds = line(marks.all)
    sure = np.maximum(expit(odds), expit(-odds)).mean()
    if partners.beyond_chance(odds > 0)[0] < BETTER or sure < SURE:
        return None
    is_one = np.arange(len(partners.left)) % 2 == 0
    halves = [(_learned(marks, partners.of(some)), partners.of(~some)) for some in (is_one, ~is_one)]
    better, errors = np.mean([other.beyond_chance(of(marks.all) > 0) for of, other in halves], axis=0)
    if better < BETTER or errors * np.sqrt(2) < ERRORS:
        return None
    return max((line, *(of for of, _ in halves)), key=lambda each: partners.beyond_chance(each(marks.all) > 0)[0])


def _learned(marks: _Marks, partners: _Partners) -> _Line:
    """The split that lies between most partners: found by how rows are written, then by words as well if that is better."""
    style = _Moments(marks.all[:, ~marks.is_word], STEADY)
    tried = [
        _sharpened(style, start.astype(np.float64), partners, parted, TURNS)
        for start, parted in product(_starts(style, partners), PARTED)
    ]
    line = max(tried, key=lambda each: partners.beyond_chance(each(style.marks) > 0)[0])
    plain = np.zeros(marks.all.shape[1])
    plain[~marks.is_word] = line.weights
    by_style = _Line(plain, line.base)
    by_words = _sharpened(_Moments(marks.all, STEADY_WORDS), expit(line(style.marks)), partners, PARTED[-1], TURNS_WORDS)
    return max(by_style, by_words, key=lambda each: partners.beyond_chance(each(marks.all) > 0)[0])


class _Moments:
    """Marks, and how they go together, found once."""

    def __init__(self, marks: Floats, steady: float) -> None:
        self.marks = marks
        self.together = marks.T @ marks / len(marks)
        self.steady = steady * np.eye(marks.shape[1])

    def line(self, chance: Floats) -> _Line:
        """The linear discriminant of rows that are of the second list with these chances."""
        share = float(chance.mean())
        one, other = (weight @ self.marks / weight.sum() for weight in (chance, 1 - chance))
        means = share * np.outer(one, one) + (1 - share) * np.outer(other, other)
        weights = solve(self.together - means + self.steady, one - other, assume_a="pos")
        return _Line(weights, float(np.log(share / (1 - share)) - weights @ (one + other) / 2))


def _starts(style: _Moments, partners: _Partners) -> list[Bools]:
    """The best cut, and one through the middle, of each direction in which rows differ most, or partners do."""
    _, directions = eigh(style.together)
    main = style.marks @ directions[:, ::-1][:, :DIRECTIONS]
    main = main / (main.std(axis=0) + 1e-9)
    ours, theirs = main[partners.left], main[partners.right]
    crossed, own = ours.T @ theirs, ours.T @ ours + theirs.T @ theirs
    _, apart = eigh(crossed + crossed.T, own + 0.1 * 2 * len(ours) * np.eye(main.shape[1]))
    along = np.hstack([main, main @ apart[:, :2]]).T
    best = [
        max((each > np.quantile(each, share) for share in CUTS), key=lambda second: partners.beyond_chance(second)[1])
        for each in along
    ]
    return [*best, *(each > np.median(each) for each in along)]


def _sharpened(moments: _Moments, chance: Floats, partners: _Partners, parted: float, turns: int) -> _Line:
    """Learn which rows go together, let partners pull each other to different lists, and learn again."""
    chance = np.clip(chance, 0.02, 0.98)
    line = moments.line(chance)
    share = parted
    for turn in range(turns):
        odds = np.clip(line(moments.marks), -SOFT, SOFT)
        own = expit(odds)
        ours, theirs = own[partners.left], own[partners.right]
        pulled = odds.copy()
        pulled[partners.left] += _pull(theirs, share)
        pulled[partners.right] += _pull(ours, share)
        chance = expit(pulled)
        if not ONE_SIDED < chance.mean() < 1 - ONE_SIDED:
            break
        seen = float((ours * (1 - theirs) + theirs * (1 - ours)).mean())
        share = float(np.clip(max(seen, parted) if turn < turns / 2 else seen, *HELD))
        line = moments.line(chance)
    return line


def _pull(chance: Floats, parted: float) -> Floats:
    """What a partner's chance to be of the second list says of one's own, in log-odds."""
    return np.asarray(
        np.log((1 - parted) * chance + parted * (1 - chance)) - np.log(parted * chance + (1 - parted) * (1 - chance))
    )
