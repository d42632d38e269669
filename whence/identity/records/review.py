"""Pairs that a person should look at, the most useful first, and the labels that come back, kept for good."""

from __future__ import annotations

import fcntl
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from whence.identity.records import reading
from whence.identity.records.explain import Forest, forest
from whence.identity.records.table import Floats, Pairs
from whence.identity.records.texts import texts
from whence.identity.records.verdicts import UNSURE, Verdicts

WORDS = ("same", "different", "unsure")
MEANINGS = {word: word for word in WORDS} | dict.fromkeys(("1", "1.0", "true", "yes", "match"), "same")
MEANINGS |= dict.fromkeys(("0", "0.0", "false", "no", "distinct"), "different")
LEFT = ("left_id", "left", "id_l", "unique_id_l", "ltable_id", "l_id", "id1", "id_1")
RIGHT = ("right_id", "right", "id_r", "unique_id_r", "rtable_id", "r_id", "id2", "id_2")
VERDICT = ("verdict", "label", "same", "match", "clerical_match_score")
"""What the columns of a file of labels may be called."""
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of a label that has none, so that any later word of the same author counts more."""


class LabelError(ValueError):
    """A label that cannot be; the message names file and line."""


@dataclass(frozen=True)
class Label:
    """What one person said of one pair, and when."""

    left: str
    right: str
    verdict: str
    """same, different or unsure."""
    author: str
    at: datetime

    def __post_init__(self) -> None:
        if self.verdict not in WORDS:
            raise LabelError(f"A verdict is one of {', '.join(WORDS)}; '{self.verdict}' came.")
        if not self.author.strip():
            raise LabelError("A label needs an author.")
        if self.left == self.right or not self.left or not self.right:
            raise LabelError(f"A label is of two records; '{self.left}' and '{self.right}' came.")
        if self.at.tzinfo is None:
            raise LabelError(f"The label of {self.left} and {self.right} has a time without a zone: {self.at}.")

    @property
    def pair(self) -> tuple[str, str]:
        """The two records, the lesser first."""
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)

    def line(self) -> str:
        """The label as one line of JSON."""
        return json.dumps(asdict(self) | {"at": self.at.astimezone(UTC).isoformat()}, ensure_ascii=False)


@dataclass(frozen=True)
class Conflict:
    """A pair that people see differently."""

    left: str
    right: str
    said: tuple[tuple[str, str], ...]
    """Author and verdict, by author."""

    def __str__(self) -> str:
        return f"{self.left} and {self.right}: " + ", ".join(f"{author} says {verdict}" for author, verdict in self.said)


@dataclass(frozen=True)
class Settled:
    """What all labels come to: a verdict for each pair, and where their authors disagree."""

    verdicts: Mapping[tuple[str, str], str]
    conflicts: tuple[Conflict, ...]

    @property
    def known(self) -> dict[tuple[str, str], bool]:
        """Whether the records are of one person, for the pairs that are not unsure: what a scorer learns from."""
        return {pair: said == "same" for pair, said in self.verdicts.items() if said != "unsure"}


@dataclass(frozen=True)
class Question:
    """A pair to ask about."""

    place: int
    """Its position among the pairs."""
    impact: int
    """How many pairs of records the answer puts together or takes apart."""
    use: float
    """Impact times doubt, less for each question about the same two people that comes before; the greatest comes first."""
    why: str


def settle(labels: Iterable[Label]) -> Settled:
    """The latest word of each author counts, and then the majority; a tie, or nobody sure, is unsure.

    Who says two things at one time, as a file without times may, is not sure either.

    >>> noon, later = datetime(2026, 5, 1, 12, tzinfo=UTC), datetime(2026, 5, 1, 13, tzinfo=UTC)
    >>> said = [Label("a", "b", "same", "Ada", noon), Label("b", "a", "different", "Bo", noon)]
    >>> settle(said).verdicts
    {('a', 'b'): 'unsure'}
    >>> settle([*said, Label("a", "b", "same", "Bo", later)]).verdicts
    {('a', 'b'): 'same'}
    """
    last: dict[tuple[str, str], dict[str, tuple[datetime, frozenset[str]]]] = defaultdict(dict)
    for each in sorted(labels, key=lambda label: label.at):
        at, before = last[each.pair].get(each.author, (each.at, frozenset[str]()))
        last[each.pair][each.author] = each.at, (before if at == each.at else frozenset()) | {each.verdict}
    words = {pair: {author: said for author, (_, said) in of.items()} for pair, of in sorted(last.items())}
    verdicts = {
        pair: _majority([min(said) if len(said) == 1 else "unsure" for said in of.values()]) for pair, of in words.items()
    }
    conflicts = tuple(
        Conflict(*pair, tuple(sorted((author, word) for author, said in of.items() for word in said)))
        for pair, of in words.items()
        if len(frozenset().union(*of.values()) - {"unsure"}) > 1
    )
    return Settled(verdicts, conflicts)


def read(path: Path) -> list[Label]:
    """The labels of a file that `append` wrote; none where there is no file. LabelError names a line that is no label.

    A last line without its end was cut off while it was written, and is left out.
    """
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [_parsed(path, number, line) for number, line in enumerate(lines[:-1], 1) if line.strip()]


def from_table(path: Path, sources: tuple[str, str] | None = None) -> list[Label]:
    """Labelled pairs of a CSV or Parquet file: two columns of ids, a verdict, and author and time where they are.

    Two columns alone are pairs that are the same. Where two sources use the same ids, `sources` names that of each column.
    LabelError says which columns are expected, or which row has a verdict that is none.
    """
    table = reading.read([path]).table
    left, right, verdict = _columns(path, table.column_names)
    said = table[verdict].to_pylist() if verdict else ["same"] * len(table)
    author, at = ([None] * len(table) if name not in table.column_names else table[name].to_pylist() for name in ("author", "at"))
    ids = (_ids(table[each], source, sources) for each, source in zip((left, right), sources or (None, None), strict=True))
    return [_from_row(path, number, *row) for number, row in enumerate(zip(*ids, said, author, at, strict=True), 1)]


def _columns(path: Path, names: Sequence[str]) -> tuple[str, str, str | None]:
    """The columns of the two ids and of the verdict; ids may be called anything where there is nothing else."""
    verdict = next((name for name in VERDICT if name in names), None)
    left, right = (next((name for name in wanted if name in names), None) for wanted in (LEFT, RIGHT))
    others = [name for name in names if name not in (verdict, "author", "at")]
    if left and right and (verdict or len(others) == 2):
        return left, right, verdict
    if len(others) == 2:
        return others[0], others[1], verdict
    lacking = next(wanted[0] for wanted, found in ((LEFT, left), (RIGHT, right), (VERDICT, verdict)) if not found)
    raise LabelError(
        f"{path} has no column '{lacking}'; it has {', '.join(names)}. A file of labels has left_id, right_id and verdict "
        "(same, different or unsure), and may have author and at; two columns of ids alone are pairs that are the same."
    )


def _ids(column: pa.ChunkedArray, source: str | None, sources: tuple[str, str] | None) -> list[str]:
    """Ids as records have them: behind their source where two sources use the same."""
    ids = [str(each) for each in texts(column).to_pylist()]
    if source is None or sources is None:
        return ids
    return [each if each.startswith(tuple(f"{name}/" for name in sources)) else f"{source}/{each}" for each in ids]


def append(path: Path, labels: Sequence[Label]) -> None:
    """Add labels at the end of the file; nothing in it is ever changed. On return they are on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = file.seek(0, os.SEEK_END)
        if size and _last_byte(path) != b"\n":
            file.truncate(_end_of_whole_lines(path))
        file.write("".join(f"{each.line()}\n" for each in labels).encode())
        file.flush()
        os.fsync(file.fileno())


def queue(
    pairs: Pairs,
    probabilities: Floats,
    verdicts: Verdicts,
    people: npt.NDArray[np.integer],
    answered: npt.NDArray[np.bool_] | None = None,
    most: int = 1000,
) -> list[Question]:
    """The unsure pairs, those first whose answer changes most: impact × doubt, where doubt is 4 p (1 − p).

    `people` is the person of each record. The answer to a pair of two people decides whether all their records come
    together; to a pair that holds a person together, whether its two halves do; to any other, that pair alone.
    `answered` marks pairs that a person has judged before.
    """
    is_open = verdicts.codes == UNSURE
    if answered is not None:
        is_open = is_open & ~answered
    rows = np.flatnonzero(is_open)
    if not len(rows):
        return []
    inner = people[pairs.left] == people[pairs.right]
    is_asked = np.zeros(int(people.max()) + 1, dtype=bool)
    is_asked[people[pairs.left[rows]]] = True
    tree = forest(pairs, probabilities, inner & is_asked[people[pairs.left]])
    sizes = np.bincount(people, minlength=int(people.max()) + 1)
    impact = _impacts(rows, pairs, people, sizes, tree)
    use = impact * 4 * probabilities[rows] * (1 - probabilities[rows])
    use = use / _turn(use, people[pairs.left[rows]], people[pairs.right[rows]]) ** 2
    order = np.lexsort((rows, -use))[:most]
    return [
        Question(int(rows[at]), int(impact[at]), float(use[at]), _reason(bool(inner[rows[at]]), int(impact[at]))) for at in order
    ]


def _impacts(
    rows: npt.NDArray[np.int64],
    pairs: Pairs,
    people: npt.NDArray[np.integer],
    sizes: npt.NDArray[np.int64],
    tree: Forest,
) -> npt.NDArray[np.int64]:
    left, right = people[pairs.left[rows]], people[pairs.right[rows]]
    halves = tree.below(rows)
    return np.where(left != right, sizes[left] * sizes[right], np.where(halves > 0, halves * (sizes[left] - halves), 1))


def _turn(use: Floats, left: npt.NDArray[np.integer], right: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """How many questions about the same two people come before, and one: the first answer mostly settles the others."""
    one, other = np.minimum(left, right), np.maximum(left, right)
    order = np.lexsort((np.arange(len(use)), -use, other, one))
    begins = np.r_[True, (one[order][1:] != one[order][:-1]) | (other[order][1:] != other[order][:-1])]
    start = np.maximum.accumulate(np.where(begins, np.arange(len(use)), 0))
    turn = np.empty(len(use), dtype=np.int64)
    turn[order] = np.arange(len(use)) - start + 1
    return turn


def _reason(is_inner: bool, impact: int) -> str:
    if impact == 1:
        return "decides these two records"
    return f"holds {impact:,} pairs of records together" if is_inner else f"would put {impact:,} pairs of records together"


def _majority(said: Iterable[str]) -> str:
    votes = Counter(said)
    if votes["same"] == votes["different"]:
        return "unsure"
    return "same" if votes["same"] > votes["different"] else "different"


def _from_row(path: Path, number: int, left: Any, right: Any, said: Any, author: Any, at: Any) -> Label:
    verdict = MEANINGS.get(str(said).strip().casefold())
    if verdict is None:
        raise LabelError(f"{path}, row {number}: the verdict is '{said}'. Write one of {', '.join(WORDS)}.")
    try:
        when = datetime.fromisoformat(str(at)) if at else EARLIEST
        return Label(str(left), str(right), verdict, str(author or path.name), when if when.tzinfo else when.replace(tzinfo=UTC))
    except ValueError as wrong:
        raise LabelError(f"{path}, row {number}: {wrong}") from None


def _parsed(path: Path, number: int, line: str) -> Label:
    try:
        told = json.loads(line)
        return Label(**(told | {"at": datetime.fromisoformat(told["at"])}))
    except (ValueError, TypeError, KeyError) as wrong:
        raise LabelError(f"{path}, line {number} is no label ({wrong}). Correct the line, or take it out.") from None


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1)


def _end_of_whole_lines(path: Path) -> int:
    return path.read_bytes().rfind(b"\n") + 1
