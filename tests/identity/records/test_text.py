"""Search by shared terms, against a plain BM25 and against itself."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pyarrow as pa

from whence.identity.records import fields, text
from whence.identity.records.keys import Part
from whence.identity.records.table import Field, Fields, Records


def titles(*values: str | None, kind: str = "text") -> Records:
    return fields.prepare(pa.table({"title": pa.array(values, pa.string())}), Fields((Field("title", kind),)))


def best(records: Records, k: int = 1, of: str = "grams") -> dict[int, list[int]]:
    hits = text.search(records, text.index(records, [Part("title", of)]), k)
    return {query: hits.other[hits.query == query].tolist() for query in range(len(records))}


def grams(value: str) -> Counter[str]:
    marked = f"  {value} "
    return Counter(marked[at : at + 3] for at in range(len(marked) - 2))


def test_a_mistyped_title_is_found() -> None:
    records = titles("belt drive turntable", "digital camera", "belt driv turntable", "digitale camera")
    assert best(records) == {0: [2], 1: [3], 2: [0], 3: [1]}


def test_scores_are_those_of_bm25_written_out() -> None:
    values = ["abcd", "abce", "xyzabc", "zzz"]
    records = titles(*values)
    hits = text.search(records, text.index(records, [Part("title", "grams")]), 3)
    counted = [grams(value) for value in values]
    held = Counter(gram for each in counted for gram in each)
    mean = np.mean([sum(each.values()) for each in counted])

    def score(query: int, other: int) -> float:
        norm = 1.2 * (1 - 0.75 + 0.75 * sum(counted[other].values()) / mean)
        shared = [gram for gram in counted[query] if gram in counted[other]]
        return sum(
            math.log1p((4 - held[gram] + 0.5) / (held[gram] + 0.5)) * counted[other][gram] * 2.2 / (counted[other][gram] + norm)
            for gram in shared
        )

    expected = [score(int(query), int(other)) for query, other in zip(hits.query, hits.other, strict=True)]
    np.testing.assert_allclose(hits.score, expected, rtol=1e-5)
    assert len(expected) == 6


def test_a_record_without_a_value_finds_nobody_and_is_not_found() -> None:
    assert best(titles("one title", None, "one title"), k=2) == {0: [2], 1: [], 2: [0]}


def test_the_chunk_does_not_change_what_is_found() -> None:
    records = titles(*[f"title number {number % 7} of {number % 5}" for number in range(60)])
    held = text.index(records, [Part("title", "grams")])
    whole, small = text.search(records, held, 4), text.search(records, held, 4, chunk=7)
    assert whole.query.tolist() == small.query.tolist()
    assert whole.other.tolist() == small.other.tolist()


def test_terms_too_common_for_the_work_allowed_are_left_out_and_counted() -> None:
    records = titles(*[f"the common words {number // 2:05d}" for number in range(400)])
    held = text.index(records, [Part("title", "words")], work=1_000)
    assert held.dropped == 3
    assert held.weights.shape[1] == 200


def test_a_long_text_does_not_outweigh_a_short_name_when_both_weigh_the_same() -> None:
    table = pa.table(
        {"name": ["ab12", "ab12", "zz99", "qq77"], "about": ["w " * 5 + "x", "y " * 5 + "z", "w " * 5 + "x", "k m n"]}
    )
    records = fields.prepare(table, Fields((Field("name", "code"), Field("about", "text"))))
    held = text.index(records, [Part("name", "grams"), Part("about", "grams")], [1.0, 1.0])
    rows = np.asarray(held.weights.sum(axis=1)).ravel()
    assert rows.max() < 4


def test_dates_with_one_wrong_piece_share_the_other_two() -> None:
    pieces = text.WORDS["date pieces"]
    assert set(pieces("1970-03-04")) & set(pieces("1970-03-05")) == {"1970-03"}
    assert set(pieces("1970-03-04")) & set(pieces("1971-03-04")) == {"--03-04"}


def test_any_script_has_grams() -> None:
    assert best(titles("東京都港区", "大阪市北区", "東京都港区六本木"))[0] == [2]
