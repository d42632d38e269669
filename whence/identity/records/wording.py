"""What two texts have in common and what each says alone: words weighed by how rare they are, numbers, codes, letters."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler, LCSseq, Levenshtein
from rapidfuzz.process import cpdist

from whence.identity.records.table import MISSING, Codes, Evidence

Columns = dict[str, npt.NDArray[np.float32]]

CHUNK = 200_000
"""Distinct pairs compared at a time, so that memory does not grow with their number."""
CLOSE = 0.88
"""Jaro–Winkler from which two words may be one word misspelt."""

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\W_]+", re.UNICODE)
_RUN = re.compile(r"[^\W_]+", re.UNICODE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True)
class Wording:
    """How common each word and each three letters are among some texts."""

    texts: int
    words: dict[str, int]
    """In how many texts each word is, of the words in at least two."""
    grams: dict[str, int]
    """The same for three letters in a row."""

    def weight(self, word: str) -> float:
        """How much a word tells, in nats: the logarithm of one over the share of texts that have it."""
        return math.log((self.texts + 1) / (self.words.get(word, 0) + 0.5))

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `from_json`."""
        return {"texts": self.texts, "words": self.words, "grams": self.grams}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Wording:
        """The wording of a dict that `to_json` made."""
        return cls(int(given["texts"]), dict(given["words"]), dict(given["grams"]))


def fit(values: Sequence[str]) -> Wording:
    """The wording of distinct texts; no labels are needed, and their order does not matter.

    >>> fit(["red shoe", "red hat"]).words
    {'red': 2}
    """
    words = Counter(word for value in values for word in set(split(value)))
    grams = Counter(gram for value in values for gram in set(trigrams(value)))
    return Wording(len(values), _kept(words), _kept(grams))


def _kept(counted: Counter[str]) -> dict[str, int]:
    return {each: counted[each] for each in sorted(counted) if counted[each] > 1}


def split(text: str) -> list[str]:
    """The words and numbers of a text, in small letters; runs that mix letters and digits stay whole and are split as well.

    >>> split("Canon EOS-5D, 24.1 MP (2008)")
    ['canon', 'eos', '5d', '24.1', 'mp', '2008']
    """
    found = []
    for run in re.findall(r"\d+(?:\.\d+)+|[^\W_]+", text.casefold()):
        found.append(run[:-2] if run.endswith(".0") else run)
    return found


def trigrams(text: str) -> list[str]:
    """Three letters in a row, of each word between blanks.

    >>> trigrams("a cat")
    [' a ', ' ca', 'cat', 'at ']
    """
    padded = [f" {run} " for run in _RUN.findall(text.casefold())]
    return [word[start : start + 3] for word in padded for start in range(len(word) - 2)]


class Text(NamedTuple):
    """A text taken apart once, however many pairs it is in."""

    words: tuple[str, ...]
    bag: frozenset[str]
    numbers: frozenset[float]
    codes: frozenset[str]
    """Runs with a digit among letters or other signs, without the signs: dsc-w120/b is dscw120b."""
    squashed: str
    """All letters and digits, without what is between them."""


def take_apart(text: str) -> Text:
    """A text's words, numbers and codes.

    >>> sorted(take_apart("Sony DSC-W120/B 7.2 MP").codes)
    ['dscw120b']
    """
    words = tuple(split(text))
    numbers = frozenset(float(each) for word in words for each in _NUMBER.findall(word)[:3])
    compact = ("".join(_RUN.findall(run)) for run in text.casefold().split())
    codes = frozenset(run for run in compact if len(run) > 2 and _is_code(run))
    return Text(words, frozenset(words), numbers, codes, "".join(words))


def _is_code(run: str) -> bool:
    digits = sum(map(str.isdigit, run))
    return digits > 0 and (digits < len(run) or digits > 4)


@dataclass(frozen=True)
class Texts:
    """Distinct texts, read with the eyes of a wording."""

    values: tuple[str, ...]
    wording: Wording

    @cached_property
    def apart(self) -> tuple[Text, ...]:
        """Each text taken apart."""
        return tuple(map(take_apart, self.values))

    @cached_property
    def words(self) -> sp.csr_matrix:
        """Texts × words: the weight of each word that a text has."""
        return _matrix([each.bag for each in self.apart], self.wording.words, self.wording.texts)

    @cached_property
    def grams(self) -> sp.csr_matrix:
        """Texts × three letters, as `words`."""
        return _matrix([set(trigrams(value)) for value in self.values], self.wording.grams, self.wording.texts)

    @cached_property
    def weight(self) -> dict[str, float]:
        """The weight of each word that occurs."""
        return {word: self.wording.weight(word) for word in sorted(set().union(*(each.bag for each in self.apart)))}


def _matrix(bags: Sequence[Iterable[str]], seen: dict[str, int], texts: int) -> sp.csr_matrix:
    ordered = [sorted(bag) for bag in bags]
    vocabulary = {each: place for place, each in enumerate(sorted({each for bag in ordered for each in bag}))}
    weights = np.asarray([math.log((texts + 1) / (seen.get(each, 0) + 0.5)) for each in vocabulary])
    columns = np.asarray([vocabulary[each] for bag in ordered for each in bag], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(bag) for bag in ordered])])
    data = weights[columns] if len(columns) else np.empty(0)
    return sp.csr_matrix((data, columns, starts), shape=(len(ordered), max(len(vocabulary), 1)))


def evidence(name: str, texts: Texts, left: Codes, right: Codes, *, is_cheap: bool = False) -> Evidence:
    """Signals `name:…` for pairs of positions in `texts.values`, NaN where either is MISSING.

    Each distinct pair of texts is compared once. `is_cheap` leaves out what is looked at word by word: some
    100,000 pairs a second instead of some 5,000.
    """
    known = (left != MISSING) & (right != MISSING)
    first, second = np.minimum(left, right)[known].astype(np.int64), np.maximum(left, right)[known].astype(np.int64)
    distinct, back = np.unique(first * len(texts.values) + second, return_inverse=True)
    a, b = np.divmod(distinct, max(len(texts.values), 1))
    parts = [_signals(texts, a[rows], b[rows], is_cheap) for rows in _chunks(len(a))]
    names = tuple(parts[0])
    values = np.full((len(left), len(names)), np.nan, dtype=np.float32)
    for place, signal in enumerate(names):
        values[known, place] = np.concatenate([part[signal] for part in parts])[back]
    return Evidence(tuple(f"{name}:{signal}" for signal in names), values)


def _chunks(n: int) -> Iterator[slice]:
    yield from (slice(start, start + CHUNK) for start in range(0, max(n, 1), CHUNK))


def _signals(texts: Texts, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], is_cheap: bool) -> Columns:
    found = _weighed("words", texts.words, a, b) | _weighed("letters", texts.grams, a, b)
    if is_cheap:
        return found
    return found | _spelling(texts, a, b) | _word_by_word(texts, a, b)


def _weighed(what: str, matrix: sp.csr_matrix, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Columns:
    """Overlap of two bags whose members are weighed: what is shared, and what each has alone."""
    ours, theirs = matrix[a], matrix[b]
    both = ours.multiply(theirs)
    dot = np.asarray(both.sum(axis=1)).ravel()
    shared = np.asarray(both.sqrt().sum(axis=1)).ravel()
    total_a, total_b = (np.asarray(each.sum(axis=1)).ravel() for each in (ours, theirs))
    norm_a, norm_b = (np.sqrt(np.asarray(each.multiply(each).sum(axis=1)).ravel()) for each in (ours, theirs))
    alone_a, alone_b = np.maximum(total_a - shared, 0), np.maximum(total_b - shared, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        signals = {
            "cosine": dot / (norm_a * norm_b),
            "jaccard": shared / (alone_a + alone_b + shared),
            "most_found": shared / np.minimum(total_a, total_b),
            "least_found": shared / np.maximum(total_a, total_b),
            "shared": shared,
            "least_unmatched": np.minimum(alone_a, alone_b),
            "most_unmatched": np.maximum(alone_a, alone_b),
        }
    return {f"{what}_{name}": column.astype(np.float32) for name, column in signals.items()}


def _spelling(texts: Texts, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Columns:
    """Whole texts as strings of letters."""
    values = np.asarray(texts.values, dtype=object)
    ours, theirs = values[a].tolist(), values[b].tolist()
    scorers: dict[str, Callable[..., float]] = {
        "ratio_similarity": fuzz.ratio,
        "sorted_similarity": fuzz.token_sort_ratio,
        "set_similarity": fuzz.token_set_ratio,
        "partial_similarity": fuzz.partial_ratio,
        "start_similarity": JaroWinkler.normalized_similarity,
    }
    return {name: np.asarray(cpdist(ours, theirs, scorer=scorer, dtype=np.float32)) for name, scorer in scorers.items()}


WORD_BY_WORD = (
    "softly_found",
    "softly_unmatched",
    "least_softly_unmatched",
    "rarest_unmatched",
    "least_rarest_unmatched",
    "rarest_shared",
    "first_same",
    "last_same",
    "start_shared",
    "numbers_shared",
    "numbers_unmatched",
    "numbers_conflict",
    "number_weight_unmatched",
    "number_weight_conflict",
    "codes_shared",
    "codes_found",
    "codes_conflict",
    "codes_similarity",
    "codes_longest_shared",
    "words_fewest",
    "words_most",
)


def _word_by_word(texts: Texts, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> Columns:
    weight, apart = texts.weight, texts.apart
    rows = np.asarray(
        [_aligned(apart[i], apart[j], weight) for i, j in zip(a.tolist(), b.tolist(), strict=True)], dtype=np.float32
    )
    rows = rows.reshape(len(a), len(WORD_BY_WORD))
    return {name: rows[:, place] for place, name in enumerate(WORD_BY_WORD)}


def _aligned(one: Text, other: Text, weight: dict[str, float]) -> tuple[float, ...]:
    """Each word's best partner on the other side; numbers and codes apart, since a near miss means nothing there."""
    shared = one.bag & other.bag
    mine, yours = _softly_alone(one, other, shared), _softly_alone(other, one, shared)
    common = sum(weight[word] for word in shared)
    alone_a, alone_b = sum(weight[word] for word in mine), sum(weight[word] for word in yours)
    rarest_a, rarest_b = max((weight[word] for word in mine), default=0.0), max((weight[word] for word in yours), default=0.0)
    total = common + alone_a + alone_b
    return (
        common / total if total else math.nan,
        alone_a + alone_b,
        min(alone_a, alone_b),
        max(rarest_a, rarest_b),
        min(rarest_a, rarest_b),
        max((weight[word] for word in shared), default=0.0),
        float(bool(one.words) and one.words[:1] == other.words[:1]),
        float(bool(one.words) and one.words[-1:] == other.words[-1:]),
        float(_start(one.words, other.words)),
        *_numbers(one, other, mine, yours, weight),
        *_codes(one, other),
        float(min(len(one.bag), len(other.bag))),
        float(max(len(one.bag), len(other.bag))),
    )


def _softly_alone(one: Text, other: Text, shared: frozenset[str]) -> list[str]:
    """Words that have no partner on the other side, not even glued, cut off or misspelt."""
    left = sorted(one.bag - shared)
    partners = sorted(other.bag - shared)
    return [word for word in left if not _has_partner(word, partners, other.squashed)]


def _has_partner(word: str, partners: Sequence[str], squashed: str) -> bool:
    if len(word) > 3 and word in squashed:
        return True
    if any(map(str.isdigit, word)):
        return False
    return any(_is_close(word, each) for each in partners)


def _is_close(word: str, other: str) -> bool:
    short = min(len(word), len(other))
    if short == 1 or word[0] != other[0] or other.isdigit():
        return short == 1 and word[0] == other[0]
    if short > 2 and (word.startswith(other) or other.startswith(word)):
        return True
    return short > 3 and JaroWinkler.similarity(word, other, score_cutoff=CLOSE) > 0


def _start(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    return next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))


def _numbers(one: Text, other: Text, mine: list[str], yours: list[str], weight: dict[str, float]) -> tuple[float, ...]:
    if not one.numbers or not other.numbers:
        return (math.nan,) * 5
    only_a, only_b = len(one.numbers - other.numbers), len(other.numbers - one.numbers)
    heavy_a = max((weight[word] for word in mine if any(map(str.isdigit, word))), default=0.0)
    heavy_b = max((weight[word] for word in yours if any(map(str.isdigit, word))), default=0.0)
    shared = len(one.numbers & other.numbers)
    return float(shared), float(only_a + only_b), float(min(only_a, only_b)), max(heavy_a, heavy_b), min(heavy_a, heavy_b)


def _codes(one: Text, other: Text) -> tuple[float, ...]:
    if not one.codes and not other.codes:
        return (math.nan,) * 5
    found_a = {code for code in one.codes if len(code) > 3 and code in other.squashed}
    found_b = {code for code in other.codes if len(code) > 3 and code in one.squashed}
    only_a, only_b = one.codes - found_a - other.codes, other.codes - found_b - one.codes
    if one.codes and other.codes:
        near = max(Levenshtein.normalized_similarity(x, y) for x in one.codes for y in other.codes)
        longest = max(LCSseq.similarity(x, y) for x in one.codes for y in other.codes)
    else:
        near, longest = math.nan, 0
    longest_found = max(map(len, found_a | found_b), default=0)
    return float(len(one.codes & other.codes)), float(longest_found), float(min(len(only_a), len(only_b))), near, float(longest)
