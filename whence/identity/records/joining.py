"""New rows join the people of a folder: the old ones are not compared again, and their people keep their ids.

At the first join a state (`incremental`) is founded from what `whence resolve` left: its plan, scorer, rules, the values
of its records, and its pairs. From then on columns, keys, frequencies, scorer and rules are frozen, and a join gives
the people of a rebuild with the same frozen parts over all rows, in whatever order they came. What is not the same as a new
`whence resolve` with all rows: that one learns again, counts values again, may choose other keys, and searches by text.
Pairs that only searches found, and what people had said by the first join, stay as the founding run had them; new rows are found by keys
alone. Answers that came later count from the next `whence resolve` with all rows on.

Values whose way of writing is settled from the column (dates, phones, numbers) are read with all rows together; where new rows
would change how old ones are read, the join is refused. The ledger is written before the state, and the state before
all else: a join that was cut off is mended when it is run again.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from whence.identity.clusters import Rules, cluster
from whence.identity.records import fields, incremental, publish, reading, retrieve, store, whole_names
from whence.identity.records.incremental import Joined, State, StateError
from whence.identity.records.known import SAID, places
from whence.identity.records.publish import Found, Outcome, Request
from whence.identity.records.resolve import Apart, Resolved, Step
from whence.identity.records.saved import APART, OWN, SCORERS
from whence.identity.records.store import Folder, FolderError
from whence.identity.records.table import Evidence, Fields, Pairs, Records
from whence.identity.records.texts import texts
from whence.identity.records.verdicts import decide
from whence.identity.records.worded import look
from whence.identity.records.wording import Wording

ID = "record_id"
JOINED = "joined"
"""The folder of the state, in that of the run."""
NAMED = 5
"""Records or columns that a message names."""


@dataclass(frozen=True)
class Run:
    """What the folder's run wrote down."""

    folder: Folder
    told: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Folder) -> Run:
        """The run of a folder; FolderError where there is none, or one that nothing can join."""
        if not (folder / store.RUN).exists():
            folder.run()
        told: dict[str, Any] = json.loads((folder / store.RUN).read_text(encoding="utf-8"))
        if not told.get("plan"):
            raise FolderError(f"{folder.path} was made before rows could join. Run `whence resolve` with all rows once more.")
        return cls(folder, told)

    @property
    def fields(self) -> Fields:
        """What the columns were taken for."""
        return incremental.described(self.told["fields"])

    @property
    def founding(self) -> str:
        """What names the run that the state is of, also after joins."""
        return str(self.told.get("founding") or sha256(json.dumps(self.told["files"], sort_keys=True).encode()).hexdigest()[:16])

    @property
    def state(self) -> Folder:
        """Where its state is, or will be."""
        return Folder(self.folder / JOINED / self.founding)


def join(request: Request, now: datetime) -> Outcome:
    """Let the rows of the request join the people of its folder; rows that are there already are left out.

    Raises StateError for a row that is there with other values, FolderError for a folder that nothing can join, and
    FuseError when people would change more than a run may change them. Nothing is written then.
    """
    _refuse_told(request)
    folder = Folder(request.out)
    with folder.locked(), publish.one_thread():
        started = time.monotonic()
        run = Run.of(folder)
        state = incremental.load(run.state.path) if (run.state / incremental.STATE).exists() else _founded(run, request)
        before = folder.table(store.RECORDS)
        rows, notes = _rows(run, before, request)
        joined = _joined(state, before, rows, request)
        found = _found(run, joined, request, now, notes, started)
        everyone = _together(before, rows, joined.state)
        is_new = not request.is_dry and _write(run, found, joined, everyone, request)
        return replace(publish._outcome(found, request, is_new, time.monotonic() - started), pairs=joined.compared)


def _refuse_told(request: Request) -> None:
    given = [
        name
        for name, value in (("--fields", request.fields), ("--labels", request.labels), ("--context", request.context))
        if value
    ]
    if given:
        raise ValueError(
            f"--join takes columns and model as the folder's run had them, so that {' and '.join(given)} would change nothing. "
            "Leave it out, or run `whence resolve` with all rows."
        )


def _founded(run: Run, request: Request) -> State:
    """The state of the run as it was left, its pairs as it had them."""
    folder, told = run.folder, run.told
    if told.get("founding"):
        raise FolderError(f"{run.state.path} is gone, which earlier joins left. Run `whence resolve` with all rows again.")
    for name in (store.RECORDS, store.PAIRS, store.SCORER):
        if not (folder / name).exists() or sha256((folder / name).read_bytes()).hexdigest() != told["files"][name]:
            raise FolderError(f"{folder / name} is not as its run left it. Run `whence resolve` with all rows again.")
    scorer = json.loads((folder / store.SCORER).read_text(encoding="utf-8"))
    if scorer["kind"] not in SCORERS:
        raise StateError(
            f"The scorer of {folder.path} ({scorer['kind']}) judges a pair by others, too, so that it cannot be frozen. "
            "Run `whence resolve` with all rows each time."
        )
    table, chosen = folder.table(store.RECORDS), replace(run.fields, id=ID, label=None, login=None)
    records, plan = fields.prepare(table, chosen), retrieve.Plan.from_json(told["plan"])
    frozen = incremental.freeze(records, chosen, plan, SCORERS[scorer["kind"]](scorer), Rules(**told["rules"]))
    searched = retrieve.retrieve(records, replace(plan, keys=())).pairs
    pairs = folder.table(store.PAIRS).select(["left_id", "right_id", "probability"])
    return incremental.found(frozen, table, searched, pairs, publish.SETTLED)


def _rows(run: Run, before: pa.Table, request: Request) -> tuple[pa.Table, list[str]]:
    """The new rows in the columns of the folder, with their record ids."""
    chosen = run.fields
    if chosen.id is None:
        raise StateError(
            f"The rows of {run.folder.path} have no ids, so that nobody can tell a new row from an old one. Give them a column that "
            "names them (`id` in fields.toml), and run `whence resolve` once more."
        )
    given = reading.read(request.inputs, chosen.same or {})
    same = {name: of for name, of in (chosen.same or {}).items() if of not in given.table.column_names}
    table = _with_source(
        run, before, given.table.rename_columns([same.get(name, name) for name in given.table.column_names]), request
    )
    needed = [chosen.id, *(each.name for each in chosen.fields), *chosen.unique]
    table = whole_names.needed(table, needed)
    lacking = [name for name in dict.fromkeys(needed) if name not in table.column_names]
    if lacking:
        raise StateError(
            f"{_called(request)} lacks {', '.join(lacking[:NAMED])}; it has {', '.join(table.column_names)}. Rows that join "
            f"need the columns that were compared in {run.folder.path}: leave one empty if nothing is known."
        )
    names = [name for name in before.column_names if name != ID or name == chosen.id]
    more = [name for name in table.column_names if name not in {*names, chosen.label, chosen.login}]
    notes = [f"Columns that the folder does not have were left out: {', '.join(more[:NAMED])}."] if more else []
    columns = {name: table[name] if name in table.column_names else pa.nulls(len(table), before[name].type) for name in names}
    ids = _ids(table, chosen, before)
    return pa.table({**columns, ID: pa.array(ids, pa.string())}).select(before.column_names), [*given.notes, *notes]


def _with_source(run: Run, before: pa.Table, table: pa.Table, request: Request) -> pa.Table:
    """The rows with the source that tells files apart, where the folder has one."""
    name = run.fields.source
    if name is None or (name in table.column_names and len(request.inputs) == 1):
        return table
    known = sorted(set(texts(before[name]).to_pylist()) - {None, ""})
    if name not in table.column_names and len(request.inputs) == 1 and request.inputs[0].stem in known:
        return table.append_column(name, pa.array([request.inputs[0].stem] * len(table), pa.string()))
    if name in table.column_names and set(texts(table[name]).to_pylist()) <= set(known):
        return table
    raise StateError(
        f"{run.folder.path} tells sources apart by '{name}', and {_called(request)} does not say which rows are of "
        f"{' or '.join(known[:NAMED])}. Give it a column '{name}', or the name of its source as the file's name."
    )


def _called(request: Request) -> str:
    return ", ".join(each.name for each in request.inputs)


def _ids(table: pa.Table, chosen: Fields, before: pa.Table) -> list[str]:
    """The record ids of the new rows, written as those of the folder are: with their source, or without."""
    plain = texts(before[str(chosen.id)])
    if chosen.source is None or pc.all(pc.equal(plain, before[ID])).as_py() is not False:
        return fields._ids(table, replace(chosen, source=None))
    ids = [
        f"{source}/{own}"
        for source, own in zip(*(texts(table[name]).to_pylist() for name in (chosen.source, chosen.id)), strict=True)
    ]
    fields._refuse_twice(ids, str(chosen.id))
    return ids


def _joined(state: State, before: pa.Table, rows: pa.Table, request: Request) -> Joined:
    """The state with the rows, values read as they are in all rows together."""
    old = before.filter(pc.invert(pc.is_in(before[ID], rows[ID].combine_chunks())))
    try:
        return incremental.join(state, _one(old, rows))
    except StateError as wrong:
        if not wrong.record or pc.is_in(pa.scalar(wrong.record), rows[ID].combine_chunks()).as_py():
            raise
        raise StateError(
            f"With the rows of {_called(request)}, old ones would be read otherwise, {wrong.record} first: a date, phone or number "
            "is written another way in them. Write them as before, or run `whence resolve` with all rows.",
            wrong.record,
        ) from None


def _one(old: pa.Table, new: pa.Table) -> pa.Table:
    """Both tables, in the types of the old one; as texts where the new one's values are none of those."""
    columns = {}
    for name in old.column_names:
        one, other = old[name], new[name]
        try:
            other = other.cast(one.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            one, other = (pa.chunked_array([_text(each)]) for each in (one, other))
        columns[name] = pa.chunked_array([*one.chunks, *other.chunks], one.type)
    return pa.table(columns)


def _text(column: pa.ChunkedArray) -> pa.Array:
    found = texts(column)
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found


def _together(before: pa.Table, rows: pa.Table, state: State) -> pa.Table:
    """All rows as they came, in the order of their ids; old ones as they were."""
    new = rows.filter(pc.invert(pc.is_in(rows[ID], before[ID].combine_chunks())))
    together = _one(before, new) if len(new) else before
    order = np.argsort(np.array(together[ID].to_pylist(), dtype=object), kind="stable")
    if len(together) != len(state):
        raise FolderError("The last join was cut off. Run it again with its own rows, and then this one.")
    return together.take(pa.array(order)).combine_chunks()


def _found(run: Run, joined: Joined, request: Request, now: datetime, notes: Sequence[str], started: float) -> Found:
    """The state as a run that can be published."""
    state, frozen = joined.state, joined.state.frozen
    records, (pairs, log_odds) = state.records(), state.pairs()
    chances, people = expit(log_odds), state.people()["person"].to_numpy().astype(np.int64)
    unique = {each.field.name: each.codes for each in records.unique}
    refusals = cluster(len(records), pairs, log_odds, frozen.rules, unique, records.source).refusals
    facts = {"new records": joined.added, "new pairs": joined.compared, "old pairs dropped": joined.dropped}
    steps = (Step("join", time.monotonic() - started, facts),)
    nothing = Evidence((), np.zeros((len(chances), 0), dtype=np.float32))
    resolved = Resolved(
        records, pairs, nothing, frozen.scorer, log_odds, chances, people, steps, run.told["basis"], refusals, rules=frozen.rules
    )
    resolved = replace(resolved, apart=_apart(run, resolved))
    labels = publish._labels(request, run.folder)
    answered = publish._answered(resolved, labels.settled.verdicts)
    verdicts = publish._with_apart(decide(pairs, chances, run.told["beta"]), resolved, answered)
    questions = publish._asked(resolved, verdicts, answered)
    ledger, changed = publish._renewed(run.folder, resolved, request, now)
    heard = (*notes, *labels.notes, *_said(joined), *_late(records, pairs, log_odds, labels.settled.known))
    found = Found(resolved, verdicts, questions, ledger, changed, heard, {}, answered)
    return replace(found, resolved=replace(resolved, evidence=_evidence(run, found, frozen.wordings)))


def _apart(run: Run, resolved: Resolved) -> Apart | None:
    """The pairs that the founding run left apart for want of evidence, as far as they are compared still: they wait for a word as before."""
    kept = run.folder.table(store.PAIRS)
    if APART not in kept.column_names:
        return None
    left_apart = kept.filter(kept[APART])
    ids = pa.array(resolved.records.ids, pa.string())
    left, right = (pc.index_in(left_apart[side], ids).to_numpy().astype(np.int64) for side in ("left_id", "right_id"))
    keys = incremental._keys(resolved.pairs, len(ids))
    return Apart(np.flatnonzero(np.isin(keys, left * len(ids) + right)), run.told["apart"])


def _said(joined: Joined) -> list[str]:
    """What the join did, and what it cannot do."""
    founding = joined.state.segments[0]
    kept, total = int((founding.by == np.uint64(1 << incremental.KEPT)).sum()), len(founding.by)
    notes = [
        f"{joined.added:,} new records joined: {joined.compared:,} new pairs were compared, and {joined.dropped:,} old ones left out "
        "whose blocks grew too large."
    ]
    if kept:
        notes.append(
            f"{kept:,} of {total:,} pairs of the founding run were found by searches by text alone, or said by people. They stay as they "
            "were; new rows are found by keys alone, and may miss such partners until `whence resolve` runs with all rows."
        )
    return notes


def _late(records: Records, pairs: Pairs, log_odds: npt.NDArray[np.float64], known: Mapping[tuple[str, str], bool]) -> list[str]:
    """Answers that are not in the state."""
    said, same = places(records, known)
    if not len(said.left):
        return []
    held, sought = incremental._keys(pairs, len(records)), incremental._keys(said, len(records))
    at = np.minimum(np.searchsorted(held, sought), max(len(held) - 1, 0))
    is_held = (
        (held[at] == sought) & (np.abs(log_odds[at] - np.where(same, SAID, -SAID)) < 0.1)
        if len(held)
        else np.zeros(len(sought), bool)
    )
    late = int((~is_held).sum())
    told = f"Answers that came after the founding run, and wait for `whence resolve` with all rows: {late:,}."
    return [told] if late else []


def _evidence(run: Run, found: Found, wordings: Mapping[str, Wording]) -> Evidence:
    """What spoke for and against the pairs that are shown: what was found before, and for new ones what is found now."""
    resolved, kept = found.resolved, run.folder.table(store.PAIRS)
    names = tuple(name for name in kept.column_names if name not in OWN)
    values = np.full((len(resolved.probabilities), len(names)), np.nan, dtype=np.float32)
    keys, ids = incremental._keys(resolved.pairs, len(resolved.records)), pa.array(resolved.records.ids, pa.string())
    left, right = (pc.index_in(kept[side], ids).to_numpy().astype(np.int64) for side in ("left_id", "right_id"))
    before = left * len(ids) + right
    at = np.minimum(np.searchsorted(keys, before), max(len(keys) - 1, 0))
    is_there = keys[at] == before if len(keys) else np.zeros(len(before), dtype=np.bool_)
    values[at[is_there]] = np.column_stack([np.zeros((len(kept), 0)), *(kept[name].to_numpy() for name in names)])[is_there]
    is_shown = publish.shown(found)
    is_shown[publish._sampled(found)] = True
    is_shown[at[is_there]] = False
    rows = np.flatnonzero(is_shown)
    new = look(resolved.scorer, resolved.records, Pairs(resolved.pairs.left[rows], resolved.pairs.right[rows]), wordings)
    for place, name in enumerate(names):
        if name in new.names:
            values[rows, place] = new.values[:, new.names.index(name)]
    return Evidence(names, values)


def _write(run: Run, found: Found, joined: Joined, everyone: pa.Table, request: Request) -> bool:
    """The ledger, then the state, then what both say."""
    folder = run.folder
    store.replace(folder / store.LEDGER, store.parquet(found.ledger.events))
    if joined.added or not (run.state / incremental.STATE).exists():
        incremental.save(joined.state, run.state.path)
    names = list(dict.fromkeys([*run.told["inputs"], *(each.name for each in request.inputs)]))
    told = {name: value for name, value in run.told.items() if name != "files"} | {"founding": run.founding, "inputs": names}
    is_new = publish.replaced(folder, found, everyone, replace(request, inputs=tuple(map(Path, names))), told)
    for other in (folder / JOINED).iterdir():
        if other.name != run.founding:
            shutil.rmtree(other)
    return is_new
