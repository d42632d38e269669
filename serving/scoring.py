"""Rows that a caller brings itself, scored: the answer to `/v1/score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from whence.bundle import Scorer
from whence.contracts.models import FeatureSchema
from whence.encoding import UNSEEN, InputError

Numbers = npt.NDArray[np.float64]
Row = Sequence[Any]
NUMBERS = {int, float, type(None)}
MOST = float(2**1023)


@dataclass(frozen=True)
class ScoredRows:
    """What a model says of some rows."""

    raw: Numbers
    probability: Numbers
    unseen: Mapping[str, int]
    """By category, the rows whose value the model never saw."""

    @property
    def degraded(self) -> tuple[str, ...]:
        """What the model could not make use of, in words."""
        return tuple(f"{name} has {count} values that the model never saw" for name, count in self.unseen.items())


def score(scorer: Scorer, names: Sequence[str], rows: Sequence[Row]) -> ScoredRows:
    """Score rows whose values are in the order of `names`, each the model's column once; null is missing.

    Raises InputError for a column that lacks or that the model does not know, and for a value of the wrong kind, by row (counted
    from 0) and field.
    """
    matrix = matrix_of(scorer.schema, names, rows)
    raw, probability = scorer.score_matrix(matrix)
    first = len(scorer.schema.numbers)
    counts = (matrix[:, first:] == UNSEEN).sum(axis=0).tolist()
    return ScoredRows(raw, probability, {name: n for name, n in zip(scorer.schema.categories, counts, strict=True) if n})


def listed(schema: FeatureSchema, objects: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows that came as objects, as values in the schema's order; raises InputError where one has other fields.

    >>> listed(FeatureSchema(("hour", "age")), [{"age": 3, "hour": 5}])
    [(5, 3)]
    """
    wanted = set(schema.names)
    for place, row in enumerate(objects):
        if row.keys() != wanted:
            _demand_columns(schema, list(row), f"Row {place}")
    pick = itemgetter(*schema.names)
    return [pick(row) for row in objects] if len(wanted) > 1 else [(pick(row),) for row in objects]


def matrix_of(schema: FeatureSchema, names: Sequence[str], rows: Sequence[Row]) -> Numbers:
    """The matrix that the model takes, as whence.encoding.encode makes it.

    >>> schema = FeatureSchema(("hour",), {"channel": ("search", "video")})
    >>> matrix_of(schema, ["channel", "hour"], [["video", 3], ["radio", None]]).tolist()
    [[3.0, 1.0], [nan, -1.0]]
    """
    if tuple(names) != schema.names:
        _demand_columns(schema, names, "The names")
    if lengths := {len(row) for row in rows} - {len(names)}:
        place = next(place for place, row in enumerate(rows) if len(row) in lengths)
        raise InputError(f"Row {place} has {len(rows[place])} values, and there are {len(names)} names.")
    places = {name: place for place, name in enumerate(names)}
    matrix = np.empty((len(rows), len(names)))
    if rows:
        first = len(schema.numbers)
        matrix[:, :first] = _numbers(schema.numbers, [places[name] for name in schema.numbers], rows)
        for column, (name, known) in enumerate(schema.categories.items(), first):
            matrix[:, column] = _codes(name, known, [row[places[name]] for row in rows])
    return matrix


def _demand_columns(schema: FeatureSchema, names: Sequence[str], who: str) -> None:
    takes = f"The model takes {', '.join(schema.names)}."
    if unknown := [name for name in names if name not in schema.names]:
        raise InputError(f"{who}: there is no field {unknown[0]}. {takes}")
    if missing := [name for name in schema.names if name not in names]:
        raise InputError(f"{who}: the field {missing[0]} is missing; send null for a value that is not known. {takes}")
    if len(set(names)) != len(names):
        raise InputError(f"{who}: the field {next(name for name in names if list(names).count(name) > 1)} is there twice.")


def _numbers(names: Sequence[str], places: Sequence[int], rows: Sequence[Row]) -> Numbers:
    if not places:
        return np.empty((len(rows), 0))
    pick = itemgetter(*places)
    flat = list(chain.from_iterable(map(pick, rows)) if len(places) > 1 else map(pick, rows))
    if set(map(type, flat)) <= NUMBERS:  # numpy would read "3" as 3
        try:
            return np.array(flat, dtype=np.float64).reshape(len(rows), len(places))
        except OverflowError:
            pass
    for place, value in enumerate(flat):
        if type(value) not in NUMBERS or (isinstance(value, int) and abs(value) > MOST):
            row, column = divmod(place, len(places))
            raise InputError(f"Row {row}, {names[column]}: takes a number, and {_shown(value)} came.")
    raise AssertionError("numpy refuses numbers that float64 holds")


def _codes(name: str, known: tuple[str, ...], values: Sequence[Any]) -> list[float]:
    codes: dict[Any, float] = {None: np.nan, **{value: float(place) for place, value in enumerate(known)}}
    if not set(map(type, values)) <= {str, type(None)}:
        place = next(place for place, value in enumerate(values) if not isinstance(value, str | None))
        raise InputError(f"Row {place}, {name}: is a category and takes text, and {_shown(values[place])} came.")
    return [codes.get(value, UNSEEN) for value in values]


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '…'} ({type(value).__name__})"
