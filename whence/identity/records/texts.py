"""A column of any type as texts."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def texts(column: pa.ChunkedArray) -> pa.Array:
    """A column as texts; times of midnight lose their hours, whole floats their point.

    >>> texts(pa.chunked_array([[1.0, 2.5, None]])).to_pylist()
    ['1', '2.5', None]
    """
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], type=column.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), r"\.0$", "")
    if pa.types.is_timestamp(array.type):
        return pc.replace_substring_regex(array.cast(pa.string()), r" 00:00:00(\.0+)?Z?$", "")
    if pa.types.is_nested(array.type):
        return pa.array([None if value is None else str(value) for value in array.to_pylist()], type=pa.string())
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.string())
    if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
        return pa.array(
            [None if value is None else value.decode("utf-8", "replace") for value in array.to_pylist()], type=pa.string()
        )
    return array.cast(pa.string())
