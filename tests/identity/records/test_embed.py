"""Vectors find what shares few letters in order, cosine is evidence, and a missing extra is named."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from whence.identity.records.embed import Encoder, Grams, NotInstalledError, Sentences, cosines, joined, neighbours, worded
from whence.identity.records.table import MISSING, Column, Evidence, Field, Pairs, Records

TEXTS = ("canon powershot a640", "garden hose 20 m", "hose for the garden 20m", "powershot a640 by canon", "sony bravia tv")


def titles(codes: list[int] | None = None, texts: tuple[str, ...] = TEXTS) -> Column:
    return Column(Field("title", "text"), np.array(codes or range(len(texts)), dtype=np.int32), texts)


class Fixed:
    """An encoder with vectors of our own."""

    def __init__(self, vectors: Any) -> None:
        found = np.asarray(vectors, dtype=np.float32)
        self.vectors = found / np.linalg.norm(found, axis=1, keepdims=True)

    def encode(self, texts: Any) -> Any:
        assert len(texts) == len(self.vectors)
        return self.vectors


@pytest.mark.service
def test_a_real_encoder_brings_alike_titles_together() -> None:
    encoder: Encoder = Grams(4)
    pairs, cosine = neighbours(titles(), encoder, 1)
    found = set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert {(0, 3), (1, 2)} <= found
    assert (np.abs(cosine) <= 1 + 1e-6).all()
    assert (encoder.encode(TEXTS) == encoder.encode(TEXTS)).all()


def test_each_record_gets_its_nearest_and_pairs_come_once() -> None:
    pairs, cosine = neighbours(titles(texts=("a", "b", "c", "d")), Fixed([[1, 0], [1, 0.1], [0, 1], [0.1, 1]]), 1)
    assert list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)) == [(0, 1), (2, 3)]
    assert cosine == pytest.approx([0.995, 0.995], abs=1e-3)


def test_records_with_one_text_are_pairs_and_missing_ones_are_not() -> None:
    pairs, cosine = neighbours(titles([0, 0, MISSING, 1], ("a", "b")), Fixed([[1, 0], [0, 1]]), 1)
    assert (0, 1) in zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    assert 2 not in {*pairs.left.tolist(), *pairs.right.tolist()}
    assert cosine[0] == 1.0


def test_cosine_is_one_more_signal_and_nan_without_a_text() -> None:
    pairs = Pairs(np.array([0, 0], dtype=np.int32), np.array([1, 2], dtype=np.int32))
    more = cosines(titles([0, 1, MISSING], ("a", "b")), Fixed([[1, 0], [0.6, 0.8]]), pairs)
    assert more.names == ("title:cosine",)
    assert more.values[0, 0] == pytest.approx(0.6)
    assert np.isnan(more.values[1, 0])
    both = joined(Evidence(("title:likeness",), np.zeros((2, 1), dtype=np.float32)), [more])
    assert both.names == ("title:likeness", "title:cosine")
    assert both.values.shape == (2, 2)


def test_only_columns_of_words_are_encoded() -> None:
    zips = Column(Field("zip", "postcode"), np.array([0, 1], dtype=np.int32), ("1", "2"))
    assert [each.field.name for each in worded(Records(("a", "b"), (titles([0, 1]), zips)))] == ["title"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sentence_transformers", "usearch.index"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalledError, match=r"pip install 'whence\[embed\]'"):
        Sentences().encode(["a"])
    with pytest.raises(NotInstalledError, match=r"'usearch.index' is not installed"):
        neighbours(titles(), Fixed(np.eye(5)), 1, exact=1)


def test_beyond_the_exact_size_the_index_is_asked_and_never_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """A twin of usearch that finds exactly, so that the wiring is held where the extra is not installed."""

    class Index:
        def __init__(self, **_: Any) -> None: ...

        def add(self, keys: Any, vectors: Any, threads: int) -> None:
            self.vectors = vectors

        def search(self, vectors: Any, k: int, threads: int) -> Any:
            distances = 1 - vectors @ self.vectors.T
            keys = np.argsort(distances, axis=1, kind="stable")[:, :k]
            return SimpleNamespace(keys=keys.astype(np.uint64), distances=np.take_along_axis(distances, keys, axis=1))

    monkeypatch.setitem(sys.modules, "usearch.index", SimpleNamespace(Index=Index))
    rng = np.random.default_rng(0)
    column, encoder = titles(texts=tuple(f"{at:02}" for at in range(30))), Fixed(rng.normal(size=(30, 8)))
    exact, by_index = neighbours(column, encoder, 3), neighbours(column, encoder, 3, exact=1)
    assert (exact[0].left == by_index[0].left).all()
    assert (exact[0].right == by_index[0].right).all()
    assert exact[1] == pytest.approx(by_index[1], abs=1e-5)
