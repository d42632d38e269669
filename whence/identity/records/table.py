"""A table of records, its columns coded once: every later step works on small integers and on distinct values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]

MISSING = -1

KINDS = (
    "name",
    "given_name",
    "surname",
    "date",
    "day",
    "year",
    "email",
    "phone",
    "postcode",
    "address",
    "place",
    "code",
    "category",
    "number",
    "text",
    "ip",
    "user_agent",
)
"""What a column can be. `name` is a whole name; `date` one that is the same wherever it is written, such as a birth, and `day`
one that comes close where things of one event are written on different days; `code` an identifier such as a model number or a social security number;
`place` a town, region or country; `category` few values; `text` free text, titles and descriptions."""


@dataclass(frozen=True)
class Field:
    """One column of the input, and what it is."""

    name: str
    kind: str
    """One of KINDS."""


@dataclass(frozen=True)
class Fields:
    """What the columns of a table are: a row's id, the source it came from, and the fields that are compared."""

    fields: tuple[Field, ...]
    id: str | None = None
    """The column that names a row; rows are numbered without one."""
    source: str | None = None
    """The column that tells the tables apart when several are linked."""
    label: str | None = None
    """The column with the true person, where one is known; rows without are null."""
    unique_sources: bool = False
    """True when no source holds one person twice, so that only rows of different sources are compared."""
    unique: tuple[str, ...] = ()
    """Columns of which a person has one value at most, such as an account: two values are two people, none says nothing."""
    login: str | None = None
    """The column with a log-in: rows of one are one person, and a person may have several; rows without are null."""
    same: Mapping[str, str] | None = None
    """Columns of one source that are called otherwise in another, and what they are called there; None where nobody said."""


@dataclass(frozen=True)
class Column:
    """A field's normalised values: `codes` has one per record, MISSING or a position in `values`."""

    field: Field
    codes: Codes
    values: tuple[str, ...]
    """Distinct normalised texts, sorted, so that codes do not depend on the order of rows."""

    @cached_property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many records hold each value."""
        return np.bincount(self.codes[self.codes != MISSING], minlength=len(self.values))

    @cached_property
    def derived(self) -> dict[str, tuple[Codes, Sequence[str]]]:
        """Codes and texts of what has been made of the values so far, such as their first letters, by name."""
        return {}


@dataclass(frozen=True)
class Records:
    """All records, sorted by id, so that no later step depends on the order in which they came."""

    ids: tuple[str, ...]
    columns: tuple[Column, ...]
    source: Codes | None = None
    """Which source each record is from; None for one source."""
    labels: Codes | None = None
    """The true person of each record, MISSING where nobody knows; None without labels."""
    unique_sources: bool = False
    unique: tuple[Column, ...] = ()
    """What a person has one value of at most."""
    login: Codes | None = None
    """The log-in of each record, MISSING where there is none; None where nobody logs in."""

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(each for each in self.columns if each.field.name == name)


class Pairs(NamedTuple):
    """Candidate pairs by the positions of their records: left < right, each pair once, sorted by both."""

    left: Codes
    right: Codes


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against each pair: a column for each signal, NaN where it says nothing."""

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]
    """Shape (pairs, signals)."""
