"""Rows that a caller brings itself, scored: the answer to `/v1/score`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from serving import cells
from serving.cells import NUMBERS, TEXTS, Numbers, Row
from whence.bundle import Scorer
from whence.contracts.models import FeatureSchema
from whence.encoding import InputError

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
    matrix, unseen = _placed(scorer.schema, names, rows)
    raw, probability = scorer.score_matrix(matrix)
    return ScoredRows(raw, probability, unseen)


def listed(schema: FeatureSchema, objects: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Rows that came as objects, as values in the schema's order; raises InputError where one has other fields.

    >>> listed(FeatureSchema(("hour", "age")), [{"age": 3, "hour": 5}])
    [(5, 3)]
    """
    names = schema.names
    if set(map(len, objects)) <= {len(names)}:  # then one that has all names has no other
        with suppress(KeyError):
            return _picked(objects, names)
    place, row = next((place, row) for place, row in enumerate(objects) if row.keys() != set(names))
    _demand_columns(schema, list(row), f"Row {place}")
    raise AssertionError("a row has other fields, and nothing is wrong with them")


def matrix_of(schema: FeatureSchema, names: Sequence[str], rows: Sequence[Row]) -> Numbers:
    """The matrix that the model takes, as whence.encoding.encode makes it.

    >>> schema = FeatureSchema(("hour",), {"channel": ("search", "video")})
    >>> matrix_of(schema, ["channel", "hour"], [["video", 3], ["radio", None]]).tolist()
    [[3.0, 1.0], [nan, -1.0]]
    """
    return _placed(schema, names, rows)[0]


def _placed(schema: FeatureSchema, names: Sequence[str], rows: Sequence[Row]) -> tuple[Numbers, dict[str, int]]:
    """The matrix, and by category the values that the model never saw."""
    if set(map(len, rows)) - {len(names)}:
        _demand_columns(schema, names, "The names")
        place = next(place for place, row in enumerate(rows) if len(row) != len(names))
        raise InputError(f"Row {place} has {len(rows[place])} values, and there are {len(names)} names.")
    if tuple(names) != schema.names:
        _demand_columns(schema, names, "The names")
        places = {name: place for place, name in enumerate(names)}
        rows = _picked(rows, [places[name] for name in schema.names])
    if (found := cells.read(schema, rows)) is None:
        _refuse(schema, rows)
        raise AssertionError("rows hold what each column takes, and cannot be read")
    return found


def _picked(rows: Sequence[Any], places: Sequence[Any]) -> list[Row]:
    pick = itemgetter(*places)
    return list(map(pick, rows)) if len(places) > 1 else [(pick(row),) for row in rows]


def _refuse(schema: FeatureSchema, rows: Sequence[Row]) -> None:
    """Name the first value that its column cannot take: of the numbers by row, then of each category."""
    for place, row in enumerate(rows):
        for name, value in zip(schema.numbers, row, strict=False):
            if type(value) not in NUMBERS or (isinstance(value, int) and abs(value) > MOST):
                raise InputError(f"Row {place}, {name}: takes a number, and {_shown(value)} came.")
    for column, name in enumerate(schema.categories, len(schema.numbers)):
        for place, row in enumerate(rows):
            if type(row[column]) not in TEXTS:
                raise InputError(f"Row {place}, {name}: is a category and takes text, and {_shown(row[column])} came.")


def _demand_columns(schema: FeatureSchema, names: Sequence[str], who: str) -> None:
    takes = f"The model takes {', '.join(schema.names)}."
    if unknown := [name for name in names if name not in schema.names]:
        raise InputError(f"{who}: there is no field {unknown[0]}. {takes}")
    if missing := [name for name in schema.names if name not in names]:
        raise InputError(f"{who}: the field {missing[0]} is missing; send null for a value that is not known. {takes}")
    if len(set(names)) != len(names):
        raise InputError(f"{who}: the field {next(name for name in names if list(names).count(name) > 1)} is there twice.")


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '…'} ({type(value).__name__})"
