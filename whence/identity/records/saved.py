"""A finished run read back from its folder: whom a record belongs to, why, and what waits for a person."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from whence.identity.ledger import Ledger
from whence.identity.records import explain, fields, review, store, worded
from whence.identity.records.boosted import Boosted
from whence.identity.records.cascade import Cascade
from whence.identity.records.context import InContext
from whence.identity.records.explain import Waterfall, Why
from whence.identity.records.fellegi_sunter import FellegiSunter
from whence.identity.records.scorer import PairScorer
from whence.identity.records.store import Folder, FolderError
from whence.identity.records.table import Evidence, Fields, Pairs

SCORERS: Mapping[str, Callable[[dict[str, Any]], PairScorer]] = {
    "boosted": Boosted.from_json,
    "cascade": Cascade.from_json,
    "fellegi_sunter": FellegiSunter.from_json,
    "worded": worded.Worded.from_json,
}
APART = "left_apart"
"""The column of the pairs that were left apart for want of evidence, where there are some."""
OWN = ("left_id", "right_id", "probability", "verdict", "is_one_person", APART)
"""The columns of pairs.parquet that are no evidence."""


def scorer_of(told: dict[str, Any]) -> PairScorer:
    """The scorer of what its `to_json` made."""
    if told["kind"] == "in_context":
        return InContext.from_json(told, scorer_of(told["alone"]))
    return SCORERS[told["kind"]](told)


@dataclass(frozen=True)
class Asked:
    """A pair that waits for a person, with what both records say."""

    left: str
    right: str
    probability: float
    why: str


@dataclass(frozen=True)
class Saved:
    """What a run left in its folder."""

    folder: Folder
    run: Mapping[str, Any]
    """What it wrote down about itself."""

    @classmethod
    def open(cls, folder: Folder) -> Saved:
        """The run of this folder; FolderError where there is none, or it did not end."""
        return cls(folder, folder.run())

    @cached_property
    def records(self) -> pa.Table:
        """The input as it came, with record_id, in its order."""
        return self.folder.table(store.RECORDS)

    @cached_property
    def people(self) -> pa.Table:
        """Record, person, the probability of the person's weakest link, flags."""
        texts = dict.fromkeys(("record_id", "person_id", "flags"), pa.string())
        options = pyarrow.csv.ConvertOptions(column_types=texts, strings_can_be_null=False)
        return pyarrow.csv.read_csv(self.folder / store.PEOPLE, convert_options=options, parse_options=_multiline())

    @cached_property
    def pairs(self) -> pa.Table:
        """The compared pairs with verdict and evidence."""
        return self.folder.table(store.PAIRS)

    @cached_property
    def scorer(self) -> PairScorer:
        """What turned evidence into log-odds."""
        told = json.loads((self.folder / store.SCORER).read_text(encoding="utf-8"))
        return scorer_of(told)

    @cached_property
    def ledger(self) -> Ledger:
        """Who was whom, when, and as known when."""
        return Ledger.of(self.folder.table(store.LEDGER))

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.records["record_id"].to_pylist())}

    def has(self, record: str) -> bool:
        """Whether the run had this record."""
        return record in self._place

    def place(self, record: str) -> int:
        """Where a record stands; LookupError with near ids for one that is not there."""
        if record in self._place:
            return self._place[record]
        near = [name for name in self._place if record in name][:3]
        raise LookupError(f"There is no record '{record}' in {self.folder.path}{_meant(near)}. The ids are in people.csv.")

    @cached_property
    def shown(self) -> list[str]:
        """The columns that a person is shown: those that were compared, and not a known answer among the others."""
        return [str(name) for name in self.run["compared"]]

    def values(self, record: str) -> dict[str, str | None]:
        """What a record says in the columns that were compared, as it came."""
        row = self.records.slice(self.place(record), 1).select(self.shown).to_pylist()[0]
        return {name: None if value is None or value == "" else str(value) for name, value in row.items()}

    def person(self, record: str) -> str:
        """The person of a record."""
        return str(self.people["person_id"][self.place(record)].as_py())

    def asked(self, author: str) -> list[Asked]:
        """The pairs that wait for a person, the most useful first, without those that this author has answered."""
        options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(("left_id", "right_id", "why"), pa.string()))
        rows = pyarrow.csv.read_csv(self.folder / store.REVIEW, convert_options=options, parse_options=_multiline()).to_pylist()
        done = {each.pair for each in review.read(self.folder / store.LABELS) if each.author == author}
        return [
            Asked(row["left_id"], row["right_id"], row["probability"], row["why"])
            for row in rows
            if tuple(sorted((row["left_id"], row["right_id"]))) not in done
        ]

    def fall(self, left: str, right: str) -> Waterfall:
        """The evidence for a pair: what the run found, or, for a pair that it did not compare, found now."""
        low, high = sorted((left, right), key=self.place)
        at = pc.index(pc.and_(pc.equal(self.pairs["left_id"], low), pc.equal(self.pairs["right_id"], high)), True).as_py()
        if at < 0:
            return self._found_now(self.place(low), self.place(high))
        row = self.pairs.slice(at, 1)
        names = tuple(name for name in row.column_names if name not in OWN)
        values = np.array([[row[name][0].as_py() for name in names]], dtype=np.float32)
        return explain.waterfall(self.scorer, Evidence(names, values), 0, row["probability"][0].as_py())

    def verdict(self, left: str, right: str) -> str | None:
        """What the run said of a pair; None for one that it did not compare, or left out as surely different."""
        low, high = sorted((left, right), key=self.place)
        is_it = pc.and_(pc.equal(self.pairs["left_id"], low), pc.equal(self.pairs["right_id"], high))
        found = self.pairs.filter(is_it)["verdict"]
        return str(found[0].as_py()) if len(found) else None

    def why(self, record: str) -> Why:
        """Why the records of a record's person are together."""
        person = self.person(record)
        ids = self.people.filter(pc.equal(self.people["person_id"], person))["record_id"]
        inner = self.pairs.filter(pc.and_(pc.is_in(self.pairs["left_id"], ids), pc.is_in(self.pairs["right_id"], ids)))
        names = ids.to_pylist()
        at = {name: place for place, name in enumerate(names)}
        left, right = ([at[name] for name in inner[side].to_pylist()] for side in ("left_id", "right_id"))
        pairs = Pairs(np.array(left, dtype=np.int32), np.array(right, dtype=np.int32))
        return explain.why(names, pairs, inner["probability"].to_numpy(), np.zeros(len(names), dtype=np.int64), 0)

    def _found_now(self, low: int, high: int) -> Waterfall:
        chosen = fields.read(self.folder / store.FIELDS)
        records = fields.prepare(self.records.append_column(_FREE, self.records["record_id"]), _by_record_id(chosen))
        pair = Pairs(np.array([low], dtype=np.int32), np.array([high], dtype=np.int32))
        scorer = self.scorer.alone if isinstance(self.scorer, InContext) else self.scorer
        return explain.waterfall(scorer, worded.look(scorer, records, pair), 0)


_FREE = "\0record_id"


def _by_record_id(chosen: Fields) -> Fields:
    return replace(chosen, id=_FREE, label=None, login=None)


def _multiline() -> pyarrow.csv.ParseOptions:
    return pyarrow.csv.ParseOptions(newlines_in_values=True)


def _meant(near: list[str]) -> str:
    return f"; did you mean {' or '.join(near)}?" if near else ""


__all__ = ["Asked", "FolderError", "Saved"]
