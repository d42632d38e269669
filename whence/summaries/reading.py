"""From values to a column's summary: pandas and Arrow columns of any type, and objects of any kind one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from whence.summaries import distinct, vectors
from whence.summaries.column import NAME_LENGTH, Summary
from whence.summaries.histogram import Counts, Floats, number_codes, of_counted, of_sorted

KEPT_DIGITS = 2**53
"""Whole numbers up to this are floats without loss."""
LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


def of_series(values: pd.Series) -> Summary:
    """The summary of a pandas column."""
    kind = values.dtype
    if isinstance(kind, pd.CategoricalDtype):
        return _categories(values)
    if isinstance(kind, np.dtype) and kind.kind in "fiub":
        return _numbers(values.to_numpy(), "truths" if kind.kind == "b" else "numbers")
    if isinstance(kind, pd.DatetimeTZDtype) or (isinstance(kind, np.dtype) and kind.kind == "M"):
        return _numbers(_seconds(values), "instants" if isinstance(kind, pd.DatetimeTZDtype) else "naive_instants")
    if isinstance(kind, np.dtype) and kind.kind == "m":
        return _numbers(values.dt.total_seconds().to_numpy(), "numbers")
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
        if isinstance(kind, np.dtype):  # complex
            return _objects(values.astype("object"))
        floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return _numbers(floats, "truths" if pd.api.types.is_bool_dtype(kind) else "numbers")
    return _objects(values.astype("object"))


def of_arrow(values: pa.Array | pa.ChunkedArray) -> Summary:
    """The summary of an Arrow column."""
    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        counted = pc.value_counts(values)
        texts, counts = counted.field("values").to_pylist(), counted.field("counts").to_numpy().astype(np.int64)
        nulls = sum(int(count) for text, count in zip(texts, counts, strict=True) if text is None)
        held = [place for place, text in enumerate(texts) if text is not None]
        return _with_nulls(_texts([texts[place] for place in held], counts[held], "texts"), nulls)
    if pa.types.is_boolean(kind):
        return _numbers(values.cast(pa.int8()).to_numpy(zero_copy_only=False).astype(np.float64), "truths")
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return _numbers(np.asarray(values.to_numpy(zero_copy_only=False)), "numbers")
    if isinstance(kind, LISTS) and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        return _lists(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
    return of_series(values.to_pandas())


def _numbers(values: npt.NDArray[Any], kind: str) -> Summary:
    rows = len(values)
    is_whole = values.dtype.kind in "iu"
    floats: Floats = values.astype(np.float64, copy=False)
    ordered = np.sort(floats)  # NaN come last, infinities at both ends
    held = rows if is_whole else int(np.searchsorted(ordered, np.nan))
    first = int(np.searchsorted(ordered[:held], -np.inf, side="right"))
    last = int(np.searchsorted(ordered[:held], np.inf, side="left"))
    finite = ordered[first:last]
    spread = of_sorted(number_codes(finite))
    hashes = distinct.mixed(spread.buckets if spread.is_exact else number_codes(finite))
    infinities = ([-np.inf] if first else []) + ([np.inf] if held > last else [])
    ends = distinct.mixed(number_codes(np.array(infinities, dtype=np.float64)))
    return Summary(
        rows=rows,
        nulls=rows - held,
        **{kind: held},  # type: ignore[arg-type]
        infinite=held - len(finite),
        zeros=int(np.searchsorted(finite, 0.0, side="right") - np.searchsorted(finite, 0.0, side="left")),
        inexact=int((np.abs(values) > KEPT_DIGITS).sum()) if is_whole and rows else 0,
        low=float(finite[0]) if len(finite) else math.inf,
        high=float(finite[-1]) if len(finite) else -math.inf,
        spread=spread,
        sketch=distinct.merge(distinct.smallest(hashes), ends),
    )


def _lists(values: pa.Array) -> Summary:
    """Lists of numbers: vectors, but for those that are empty."""
    lengths = pc.list_value_length(values)
    found = Summary()
    for length in sorted(pc.unique(lengths).drop_null().to_pylist()):
        chosen = values.filter(pc.equal(lengths, length))
        if not length:
            found = found.merge(_texts(["[]"], np.array([len(chosen)], dtype=np.int64), "others"))
            continue
        flat = pc.list_flatten(chosen).cast(pa.float64(), safe=False)
        found = found.merge(_vectors(flat.to_numpy(zero_copy_only=False).reshape(-1, length)))
    return _with_nulls(found, values.null_count)


def _vectors(rows: Floats) -> Summary:
    """Vectors of one length, rows of a matrix."""
    told = vectors.seen(rows)
    norms = told[vectors.NORM]
    lengths = np.full(len(rows), rows.shape[1])
    parts = {vectors.LENGTH: _numbers(lengths, "numbers"), **{name: _numbers(each, "numbers") for name, each in told.items()}}
    return Summary(
        rows=len(rows),
        vectors=len(rows),
        infinite=int(np.isinf(norms).sum()),
        zeros=int((norms == 0).sum()),
        sketch=distinct.smallest(vectors.hashes(told)),
        parts={name: replace(each, sketch=distinct.NONE) for name, each in parts.items()},
    )


def _texts(texts: Sequence[str], counts: Counts, kind: str) -> Summary:
    """Different texts with their counts."""
    held = int(counts.sum()) if len(texts) else 0
    if not held:
        return Summary()
    codes = pd.util.hash_array(np.array(texts, dtype=object), categorize=False)
    words = of_counted(codes, counts)
    names = {int(code): text[:NAME_LENGTH] for code, text in zip(codes, texts, strict=True)} if words.is_exact else {}
    return Summary(
        rows=held,
        **{kind: held},  # type: ignore[arg-type]
        longest=max(map(len, texts)),
        words=words,
        names=names,
        sketch=distinct.smallest(codes),
    )


def _categories(values: pd.Series) -> Summary:
    codes = values.cat.codes.to_numpy()
    counts = np.bincount(codes[codes >= 0], minlength=len(values.cat.categories))
    held = np.flatnonzero(counts)
    names = values.cat.categories[held]
    if pd.api.types.infer_dtype(names, skipna=False) not in ("string", "empty"):
        return _objects(values.astype("object"))
    return _with_nulls(_texts(list(names), counts[held].astype(np.int64), "texts"), int((codes < 0).sum()))


def _objects(values: pd.Series) -> Summary:
    """Values of any kind; those of one kind go the quick way."""
    raw = values.to_numpy(dtype=object)
    kind = pd.api.types.infer_dtype(raw, skipna=True)
    if kind == "string":
        codes, texts = pd.factorize(raw)
        counts = np.bincount(codes[codes >= 0], minlength=len(texts)).astype(np.int64)
        return _with_nulls(_texts(list(texts), counts, "texts"), int((codes < 0).sum()))
    held = raw[~_missing(raw)]
    nulls = len(raw) - len(held)
    if kind == "boolean":
        return _with_nulls(_numbers(held.astype(np.float64), "truths"), nulls)
    if kind == "floating":
        return _with_nulls(_numbers(held.astype(np.float64), "numbers"), nulls)
    if kind == "integer" and (whole := _whole(held)) is not None:
        return _with_nulls(_numbers(whole, "numbers"), nulls)
    return _with_nulls(_each(held), nulls)


def _whole(held: npt.NDArray[np.object_]) -> npt.NDArray[np.int64] | None:
    try:
        return held.astype(np.int64)
    except OverflowError:
        return None


def _each(held: npt.NDArray[np.object_]) -> Summary:
    """Values one by one, by their kinds."""
    numbers: dict[str, list[float]] = {}
    texts: dict[str, dict[str, int]] = {}
    rows: dict[int, list[Floats]] = {}
    inexact = 0
    for value in held:
        if (vector := vectors.as_vector(value)) is not None:
            rows.setdefault(len(vector), []).append(vector)
            continue
        kind, plain = _plain(value)
        if isinstance(plain, str):
            counted = texts.setdefault(kind, {})
            counted[plain] = counted.get(plain, 0) + 1
        else:
            numbers.setdefault(kind, []).append(plain)
            inexact += isinstance(value, int | np.integer) and abs(int(value)) > KEPT_DIGITS
    found = Summary()
    for kind, floats in numbers.items():
        found = found.merge(_numbers(np.array(floats, dtype=np.float64), kind))
    for row in rows.values():
        found = found.merge(_vectors(np.stack(row)))
    for kind, counted in texts.items():
        found = found.merge(_texts(list(counted), np.array(list(counted.values()), dtype=np.int64), kind))
    return replace(found, inexact=inexact)


def _plain(value: object) -> tuple[str, float | str]:
    """A value's kind, and the number or text that stands for it."""
    if isinstance(value, str):
        return "texts", value
    if isinstance(value, bool | np.bool_):
        return "truths", float(value)
    if isinstance(value, datetime):
        return ("instants", value.timestamp()) if value.tzinfo else ("naive_instants", value.replace(tzinfo=UTC).timestamp())
    if isinstance(value, np.datetime64):
        return "naive_instants", float(value.astype("datetime64[us]").astype(np.int64)) / 1e6
    if isinstance(value, date):
        return "naive_instants", datetime.combine(value, time(), UTC).timestamp()
    if isinstance(value, timedelta):
        return "numbers", value.total_seconds()
    if isinstance(value, Real | Decimal):
        return "numbers", vectors.as_float(value)
    return "others", _read(value)


def _read(value: object) -> str:
    try:
        return repr(value)
    except Exception as trouble:
        return f"<{type(value).__name__} that cannot be read: {type(trouble).__name__}>"


def _missing(raw: npt.NDArray[np.object_]) -> npt.NDArray[np.bool_]:
    return np.asarray(pd.isna(raw), dtype=bool)


def _with_nulls(summary: Summary, nulls: int) -> Summary:
    return replace(summary, rows=summary.rows + nulls, nulls=summary.nulls + nulls) if nulls else summary


def _seconds(values: pd.Series) -> Floats:
    micros = values.to_numpy(dtype="datetime64[us]")
    return np.where(np.isnat(micros), np.nan, micros.astype(np.int64) / 1e6)
