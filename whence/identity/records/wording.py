"""What two texts have in common and what each says alone: words weighed by how rare they are, numbers, codes, letters."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler, Levenshtein, Prefix
from rapidfuzz.process import cpdist

from whence.identity.records.table import MISSING, Codes, Column, Evidence, Floats, Pairs, Records

Columns = dict[str, npt.NDArray[np.float32]]
Places = npt.NDArray[np.int64]

CHUNK = 200_000
"""Distinct pairs compared at a time, so that memory does not grow with their number."""
CLOSE = 0.88
"""Jaro–Winkler from which two words may be one word misspelt."""

FEWEST_WORDS, MOST_WORDS = 3, 25
"""Words of a text that is searched for alternatives, and words that are taken for alternatives of each other in one place."""

ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
"""How parts of a series are numbered in words."""

_SPLIT = re.compile(r"\d+(?:\.\d+)+|[^\W_]+", re.UNICODE)
_RUN = re.compile(r"[^\W_]+", re.UNICODE)
_PART = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+", re.UNICODE)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TAIL = re.compile(r"[^\W\d_]+$")


Alternatives = Mapping[str, Mapping[str, int]]
"""For a word those that stand in its place in a text that is otherwise the same, and in how many: white for black."""


@dataclass(frozen=True)
class Wording:
    """How common each word and each three letters are among some texts."""

    texts: int
    words: dict[str, int]
    """In how many texts each word is, of the words in at least two."""
    grams: dict[str, int]
    """The same for three letters in a row."""
    alternatives: Alternatives = field(default_factory=dict)
    """What stands in the place of what; only where the texts are whole records."""

    def weight(self, word: str) -> float:
        """How much a word tells, in nats: the logarithm of one over the share of texts that have it."""
        return math.log((self.texts + 1) / (self.words.get(word, 0) + 0.5))

    def to_json(self) -> dict[str, Any]:
        """A plain dict for `from_json`."""
        return {"texts": self.texts, "words": self.words, "grams": self.grams, "alternatives": self.alternatives}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Wording:
        """The wording of a dict that `to_json` made."""
        alternatives = {str(word): dict(others) for word, others in given.get("alternatives", {}).items()}
        return cls(int(given["texts"]), dict(given["words"]), dict(given["grams"]), alternatives)


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
    """The words and numbers of a text, in small letters; what mixes letters and digits stays whole, 8.0 is 8.

    >>> split("Canon EOS-5D, 24.1 MP (2008), 8.0")
    ['canon', 'eos', '5d', '24.1', 'mp', '2008', '8']
    """
    return [run[:-2] if run.endswith(".0") else run for run in _SPLIT.findall(text.casefold())]


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
    amounts: dict[str, frozenset[float]]
    """The numbers beside each word: 16 gb is {"gb": {16}}."""
    codes: frozenset[str]
    """Runs with a digit among letters or other signs, without the signs: dsc-w120/b is dscw120b."""
    squashed: str
    """All letters and digits, without what is between them."""
    initials: str
    parts: frozenset[int]
    """What comes as a Roman numeral: part ii is {2}."""


def take_apart(text: str) -> Text:
    """A text's words, numbers and codes.

    >>> sorted(take_apart("Sony DSC-W120/B 7.2 MP").codes)
    ['dscw120b']
    >>> take_apart("2 x 16GB").amounts["gb"]
    frozenset({16.0})
    """
    words = tuple(split(text))
    numbers = frozenset(float(each) for word in words for each in _NUMBER.findall(word)[:3])
    compact = ("".join(_RUN.findall(run)) for run in text.casefold().split())
    codes = frozenset(run for run in compact if len(run) > 2 and _is_code(run))
    initials = "".join(word[0] for word in words)
    parts = frozenset(ROMAN.index(word) + 1 for word in words[1:] if word in ROMAN)
    return Text(words, frozenset(words), numbers, _amounts(words), codes, "".join(words), initials, parts)


def _amounts(words: Sequence[str]) -> dict[str, frozenset[float]]:
    beside: dict[str, set[float]] = {}
    parts = [part for word in words for part in _PART.findall(word)]
    for before, number, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
        if number[0].isdecimal():
            for word in (before + "#", "#" + after, after):
                if word not in ("#", "") and not word.strip("#")[0].isdecimal():
                    beside.setdefault(word, set()).add(float(number))
    return {word: frozenset(numbers) for word, numbers in beside.items()}


def _is_code(run: str) -> bool:
    digits = sum(map(str.isdigit, run))
    return digits > 0 and (digits < len(run) or digits > 4)


@dataclass(frozen=True)
class Texts:
    """Distinct texts, read with the eyes of a wording."""

    values: tuple[str, ...]
    wording: Wording
    alternatives: Alternatives = field(default_factory=dict)

    @cached_property
    def apart(self) -> tuple[Text, ...]:
        """Each text taken apart."""
        return tuple(map(take_apart, self.values))

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """Every word that occurs, sorted."""
        return tuple(sorted({word for each in self.apart for word in each.bag}))

    @cached_property
    def words(self) -> sp.csr_matrix:
        """Texts × vocabulary: the weight of each word that a text has."""
        return _matrix([each.bag for each in self.apart], self.wording.words, self.wording.texts)

    @cached_property
    def grams(self) -> sp.csr_matrix:
        """Texts × three letters, as `words`."""
        return _matrix([set(trigrams(value)) for value in self.values], self.wording.grams, self.wording.texts)

    @cached_property
    def lengths(self) -> Floats:
        """How long each text's row of `grams` is."""
        return _lengths(self.grams)

    @cached_property
    def weight(self) -> dict[str, float]:
        """The weight of each word that occurs."""
        return {word: self.wording.weight(word) for word in self.vocabulary}


def _matrix(bags: Sequence[Iterable[str]], seen: dict[str, int], texts: int) -> sp.csr_matrix:
    ordered = [sorted(bag) for bag in bags]
    vocabulary = {each: place for place, each in enumerate(sorted({each for bag in ordered for each in bag}))}
    weights = np.asarray([math.log((texts + 1) / (seen.get(each, 0) + 0.5)) for each in vocabulary])
    columns = np.asarray([vocabulary[each] for bag in ordered for each in bag], dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum([len(bag) for bag in ordered])])
    data = weights[columns] if len(columns) else np.empty(0)
    return sp.csr_matrix((data, columns, starts), shape=(len(ordered), max(len(vocabulary), 1)))


KINDS = ("text", "name", "address", "place", "code", "category")
"""The kinds of fields whose words are looked at."""
WHOLE = "record"
"""The name of a record's fields read as one text."""


class Alone(NamedTuple):
    """Which words one record of a pair has and the other has not."""

    names: tuple[str, ...]
    """`field:word`, for each column."""
    rows: sp.csr_matrix
    """Pairs × names, 1 or 0."""


class Described(NamedTuple):
    """What the words of some pairs say."""

    evidence: Evidence
    alone: Alone


def statistics(records: Records) -> dict[str, Wording]:
    """How common words are in each field whose words are looked at, and in records as a whole: what `describe` goes by."""
    whole = replace(fit(_whole(records)[0]), alternatives=alternatives(_shelves(records)))
    return {column.field.name: fit(column.values) for column in _worded(records)} | {WHOLE: whole}


def _shelves(records: Records) -> Iterator[tuple[str, ...]]:
    """The texts of each field, those of a source by themselves where no source holds one thing twice."""
    for column in (column for column in records.columns if column.field.kind == "text"):
        if records.source is None or not records.unique_sources:
            yield column.values
            continue
        for source in np.unique(records.source):
            codes = np.unique(column.codes[(records.source == source) & (column.codes != MISSING)])
            yield tuple(column.values[code] for code in codes)


def alternatives(shelves: Iterable[Iterable[str]]) -> dict[str, dict[str, int]]:
    """Words that stand in each other's place: in texts of one shelf that are the same without one word of each, codes aside.

    Nobody has to label anything for it: how the things on a shelf differ is on the shelf.

    >>> alternatives([["lamp s1 in black", "lamp s2 in white", "in red"]])
    {'black': {'white': 1}, 'white': {'black': 1}}
    """
    counted: dict[str, Counter[str]] = {}
    for words in (words for values in shelves for words in _same_but_one(values)):
        for word in words:
            counted.setdefault(word, Counter()).update(each for each in words if each != word)
    return {word: {each: counted[word][each] for each in sorted(counted[word])} for word in sorted(counted)}


def _same_but_one(values: Iterable[str]) -> Iterator[list[str]]:
    """The words that texts have apart which are the same but for one word of each; found by sums of 64-bit hashes."""
    bags = {frozenset(word for word in split(value) if not any(map(str.isdecimal, word))) for value in values}
    chosen = sorted(sorted(bag) for bag in bags if FEWEST_WORDS <= len(bag) <= MOST_WORDS)
    vocabulary, words = np.unique([word for bag in chosen for word in bag], return_inverse=True)
    if not len(words):
        return
    hashed = np.random.default_rng(0).integers(0, 2**64, len(vocabulary), dtype=np.uint64)[words]
    lengths = np.asarray([len(bag) for bag in chosen])
    rest = np.repeat(np.add.reduceat(hashed, np.cumsum(lengths) - lengths), lengths) - hashed
    order = np.argsort(rest, kind="stable")
    starts = np.flatnonzero(np.r_[True, rest[order][1:] != rest[order][:-1]])
    for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        if 1 < end - start <= MOST_WORDS:
            yield vocabulary[words[order[start:end]]].tolist()


def describe(records: Records, pairs: Pairs, wordings: Mapping[str, Wording] | None = None) -> Described:
    """Signals for the words of each field, of each record as a whole, and of each field in the other record.

    The statistics of words are those of the records themselves, which are always known when they are matched, or the
    `wordings` of other records.
    """
    seen = statistics(records) if wordings is None else wordings
    left, right, is_directed = _oriented(records, pairs)
    joined, every = _whole(records)
    known = seen[WHOLE].alternatives
    whole = Texts(joined, seen[WHOLE], known)
    parts, lone = [], []
    for column in _worded(records):
        texts, ours, theirs = Texts(column.values, seen[column.field.name], known), column.codes[left], column.codes[right]
        name = column.field.name
        parts.append(evidence(name, texts, ours, theirs, is_directed=is_directed))
        parts.append(across(name, texts, whole, ours, theirs, every[left], every[right]))
        parts.append(_sided(name, "commonness", np.log(column.counts), ours, theirs, is_directed))
        lone.append(alone(name, texts, ours, theirs))
    for column in (column for column in records.columns if column.field.kind == "number"):
        parts.append(_sided(column.field.name, "amount", _amount(column), column.codes[left], column.codes[right], is_directed))
    parts.append(evidence(WHOLE, whole, every[left], every[right], is_directed=is_directed))
    lone.append(alone(WHOLE, whole, every[left], every[right]))
    return Described(
        beside(parts), Alone(sum((each.names for each in lone), ()), sp.hstack([each.rows for each in lone]).tocsr())
    )


def _worded(records: Records) -> tuple[Column, ...]:
    return tuple(column for column in records.columns if column.field.kind in KINDS)


def _sided(name: str, what: str, of_value: Floats, ours: Codes, theirs: Codes, is_directed: bool) -> Evidence:
    """A number that belongs to a value, on both sides, and how far apart they are; NaN where a side is MISSING."""
    a, b = (np.append(of_value, np.nan)[codes] for codes in (ours, theirs))
    columns = _both_sides(what, a, b, is_directed) | {f"{what}_apart": a - b if is_directed else np.abs(a - b)}
    return Evidence(tuple(f"{name}:{signal}" for signal in columns), np.column_stack(list(columns.values())).astype(np.float32))


def _amount(column: Column) -> Floats:
    """The logarithm of a column of numbers, whatever their sign."""
    found = [_NUMBER.search(value) for value in column.values]
    return np.asarray([math.log1p(float(each.group())) if each else math.nan for each in found])


def beside(parts: Sequence[Evidence]) -> Evidence:
    """Signals of the same pairs, side by side."""
    return Evidence(sum((each.names for each in parts), ()), np.hstack([each.values for each in parts]))


def _oriented(records: Records, pairs: Pairs) -> tuple[Codes, Codes, bool]:
    """Left and right with the lower source left, and whether sides have a meaning: every pair is of two sources."""
    if records.source is None or not records.unique_sources:
        return pairs.left, pairs.right, False
    is_turned = records.source[pairs.left] > records.source[pairs.right]
    left, right = np.where(is_turned, pairs.right, pairs.left), np.where(is_turned, pairs.left, pairs.right)
    return left, right, True


def _whole(records: Records) -> tuple[tuple[str, ...], Codes]:
    """Each record as one text, and which text each record is."""
    cells = [[*column.values, ""] for column in records.columns]  # MISSING is −1, the last
    rows = zip(*(column.codes.tolist() for column in records.columns), strict=True)
    joined = [" ".join(filter(None, (cell[code] for cell, code in zip(cells, row, strict=True)))) for row in rows]
    values = sorted(set(joined) - {""})
    place = {value: code for code, value in enumerate(values)}
    return tuple(values), np.asarray([place.get(each, MISSING) for each in joined], dtype=np.int32)


def alone(name: str, texts: Texts, left: Codes, right: Codes) -> Alone:
    """The words that one side has alone, of pairs of positions in `texts.values`; none where either is MISSING.

    >>> texts = Texts(("red shoe", "shoe"), fit(["red shoe", "shoe"]))
    >>> found = alone("title", texts, np.array([0]), np.array([1]))
    >>> [found.names[column] for column in found.rows.indices]
    ['title:red']
    """
    known = (left != MISSING) & (right != MISSING)
    present = (texts.words > 0).astype(np.float32)
    ours, theirs = present[np.where(known, left, 0)], present[np.where(known, right, 0)]
    rows = abs(ours - theirs).tocsr()
    rows.eliminate_zeros()
    kept = sp.diags_array(known.astype(np.float32)) @ rows
    return Alone(tuple(f"{name}:{word}" for word in texts.vocabulary), sp.csr_matrix(kept))


def evidence(
    name: str, texts: Texts, left: Codes, right: Codes, *, is_directed: bool = False, is_cheap: bool = False
) -> Evidence:
    """Signals `name:…` for pairs of positions in `texts.values`, NaN where either is MISSING.

    Each distinct pair of texts is compared once. `is_directed` says that left and right are different sources, so that
    what either has alone is told apart; without, the signals do not change when left and right are swapped.
    `is_cheap` leaves out what is looked at word by word: some 200,000 pairs a CPU second instead of some 5,000.
    """
    known = (left != MISSING) & (right != MISSING)
    first, second = left[known].astype(np.int64), right[known].astype(np.int64)
    if not is_directed:
        first, second = np.minimum(first, second), np.maximum(first, second)
    distinct, back = np.unique(first * len(texts.values) + second, return_inverse=True)
    a, b = np.divmod(distinct, max(len(texts.values), 1))
    parts = [_signals(texts, a[rows], b[rows], is_directed, is_cheap) for rows in _chunks(len(a))]
    names = tuple(parts[0])
    values = np.full((len(left), len(names)), np.nan, dtype=np.float32)
    for place, signal in enumerate(names):
        values[known, place] = np.concatenate([part[signal] for part in parts])[back]
    return Evidence(tuple(f"{name}:{signal}" for signal in names), values)


def letters_cosine(texts: Texts, left: Codes, right: Codes) -> npt.NDArray[np.float32]:
    """The signal of that name alone, at a sixth of what all the cheap ones cost; 0 where a text has no letters.

    >>> texts = Texts(("red shoe", "shoe"), fit(["red shoe", "shoe"]))
    >>> alone = letters_cosine(texts, np.array([0]), np.array([1]))
    >>> bool(alone[0] == evidence("t", texts, np.array([0]), np.array([1]), is_cheap=True).values[0, 7])
    True
    """
    parts = [_cosine(texts.grams, texts.lengths, left[rows], right[rows]) for rows in _chunks(len(left))]
    return np.nan_to_num(np.concatenate(parts).astype(np.float32))


def _cosine(matrix: sp.csr_matrix, lengths: Floats, a: Codes, b: Codes) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.asarray(matrix[a].multiply(matrix[b]).sum(axis=1)).ravel() / (lengths[a] * lengths[b]))


def _lengths(matrix: sp.csr_matrix) -> Floats:
    return np.asarray(np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()))


def _chunks(n: int) -> Iterator[slice]:
    yield from (slice(start, start + CHUNK) for start in range(0, max(n, 1), CHUNK))


def _signals(texts: Texts, a: Places, b: Places, is_directed: bool, is_cheap: bool) -> Columns:
    found = _weighed("words", texts.words, a, b, is_directed) | _weighed("letters", texts.grams, a, b, False)
    if is_cheap:
        return found
    return found | _spelling(texts, a, b) | _word_by_word(texts, a, b, is_directed)


def _weighed(what: str, matrix: sp.csr_matrix, a: Places, b: Places, is_directed: bool) -> Columns:
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
        } | _both_sides("unmatched", alone_a, alone_b, is_directed)
    return {f"{what}_{name}": column.astype(np.float32) for name, column in signals.items()}


def _both_sides(what: str, ours: Floats, theirs: Floats, is_directed: bool) -> dict[str, Floats]:
    """A number that each side has: the lower and the higher, and where sides have a meaning, the left and the right."""
    sides = {f"lower_{what}": np.minimum(ours, theirs), f"higher_{what}": np.maximum(ours, theirs)}
    return sides | ({f"left_{what}": ours, f"right_{what}": theirs} if is_directed else {})


def _spelling(texts: Texts, a: Places, b: Places) -> Columns:
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


ONE_SIDED = (
    "choice_unmatched",
    "softly_unmatched",
    "rarest_unmatched",
    "early_unmatched",
    "words_unmatched",
    "numeric_unmatched",
    "codes_unmatched",
    "words",
    "code_found",
    "code_ending",
    "code_similarity",
    "code_explained",
)
TWO_SIDED = (
    "choices_clash",
    "choices_alike",
    "choice_shared",
    "softly_found",
    "rarest_shared",
    "first_same",
    "last_same",
    "start_shared",
    "numbers_shared",
    "numbers_unmatched",
    "numbers_conflict",
    "amounts_same",
    "amounts_conflict",
    "codes_shared",
    "codes_found",
    "codes_similarity",
    "codes_start_shared",
    "codes_stem_found",
    "codes_ending",
    "clash_similarity",
    "clashes",
    "rough_clash_similarity",
    "clash_start_shared",
    "parts_same",
)


def _word_by_word(texts: Texts, a: Places, b: Places, is_directed: bool) -> Columns:
    """Each word's best partner on the other side; numbers and codes apart, since a near miss means nothing there."""
    weight, apart, known = texts.weight, texts.apart, texts.alternatives
    rows = np.asarray(
        [_aligned(apart[i], apart[j], weight, known) for i, j in zip(a.tolist(), b.tolist(), strict=True)], dtype=np.float64
    )
    sides = len(ONE_SIDED)
    rows = rows.reshape(len(a), 2 * sides + len(TWO_SIDED))
    found = {name: rows[:, 2 * sides + place] for place, name in enumerate(TWO_SIDED)}
    for place, name in enumerate(ONE_SIDED):
        found |= _both_sides(name, rows[:, place], rows[:, sides + place], is_directed)
    return {name: column.astype(np.float32) for name, column in found.items()}


def _aligned(one: Text, other: Text, weight: dict[str, float], known: Alternatives) -> tuple[float, ...]:
    shared = one.bag & other.bag
    mine, yours = _alone(one, other, shared), _alone(other, one, shared)
    common = sum(weight[word] for word in sorted(shared))
    ours, theirs = _one_sided(one, other, mine, weight), _one_sided(other, one, yours, weight)
    total = common + ours[0] + theirs[0]
    return (
        _choice(mine, known),
        *ours,
        _choice(yours, known),
        *theirs,
        *_choices(mine, yours, known),
        _choice(shared, known),
        common / total if total else math.nan,
        max((weight[word] for word in shared), default=0.0),
        float(bool(one.words) and one.words[:1] == other.words[:1]),
        float(bool(one.words) and one.words[-1:] == other.words[-1:]),
        float(_start(one.words, other.words)),
        *_numbers(one, other),
        *_codes(one, other),
        *_stems(one, other),
        *_clashes(one, other),
        _parts(one, other),
    )


def _choice(words: Iterable[str], known: Alternatives) -> float:
    """How often another stands in the place of the word that is replaced most, as a logarithm."""
    return max((math.log1p(sum(known[word].values())) for word in words if word in known), default=0.0)


def _choices(mine: Sequence[str], yours: Sequence[str], known: Alternatives) -> tuple[float, float]:
    """How often a word that one side has alone stands in the place of one that the other has, and how many stand in the place of
    both, as logarithms: black is not white, and two such things are two.
    """
    ours, theirs = [word for word in mine if word in known], [word for word in yours if word in known]
    direct = max((known[a].get(b, 0) for a in ours for b in theirs), default=0)
    alike = max((len(known[a].keys() & known[b].keys()) for a in ours for b in theirs), default=0)
    return math.log1p(direct), math.log1p(alike)


def _alone(one: Text, other: Text, shared: frozenset[str]) -> list[str]:
    """Words that have no partner on the other side, not even glued, cut off, as initials or misspelt."""
    partners = sorted(other.bag - shared)
    spelled_out = _spelled_out(one, partners)
    return [word for word in sorted(one.bag - shared) if word not in spelled_out and not _has_partner(word, partners, other)]


def left_over(one: Text, other: Text) -> list[str]:
    """The words of one text that have no partner in the other.

    >>> left_over(take_apart("hex bolt m5 zinc plated"), take_apart("hex bolt m6 zinc platd"))
    ['m5']
    """
    return _alone(one, other, one.bag & other.bag)


def _spelled_out(one: Text, partners: Sequence[str]) -> set[str]:
    """Words whose initials are a word on the other side: small business edition for sbe."""
    found: set[str] = set()
    for short in partners:
        if 2 < len(short) < 6 and (place := one.initials.find(short)) >= 0:
            found.update(one.words[place : place + len(short)])
    return found


def _has_partner(word: str, partners: Sequence[str], other: Text) -> bool:
    if len(word) > 3 and word in other.squashed:
        return True
    if any(map(str.isdecimal, word)) or word in ROMAN:
        return False
    return (2 < len(word) < 6 and word in other.initials) or any(_is_close(word, each) for each in partners)


def _is_close(word: str, other: str) -> bool:
    if word[0] != other[0]:
        return False
    short = min(len(word), len(other))
    if short < 4:
        return short != 2 and (word.startswith(other) or other.startswith(word))
    return word.startswith(other) or other.startswith(word) or JaroWinkler.similarity(word, other, score_cutoff=CLOSE) > 0


def _one_sided(one: Text, other: Text, alone: list[str], weight: dict[str, float]) -> tuple[float, ...]:
    early = {*one.words[:3]}
    lost = [code for code in one.codes if code not in other.codes and code not in other.squashed]
    return (
        sum(weight[word] for word in alone),
        max((weight[word] for word in alone), default=0.0),
        sum(weight[word] for word in alone if word in early),
        float(len(alone)),
        max((weight[word] for word in alone if any(map(str.isdecimal, word))), default=0.0),
        float(len(lost)),
        float(len(one.words)),
        *_longest(one, other),
    )


def _start(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    return next((n for n, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))


def _numbers(one: Text, other: Text) -> tuple[float, ...]:
    if not one.numbers or not other.numbers:
        return (math.nan,) * 5
    only_a, only_b = len(one.numbers - other.numbers), len(other.numbers - one.numbers)
    beside = one.amounts.keys() & other.amounts.keys()
    agreeing = sum(bool(one.amounts[word] & other.amounts[word]) for word in beside)
    shared = len(one.numbers & other.numbers)
    return float(shared), float(only_a + only_b), float(min(only_a, only_b)), float(agreeing), float(len(beside) - agreeing)


def _codes(one: Text, other: Text) -> tuple[float, ...]:
    if not one.codes and not other.codes:
        return (math.nan,) * 4
    found = [code for code in one.codes if len(code) > 3 and code in other.squashed]
    found += [code for code in other.codes if len(code) > 3 and code in one.squashed]
    near, start = math.nan, math.nan
    if one.codes and other.codes:
        pairs = [(x, y) for x in one.codes for y in other.codes]
        near = max(Levenshtein.normalized_similarity(x, y) for x, y in pairs)
        start = float(max(Prefix.similarity(x, y) for x, y in pairs))
    return float(len(one.codes & other.codes)), float(max(map(len, found), default=0)), near, start


def _stems(one: Text, other: Text) -> tuple[float, float]:
    """The longest start of a code that the other side has anywhere, and how much of that code comes after it.

    A code less its last letters is often the same thing in another colour, or sold elsewhere.
    """
    if not one.codes and not other.codes:
        return math.nan, math.nan
    found = [_stem(code, other.squashed) for code in one.codes] + [_stem(code, one.squashed) for code in other.codes]
    length, ending = max(found)
    return float(length), float(-ending)


def _stem(code: str, squashed: str) -> tuple[int, int]:
    """How long a start of the code, of four characters or more and with a digit, is in a text, and less what is left of it."""
    for end in range(len(code), 3, -1):
        if code[:end] in squashed:
            return (end, end - len(code)) if any(map(str.isdigit, code[:end])) else (0, -len(code))
    return 0, -len(code)


def _longest(one: Text, other: Text) -> tuple[float, float, float, float]:
    """Of the longest code the share that the other side starts something with, how much comes after, how near the nearest code
    there is, and whether nothing comes after but what stands for a word there, as slv for silver.
    """
    if not one.codes:
        return (math.nan,) * 4
    code = max(sorted(one.codes), key=len)
    start, _ = _stem(code, other.squashed)
    ending = code[start:]
    near = max((Levenshtein.normalized_similarity(code, each) for each in other.codes), default=math.nan)
    tail = _TAIL.search(code)
    is_short = tail is not None and tail.start() <= start and any(shortens(tail.group(), word) for word in other.bag)
    explained = float(not ending or (start > 0 and is_short))
    return start / len(code), float(len(ending)), near, explained


def shortens(short: str, word: str) -> bool:
    """Whether a word starts as another does, and has its letters in order.

    >>> shortens("slv", "silver"), shortens("blk", "blue")
    (True, False)
    """
    letters = iter(word)
    return word[0] == short[0] and all(letter in letters for letter in short)


def _clashes(one: Text, other: Text) -> tuple[float, float, float, float]:
    """Codes that are found on one side alone: how alike those of one shape are, and how many; of one rough shape; how much of
    a start they share. Two numbers of one maker's kind are two things, and the more alike they are the surer.
    """
    ours = [code for code in one.codes if code not in other.squashed]
    theirs = [code for code in other.codes if code not in one.squashed]
    pairs = [(a, b) for a in ours for b in theirs]
    same = [Levenshtein.normalized_similarity(a, b) for a, b in pairs if _shape(a) == _shape(b)]
    rough = [Levenshtein.normalized_similarity(a, b) for a, b in pairs if _rough(a) == _rough(b)]
    start = max((Prefix.similarity(a, b) / min(len(a), len(b)) for a, b in pairs), default=0.0)
    return max(same, default=0.0), float(len(same)), max(rough, default=0.0), start


@lru_cache(100_000)
def _shape(code: str) -> str:
    """Where a code has digits and where letters.

    >>> _shape("dscw120"), _rough("dscw120")
    ('aaaa000', 'a0')
    """
    return "".join("0" if sign.isdecimal() else "a" for sign in code)


@lru_cache(100_000)
def _rough(code: str) -> str:
    return "".join(sign for sign, _ in groupby(_shape(code)))


def _parts(one: Text, other: Text) -> float:
    """Whether both are the same part of a series; one that is not numbered may be the first, and is not told."""
    return float(one.parts == other.parts) if one.parts and other.parts else math.nan


def across(name: str, texts: Texts, whole: Texts, left: Codes, right: Codes, whole_left: Codes, whole_right: Codes) -> Evidence:
    """How much of a field's text is found anywhere in the other record: a maker in a title, a code in a description.

    `left` and `right` are positions in the field's `texts`, `whole_left` and `whole_right` in the texts of whole records.
    """
    ours, theirs = _found_in(texts, whole, left, whole_right), _found_in(texts, whole, right, whole_left)
    lower, higher = np.fmin(ours, theirs), np.fmax(ours, theirs)
    return Evidence((f"{name}:lower_across_found", f"{name}:higher_across_found"), np.column_stack([lower, higher]))


def _found_in(texts: Texts, whole: Texts, part: Codes, record: Codes) -> npt.NDArray[np.float32]:
    """The share of a text's weight whose words are in another record, NaN without a text."""
    answers: dict[tuple[int, int], float] = {}
    for pair in set(zip(part.tolist(), record.tolist(), strict=True)):
        answers[pair] = math.nan if MISSING in pair else _share_found(texts, pair[0], whole.apart[pair[1]])
    return np.asarray([answers[pair] for pair in zip(part.tolist(), record.tolist(), strict=True)], dtype=np.float32)


def _share_found(texts: Texts, place: int, record: Text) -> float:
    bag = sorted(texts.apart[place].bag)
    total = sum(texts.weight[word] for word in bag)
    found = sum(texts.weight[word] for word in bag if word in record.bag or (len(word) > 3 and word in record.squashed))
    return found / total if total else math.nan
