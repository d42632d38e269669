"""Optional vectors for texts, where words differ and meaning does not: nearest neighbours and cosine, behind the extra `embed`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from whence.identity.records.table import MISSING, Column, Evidence, Floats, Pairs, Records

Vectors = npt.NDArray[np.float32]

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
EXACT = 20_000
"""Up to so many texts every one is compared with every other: quicker than an index, and without misses."""
CHUNK = 1_000
SEED = 0


class NotInstalledError(RuntimeError):
    """The extra that this needs is not installed."""


class Encoder(Protocol):
    """Turns texts into vectors of length 1; the same text always into the same vector."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Shape (texts, dimensions)."""
        ...


@dataclass(frozen=True)
class Sentences:
    """A sentence-transformers model, on one thread of the processor."""

    model: str = MODEL
    """A name, or the folder of a model that is there already."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the model, normalised."""
        transformers, torch = _extra("sentence_transformers"), _extra("torch")
        torch.set_num_threads(1)
        model = transformers.SentenceTransformer(self.model, device="cpu")
        return np.asarray(model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), dtype=np.float32)


@dataclass(frozen=True)
class Grams:
    """Vectors without a language model: hashed character n-grams, weighted and folded into few dimensions."""

    dimensions: int = 64

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Vectors fitted to these texts alone."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        counts = HashingVectorizer(analyzer="char_wb", ngram_range=(2, 4), n_features=2**16, alternate_sign=False, norm=None)
        weighted = TfidfTransformer().fit_transform(counts.transform(texts))
        room = max(1, min(self.dimensions, min(weighted.shape) - 1))
        folded = TruncatedSVD(room, random_state=SEED).fit_transform(weighted)
        return _unit(np.asarray(folded, dtype=np.float32))


def neighbours(column: Column, encoder: Encoder, k: int, *, exact: int = EXACT) -> tuple[Pairs, Floats]:
    """For each record the k others whose text is nearest, as pairs of records, each once, with their cosine.

    Up to `exact` distinct texts are compared with one another; beyond, usearch finds them, and may miss a few.
    """
    vectors = encoder.encode(column.values)
    near, cosine = _all_near(vectors, k) if len(vectors) <= exact else _index_near(vectors, k)
    return _as_pairs(column, near, cosine, k)


def cosines(column: Column, encoder: Encoder, pairs: Pairs) -> Evidence:
    """The cosine of both texts of each pair as one more signal, NaN where either is missing."""
    vectors = encoder.encode(column.values) if column.values else np.zeros((0, 1), dtype=np.float32)
    left, right = column.codes[pairs.left], column.codes[pairs.right]
    known = (left != MISSING) & (right != MISSING)
    values = np.full((len(left), 1), np.nan, dtype=np.float32)
    values[known, 0] = np.einsum("ij,ij->i", vectors[left[known]], vectors[right[known]])
    return Evidence((f"{column.field.name}:cosine",), values)


def joined(evidence: Evidence, more: Sequence[Evidence]) -> Evidence:
    """The same pairs with more signals."""
    names = (*evidence.names, *(name for each in more for name in each.names))
    return Evidence(names, np.hstack([evidence.values, *(each.values for each in more)]))


def worded(records: Records) -> list[Column]:
    """The columns in which meaning may count: free texts, and names of things."""
    return [each for each in records.columns if each.field.kind in ("text", "name") and len(each.values) > 1]


def is_installed() -> bool:
    """Whether the extra `embed` is there."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("sentence_transformers", "usearch"))


def _all_near(vectors: Vectors, k: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    """The k nearest others of each, the nearest first, ties by position; −1 where there are fewer."""
    wanted = min(k, len(vectors) - 1)
    near, cosine = [], []
    for start in range(0, len(vectors), CHUNK):
        block = np.round(vectors[start : start + CHUNK] @ vectors.T, 6)  # so that one bit does not change an order
        block[np.arange(len(block)), np.arange(start, start + len(block))] = -np.inf
        order = np.argsort(-block, axis=1, kind="stable")[:, :wanted]
        near.append(order)
        cosine.append(np.take_along_axis(block, order, axis=1))
    return np.concatenate(near), np.concatenate(cosine)


def _index_near(vectors: Vectors, k: int) -> tuple[npt.NDArray[np.int64], Vectors]:
    index = _extra("usearch.index").Index(ndim=vectors.shape[1], metric="cos", dtype="f32", connectivity=16)
    index.add(np.arange(len(vectors)), vectors, threads=1)  # one thread, so that the same texts make the same index
    found = index.search(vectors, k + 1, threads=1)
    near, cosine = found.keys.astype(np.int64), 1 - found.distances
    own = near == np.arange(len(vectors))[:, None]
    cosine = np.where(own, -np.inf, cosine)
    order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(near, order, axis=1), np.take_along_axis(cosine, order, axis=1).astype(np.float32)


def _as_pairs(column: Column, near: npt.NDArray[np.int64], cosine: Vectors, k: int) -> tuple[Pairs, Floats]:
    """Pairs of records from nearest texts; records with one text are paired along a chain of k."""
    records = np.flatnonzero(column.codes != MISSING)
    by_text = records[np.argsort(column.codes[records], kind="stable")]
    starts = np.searchsorted(column.codes[by_text], np.arange(len(column.values)))
    left, right, found = [], [], []
    for step in range(1, k + 1):  # the same text
        same = column.codes[by_text[step:]] == column.codes[by_text[:-step]]
        left.append(by_text[:-step][same])
        right.append(by_text[step:][same])
        found.append(np.ones(int(same.sum()), dtype=np.float32))
    for place in range(near.shape[1]):  # another text: its first record stands for it
        other = by_text[starts[near[:, place]]]
        left.append(records)
        right.append(other[column.codes[records]])
        found.append(cosine[column.codes[records], place])
    a, b, c = np.concatenate(left), np.concatenate(right), np.concatenate(found)
    low, high = np.minimum(a, b).astype(np.int64), np.maximum(a, b).astype(np.int64)
    keys, first = np.unique(low * len(column.codes) + high, return_index=True)
    kept = first[keys // len(column.codes) != keys % len(column.codes)]
    return Pairs(low[kept].astype(np.int32), high[kept].astype(np.int32)), c[kept].astype(np.float64)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def _extra(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise NotInstalledError(
            f"'{missing.name}' is not installed. Run `pip install 'whence[embed]'`, or leave vectors out."
        ) from None
